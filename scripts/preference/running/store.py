"""Keep what stages make by what made it, so that nothing is computed twice.

An entry is a folder of the store. Its name is a digest of the stage with its flags and code, of the libraries, and of
the contents of all that the stage reads. It holds the stage's outputs as hard links, or as copies where the store lies
on another file system. It is written under another name and then renamed, so no reader ever sees half an entry.

The store never fails a stage: what cannot be kept is not kept, and what is damaged is made again.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from preference.files import artifacts, origins, provenance
from preference.models import model_folders
from preference.running import leftovers
from preference.running.stage import InputError, say

VERSION = 1
DAY = 24 * 60 * 60  # seconds
VERSION_FILE, ENTRY, UNFINISHED = "version", "entry.json", "unfinished"


@dataclass(frozen=True)
class Read:
    """A file, a folder or a hub id that a flag names; a label may stand before it, LABEL=PATH."""

    flag: str
    label: str
    path: str

    def content(self) -> list[str]:
        return [self.flag, self.label, model_folders.commit_of(self.path) or provenance.digest(self.path)]


class Command:
    """A stage as it is typed: what it reads and what it writes."""

    def __init__(self, words: list[str]):
        self.words = words
        typed = list(_values(words))
        self.outputs = {flag: value for flag, value in typed if re.fullmatch(artifacts.OUTPUT, flag)}
        reads = (_read(flag, value) for flag, value in typed if flag not in self.outputs)
        self.reads = [read for read in reads if read]

    @property
    def script(self) -> str:
        return next((word for word in self.words if word.endswith(".py")), self.words[0])


def _values(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (flag, value) of each value on a command line; `--flag=value` is one word."""
    flag = ""
    for word in words:
        if word.startswith("--"):
            flag, is_one, value = word.partition("=")
            if is_one:
                yield flag, value
        elif flag:
            yield flag, word


def _read(flag: str, value: str) -> Read | None:
    """Return what a value names, if it is a file, a folder, or a hub id that was loaded here."""
    for label, path in (("", value), value.rpartition("=")[::2]):
        if os.path.exists(path) or (model_folders.HUB.fullmatch(path) and model_folders.commit_of(path)):
            return Read(flag, label, path)
    return None


def key(stage: str, command: Command, files: Iterable[str] = ()) -> str | None:
    """Return the name of the entry of a stage; None if it cannot be told, for it reads what is missing or damaged.

    Args:
        stage: a digest of its flags and its code.
        files: what it reads and no flag names.
    """
    try:
        read = [each.content() for each in command.reads]
        read += [[Path(file).name, "", provenance.digest(file)] for file in files]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return hashlib.sha256(json.dumps([VERSION, stage, provenance.versions(), read]).encode()).hexdigest()


@dataclass(frozen=True)
class Output:
    """A file or folder of an entry, and which output of a command it becomes."""

    flag: str
    begins: str  # "name" or "stem": the part of the output's name that this one's begins with
    ending: str  # what follows it: of policy/ and policy.manifest.json "" and ".manifest.json"
    files: dict[str, str]  # path below the entry -> digest; hidden files of a folder are not kept
    content: str  # as a stage that reads it knows it
    origin: dict

    def place(self, command: Command) -> Path:
        path = Path(command.outputs[self.flag])
        return path.with_name(getattr(path, self.begins) + self.ending)


def name_of(path: Path, command: Command) -> tuple[str, str, str] | None:
    """Return (flag, begins, ending) of what a command wrote; None for what lies elsewhere, such as checkpoints."""
    for begins, (flag, output) in itertools.product(("name", "stem"), command.outputs.items()):
        beginning = getattr(Path(output), begins)
        if path.parent == Path(output).parent and path.name.startswith(beginning):
            return flag, begins, path.name.removeprefix(beginning)
    return None


