"""What is wrong with a config, one line each, found before any job starts."""

import datetime
import difflib
import math
import re
from pathlib import Path
from typing import Any, cast

import jsonschema

from preference import formats
from preference.analysis import claims
from preference.analysis.measures import GOLDEN, OF_MODELS
from preference.files.tables import RESERVED
from preference.judges import verdicts
from preference.models import model_folders
from preference.running import rules
from preference.running.stage import InputError, one_line
from preference.tasks import sources
from workflow import stages
from workflow.config import experiments, labs, runs, scoring, yaml_text
from workflow.config.cell_validation import claim_problems, figure_problems, listed

SCHEMA = yaml_text.read(Path(__file__).parents[1] / "schemas" / "config.schema.yaml")
DEFAULTS = {  # stage -> flag -> what it is where nothing says it
    stage: {key: part["default"] for key, part in SCHEMA["$defs"][stage]["properties"].items() if "default" in part}
    for stage in SCHEMA["$defs"]["Stages"]["properties"]
}
RULES = {stage: rules.read(SCHEMA["$defs"][stage].get("x-rules", [])) for stage in (*DEFAULTS, "skew_responses")}
FOLDERS = {"data", "tables", "figures", "sft", "mean"}  # names that the tree and the tables of results use
TAKEN = {"metrics", "final", "claims", "judgements", "expectations", "rewards", "margins", "frontier", "tables"}
KINDS = {"integer": "a whole number", "number": "a finite number", "string": "text", "array": "a list"}
KINDS |= {"object": "a mapping of keys to values", "boolean": "true or false"}
TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    # To jsonschema 2.0 is an integer, which no flag takes, and NaN a number that lies within any limits.
    "integer",
    lambda _, value: isinstance(value, int) and not isinstance(value, bool),
).redefine("number", lambda _, value: type(value) in (int, float) and math.isfinite(value))
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=TYPES)


def problems(config: dict) -> list[str]:
    """Every problem as `key.path: what is wrong`; shape first, then what the parts say of each other."""
    if "lab" in config:
        return [f"lab: this file is a lab, which is no --configfile; its name is a target: snakemake {config['lab']}"]
    return list(
        dict.fromkeys(
            misshapen(config, SCHEMA) or _contradictions(config) or _of_experiments(config) or _stage_problems(config)
        )
    )


def misshapen(config: dict, schema: dict) -> list[str]:
    """Where a config has not the shape of a schema, in the order of its keys."""
    errors = sorted(Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    return [line for error in errors for line in _lines(error)]


def report(config: dict, files: list, typed: dict) -> str:
    """Return all problems, one a line, each with where it stands: in the config files, or in `--config`.

    Args:
        typed: what `--config` says.
    """
    names = ", ".join(map(str, files)) or "config"
    return "\n".join(said_of(problem, names, typed) for problem in problems(config))


def said_of(problem: str, files: str, typed: dict) -> str:
    """A problem with what says it: the config files, or `--config` where a key was typed on the command line."""
    if re.split("[.:]", problem)[0] not in typed:
        return one_line(f"{files}: {problem}")
    hint = "; --config reads what lies below a key as text, so put it into a file" if "text to YAML" in problem else ""
    return one_line(f"--config: {problem}{hint}")


def _lines(error: jsonschema.ValidationError) -> list[str]:
    path = ".".join(str(part) for part in error.absolute_path)
    value, want, schema = _parts(error)
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        return [_join(path, key, _unknown(key, known)) for key in value if key not in known]
    if error.validator == "oneOf" and isinstance(value, dict):  # what is wrong with it as a mapping
        below = (part for part in error.context if part.validator != "type" or part.relative_path)
        return [line for part in below for line in _lines(part)]
    if error.validator == "oneOf":
        return [f"{path}: {_shown(value)} is neither a source nor a mapping of roles to sources"]
    if error.validator == "required":
        return [_join(path, key, "is missing") for key in want if key not in value]
    return [f"{path or 'the config'}: {_reason(error)}"]


def _parts(error: jsonschema.ValidationError) -> tuple[Any, Any, dict]:
    """Return the value that is wrong, what its schema wants of it, and the schema."""
    return error.instance, error.validator_value, cast(dict, error.schema)


def _join(path: str, key: str, reason: str) -> str:
    return f"{path + '.' if path else ''}{key}: {reason}"


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, 1, 0.5)
    return "unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def _reason(error: jsonschema.ValidationError) -> str:
    value, want, schema = _parts(error)
    shown = _shown(value)
    if error.validator == "enum":
        near = difflib.get_close_matches(str(value), list(map(str, want)), 1, 0.5)
        return f"{shown} is not one of {', '.join(map(str, want))}" + (f"; did you mean {near[0]}?" if near else "")
    if "allowed" in schema:
        return f"{shown} is not allowed; use {schema['allowed']}"
    if "pattern" in schema:
        return f"{shown} is not a name: use lower-case letters, digits and _, starting with a letter, 80 at most"
    if error.validator == "type":
        return _wrong_type(value, want if isinstance(want, list) else [want], shown)
    limits = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "below"}
    if error.validator in limits:
        return f"{shown} must be {limits[error.validator]} {want}"
    reasons = {"minItems": "is empty", "minProperties": "is empty", "minLength": "is empty"}
    return {**reasons, "uniqueItems": f"{shown} names one of its entries twice"}[str(error.validator)]


