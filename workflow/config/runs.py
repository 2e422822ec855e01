"""What the config asks for, as pure functions of it: which runs there are, what each stage is told, what it reads.

Nothing here knows of files on disk, of torch or of the workflow engine, so it can be tested with a dict.
"""

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from preference import engines
from preference.tasks import sources
from workflow import stages
from workflow.config import scoring
from workflow.config.scoring import GOLD_REWARD, Part  # noqa: F401

# The table of a round that an algorithm's training stage reads; pairs of reference_logps have the reference's.
ALGORITHMS = {name: stage.table for name, stage in stages.ALGORITHMS.items() if stage.table}
PUSHING = tuple(
    name for name, stage in stages.ALGORITHMS.items() if stage.pushes_down
)  # and learn from what pref_ft does
SAMPLED = ("on_policy", "mix")  # the sources of runs that sample from their own policy

# What a run is where its config does not say.
UNSAID: dict[str, Any] = {"rounds": 1, "reference": "fixed", "reward": "learned"}

# Keys of a task that say how its policies' conversations become tokens, which every stage that tokenizes is told.
CHAT = ("chat_template", "chat_template_kwargs", "end_of_turn", "special_tokens", "rewritten_prompt")

# What says how a stage runs and not what it makes: flags that are passed on, and how many jobs share a stage.
RUNTIME = {
    "checkpoint_steps",
    "report_to",
    "shards",
    "store",
    "concurrency",
    "max_attempts",
    "retry_seconds",
    "timeout",
}

# What a task says of its judge -> the kind of judge.
JUDGES = {"model": "local_model", "reward_model": "reward_model", "endpoint": "endpoint"}
# Flags of judge_responses that a kind of judge does not read.
OF_ENDPOINTS = {"key_variable", "concurrency", "max_attempts", "retry_seconds", "timeout"}
OF_ENGINES = {"engine", "dtype", "tensor_parallel_size", "gpu_memory_utilization"}
UNREAD_BY_JUDGES = {
    "local_model": OF_ENDPOINTS,
    "reward_model": {*OF_ENDPOINTS, *OF_ENGINES, "max_new_tokens"},
    "endpoint": {*OF_ENGINES, "batch_size", "shard_size", "max_model_len"},
}

SAID_OF_SOURCE = {"columns": {}, "fields": [], "weight": 1}  # what a source is if its mapping does not say

# Samples of a prompt by which the geometry of a task is diagnosed; the library's own word for it would load numpy.
GEOMETRY_SAMPLES = 8


def results(config: dict) -> str:
    """The folder that everything of an experiment is made in."""
    return f"results/{config['experiment']}"


def tasks_of(config: dict, run: str) -> list[str]:
    """The tasks that a run is made on: those it names, or all."""
    return config["runs"][run].get("tasks", list(config["tasks"]))


def rounds_of(config: dict, run: str) -> int:
    return config["runs"][run]["rounds"]


def cells(config: dict) -> list[tuple[str, str, int]]:
    """Every (task, run, seed) of the experiment."""
    return [(t, r, s) for r in config["runs"] for t in tasks_of(config, r) for s in config["seeds"]]


def judged_tasks(config: dict) -> list[str]:
    """Tasks that say a judge, which compares what each run ends with to the SFT policy."""
    return [name for name, task in config["tasks"].items() if "judge" in task]


def runs_with(config: dict, algorithm: str) -> list[str]:
    return [name for name, run in config["runs"].items() if run["algorithm"] == algorithm]


def tasks_with_preferences(config: dict) -> list[str]:
    """Tasks whose preferences are given as data; the others' are sampled from the SFT policy and labelled."""
    return [name for name, task in config["tasks"].items() if "preferences" in data_of(task)]


def has_sft(task: dict) -> bool:
    """Say whether a task has SFT data; without them its base model is the policy that everything starts from."""
    return "sft" in data_of(task)


def tasks_with(config: dict, sft: bool, preferences: bool) -> list[str]:
    """Return the tasks that have, or have not, sources of SFT data and of preferences."""
    wanted = {"sft": sft, "preferences": preferences}
    return [
        name for name, task in config["tasks"].items() if {role: role in data_of(task) for role in wanted} == wanted
    ]


