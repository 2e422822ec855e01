"""Prepare the data of a task: sources -> sft, prompts, eval_prompts.parquet, and preferences, eval_preferences.parquet.

A source is a file, a folder, a hub data set (owner/name@config:split) or the word built_in; its format is recognised by
its columns. A role without a source is derived from the others, training prompts and held-out prompts never meet, and
what is dropped is counted. The last two files are made where --preferences is given.
"""

import dataclasses
import itertools
import random
from collections import Counter
from pathlib import Path

from preference import formats, instructions, provenance, records, sources, stage
from preference.sources import BUILT_IN
from preference.stage import InputError, flag

KINDS = {  # role, which is a flag and a file -> kind of table
    "sft": "sft",
    "prompts": "prompts",
    "preferences": "pairs",
    "eval_prompts": "eval_prompts",
    "eval_preferences": "pairs",
}
TRAINING, HELD_OUT = ("sft", "prompts", "preferences"), ("eval_prompts", "eval_preferences")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    sft: str = flag("source of prompts with responses, or built_in; of a source of pairs, the chosen responses")
    prompts: str | None = flag("source of training prompts; else those of the preferences, else those of --sft", None)
    preferences: str | None = flag("source of pairs", None)
    eval_prompts: str | None = flag("source of held-out prompts; else --num_eval_prompts of the others", None)
    eval_preferences: str | None = flag("source of held-out pairs; else the pairs of held-out prompts", None)
    num_sft: int | None = flag("rows of sft.parquet, at most; all where it is not given", None)
    num_prompts: int | None = flag("rows of prompts.parquet, at most; all where it is not given", None)
    num_eval_prompts: int | None = flag("rows of eval_prompts.parquet, at most", None)
    max_characters: int | None = flag("longest prompt + response; longer rows are dropped", None)
    answer_words: float | None = flag("of built_in: choose prompts whose answers have about so many words", None)
    seed: int = flag("seed of the order of rows and of which prompts are held out")
    output: str = flag("folder to write the tables into", folder="tables")


@dataclasses.dataclass(frozen=True)
class Source:
    path: str
    rows: list[dict]  # those that were kept, of the role's kind
    rows_in: int
    dropped: Counter


def main(flags: Flags) -> None:
    check(flags)
    loaded = {role: load(role, getattr(flags, role), flags) for role in KINDS if getattr(flags, role)}
    given = {role: source.rows for role, source in loaded.items()}
    check_held_out(given, flags)
    tables = split_built_in(given["sft"], flags) if flags.sft == BUILT_IN else split(given, flags)
    tables = {role: in_order(role, rows, flags) for role, rows in tables.items()}
    for role, rows in tables.items():
        if not rows:
            raise InputError(f"--{role}: no row is left; every prompt that it could have is held out")
    write(tables, loaded, flags)