def _wrong_type(value, wanted: list[str], shown: str) -> str:
    if "integer" in wanted and isinstance(value, float) and value.is_integer():
        return f"{shown} is not a whole number; write {value:.0f}"
    if "integer" in wanted and isinstance(value, str) and value.isdigit():
        return f"{shown} is text to YAML; write {value}, without quotes"
    if "number" in wanted and isinstance(value, str) and _is_number(value):
        return f"{shown} is text to YAML; write a number with a dot and no quotes, such as {_as_yaml(float(value))}"
    return f"{shown} is not {' or '.join(KINDS[kind] for kind in wanted)}"


def _shown(value) -> str:
    if value is None:
        return "nothing (null)"
    text = str(value) if isinstance(value, datetime.date) else repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _as_yaml(number: float) -> str:
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def _contradictions(config: dict) -> list[str]:
    found = [f"tasks.{name}: the name is taken by the results' own" for name in config["tasks"] if name in FOLDERS]
    if labs.is_name(config["experiment"]):
        found.append(f"experiment: {config['experiment']} is the name of a lab; only those begin with bandit")
    for name in config["runs"]:
        if name in FOLDERS or (name.startswith("seed") and name[4:].isdigit()):
            found.append(f"runs.{name}: the name is taken by the results' own")
    for name, task in config["tasks"].items():
        found += _task_problems(config, name, task)
    for name, run in config["runs"].items():
        found += _run_problems(config, name, run)
    return found


def _task_problems(config: dict, name: str, task: dict) -> list[str]:
    found, data = [], runs.data_of(task)
    for flag, reason in sources.problems(runs.options(config, "prepare_task", {"task": name})):
        where = f"tasks.{name}.data" if flag in sources.ROLES else "stages.prepare_task"
        found.append(f"{where}.{flag}: {reason}")
    for role, given in data.items():
        found += _source_problems(f"tasks.{name}.data.{role}", given)
    if task["base_model"] != "from_scratch":
        files = (model_folders.CONFIG, model_folders.TOKENIZER)
        found += _refused(f"tasks.{name}.base_model", model_folders.check, task["base_model"], *files)
    found += _judge_problems(f"tasks.{name}", task)
    if "preferences" not in data and "gold_reward" not in task:
        found.append(f"tasks.{name}: has neither data.preferences nor gold_reward, so no pair could be labelled")
    if "preferences" in data and runs.is_skewed(task):
        found.append(f"tasks.{name}.preferences.skew_responses: data.preferences is given, so nothing is sampled")
    return found + _reward_problems(f"tasks.{name}", task)


def _source_problems(key: str, given: list) -> list[str]:
    """What is wrong with the sources of a role; one of several is named by its number from 0."""
    try:
        parsed = sources.parse_all(given)
    except InputError as error:
        return [f"{key}: {error}"]
    found = []
    for number, source in enumerate(parsed):
        if source.name != sources.BUILT_IN:
            place = key if len(parsed) == 1 else f"{key}.{number}"
            found += _refused(place, lambda name, source=source: formats.check(source), source.name)
    return found


