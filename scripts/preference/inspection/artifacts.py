"""What a path is: its kind, what files of that kind hold, what made it, and what its metadata say of rows."""

import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preference.files import artifacts as sealed
from preference.files import documents, evaluations, logs, origins, records, schemas
from preference.files.artifacts import manifest_of
from preference.inspection import terminal
from preference.running.stage import InputError

HOLDS = {
    **{kind: table.description for kind, table in schemas.TABLES.items()},
    "foreign": "a table of another program, shown as it is",
    "metrics": evaluations.EVALUATION.description,
    "model": "weights, configuration and tokenizer of a model",
    "manifest": documents.MANIFEST.description,
    "weights": "tensors by name",
    "training": logs.TRAINING.description,
    "table": "a table as text",
    "log": "every attempt to make an artifact, each begun by its command",
    "benchmark": "what an attempt took: seconds, memory in MB, load",
    "checkpoints": "states of a training, whose command goes on from the last one after a kill",
    "state": "how far a training has come, and which file holds its tensors",
    "shards": "finished parts of a stage, whose command makes only the others after a kill",
    "part": "a finished part of a stage, a result per row",
    "folder": "artifacts",
    "config": "what an experiment asks for",
    "data": "data as they came, a row per mapping",
    "json": "a JSON file",
    "figure": "a figure",
    "page": "a page for the browser, which needs nothing else",
    "text": "text",
}
TABLES = (*records.SCHEMAS, "foreign")
NOT_MADE = ("log", "benchmark", "state", "part", "text", "config", "data", "folder", "checkpoints", "shards")
UNFINISHED = (".checkpoints", ".shards")
_SUFFIXES = {
    ".parquet": "foreign",
    ".manifest.json": "manifest",
    ".benchmark.tsv": "benchmark",
    ".log": "log",
    ".json": "json",
    ".jsonl": "data",
    ".safetensors": "weights",
    ".csv": "table",
    ".tsv": "table",
    ".svg": "figure",
    ".png": "figure",
    ".html": "page",
    ".txt": "text",
    ".yaml": "text",
    ".md": "text",
    ".jinja": "text",
}