class Store:
    """A folder of entries."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def entry(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def entries(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("[0-9a-f][0-9a-f]/*") if path.is_dir())

    def problem(self) -> str | None:
        """Return why the store cannot be used; None if it can, or if it can be made."""
        version = self.folder / VERSION_FILE
        if not self.folder.exists():
            return None
        if not self.folder.is_dir():
            return "is a file, where the store must be a folder"
        if not version.is_file():
            return "is no store: it holds other files" if any(self.folder.iterdir()) else None
        found = version.read_text(errors="replace").strip()
        if not found.isdecimal():
            return f"its file {VERSION_FILE} is damaged"
        if int(found) > VERSION:
            return f"is of a newer version, {found}; this one reads up to {VERSION}"
        return None

    def create(self) -> None:
        """Make the folder, if it is not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / VERSION_FILE).is_file():
            with artifacts.atomic(self.folder / VERSION_FILE) as temporary:
                temporary.write_text(f"{VERSION}\n")

    def read(self, key: str) -> dict | None:
        """Return what an entry says of itself; None if there is none.

        Raises:
            InputError: the entry is damaged.
        """
        entry = self.entry(key)
        if not entry.is_dir():
            return None
        content = artifacts.read_sealed(entry / ENTRY)
        if content.get("key") != key:
            raise InputError(f"{entry}: is another entry")
        return content

    def remove(self, key: str) -> None:
        """Take an entry out of the store, at once for all readers."""
        with contextlib.suppress(OSError), self._unfinished() as temporary:  # it is gone, or another user's
            os.rename(self.entry(key), temporary / key)

    def clean(self) -> None:
        """Remove what calls left that were killed more than a day ago."""
        for left in self.folder.glob(f"{UNFINISHED}/*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > DAY:
                    shutil.rmtree(left)

    @contextlib.contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yield a folder for what is not finished, or is about to go."""
        name = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        temporary = self.folder / UNFINISHED / name
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    # An entry becomes the outputs of a command.
    def restore(self, key: str, command: Command) -> bool:
        """Put what an entry holds where a command would write it; False if the stage has to run.

        An entry that is damaged is removed.
        """
        try:
            content = self.read(key)
            if content is None:
                return False
            outputs = [Output(**each) for each in content["outputs"]]
            self._check(key, outputs)
        except (OSError, InputError, KeyError, TypeError, ValueError) as error:
            if self.entry(key).exists():  # else somebody has removed it since
                say(f"runs, for its entry in the store is damaged: {error}")
                self.remove(key)
            return False
        moved = dict(zip(content["reads"], (read.path for read in command.reads), strict=False))
        try:
            for output in outputs:
                self._place(self.entry(key), output, output.place(command), moved)
        except OSError as error:
            say(f"runs, for it cannot be restored: {error}")
            return False
        return True

    def _check(self, key: str, outputs: list[Output]) -> None:
        for name, digest in (item for output in outputs for item in output.files.items()):
            if provenance.digest(self.entry(key) / name) != digest:
                raise InputError(f"{self.entry(key) / name}: is not what was kept")

    def _place(self, entry: Path, output: Output, path: Path, moved: dict[str, str]) -> None:
        origin = {**output.origin, "inputs": _moved(output.origin.get("inputs"), moved)}
        with artifacts.atomic(path) as temporary:
            for name in output.files:
                top, _, below = name.partition("/")
                link_or_copy(entry / name, temporary / below if below else temporary)
            if output.origin:
                origins.write(path, {**origin, "path": str(path).removesuffix(origins.MANIFEST)})

    # The outputs of a command become an entry.
    def keep(self, key: str, stage: str, command: Command, written: Iterable[Path], replace: bool = False) -> None:
        """Keep what a command of a stage wrote; an entry that is there stays, unless it is to be replaced."""
        if self.entry(key).exists() and not replace:
            return
        try:
            self.create()
            with self._unfinished() as temporary:
                outputs = list(_linked(temporary, command, dict.fromkeys(written)))
                if outputs:
                    told: dict[str, object] = {"key": key, "stage": stage, "script": Path(command.script).name}
                    told |= {"reads": [read.path for read in command.reads]}
                    told |= {"inputs": [read.content() for read in command.reads]}
                    told |= {"outputs": [asdict(output) for output in outputs]}
                    artifacts.write_sealed(temporary / ENTRY, told)
                    self._publish(temporary, key, replace)
        except OSError as error:
            say(f"is done, but the store cannot keep it: {error}")

    def _publish(self, temporary: Path, key: str, replace: bool) -> None:
        entry = self.entry(key)
        entry.parent.mkdir(exist_ok=True)
        if replace:
            self.remove(key)
        try:
            os.rename(temporary, entry)
        except OSError:
            if not entry.is_dir():  # else another run was faster
                raise


def _linked(folder: Path, command: Command, written: Iterable[Path]) -> Iterator[Output]:
    """Yield the outputs that a command wrote, linked into a folder."""
    for number, path in enumerate(written):
        if name := name_of(path, command):
            content = provenance.digest(path)
            found = provenance.contents(path) if path.is_dir() else {"": content}
            for file in found:
                link_or_copy(path / file, folder / str(number) / file)
            files = {str(Path(str(number), file)): digest for file, digest in found.items()}
            yield Output(*name, files, content, origins.read(path))


def link_or_copy(source: Path, target: Path) -> None:
    """Make a file a second name of another, or a copy where it cannot be, such as on another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # another file system, or one without links
        if os.access(source, os.W_OK):  # else it is another user's, and its times could not be changed here
            os.link(source, target, follow_symlinks=False)
            return
    shutil.copyfile(source, target)


def _moved(inputs, moved: dict[str, str]) -> dict:
    """Return the paths of inputs, flag -> a path or several, as they are for another command."""

    def of(path):
        return [of(each) for each in path] if isinstance(path, list) else moved.get(path, path)

    return {name: of(path) for name, path in inputs.items()} if isinstance(inputs, dict) else {}


# Between the program that asks the store and the stage that it starts.
WAITING = "PREFDAG_STORE"  # names the folder, the key and the stage
ANEW = "PREFDAG_ANEW"  # set where the user forces jobs: nothing is restored, and what is made replaces what was kept


def restore(store: Store, key: str | None, command: Command) -> bool:
    """Restore the outputs of a command, unless the user wants them anew; say so, and clean up as its stage would."""
    if key is None or os.environ.get(ANEW) or not store.restore(key, command):
        return False
    leftovers.remove(read.path for read in command.reads)
    say(f"restored from {store.folder}")
    return True


def hand_over(store: Store, key: str | None, stage: str, words: list[str]) -> None:
    """Become the stage that a command starts, which keeps what it makes if it has a key."""
    if key:
        os.environ[WAITING] = json.dumps([str(store.folder), key, stage])
    os.execvp(words[0], words)


def keep_outputs(words: list[str]) -> None:
    """Keep what this process has made, if a store waits for it."""
    if waiting := os.environ.pop(WAITING, None):
        folder, key, stage = json.loads(waiting)
        Store(folder).keep(key, stage, Command(words), artifacts.written, replace=bool(os.environ.get(ANEW)))