def is_skewed(task: dict) -> bool:
    """Whether the responses of a task's sampled preferences are cut to random lengths before they are labelled."""
    return "skew_responses" in task.get("preferences", {})


def data_of(task: dict) -> dict[str, list]:
    """Return a task's sources by role, each a text or a mapping (see sources); a single source is the SFT data."""
    data = {"sft": task["data"]} if isinstance(task["data"], str) else task["data"]
    several = {role: given if isinstance(given, list) else [given] for role, given in data.items()}
    return {role: [_plain(each) for each in given] for role, given in several.items()}


def _plain(source: str | dict) -> str | dict:
    """Return a source without what it would be anyway; as a text if nothing but its name is left."""
    if isinstance(source, str):
        return source
    told = {key: value for key, value in source.items() if value != SAID_OF_SOURCE.get(key)}
    return told["source"] if told.keys() == {"source"} else told


def name_of_source(source: str | dict) -> str:
    """Return the path or the hub id of a source, with its split."""
    if isinstance(source, str):
        return source
    return f"{source['source']}:{source['split']}" if "split" in source else source["source"]


def names_of_data(task: dict) -> list[str]:
    """Return the names of all sources of a task."""
    return [name_of_source(source) for given in data_of(task).values() for source in given]


def local_data(task: dict) -> list[str]:
    """Return the names of a task's sources that are files or folders here."""
    return [name for name in names_of_data(task) if sources.is_local(name)]


def gold_reward_of(task: dict) -> dict[str, object]:
    """Return a task's gold reward of the response's length with every default; empty if it has none, or another."""
    return scoring.gold_reward_of_length(task)


def training_reward(config: dict, wildcards: dict) -> list[Part]:
    """Return the parts of the reward that scores a run's samples; none if it trains on another one, or is no run."""
    run = config["runs"].get(wildcards.get("run"))
    is_learned = run is not None and said_of_run(config, wildcards["run"])["reward"] == "learned"
    return scoring.training(config["tasks"][wildcards["task"]]) if is_learned else []


def evaluation_reward(config: dict, task: str) -> list[Part]:
    """Return the parts of the reward that evaluations show beside the gold one.

    It is the reward that the task's runs train on. If none of them does, it is shown only if it need not be trained.
    """
    parts = scoring.training(config["tasks"][task])
    trained_on = any(
        said_of_run(config, run)["reward"] == "learned" for run in config["runs"] if task in tasks_of(config, run)
    )
    return parts if trained_on or not scoring.needs_training(parts) else []


def trains_reward_model(config: dict, task: str) -> bool:
    """Say whether anything reads the reward model that would be trained on a task's preferences."""
    return scoring.needs_training(evaluation_reward(config, task))


def uses_given_reward(config: dict, run: str) -> bool:
    """Say whether a run trains on the data's own scores."""
    return said_of_run(config, run)["reward"] == "given"


def rewards_of(config: dict, stage: str, wildcards: dict) -> list[Part]:
    """Return the parts of the reward that a stage computes beside the gold one."""
    if not stages.of(stage).scores:
        return []
    trains = stage == "score_responses"  # what a run trains on
    return training_reward(config, wildcards) if trains else evaluation_reward(config, wildcards["task"])


def all_rewards_of(config: dict, stage: str, wildcards: dict) -> list[Part]:
    """Return the parts of both rewards that a stage computes, the gold one's last."""
    gold = scoring.gold(config["tasks"][wildcards["task"]]) if stages.of(stage).scores else []
    return [*rewards_of(config, stage, wildcards), *gold]


def trained_reward_model(config: dict, wildcards: dict) -> str:
    """Return the folder of the reward model that is trained for a task and seed."""
    return f"{results(config)}/{wildcards['task']}/seed{wildcards['seed']}/reward_model/model"


def judged_by(task: dict) -> str | None:
    """Return the kind of a task's judge; None if it has none."""
    judge = task.get("judge", {})
    return "endpoint" if "endpoint" in judge else next((JUDGES[key] for key in JUDGES if key in judge), None)