def kind(path: Path) -> str:
    """The kind of an artifact, a key of HOLDS.

    Raises:
        InputError: there is nothing of that name, or it is of no kind that is known.
    """
    if path.is_dir():
        return _folder_kind(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    if not path.is_file():
        gone = " (its manifest is there: the folder was deleted)" if manifest_of(path).is_file() else ""
        raise InputError(f"{path}: no such file or folder{gone}")
    found = next((known for suffix, known in _SUFFIXES.items() if path.name.endswith(suffix)), None)
    if found is None:
        raise InputError(f"{path}: of no kind that can be shown ({', '.join(_SUFFIXES)}, or a model folder)")
    finer = {"foreign": _table_kind, "json": _json_kind, "table": _csv_kind, "text": _text_kind}.get(found)
    return finer(path) if finer else found


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, or has held one."""
    folder = Path(os.path.abspath(folder))  # '.' has no name that a manifest could have
    holds = (folder / "config.json").is_file() or any(folder.glob("*.safetensors"))
    return holds or (bool(folder.name) and manifest_of(folder).is_file())


def _folder_kind(path: Path) -> str:
    for suffix in UNFINISHED:  # the folder beside an output, or one of those in it
        if suffix in (path.suffix, path.absolute().parent.suffix):
            return suffix[1:]
    if is_model(path):
        return "model"
    depths = ("", "*/", "*/*/", "*/*/*/")
    if any(any(path.glob(depth + name)) for depth in depths for name in ("*.parquet", "*.manifest.json")):
        return "folder"
    raise InputError(f"{path}: a folder, but not a model (no config.json), and no artifact is in it")


def _table_kind(path: Path) -> str:
    """What the metadata say, else the richest kind whose columns are all there, else (damaged) what the name says."""
    named = made_by(path).get("kind")
    if named in records.SCHEMAS:
        return named
    names = set(footer_names(path))
    fitting = [kind for kind, schema in records.SCHEMAS.items() if set(schema.names) <= names]
    if fitting:
        return max(fitting, key=lambda kind: len(records.SCHEMAS[kind]))
    return path.stem if path.stem in records.SCHEMAS and not names else "foreign"


def _json_kind(path: Path) -> str:
    content = made_by(path)
    if isinstance(content.get("metrics"), dict) or path.name == "evaluation.json":
        return "metrics"
    if {"step", "tensors", "log"} <= content.keys():
        return "state"
    if isinstance(content.get("results"), list):
        return "part"
    with path.open("rb") as file:
        return "data" if file.read(1) == b"[" else "json"


def _text_kind(path: Path) -> str:
    is_config = path.suffix == ".yaml" and re.search(r"^experiment:", path.read_text("utf-8", "replace"), re.MULTILINE)
    return "config" if is_config else "text"


def _csv_kind(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return "training" if {"step", "loss"} <= set(file.readline().strip().split(",")) else "table"


def made_by(path: Path | str) -> dict:
    """Return what made an artifact: stage, flags, code, inputs, versions and counts; {} if nothing says so.

    Artifacts of older versions have their code in their bytes, by whole modules: `older_code`, which nothing is
    compared with.
    """
    found = told(Path(path))
    if "code" in found:
        return {**found, "older_code": found.pop("code")}
    return origins.joined(found, origins.read(path)) if found else {}


def told(path: Path) -> dict:
    """Return what an artifact, or its manifest, says itself of how it was made; {} if nothing."""
    try:
        if path.suffix == ".parquet":
            found = json.loads((pq.read_schema(path).metadata or {}).get(b"prefdag", b"{}"))
        elif path.suffix == ".json" and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
        else:
            manifest = manifest_of(path)
            found = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    except (OSError, ValueError, RecursionError, pa.ArrowException):
        return {}
    return found if isinstance(found, dict) else {}


def broken(path: Path, kind: str) -> str | None:
    """Why a stage would refuse an artifact as a whole: it is not what was written, or it was made for another place."""
    try:
        if kind not in ("model", "manifest") and manifest_of(path).is_file():
            sealed.check_manifest(path)
        elif kind in (*records.SCHEMAS, "metrics", "manifest", "state", "part") and told(path):  # ours
            sealed.check(path)
            if kind not in ("state", "part"):
                sealed.check_place(path, told(path))
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def unsealed(path: Path) -> str | None:
    """Which file speaks of an artifact and is not what was written; None where none is, or none was ever sealed.

    A table or JSON file speaks for itself and is covered as a whole, of others only what the manifest says is.
    """
    speaks = manifest_of(path) if manifest_of(path).is_file() else path
    try:
        if made_by(path).get("stage"):
            sealed.check(speaks)
    except InputError:
        return f"{speaks.name} is damaged"
    return None


def is_whole(path: Path) -> bool:
    """Say if a table or JSON file still has the bytes that a stage of this workflow wrote."""
    return bool(made_by(path).get("stage")) and unsealed(path) is None


def footer_names(path: Path) -> list[str]:
    """The columns of a Parquet file; [] where its footer is damaged."""
    try:
        return pq.read_schema(path).names
    except (OSError, ValueError, pa.ArrowException):
        return []


def part(content: dict, key: str) -> dict:
    """A mapping inside metadata; {} where it is absent or of another type: a foreign file may say anything."""
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def heading(path: Path, kind: str) -> list[str]:
    """What the artifact is, what made it, from how many rows, and where its log is."""
    content = made_by(path)
    whole = {} if content.get("stage") or not path.parent.name else made_by(path.parent)
    if content.get("stage"):
        facts = [f"made by {content['stage']}"]
    elif whole.get("stage"):
        facts = [f"of {path.parent.name}, made by {whole['stage']}"]
    else:
        facts = [] if kind in NOT_MADE else ["nothing says what made it"]
    lines = [f"{path}: {', '.join([kind, *facts, terminal.size(_bytes(path))])}", f"  holds {HOLDS[kind]}"]
    if kind in TABLES and not content and footer_names(path):
        lines.append("  not made by this workflow: it has no seal, so nothing says whether it is whole")
    lines += _row_counts(content)
    if given := flags(content):
        lines += terminal.folded("  flags:", given)
    lines += [f"  from {name}: {path_} ({sha[:8]})" for name, path_, sha in inputs(content)]
    log = log_of(path)
    return lines + ([f"  log: {log}"] if log.is_file() and log != path else [])


def log_of(path: Path) -> Path:
    """Where the log of an artifact lies, if it has one of its own: pairs.parquet has pairs.log, policy/ policy.log."""
    name = path.name.removesuffix(".manifest.json")
    return path.with_name((Path(name).stem if name == path.name and not path.is_dir() else name) + ".log")


def flags(content: dict) -> list[str]:
    """The flags that an artifact was made with, but for those that were not given or say where to write."""
    given = part(content, "flags").items()
    return [f"{name}={value}" for name, value in given if value is not None and not name.endswith("output")]


def inputs(content: dict) -> list[tuple[str, str, str]]:
    """(name, path, sha256) of each recorded input; an input of several files comes once per file."""
    found = []
    for name, given in part(content, "inputs").items():
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, dict):
                found.append((name, str(one.get("path", "")), str(one.get("sha256", ""))))
    return found


def _row_counts(content: dict) -> list[str]:
    named = (("rows_in", "in"), ("rows_out", "out"))
    counts = [f"{content[key]} rows {word}" for key, word in named if key in content]
    dropped = [f"{count} {reason}" for reason, count in sorted(part(content, "dropped").items())]
    if "dropped" in content:
        counts.append("dropped: " + (", ".join(dropped) or "none"))
    return ["  " + ", ".join(counts)] if counts else []


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def remake(path: Path) -> str:
    """How to make an artifact again, as an ending for an error; '' where it may be somebody's own file."""
    if command := sealed.remake(path):
        return f"; make it again with: {command}"
    return "; delete it and run the workflow again" if manifest_of(path).is_file() else ""
