"""Check that no output of a stage is in the way of an input, of another output or of a user's files."""

import dataclasses
import os
from pathlib import Path

from preference.running.flags import is_output


def problems(flags):
    """Yield what is wrong with the places that a stage's outputs are to be written to."""
    fields = dataclasses.fields(flags)
    taken = inputs(flags)
    for field in filter(is_output, fields):
        path, folder = Path(getattr(flags, field.name)), field.metadata["folder"]
        made = [path / f"{other.name}.parquet" for other in fields] if folder == "tables" else []
        for file in (path, *made):
            if (other := taken.setdefault(_resolved(file), field.name)) != field.name:
                yield f"--{field.name} {path}: would replace --{other} {file}; name another place"
        yield from _in_the_way(f"--{field.name} {path}", path, folder)


def inputs(flags) -> dict[Path, str]:
    """Return path -> flag for every path that a flag may name, except outputs."""
    names = [field.name for field in dataclasses.fields(flags) if not is_output(field)]
    return {path: name for name in names for path in _named(getattr(flags, name))}


def _named(value) -> list[Path]:
    """Return the paths that a flag's value may name; one of several may have a label before it, LABEL=PATH."""
    values = value if isinstance(value, tuple) else (value,)
    return [_resolved(text.rpartition("=")[2]) for text in values if isinstance(text, str)]


def _resolved(path: Path | str) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on a link that leads to itself


def _in_the_way(where: str, path: Path, folder: str | None):
    if len(path.parts) > 100:
        yield f"{where}: lies more than 100 folders deep"
        return
    if path.exists() and not path.is_file() and not path.is_dir():  # root may replace even /dev/null by a file
        yield f"{where}: is a device or a pipe; name a file"
    if folder and path.is_file():
        yield f"{where}: is a file; name a folder"
    if not folder and path.is_dir():
        yield f"{where}: is a folder; name a file"
    manifest = Path(f"{os.path.abspath(path)}.manifest.json")
    if manifest.is_dir():
        yield f"{where}: {manifest} is a folder, where its manifest must go; move it away"
    a_model = (path / "config.json").is_file() or manifest.is_file()  # a damaged one may lack either
    if folder == "model" and path.is_dir() and any(path.iterdir()) and not a_model:
        yield f"{where}: holds other files than a model's, which would be lost; name a new folder"
    above = next(parent for parent in (*path.absolute().parents, Path("/")) if parent.exists())
    if not above.is_dir():
        yield f"{where}: {above} is a file, not a folder"