def check(flags: Flags) -> None:
    """Refuse what no data could mend."""
    for name in ("num_sft", "num_prompts", "num_eval_prompts", "max_characters"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: must be at least 1")
    for name, reason in sources.problems(dataclasses.asdict(flags)):
        raise InputError(f"--{name}: {reason}")


def load(role: str, source: str, flags: Flags) -> Source:
    """Load, recognise, convert and clean a role's source, and say so in one line."""
    if source == BUILT_IN:
        num = flags.num_sft + flags.num_prompts + flags.num_eval_prompts
        found, name = (
            instructions.generate(num, random.Random(f"{flags.seed} {BUILT_IN}"), flags.answer_words),
            BUILT_IN,
        )
    else:
        columns, raw = formats.load(source)
        name = formats.recognise(columns, source)
        found = formats.convert(raw, name, source)
    rows, dropped = clean([as_kind(row, KINDS[role], source) for row in found], KINDS[role], flags.max_characters)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "none"
    print(f"{role}: {source}: format {name}, {len(found)} rows, {len(rows)} kept, dropped: {reasons}")
    if not rows:
        raise InputError(f"--{role} {source}: none of its {len(found)} rows is left; dropped: {reasons}")
    return Source(source, rows, len(found), dropped)


def as_kind(row: dict, kind: str, source: str) -> dict:
    """A converted row as a row of a table; of a pair, the chosen response is the data's answer to its prompt."""
    named = {"prompt_id": records.prompt_id(row["prompt"])}
    if kind == "pairs":
        if "chosen" not in row:
            raise InputError(f"{source}: holds no pairs of a chosen and a rejected response")
        return named | row
    response = row["chosen"] if "chosen" in row else row["response"]
    if kind != "sft":
        return named | {"prompt": row["prompt"], "response": response or None}
    if response is None:
        raise InputError(f"{source}: holds no responses, so it cannot be --sft")
    return named | {"prompt": row["prompt"], "response": response}


def clean(rows: list[dict], kind: str, max_characters: int | None) -> tuple[list[dict], Counter]:
    """(rows worth keeping, rows dropped by reason); of tables of prompts, one row per prompt."""
    kept, dropped, seen = [], Counter(), set()
    for row in rows:
        key = tuple(row.values()) if kind in ("sft", "pairs") else row["prompt_id"]
        reason = fault(row, kind, max_characters) or ("duplicate" if key in seen else None)
        if reason:
            dropped[reason] += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept, dropped


def fault(row: dict, kind: str, max_characters: int | None) -> str | None:
    """Why a row is of no use, if it is not."""
    if not row["prompt"].strip():
        return "empty prompt"
    if kind == "sft" and not row["response"].strip():
        return "empty response"
    if kind == "pairs" and row["chosen"] == row["rejected"]:
        return "identical chosen and rejected"
    answers = [row[name] or "" for name in ("response", "chosen", "rejected") if name in row]
    if max_characters is not None and len(row["prompt"]) + max(map(len, answers)) > max_characters:
        return "longer than max_characters"
    return None


def check_held_out(given: dict[str, list[dict]], flags: Flags) -> None:
    """Refuse sources of held-out data that share prompts with a source of training data."""
    for held, role in itertools.product(HELD_OUT, TRAINING):
        held_ids = ids(given.get(held, []))
        shared = {row["prompt_id"]: row["prompt"] for row in given.get(role, []) if row["prompt_id"] in held_ids}
        if shared:
            raise InputError(
                f"--{held} {getattr(flags, held)}: {len(shared)} of its prompts are also in "
                f"--{role} {getattr(flags, role)}, such as {next(iter(shared.values()))[:80]!r}"
            )


def split_built_in(rows: list[dict], flags: Flags) -> dict[str, list[dict]]:
    """Three disjoint sets of prompts."""
    held_out, prompts = flags.num_eval_prompts, flags.num_eval_prompts + flags.num_prompts
    return {"sft": rows[prompts:], "prompts": rows[held_out:prompts], "eval_prompts": rows[:held_out]}


def split(given: dict[str, list[dict]], flags: Flags) -> dict[str, list[dict]]:
    """Every role's rows: derive those that no source gives, and take what is held out away from the training roles."""
    training = {role: given[role] for role in TRAINING if role in given}
    training["prompts"] = given[origin("prompts", given)]
    eval_prompts = given["eval_prompts"] if "eval_prompts" in given else hold_out(given, flags)
    held_ids = ids(eval_prompts)
    tables = {role: [row for row in rows if row["prompt_id"] not in held_ids] for role, rows in training.items()}
    tables["eval_prompts"] = eval_prompts
    if "preferences" in given:
        held_pairs = [row for row in given["preferences"] if row["prompt_id"] in held_ids]
        tables["eval_preferences"] = given.get("eval_preferences", held_pairs)
    return tables


def origin(role: str, given: dict) -> str:
    """The role whose source a role's rows come from; held-out pairs need prompts that have pairs."""
    if role in given:
        return role
    if role == "eval_prompts" and ("preferences" not in given or "eval_preferences" in given):
        return origin("prompts", given)
    return "preferences" if "preferences" in given else "sft"


def hold_out(given: dict[str, list[dict]], flags: Flags) -> list[dict]:
    """Draw the held-out prompts, with the data's own answers."""
    role = origin("eval_prompts", given)
    prompts = {row["prompt_id"]: row["prompt"] for row in given[role]}
    if flags.num_eval_prompts >= len(prompts):
        raise InputError(f"--num_eval_prompts {flags.num_eval_prompts}: --{role} has only {len(prompts)} prompts")
    chosen = rng_for("held out", flags).sample(sorted(prompts), flags.num_eval_prompts)
    answers = own_answers(given)
    return [{"prompt_id": name, "prompt": prompts[name], "response": answers.get(name)} for name in chosen]


def own_answers(given: dict[str, list[dict]]) -> dict[str, str]:
    """The data's first answer to each prompt that has one; an instruction's answer rather than a preferred response."""
    answers = {}
    for role in TRAINING:
        for row in given.get(role, []):
            response = row.get("response") or row.get("chosen")
            if response:
                answers.setdefault(row["prompt_id"], response)
    return answers


def in_order(role: str, rows: list[dict], flags: Flags) -> list[dict]:
    """Seeded order, no prompt twice in a table of prompts, no more rows than asked for."""
    if KINDS[role] in ("prompts", "eval_prompts"):
        rows = list({row["prompt_id"]: row for row in reversed(rows)}.values())  # the first row of each prompt
        rows.reverse()
    limit = {"sft": flags.num_sft, "prompts": flags.num_prompts, "eval_prompts": flags.num_eval_prompts}.get(role)
    return rng_for(role, flags).sample(rows, len(rows))[:limit]


def ids(rows: list[dict]) -> set[str]:
    return {row["prompt_id"] for row in rows}


def rng_for(purpose: str, flags: Flags) -> random.Random:
    """A stream of its own for each purpose: another number of prompts does not change the order of the SFT data."""
    return random.Random(f"{flags.seed} {purpose}")


def write(tables: dict[str, list[dict]], loaded: dict[str, Source], flags: Flags) -> None:
    """Write all tables, after the last check: a breach leaves no file behind."""
    trained_on, held_out = ({i for role in roles for i in ids(tables.get(role, []))} for roles in (TRAINING, HELD_OUT))
    assert not trained_on & held_out, f"{len(trained_on & held_out)} prompts are both trained on and held out"
    inputs = {role: source.path for role, source in loaded.items() if formats.is_local(source.path)}
    made_by = provenance.describe(__file__, flags, inputs)
    for role, rows in tables.items():
        source = loaded[origin(role, loaded)]
        dropped = dict(source.dropped)
        if rest := source.rows_in - source.dropped.total() - len(rows):
            dropped["in another role, repeated prompt, or over the limit"] = rest
        counts = {"rows_in": source.rows_in, "rows_out": len(rows), "dropped": dropped}
        columns = set(records.SCHEMAS[KINDS[role]].names)
        rows = [{name: value for name, value in row.items() if name in columns} for row in rows]
        records.write(Path(flags.output) / f"{role}.parquet", KINDS[role], rows, {**made_by, **counts})
    print(f"{len(trained_on)} prompts to train on, {len(held_out)} held out, none in both")
    stage.say(", ".join(f"{len(rows)} {role}" for role, rows in tables.items()))


if __name__ == "__main__":
    stage.run(main, Flags)