def judge_of(task: dict) -> str:
    """Return a task's judge: a model folder, a hub id, or what its endpoint calls it."""
    return task["judge"].get("model") or task["judge"]["reward_model"]


def judge_folder(task: dict) -> str | None:
    """Return a task's judge if it is a folder or a hub id; None if it is elsewhere, behind an endpoint."""
    return None if judged_by(task) == "endpoint" else judge_of(task)


def members(config: dict, stage: str, wildcards: dict) -> list[str]:
    """Return the source files below scripts/ that the flags of a stage name, which no import statement does."""
    is_sampled = stages.of(stage).work == stages.SAMPLING
    of_engine = engines.members(options(config, stage, wildcards).get("engine")) if is_sampled else []
    if stage == "judge_responses" and (kind := judged_by(config["tasks"][wildcards["task"]])):
        return [f"preference/judges/{kind}.py", *of_engine]
    return [*of_engine, *scoring.verifiers(all_rewards_of(config, stage, wildcards))]


def chat_of(task: dict) -> dict[str, str]:
    """Return what a task says of its chat format, as the flags of the stages that tokenize."""
    said = {key: task[key] for key in CHAT if key in task}
    if "chat_template_kwargs" in said:
        said["chat_template_kwargs"] = json.dumps(said["chat_template_kwargs"], sort_keys=True)
    return said


def hub_models(config: dict) -> list[str]:
    """The models that come from the hub: base models, judges and reward models that are no folder here."""
    tasks = config["tasks"].values()
    named = {task["base_model"] for task in tasks} - {"from_scratch"}
    named |= {judge_of(task) for task in tasks if judged_by(task) in ("local_model", "reward_model")}
    named |= {model for task in tasks for model in scoring.models([*scoring.training(task), *scoring.gold(task)])}
    return sorted(name for name in named if not Path(name).is_dir())


def hub_data(config: dict) -> list[str]:
    """The data sets that come from the hub."""
    named = {name for task in config["tasks"].values() for name in names_of_data(task)}
    return sorted(source for source in named if source != "built_in" and not sources.is_local(source))


def hub(config: dict) -> dict[str, list[str]]:
    """Return what comes from the hub: models and data sets, by the flags of fetch_hub."""
    return {"models": hub_models(config), "data": hub_data(config)}


def released_models(config: dict, stage: str, wildcards: dict) -> dict[str, str]:
    """Return the model of each flag of a stage that takes one which the workflow need not make: a folder or a hub id.

    Where the workflow does make it, as a round's policy, its folder takes the place (see the rules).
    """
    flags = stages.of(stage).models
    task = config["tasks"][wildcards["task"]] if flags else {}
    given = {"judge": judge_of(task)} if "judge" in flags else {}
    return given | {flag: task["base_model"] for flag in flags if flag == "base_model" or not (given or has_sft(task))}


def complete(config: dict, defaults: dict[str, dict], engine: str) -> dict:
    """The config with what it leaves unsaid written out, so that it makes nothing stale whether somebody says it.

    Args:
        defaults: stage -> flag -> what it is where nothing says it.
        engine: what `auto` stands for here.
    """
    whole = {
        "engine": "auto",
        **config,
        "tasks": {name: _complete_task(task) for name, task in config["tasks"].items()},
        "stages": {stage: {**flags, **config["stages"].get(stage, {})} for stage, flags in defaults.items()},
        "runs": {name: {**UNSAID, "tasks": tasks_of(config, name), **run} for name, run in config["runs"].items()},
    }
    return _with_engine(whole, engine)


def _complete_task(task: dict) -> dict:
    return {**task, "data": data_of(task), **scoring.complete(task)}


def _with_engine(part: dict, engine: str) -> dict:
    part = {key: _with_engine(value, engine) if isinstance(value, dict) else value for key, value in part.items()}
    return part | {"engine": engine} if part.get("engine") == "auto" else part


