"""Rewards of responses: reward models, functions of the user's own, and verifiers; mixed as weighted sums.

`reward` is what a policy is trained on; `gold_reward` stands beside it, to look at or to train on. Both are one reward
or a weighted sum of several. Each part of a sum is kept unweighted in a column of its own.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from preference.files import artifacts
from preference.rewards import functions, specs
from preference.rewards.lengths import UNITS
from preference.rewards.specs import Part
from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.shards import Shards
from preference.running.stage import InputError, Progress

GOLD_REWARDS = ("min_length", "max_length", "mode_length")  # flags of their own give the unit and the target of these


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags of every stage that scores responses."""

    reward_model: tuple[str, ...] | None = flag(
        'reward model folder or hub id, or JSON of a spec, such as {"name": "json", "weight": 0.5}; several are '
        "summed. Without it the gold reward is the reward",
        None,
        config=False,
    )
    gold_reward: tuple[str, ...] | None = flag(
        "the task's own reward, where it has one: the name of a verifier or JSON of a spec; several are summed",
        None,
        config=False,
    )
    target_length: Count | None = flag("length that --gold_reward mode_length is highest at", None, config=False)
    length_unit: str = flag("what --gold_reward counts a response's length in", "tokens", tuple(UNITS), config=False)
    given: bool = flag(
        "train on the data's own scores (column given_reward), and not on --reward_model", False, config=False
    )


@dataclasses.dataclass(frozen=True)
class Reading:
    """Responses per forward pass of a reward model, and the longest prompt + response in tokens."""

    batch_size: int
    max_length: int


def check(flags: Flags) -> None:
    """Refuse flags that name no reward, or one that cannot be used, before anything is loaded."""
    if not (flags.reward_model or flags.gold_reward or flags.given):
        raise InputError("--reward_model, --gold_reward: give at least one")
    if flags.given and flags.reward_model:
        raise InputError("--given: the data's own scores are the reward, so --reward_model must not be given")
    names = _listed(flags.gold_reward)
    if names == ["mode_length"] and flags.target_length is None:
        raise InputError("--gold_reward mode_length: needs --target_length")
    if names != ["mode_length"] and flags.target_length is not None:
        raise InputError(f"--target_length {flags.target_length}: only --gold_reward mode_length has a target")
    for name, parts in (("reward_model", training_parts(flags)), ("gold_reward", gold_parts(flags))):
        for part in parts:
            _checked(f"--{name}", part)


def _checked(where: str, part: Part) -> None:
    if part.kind == "model":
        if part.subject == specs.TRAINED:
            raise InputError(f"{where}: only a config has a reward model that is {specs.TRAINED}; name its folder")
        if where == "--reward_model" and Path(part.subject).is_dir():
            artifacts.check_model(part.subject)
        return part.check()
    try:
        part.check()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _listed(value: tuple[str, ...] | str | None) -> list[str]:
    return [] if value is None else specs.listed(value)


def training_parts(flags: Flags) -> list[Part]:
    """Return the parts of the reward that --reward_model names; none without it."""
    given = _listed(flags.reward_model)
    return specs.parse(given, "--reward_model", "model") if given else []


def gold_parts(flags: Flags) -> list[Part]:
    """Return the parts of the gold reward; none for a task that has none."""
    given = _listed(flags.gold_reward)
    if not given:
        return []
    if len(given) == 1 and given[0] in GOLD_REWARDS:
        target = {} if flags.target_length is None else {"target": flags.target_length}
        return specs.parse([{"name": given[0], "unit": flags.length_unit, **target}], "--gold_reward", "name")
    return specs.parse(given, "--gold_reward", "name")


def inputs(flags: Flags) -> dict[str, str | tuple[str, ...]]:
    """Return the files and models among the flags, for the provenance of an artifact."""
    models = _listed(flags.reward_model)
    if len(models) == 1 and not models[0].lstrip().startswith("{"):  # nothing but a model: no spec is left to record
        found, parts = {"reward_model": models[0]}, gold_parts(flags)
    else:
        found, parts = {}, [*training_parts(flags), *gold_parts(flags)]
    files = tuple(dict.fromkeys(file for part in parts for file in part.files()))
    for path in (*found.values(), *files):
        _resolve(path)
    return found | ({"reward_files": files} if files else {})