def _judge_problems(key: str, task: dict) -> list[str]:
    if "judge" not in task:
        unused = "judge_responses" in task
        return [f"{key}.judge_responses: the task has no judge, so judge_responses never runs"] if unused else []
    judge, kind = task["judge"], runs.judged_by(task)
    found = []
    if kind == "endpoint":
        found += _refused(f"{key}.judge.endpoint", verdicts.check_endpoint, judge["endpoint"])
    elif kind == "reward_model":
        found += _refused(f"{key}.judge.reward_model", model_folders.check_reward_model, judge["reward_model"])
    else:
        files = (model_folders.CONFIG, model_folders.TOKENIZER)
        found += _refused(f"{key}.judge.model", model_folders.check, judge["model"], *files)
    if kind != "endpoint" and "key_variable" in judge:
        found.append(f"{key}.judge.key_variable: only a judge with an endpoint has a key")
    if "template" in judge:
        found += _refused(f"{key}.judge.template", verdicts.read_template, judge["template"])
    return found


def _reward_problems(key: str, task: dict) -> list[str]:
    """What is wrong with a task's reward_model and gold_reward: their specs, and what those name."""
    of_length = runs.gold_reward_of(task)
    if of_length.get("name") == "mode_length" and "target" not in of_length:
        return [f"{key}.gold_reward: mode_length needs a target length, as in {{name: mode_length, target: 20}}"]
    if of_length and of_length["name"] != "mode_length" and "target" in of_length:
        return [f"{key}.gold_reward.target: {of_length['name']} has no target length, only mode_length has"]
    try:
        rewards = {"reward_model": scoring.training(task), "gold_reward": scoring.gold(task)}
    except InputError as error:
        return [f"{key}.{error}"]
    return [problem for name, parts in rewards.items() for part in parts for problem in _part_problems(key, name, part)]


def _part_problems(key: str, name: str, part: scoring.Part) -> list[str]:
    if scoring.is_trained(part):
        circle = f"{key}.{name}: the reward model that is trained here learns from preferences, so it cannot be gold"
        return [circle] if name == "gold_reward" else []
    return _refused(f"{key}.{name}", lambda _: part.check(), part.subject if part.kind != "name" else "")


def _of_experiments(config: dict) -> list[str]:
    found = [problem for name in experiments.names(config) for problem in _experiment_problems(config, name)]
    if found or "claims" not in config:
        return found
    known = {name: experiments.cells(config, name) for name in experiments.names(config)}
    return claim_problems(config["claims"], known, OF_MODELS) or _golden_claims(config, known)


def _golden_claims(config: dict, known: dict):
    """Claims about the gold reward of a task that has none."""
    for claim in claims.parse_all(config["claims"]):
        values = [claim.value, *([claim.against] if claim.against else [])]
        tasks = [known[name][label][0] for name, label in (cell.split("/") for cell in claim.cell_names())]
        without = [task for task in tasks if "gold_reward" not in config["tasks"][task]]
        if without and any(value.measure in GOLDEN for value in values):
            yield f"claims: claim '{claim.id}': statistic: task {without[0]} has no gold_reward"


def _experiment_problems(config: dict, name: str):
    """What is wrong with an experiment: its name, its axes, runs that there are not, its figure."""
    place, axes = f"experiments.{name}", experiments.axes(config, name)
    if name in TAKEN or name.startswith("curves_"):
        yield f"{place}: the name is taken by the results' own"
    for axis in axes:
        if axis in RESERVED:
            yield f"{place}.axes.{axis}: is another column of the tables; give the axis another name"
    for label, (task, run) in experiments.cells(config, name).items():
        if task not in config["tasks"]:
            yield f"{place}.axes.task: there is no task {task}; there are {listed(config['tasks'])}"
        elif run not in config["runs"]:
            yield f"{place}.axes: {label} is the run {run}, which there is not; there are {listed(config['runs'])}"
        elif task not in runs.tasks_of(config, run):
            yield f"{place}.axes: {label} is the run {run}, which is not made on task {task}"
    with_gold = any("gold_reward" in config["tasks"].get(task, {}) for task in axes[experiments.TASK])
    measures = {name: title for name, title in OF_MODELS.items() if with_gold or name not in GOLDEN}
    figure = config["experiments"][name]["figure"]
    yield from (f"{place}.figure.{problem}" for problem in figure_problems(figure, axes, measures))


