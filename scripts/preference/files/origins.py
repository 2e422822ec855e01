"""Where an artifact was made, from which files and by which code: `.NAME.origin.json` beside it.

None of these is in the artifact's own bytes, so that equal results are equal bytes: those of another experiment, of
another folder, or of code that was edited without an effect. The origin names the seal of the artifact that it speaks
of, so that a whole file of another run is told apart.
"""

import json
import os
from pathlib import Path

MANIFEST = ".manifest.json"
ENDING = ".origin.json"


def place(path: Path | str) -> Path:
    """Return the file that says where an artifact comes from; a manifest speaks for its artifact."""
    path = Path(os.path.abspath(str(path).removesuffix(MANIFEST)))
    return path.with_name(f".{path.name}{ENDING}")


def without(made_by: dict) -> dict:
    """Return what an artifact says itself of how it was made: all but paths and code."""
    told = {name: value for name, value in made_by.items() if name not in ("code", "path")}
    if isinstance(made_by.get("inputs"), dict):
        told["inputs"] = {name: _each(read, _without_path) for name, read in made_by["inputs"].items()}
    return told


def of(path: Path | str, made_by: dict, seal: str) -> dict:
    """Return the origin of an artifact with a seal, which is made for a path."""
    inputs = made_by.get("inputs", {}) if isinstance(made_by.get("inputs"), dict) else {}
    read = {name: _each(read, lambda one: one.get("path")) for name, read in inputs.items()}
    code = {"code": made_by["code"]} if "code" in made_by else {}
    return {"path": str(path).removesuffix(MANIFEST), "seal": seal, "inputs": read, **code}


def joined(told: dict, origin: dict) -> dict:
    """Return what made an artifact as the stage described it, from what it says itself and its origin."""
    made_by = {**told, **({"code": origin["code"]} if origin.get("code") else {})}
    if "path" in origin:
        made_by["path"] = origin["path"]
    paths, inputs = origin.get("inputs"), told.get("inputs")
    if isinstance(paths, dict) and isinstance(inputs, dict):
        made_by["inputs"] = {name: _with_paths(read, paths.get(name)) for name, read in inputs.items()}
    return made_by


def write(path: Path | str, origin: dict) -> None:
    """Write the origin of an artifact. It is no result, so it need not survive a power cut."""
    file = place(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def read(path: Path | str) -> dict:
    """Return the origin of an artifact; {} if none can be read."""
    try:
        origin = json.loads(place(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return origin if isinstance(origin, dict) else {}


def _each(read, function):
    """Return what a function returns of one input, or of each of several."""
    return [function(one) for one in read] if isinstance(read, list) else function(read)


def _without_path(one: dict) -> dict:
    return {name: value for name, value in one.items() if name != "path"}


def _with_paths(read, paths):
    if isinstance(read, list):
        several = paths if isinstance(paths, list) and len(paths) == len(read) else [None] * len(read)
        return [_with_paths(one, path) for one, path in zip(read, several, strict=True)]
    return {"path": paths, **read} if isinstance(read, dict) and isinstance(paths, str) else read