def _resolve(path: str) -> None:
    """Load the config of a hub id: its commit is known only once a file of it is in the cache."""
    if not Path(path).exists():
        from preference.models import policies  # torch: not needed by verifiers

        policies.load_config(path)


def members(flags: Flags) -> list[str]:
    """Return the source files of the verifiers that the flags name, which no import statement names."""
    names = {part.subject for part in (*training_parts(flags), *gold_parts(flags)) if part.kind == "name"}
    return sorted(f"preference/rewards/verifiers/{name}.py" for name in names)


def score(flags: Flags, rows: list[dict], shards: Shards, reading: Reading) -> list[dict]:
    """Return the columns `reward`, `gold_reward` and those of the parts, of each row of a job's own.

    Without --reward_model and --given, the gold reward is the reward. `reward` is None if --given scores rows that have
    no score of their own.

    Args:
        rows: of kind "responses", those of all jobs.
    """
    own = shards.own(rows)
    gold, gold_columns = _sum(gold_parts(flags), "gold_", rows, shards, reading)
    training, columns = _sum(training_parts(flags), "", rows, shards, reading)
    if flags.given:
        training = [row.get("given_reward") for row in own]
    elif not flags.reward_model:
        training = gold
    assert training is not None, "check refuses flags that name no reward"
    return [
        {
            "reward": training[i],
            "gold_reward": gold[i] if gold else None,
            **{name: values[i] for name, values in (columns | gold_columns).items()},
        }
        for i in range(len(own))
    ]


def _sum(
    parts: list[Part], prefix: str, rows: list[dict], shards: Shards, reading: Reading
) -> tuple[list[float] | None, dict[str, list[float]]]:
    """Return the weighted sum of the parts, and the column of each part if there is more to it than one reward."""
    found = {f"{prefix}{part.name}": _values(prefix, part, rows, shards, reading) for part in parts}
    if not parts:
        return None, {}
    from preference.files.records import REWARD_PART  # pyarrow: planning imports this module

    total = _weighted([(part.weight, values) for part, values in zip(parts, found.values(), strict=True)])
    is_plain = len(parts) == 1 and parts[0].weight == 1
    return total, {} if is_plain else {f"{REWARD_PART}{name}": values for name, values in found.items()}


def _weighted(columns: list[tuple[float, list[float]]]) -> list[float]:
    if len(columns) == 1 and columns[0][0] == 1:
        return columns[0][1]
    weights = [weight for weight, _ in columns]
    return [_dot(weights, values) for values in zip(*(values for _, values in columns), strict=True)]


def _dot(weights: Iterable[float], values: Iterable[float]) -> float:
    return sum((weight * value for weight, value in zip(weights, values, strict=True)), 0.0)


def _values(prefix: str, part: Part, rows: list[dict], shards: Shards, reading: Reading) -> list[float]:
    """Return the value of one part for each row of a job's own."""
    where = "--gold_reward" if prefix else "--reward_model"
    if part.kind == "name":
        return _verified(where, part, shards.own(rows))
    if part.kind == "python":
        return _called(part, f"{prefix}{part.name}", shards.own(rows), shards)
    from preference.rewards import reward_models  # torch: only reward models need it

    name = f"rewards_{prefix}{part.name}"
    return reward_models.learned_rewards(part.subject, rows, reading.batch_size, reading.max_length, shards, name)


def _verified(where: str, part: Part, rows: list[dict]) -> list[float]:
    verify = part.verifier()
    try:
        return [verify(row) for row in rows]
    except InputError as error:
        raise InputError(f"{where} {part.subject}: {error}") from None


def _called(part: Part, name: str, rows: list[dict], shards: Shards) -> list[float]:
    """Return the values of a function; finished parts are kept, for a function may be slow."""
    function = functions.load(part.subject)

    def call(some: list[dict], progress: Progress) -> list[float]:
        values = []
        for row in some:
            values.append(function(row))
            progress.update()
        return values

    return shards.map(f"function_{name}", rows, call)
