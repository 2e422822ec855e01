"""Files that can be trusted: written under a temporary name, sealed, and refused where they are damaged or foreign.

A seal is the SHA-256 of the file's own bytes, kept inside it (Parquet, JSON): any flipped byte, any cut, any row that
another program dropped breaks it. Files that have no room for one, and model folders, have a sealed
`<name>.manifest.json` beside them with the digest of each file. An origin beside each of them says for which path it
was made (see origins), so that a whole file of another run is refused as well.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import mmap
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from preference.files import origins, provenance
from preference.files.origins import MANIFEST
from preference.running.stage import InputError

SEAL = b"prefdag-sha256:"
DIGITS = 64  # of a SHA-256
UNSEALED = (SEAL + b"0" * DIGITS).decode()  # what is written first, and what the digest is taken of
OUTPUT = r"--(\w+_)?output"  # the flags that name what a stage writes


written: list[Path] = []  # by this process, in order


class atomic:
    """`with atomic(path) as temporary:` write to temporary; it takes path's name only if the block succeeds.

    The content is on the disk before the name is: a power cut leaves the old file or the new one. What earlier
    attempts left when they were killed is removed.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            remove(left)
        return self.temporary

    def __exit__(self, kind, error, _):
        if error:
            error.add_note(str(self.path))  # not every library's error names the file
            return remove(self.temporary)
        inside = self.temporary.rglob("*") if self.temporary.is_dir() else ()
        for file in (*inside, self.temporary):
            _to_disk(file)
        if self.path.is_dir() or self.temporary.is_dir():  # a folder's name cannot be taken over while it is there
            remove(self.path)
        os.replace(self.temporary, self.path)
        remove(self.temporary)  # two names of one file both stay
        _to_disk(self.path.parent)
        written.append(self.path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; of a link only the link, for what it leads to is not ours."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot flush a folder
            raise
    finally:
        os.close(handle)


def seal(path: Path) -> None:
    """Put the digest of a file's bytes where UNSEALED stands in it, the last time that it does."""
    position, digest = _sealed(path)
    with path.open("r+b") as file:
        file.seek(position)
        file.write(digest)


def _sealed(path: Path) -> tuple[int, bytes]:
    """Where the digest stands in a file, and what it must be: that of all other bytes. (-1, b"") where none stands."""
    with _content(path) as content:
        start = _place_of_seal(content)
        if start < 0:
            return -1, b""
        digest = hashlib.sha256(content[:start])
        digest.update(content[start + DIGITS :])
        return start, digest.hexdigest().encode()


def seal_of(path: Path | str) -> str:
    """Return the digest that stands in a sealed file; "" where none does."""
    with _content(Path(path)) as content:
        start = _place_of_seal(content)
        return bytes(content[start : start + DIGITS]).decode("ascii", "replace") if start >= 0 else ""


@contextlib.contextmanager
def _content(path: Path) -> Iterator[memoryview]:
    """Yield the bytes of a file, which are not read before they are used."""
    if path.stat().st_size == 0:
        yield memoryview(b"")
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        yield view


def _place_of_seal(content: memoryview) -> int:
    """Return where the last seal of a file stands; -1 if there is none."""
    found = content.obj.rfind(SEAL)  # type: ignore[attr-defined]  # of an mmap, or of bytes: see _content
    return found + len(SEAL) if found >= 0 else -1


def check(path: Path | str) -> None:
    """Raise an InputError where a sealed file is missing or is not the one that was written."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    position, digest = _sealed(path)
    if position < 0:
        raise damaged(path, "is damaged, or no stage of this workflow wrote it (it has no seal)")
    with path.open("rb") as file:
        file.seek(position)
        if file.read(DIGITS) != digest:
            raise damaged(path, "is damaged: it is not what was written (its seal does not match)")


def check_place(path: Path | str, made_by: dict, seal: str | None = None) -> None:
    """Raise an InputError where a file was made for another path: it is another run's, or another stage's.

    A path may lead through symbolic links, such as `results` on another disk, and a whole project may have been moved.

    Args:
        made_by: what the artifact says of itself; one of an older version says its path, too.
        seal: that of the artifact, or of its manifest; by default the one that stands in the file.
    """
    origin = made_by if "path" in made_by else origins.read(path)
    if not isinstance(origin.get("path"), str):
        raise damaged(path, f"is another artifact: no {origins.place(path).name} beside it says where it was made")
    if not _leads_to(Path(os.path.normpath(origin["path"])), Path(str(path).removesuffix(MANIFEST))):
        raise damaged(path, f"is another artifact: it was made as {Path(os.path.normpath(origin['path']))}")
    if "path" not in made_by and origin.get("seal") != (seal or seal_of(path)):
        raise damaged(path, f"is another artifact: it is not what was written as {origin['path']}")


def _leads_to(made_for: Path, path: Path) -> bool:
    """Say whether a path is the one that a file was made for."""
    here = Path(os.path.realpath(path))
    if here == Path(os.path.realpath(made_for)):
        return True
    parts = tuple(part for part in made_for.parts if part != "..")
    endings = [place.parts[-len(parts) :] for place in (here, Path(os.path.abspath(path)))]
    return bool(parts) and not made_for.is_absolute() and parts in endings


def damaged(path: Path | str, reason: str) -> InputError:
    """The error that names a file, what is wrong with it, and the command that makes it again."""
    command = remake(path)
    advice = f"make it again with: {command}" if command else "delete it and run the workflow again"
    return InputError(f"{path}: {reason}; {advice}")


def remake(path: Path | str) -> str | None:
    """The command that made an artifact, ready to paste: the last one that wrote it, in a log beside it."""
    path = Path(os.path.abspath(str(path).removesuffix(MANIFEST)))
    for log in sorted(path.parent.glob("*.log")):
        commands = re.findall(r"^\$ (.*)$", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        folder = _folder_of(commands[-1], path) if commands else None
        if folder == Path.cwd():
            return commands[-1]
        if folder:
            return f"cd {shlex.quote(str(folder))} && {commands[-1]}"
    return None


def _folder_of(command: str, path: Path) -> Path | None:
    """The folder in which a command writes an artifact (an absolute path); None where it writes others."""
    try:
        words = shlex.split(command)
    except ValueError:  # a log that was cut within a line
        return None
    # prepare_task writes several tables into one folder, and a figure's .png goes beside its .svg.
    written = (path, path.parent, path.with_suffix(".svg"))
    outputs = [Path(word) for flag, word in zip(words, words[1:], strict=False) if re.fullmatch(OUTPUT, flag)]
    for output, artifact in itertools.product(outputs, written):
        if Path(os.path.abspath(output)) == artifact:
            return Path.cwd()
        if not output.is_absolute() and artifact.parts[-len(output.parts) :] == output.parts:
            return Path(*artifact.parts[: -len(output.parts)])
    return None


def write_json(path: Path | str, content: dict) -> None:
    """Write a sealed JSON artifact, and its origin beside it; NaN and infinities are refused."""
    with atomic(path) as temporary:
        write_sealed(temporary, origins.without(content))
        write_origin(path, content, temporary)


def write_sealed(path: Path | str, content: dict) -> None:
    """Write sealed JSON; NaN and infinities are refused, and nothing is written then."""
    text = json.dumps({**content, "seal": UNSEALED}, indent=1, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")
    seal(Path(path))


def write_origin(path: Path | str, made_by: dict, sealed: Path) -> None:
    """Write where an artifact comes from, for a file that is sealed and about to get its name, or its manifest's."""
    origins.write(path, origins.of(path, made_by, seal_of(sealed)))


def read_json(path: Path | str) -> dict:
    """Read what `write_json` wrote; one that is missing, damaged or of another place is an InputError that names it."""
    content = read_sealed(path)
    check_place(path, content)
    return content


def read_sealed(path: Path | str) -> dict:
    """Read sealed JSON, wherever it lies; one that is missing or damaged is an InputError that names it."""
    check(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        del content["seal"]
    except (ValueError, TypeError, KeyError):  # whole, but another kind of artifact
        raise InputError(f"{path}: holds no JSON of this workflow") from None
    return content


def manifest_of(path: Path | str) -> Path:
    path = Path(path)
    return Path(f"{path if path.name.strip('.') else os.path.abspath(path)}{MANIFEST}")  # `.` has a name as well


def write_manifest(path: Path | str, made_by: dict) -> None:
    """Write `<path>.manifest.json`: what made a file or a folder, and the digest of each file."""
    path = Path(path)
    files = provenance.contents(path) if path.is_dir() else {path.name: provenance.digest(path)}
    write_json(manifest_of(path), {**made_by, "files": files})


def check_manifest(path: Path | str) -> None:
    """Raise an InputError where a file or folder is not what its manifest says."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not manifest_of(path).is_file():
        raise damaged(path, f"has no {manifest_of(path).name} beside it")
    made_by = read_sealed(manifest_of(path))
    of_older = {"path": made_by["path"].removesuffix(MANIFEST)} if "path" in made_by else {}
    check_place(path, of_older, seal_of(manifest_of(path)))
    stated = made_by["files"]
    found = provenance.contents(path) if path.is_dir() else {path.name: provenance.digest(path)}
    for name in sorted(stated.keys() | found.keys()):
        if name not in found:
            raise damaged(path, f"lacks {name}")
        if name not in stated:
            raise damaged(path, f"holds {name}, which is not in its manifest")
        if found[name] != stated[name]:
            raise damaged(path, f"is damaged: {name} is not what was written (its digest does not match)")


@cache  # weights are large: once a process
def check_model(path: str) -> None:
    """`check_manifest` for a model folder of this workflow's own: one with a manifest, or a log of how it was made."""
    if manifest_of(path).is_file() or remake(path):
        check_manifest(path)


def write_text(path: Path | str, text: str, made_by: dict) -> None:
    """Write a text (CSV, HTML, YAML) and its manifest."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_manifest(path, {"kind": Path(path).suffix[1:], **made_by})


def read_text(path: Path | str) -> str:
    """Read a text that `write_text` wrote."""
    check_manifest(path)
    return Path(path).read_text(encoding="utf-8")


def metadata(path: Path | str) -> dict:
    """Return what made an artifact that has it in a manifest or, JSON, in itself; tables have `records.metadata`."""
    path = Path(path)
    return origins.joined(read_json(manifest_of(path) if manifest_of(path).is_file() else path), origins.read(path))