def options(config: dict, stage: str, wildcards: dict) -> dict[str, Any]:
    """The flags of a stage, apart from its files: `{**stages[stage], **task[stage], **run[stage]}` and what is derived.

    Args:
        wildcards: those of task, run, seed, round that the stage's output has. The stages that sample and label the
            preferences have no run; a task's `preferences` key speaks for them.
    """
    task = config["tasks"][wildcards["task"]]
    chosen = _chosen(config, stage, wildcards)
    row = stages.of(stage)
    if row.work == stages.SAMPLING:
        chosen = {"engine": config.get("engine"), **chosen}
    if row.is_seeded:
        chosen["seed"] = int(wildcards["seed"])
    if row.is_numbered and ("round" in wildcards or row.work == stages.SAMPLING):
        chosen["round"] = int(wildcards.get("round", 0))
    if row.scores:
        chosen |= scoring.gold_flags(task) | _reward_flags(config, stage, wildcards)
    if row.tokenizes:
        chosen |= chat_of(task)
    if stage == "prepare_task":
        chosen |= data_of(task)
        if task["base_model"] != "from_scratch":  # else there is no tokenizer yet
            chosen |= chat_of(task) | {"base_model": task["base_model"]}
    if stage == "judge_responses":
        chosen |= _names(wildcards) | _judge_flags(task)
    chosen |= _shares(config, stage, wildcards, chosen)
    left_out = _unread(config, stage, wildcards)
    return {key: chosen[key] for key in sorted(chosen) if chosen[key] is not None and key not in left_out}


def _chosen(config: dict, stage: str, wildcards: dict) -> dict[str, object]:
    """What the config says of a stage in a place, the narrower word over the wider one."""
    task, run = config["tasks"][wildcards["task"]], config["runs"].get(wildcards.get("run"), {})
    given = {**config["stages"].get(stage, {}), **task.get(stage, {})}
    if stage == "generate_responses" and not run:  # preferences are sampled on every prompt, not on one round's
        given.pop("num_prompts", None)
    return {**given, **(run or task.get("preferences", {})).get(stage, {})}


def _reward_flags(config: dict, stage: str, wildcards: dict) -> dict[str, object]:
    """The training reward as flags; the folder of a reward model that is trained here is none (see the rules)."""
    parts = rewards_of(config, stage, wildcards)
    if not parts:
        of_data = config["runs"].get(wildcards.get("run"), {}).get("reward") == "given"
        has_gold = "gold_reward" in config["tasks"][wildcards["task"]]
        return {"given": True} if (of_data if stage == "score_responses" else not has_gold) else {}
    trained = trained_reward_model(config, wildcards)
    return {} if scoring.is_trained_alone(parts) else {"reward_model": scoring.typed(parts, trained)}


def _judge_flags(task: dict) -> dict[str, object]:
    """What a task says of its judge, as flags; the judge itself is none (see the rules)."""
    judge = {key: value for key, value in task.get("judge", {}).items() if key in ("endpoint", "key_variable")}
    return {**judge, "judged_by": judged_by(task)}


def _names(wildcards: dict) -> dict[str, str]:
    """What files that leave the tree of results call the policies and the prompts in them."""
    policy, baseline = (
        f"{wildcards['task']}_{run}_seed{wildcards['seed']}" for run in (wildcards.get("run", "sft"), "sft")
    )
    return {"generator": policy, "baseline_generator": baseline, "dataset": wildcards["task"]}


def _shares(config: dict, stage: str, wildcards: dict, chosen: dict) -> dict:
    """What a mixed run takes of each kind in a round: of its prompts, `offline_fraction` are the preferences'."""
    run = config["runs"].get(wildcards.get("run"), {})
    row = stages.of(stage)
    if run.get("source") != "mix" or not row.is_numbered:
        return {}
    if row.is_windowed:
        chosen = _chosen(config, "generate_responses", wildcards)
    total = chosen.get("num_prompts", 0)
    offline = round(run["offline_fraction"] * total)
    return {"num_pairs": offline} if row.is_windowed else {"num_prompts": total - offline}


