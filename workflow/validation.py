"""What is wrong with a config, one line each, found before any job starts."""

import difflib
import os
from pathlib import Path

import jsonschema
import runs
import yaml

SCHEMA = Path(__file__).parent / "schemas" / "config.schema.yaml"
FOLDERS = {"data", "tables", "figures", "sft", "mean"}  # names that the tree and the tables of results use


def problems(config: dict) -> list[str]:
    """Every problem as `key.path: what is wrong`; shape first, then what the parts say of each other."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    shape = [line for error in sorted(errors, key=lambda e: list(map(str, e.absolute_path))) for line in _lines(error)]
    return list(dict.fromkeys(shape)) or _contradictions(config)


def unwritable(folder: str) -> str | None:
    """Why nothing can be made in a folder, which need not be there yet; None where it can."""
    path = _there(folder)
    if os.access(path, os.W_OK | os.X_OK):
        return None
    return f"{path}: cannot be written to" + (f", so {folder} cannot be made" if path != Path(folder) else "")


def no_folder(folder: str) -> str | None:
    """Why a path can never be a folder: it, or one above it, is a file; None where it can."""
    path = _there(folder)
    return None if path.is_dir() else f"{path}: is a file, where {folder} must be a folder"


def _there(folder: str) -> Path:
    """The path itself, or of those above it the first that exists."""
    return next(path for path in (Path(folder), *Path(folder).parents) if path.exists())


def _lines(error: jsonschema.ValidationError) -> list[str]:
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        return [_join(path, key, _unknown(key, known)) for key in sorted(set(error.instance) - set(known))]
    if error.validator == "oneOf" and isinstance(error.instance, dict):  # what is wrong with it as a mapping
        return [line for part in error.context if part.validator != "type" for line in _lines(part)]
    if error.validator == "oneOf":
        return [f"{path}: {error.instance!r} is neither a source nor a mapping of roles to sources"]
    if error.validator == "required":
        return [_join(path, key, "is missing") for key in error.validator_value if key not in error.instance]
    return [f"{path or 'the config'}: {_reason(error)}"]


def _join(path: str, key: str, reason: str) -> str:
    return f"{path + '.' if path else ''}{key}: {reason}"


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, 1, 0.5)
    return "unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def _reason(error: jsonschema.ValidationError) -> str:
    value, want = error.instance, error.validator_value
    if error.validator == "enum":
        near = difflib.get_close_matches(str(value), list(map(str, want)), 1, 0.5)
        return f"{value!r} is not one of {', '.join(map(str, want))}" + (f"; did you mean {near[0]}?" if near else "")
    if error.validator in ("type", "anyOf", "oneOf") and isinstance(value, str) and _is_number(value):
        return f"'{value}' is text to YAML; write a number with a dot and no quotes, such as {_as_yaml(float(value))}"
    if error.validator == "type":
        kinds = want if isinstance(want, list) else [want]
        return f"{value!r} is not of type {' or '.join(kinds)}"
    if error.validator == "pattern":
        return f"{value!r} is not a name: use lower-case letters, digits and _, starting with a letter"
    if error.validator == "propertyNames":
        return f"{error.message.split(' does not')[0]} is not a name: use lower-case letters, digits and _"
    return error.message


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _as_yaml(number: float) -> str:
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def _contradictions(config: dict) -> list[str]:
    found = [f"tasks.{name}: the name is taken by the results' own" for name in FOLDERS & set(config["tasks"])]
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
    for role, source in data.items():
        if runs.is_file(source) and not Path(source).exists():
            found.append(f"tasks.{name}.data.{role}: no such file: {source}")
    if "preferences" not in data and "gold_reward" not in task:
        found.append(f"tasks.{name}: has neither data.preferences nor gold_reward, so no pair could be labelled")
    needed = {"prepare_task", "train_sft", "train_reward_model", "generate_responses", "evaluate_policy"}
    needed |= {"initialize_model"} if task["base_model"] == "from_scratch" else set()
    needed |= {f"train_{run['algorithm']}" for run in config["runs"].values()}
    return found + [f"stages.{stage}: is missing" for stage in sorted(needed - set(config["stages"]))]


def _run_problems(config: dict, name: str, run: dict) -> list[str]:
    found = []
    for task in run.get("tasks", []):
        if task not in config["tasks"]:
            found.append(f"runs.{name}.tasks: there is no task {task}; there are {', '.join(config['tasks'])}")
        elif run.get("reward") == "gold" and "gold_reward" not in config["tasks"][task]:
            found.append(f"runs.{name}.reward: task {task} has no gold_reward")
    for stage in run:
        if stage.startswith("train_") and stage != f"train_{run['algorithm']}":
            found.append(f"runs.{name}.{stage}: its algorithm is {run['algorithm']}, so {stage} never runs")
    if run["source"] == "on_policy":
        samples = run.get("generate_responses", {}).get("samples_per_prompt")
        samples = samples or config["stages"]["generate_responses"].get("samples_per_prompt", 2)
        if samples < 2:
            found.append(f"runs.{name}: samples_per_prompt is {samples}; a pair needs at least 2")
    return found