def _refused(key: str, check, path: str, *needed: str) -> list[str]:
    if path.startswith("-"):
        return [f"{key}: {path}: begins as a flag does; write ./{path}"]
    if "{" in path or "}" in path:
        return [f"{key}: {path}: a brace begins a wildcard to Snakemake; rename it"]
    try:
        check(path, *needed)
    except InputError as error:
        return [f"{key}: {error}"]
    return []


def _run_problems(config: dict, name: str, run: dict) -> list[str]:
    found = []
    for task in runs.tasks_of(config, name):
        if task not in config["tasks"]:
            found.append(f"runs.{name}.tasks: there is no task {task}; there are {', '.join(config['tasks'])}")
        elif run.get("reward") == "gold" and "gold_reward" not in config["tasks"][task]:
            found.append(f"runs.{name}.reward: task {task} has no gold_reward")
        elif run.get("reward") == "given" and "preferences" not in runs.data_of(config["tasks"][task]):
            found.append(f"runs.{name}.reward: task {task} has no data.preferences, so no scores are given")
    if run.get("reward") == "given" and run["source"] != "offline":
        found.append(f"runs.{name}.reward: given scores are those of the data, so its source must be offline")
    found += _mix_problems(config, name, run) + _history_problems(name, run)
    for stage in run:
        if stage.startswith("train_") and stage != f"train_{run['algorithm']}":
            found.append(f"runs.{name}.{stage}: its algorithm is {run['algorithm']}, so {stage} never runs")
    return found


def _mix_problems(config: dict, name: str, run: dict) -> list[str]:
    """What a run's `source` says together with its share of preferences, and with the prompts that it shares out."""
    if (run["source"] == "mix") != ("offline_fraction" in run):
        need = "is missing" if run["source"] == "mix" else f"its source is {run['source']}; only a mix has one"
        return [f"runs.{name}.offline_fraction: {need}"]
    found = []
    for task in runs.tasks_of(config, name) if run["source"] == "mix" else []:
        if task in config["tasks"]:
            where = {"task": task, "run": name, "seed": 0, "round": 1}
            on_policy = runs.options(config, "generate_responses", where).get("num_prompts", 0)
            offline = runs.options(config, "construct_pairs", where)["num_pairs"]
            if on_policy + offline == 0:
                found.append("stages.generate_responses.num_prompts: is missing, so a mix has nothing to share out")
            elif not on_policy or not offline:
                found.append(
                    f"runs.{name}.offline_fraction: {run['offline_fraction']} of {on_policy + offline} prompts leaves "
                    f"{on_policy} of its own and {offline} preferences; a mix has both"
                )
    return found


def _history_problems(name: str, run: dict) -> list[str]:
    """What is wrong with a run that asks for pairs of its earlier rounds."""
    key = f"runs.{name}.construct_pairs.history"
    if run.get("construct_pairs", {}).get("history", "none") == "none":
        return []
    if run["source"] not in runs.SAMPLED:
        return [f"{key}: its source is offline, so no round has pairs of its own; use on_policy or mix"]
    if runs.ALGORITHMS[run["algorithm"]] == "rewards":
        return [f"{key}: {run['algorithm']} learns from scored samples, so construct_pairs never runs"]
    return []


def _stage_problems(config: dict) -> list[str]:
    """What is wrong with the flags of the stages that will run, each problem under the key that says it."""
    found = []
    for stage, wildcards in runs.stages_of(config):
        chosen = runs.options(config, stage, wildcards)
        if missing := [key for key in SCHEMA["$defs"][stage].get("needs", []) if key not in chosen]:
            some = [f".{key}" for key in missing] if config["stages"].get(stage) else [""]
            found += [f"stages.{stage}{key}: is missing" for key in some]
            continue
        for key, reason in _faults(config, stage, wildcards, chosen):
            found.append(f"{_said_by(config, stage, key, wildcards)}.{stage}.{key}: {chosen[key]} {reason}")
        for key, reason in rules.problems(RULES[stage], {**DEFAULTS.get(stage, {}), **chosen}):
            found.append(f"{_said_by(config, stage, key, wildcards)}.{stage}.{key}: {reason}")
    return found