def _unread(config: dict, stage: str, wildcards: dict) -> set[str]:
    """Options that a stage does not look at in this place, where they must not make anything stale."""
    run = config["runs"].get(wildcards.get("run"), {})
    if stage == "construct_pairs":
        first = int(wildcards.get("round", 1)) == 1  # there is no earlier round
        history = {"history"} if first or run.get("source") not in SAMPLED else set()
        # Offline pairs are a window of pairs that exist already.
        unpaired = {"offline": {"pairing", "min_margin", "truncated"}, "mix": set()}
        return history | unpaired.get(run.get("source"), {"num_pairs"})
    if stage == "score_responses":
        kinds = {part.kind for part in all_rewards_of(config, stage, wildcards)}
        reading = set() if "model" in kinds else {"batch_size", "max_length"}
        return reading | (set() if kinds & {"model", "python"} else {"shard_size"})
    if stage == "judge_responses":
        return UNREAD_BY_JUDGES.get(judged_by(config["tasks"][wildcards["task"]]) or "", set())
    return set()


def canonical(value):
    """What counts of a config, or of a part: no order of keys, no difference of 1 and 1.0, no RUNTIME flag.

    The workflow engine compares the text of plain values, so what is equal has to look equal.
    """
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value) if key not in RUNTIME}
    if isinstance(value, list):
        return [canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_flags(chosen: dict[str, object]) -> str:
    """Options as they are typed: `--beta 0.1 --pairing best_vs_worst`, each value quoted for the shell."""
    words = []
    for key, value in chosen.items():
        values = value if isinstance(value, list) else [value]
        typed = [_typed(value) for value in values]
        # A value that looks like a flag would be taken for one.
        words += [f"--{key}={typed[0]}"] if "".join(typed[:1]).startswith("-") else [f"--{key}", *typed]
    return shlex.join(words)


def _typed(value) -> str:
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)


def trained_on(config: dict, run: str) -> str:
    """The table of a round that a run's training reads."""
    return ALGORITHMS[config["runs"][run]["algorithm"]]


def compared_by(config: dict, run: str) -> str:
    """The table of a round that says what it was trained on, before the reference is asked: pairs, or rewards."""
    return "rewards" if trained_on(config, run) == "rewards" else "pairs"


def is_on_policy(config: dict, run: str) -> bool:
    """Whether a run samples from its own policy, for all of a round or for a part."""
    return source_of(config, run) in SAMPLED


def uses_history(config: dict, wildcards: dict) -> bool:
    """Whether a round of a run learns from pairs of earlier rounds, too."""
    return rounds_of_pairs(config, wildcards) > 1


def rounds_of_pairs(config: dict, wildcards: dict) -> int:
    """How many rounds, its own included, a round of a run learns from the pairs of."""
    history = options(config, "construct_pairs", wildcards).get("history", "none")
    earlier = int(wildcards.get("round", 1)) - 1
    return 1 if history == "none" else 1 + (earlier if history == "all" else min(earlier, history))


def is_offline(config: dict, run: str) -> bool:
    """Whether a run takes given preferences, for all of a round or for a part."""
    return source_of(config, run) in ("offline", "mix")


def shards_of(config: dict, stage: str) -> list[str]:
    """What the jobs that share a stage are called, 1-of-4, 2-of-4, ...; none where one job does it all."""
    count = config.get("shards", {}).get(stage, 1)
    return [f"{number}-of-{count}" for number in range(1, count + 1)] if count > 1 else []


def source_of(config: dict, run: str) -> str:
    return config["runs"][run]["source"]


def has_geometry(config: dict, task: str) -> bool:
    """Whether the SFT policy's evaluation has enough samples of a prompt, and scores, to say where the task lies."""
    chosen = options(config, "evaluate_policy", {"task": task, "seed": 0})
    return "given" not in chosen and chosen.get("samples_per_prompt", 0) >= GEOMETRY_SAMPLES


def traits_of_task(config: dict, name: str) -> set[str]:
    """Return what a task's config says by which a stage runs for it once a seed (see `of_task` in `stages`)."""
    task = config["tasks"][name]
    sampled = "preferences" not in data_of(task)
    traits = {
        stages.ANY: True,
        "from_scratch": task["base_model"] == "from_scratch",
        "sft": has_sft(task),
        "reward_model": trains_reward_model(config, name),
        "sampled": sampled,
        "skewed": sampled and is_skewed(task),
        "geometry": has_geometry(config, name),
    }
    return {trait for trait, is_so in traits.items() if is_so}