def _faults(config: dict, stage: str, wildcards: dict, chosen: dict):
    """(key, what is wrong with its value) of a stage's flags, which have the right shape."""
    context = _context_length(config, stage, wildcards["task"])
    if stage == "initialize_model" and chosen["hidden_size"] % chosen["num_heads"]:
        yield "hidden_size", f"is no multiple of num_heads, which is {chosen['num_heads']}"
    if context and stage not in ("initialize_model", "score_responses") and chosen.get("max_length", 0) > context:
        yield "max_length", f"is more than the {context} tokens that the base model reads"
    if stages.of(stage).work == stages.SAMPLING:
        if stage == "generate_responses" and chosen["samples_per_prompt"] < (
            least := _least_samples(config, wildcards)
        ):
            yield "samples_per_prompt", f"is too few; {_why_samples(config, wildcards)} needs at least {least}"
        yield from _sampling_faults(chosen, min(filter(None, (context, chosen.get("max_model_len"))), default=0))
    prepared = runs.options(config, "prepare_task", wildcards).get("num_prompts", math.inf)
    if stage == "generate_responses" and "run" in wildcards and chosen.get("num_prompts", 0) > prepared:
        yield "num_prompts", f"is more than the prompts of the task, prepare_task.num_prompts {prepared}"
    sampled = "preferences" not in runs.data_of(config["tasks"][wildcards["task"]])
    if stage == "train_reward_model" and sampled and chosen.get("num_pairs", 0) > prepared:
        yield "num_pairs", f"is more than a pair for each prompt of the task, prepare_task.num_prompts {prepared}"


def _least_samples(config: dict, wildcards: dict) -> int:
    """Samples per prompt that what is made of them needs."""
    run = wildcards.get("run")
    if run is None or runs.trained_on(config, run) != "rewards":
        return 2  # a pair
    algorithm = config["runs"][run]["algorithm"]
    chosen = {**DEFAULTS[f"train_{algorithm}"], **runs.options(config, f"train_{algorithm}", wildcards)}
    compared = algorithm == "grpo" or chosen.get("baseline") in ("per_prompt", "leave_one_out")
    return max(2 if compared or chosen.get("negative", "none") != "none" else 1, chosen.get("keep", 1))


def _why_samples(config: dict, wildcards: dict) -> str:
    run = wildcards.get("run")
    pairs = run is None or runs.trained_on(config, run) != "rewards"
    return "a pair" if pairs else f"train_{config['runs'][run]['algorithm']}"


def _sampling_faults(chosen: dict, context: int):
    samples = chosen.get("samples_per_prompt", 1)  # a judge is asked once
    if samples > 1 and chosen["temperature"] == 0:
        yield "temperature", f"is greedy, so that all {samples} samples of a prompt would be equal"
    if context and chosen.get("max_new_tokens", 0) >= context:
        yield "max_new_tokens", f"leaves no room for a prompt in the {context} tokens that the model reads"


def _context_length(config: dict, stage: str, task: str) -> int | None:
    """The longest sequence that a stage's model reads, where that can be known without loading it."""
    judges = stage == "judge_responses"
    if judges and runs.judged_by(config["tasks"][task]) == "endpoint":
        return None
    model = runs.judge_of(config["tasks"][task]) if judges else config["tasks"][task]["base_model"]
    if model == "from_scratch" and not judges:
        return runs.options(config, "initialize_model", {"task": task, "seed": 0}).get("context_length")
    return model_folders.context_length(model)


def _said_by(config: dict, stage: str, key: str, wildcards: dict) -> str:
    """The part of the config whose value of a flag counts: the run's, the task's, or that of `stages`."""
    task, run = wildcards["task"], wildcards.get("run")
    speaks = {f"runs.{run}": config["runs"][run]} if run else {}
    if not run:
        speaks = {f"tasks.{task}.preferences": config["tasks"][task].get("preferences", {})}
    speaks |= {f"tasks.{task}": config["tasks"][task]}
    return next((name for name, part in speaks.items() if key in part.get(stage, {})), "stages")