def traits_of_run(config: dict, run: str, task: str) -> set[str]:
    """Return what a run's config says by which a stage runs in its rounds (see `of_run` in `stages`)."""
    sampling = ["on_policy"] if is_on_policy(config, run) else []
    judged = ["judged"] if "judge" in config["tasks"][task] else []
    return {stages.ANY, config["runs"][run]["algorithm"], trained_on(config, run), *sampling, *judged}


def stages_of(config: dict):
    """Yield (stage, wildcards) of one seed and one round: every stage that runs, with every set of flags it has."""
    for name in config["tasks"]:
        traits, where = traits_of_task(config, name), {"task": name, "seed": config["seeds"][0]}
        yield from ((stage.script, where) for stage in stages.TABLE if stage.of_task in traits)
    for run in config["runs"]:
        for name in tasks_of(config, run):
            traits = traits_of_run(config, run, name)
            where = {"task": name, "run": run, "seed": config["seeds"][0], "round": 1}
            yield from ((stage.script, where) for stage in stages.TABLE if stage.of_run in traits)


class Contrast(NamedTuple):
    """Two runs of a task that tell whether something helps: `run` has it, and is held against one that has not."""

    task: str
    question: str
    run: str
    against: str
    differs: str  # what else is not equal, in words; empty where nothing is


def contrasts(config: dict) -> list[Contrast]:
    """The pairs of runs that answer what the geometry of their task raises expectations of, in the config's order.

    on_policy_data: the same algorithm, from its own samples and from the preferences; one reference, one reward.
    negative_gradient: an algorithm that pushes responses down and pref_ft, on the same source; one reward.
    """
    return [
        Contrast(task, question, run, against, _else_differs(config, task, run, against))
        for task in config["tasks"]
        if has_geometry(config, task)
        for question, is_contrast in (("on_policy_data", _by_source), ("negative_gradient", _by_gradient))
        for run in config["runs"]
        for against in config["runs"]
        if task in tasks_of(config, run) and task in tasks_of(config, against)
        if is_contrast(said_of_run(config, run), said_of_run(config, against))
    ]


def said_of_run(config: dict, run: str) -> dict:
    """A run with its axes written out."""
    return {**UNSAID, **config["runs"][run]}


def _by_source(one: dict, other: dict) -> bool:
    equal = all(one[axis] == other[axis] for axis in ("algorithm", "reference", "reward"))
    return equal and (one["source"], other["source"]) == ("on_policy", "offline")


def _by_gradient(one: dict, other: dict) -> bool:
    equal = all(one.get(axis) == other.get(axis) for axis in ("source", "offline_fraction", "reward"))
    return equal and one["algorithm"] in PUSHING and other["algorithm"] == "pref_ft"


def _else_differs(config: dict, task: str, run: str, against: str) -> str:
    """What two runs set differently of what both have: the rounds, and the flags of the stages that both go through."""
    ours, theirs = (_set(config, task, name) for name in (run, against))
    shared = [key for key in ours if key in theirs and ours[key] != theirs[key]]
    return ", ".join(f"{key} {ours[key]} against {theirs[key]}" for key in shared)


def _set(config: dict, task: str, run: str) -> dict[str, object]:
    """`rounds`, and `stage.flag` of what chooses a round's data, trains and evaluates -> what it is for a run.

    Every algorithm's training is called `training`, so that two of them can be compared.
    """
    training, where = f"train_{config['runs'][run]['algorithm']}", {"task": task, "run": run, "seed": 0, "round": 1}
    sampling = ["generate_responses"] * is_on_policy(config, run)
    choosing = ["construct_pairs"] if compared_by(config, run) == "pairs" else []
    found = {"rounds": said_of_run(config, run)["rounds"]}
    for stage in (*sampling, *choosing, training, "evaluate_policy"):
        for key, value in canonical(options(config, stage, where)).items():
            found[f"{'training' if stage == training else stage}.{key}"] = value
    return found
