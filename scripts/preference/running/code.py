"""The code that a stage runs: the top-level definitions that its script can reach, as a digest for each source file.

A definition is a function, a class or a constant of a module. The search begins at the statements of the script and
follows every name through the project's imports. It reads source text only and imports nothing, so planning is instant.

What counts of a file are the definitions that are reached, and the other statements that its import executes. Where
reach cannot be decided (a module that is passed as a value, `globals()`, a name that its module does not define), the
whole file counts. Files that code reads, such as templates, count too. See `source_text` for what does not count.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache

from preference.running import source_text
from preference.running.source_text import RUNNING, file_of, files_of, summary


def record(script: str, members: Iterable[str] = ()) -> dict[str, str]:
    """Map each source file of which a script reaches something to a digest of what it reaches.

    Args:
        script: a file name under scripts/.
        members: paths under scripts/ of modules that a flag or the data name, which no import statement does.
    """
    return dict(_found(script, tuple(members))[0])


def flags_read(script: str, members: Iterable[str] = ()) -> "Names":
    """Return the names that the code of a script may read of its flags."""
    return _found(script, tuple(members))[1]


def forget() -> None:
    """Read every file again, for a process in which source files change or lie elsewhere."""
    _found.cache_clear()
    source_text.forget()


@cache
def _found(script: str, members: tuple[str, ...]) -> tuple[dict[str, str], "Names"]:
    reach = Reach(script, members)
    return reach.record(), reach.names()


class Names:
    """Names in code; a text that is completed at run time, as in f"num_{role}", stands for all names that begin so."""

    def __init__(self, names: Iterable[str], beginnings: Iterable[str]):
        self.names, self.beginnings = frozenset(names), tuple(sorted(beginnings))

    def __contains__(self, name: str) -> bool:
        return name in self.names or name.startswith(self.beginnings)


class Reach:
    """All that a script reaches: the files that its imports execute, and the definitions that its statements use."""

    def __init__(self, script: str, members: Iterable[str] = ()):
        self.executed: set[str] = set()
        self.reached: set[tuple[str, str]] = set()  # (file, name of the definition)
        # Classes whose fields are listed, so that each counts as read.
        self._listed: set[tuple[str, str | None]] = set()
        self._todo: list[tuple[str, str]] = []
        self._execute(script)
        for member in members:
            self._reach_whole(member)
        while self._todo:
            file, name = self._todo.pop()
            self._follow(file, summary(file)["definitions"][name])
        source_text.keep()

    def _execute(self, file: str) -> None:
        """Count what an import of a file executes: its statements, and those of what it imports."""
        if file in self.executed or file.startswith(RUNNING):
            return
        self.executed.add(file)
        self._import(summary(file)["executes"])
        self._follow(file, summary(file)["statements"])

    def _import(self, modules: list[str]) -> None:
        for module in modules:
            for file in files_of(module):
                self._execute(file)

    def _follow(self, file: str, part: dict) -> None:
        self._import(part["executes"])
        for use in part["uses"]:
            if target := self._target(file, part, use):
                self._reach(*target)
        if part["is_dynamic"]:
            self._reach_whole(file)
        self._listed |= {target for use in part["lists_fields_of"] if (target := self._target(file, part, use))}

    def _target(self, file: str, part: dict, use: list[str]) -> tuple[str, str | None] | None:
        """Return (file, definition) that a name with its attributes stands for; None as the definition is the file."""
        name, *attributes = use
        found = summary(file)
        if name not in part["bound"] and name in found["definitions"]:
            return file, name
        dotted = part["bound"].get(name) or found["bound"].get(name)
        return _located([*dotted.split("."), *attributes]) if dotted else None

    def _reach(self, file: str, name: str | None) -> None:
        if file.startswith(RUNNING):
            return
        self._execute(file)
        found = summary(file)
        if name is None:
            self._reach_whole(file)
        elif name in found["definitions"]:
            if (file, name) not in self.reached:
                self.reached.add((file, name))
                self._todo.append((file, name))
        elif name in found["bound"]:  # it passes on what it has imported
            if target := _located(found["bound"][name].split(".")):
                self._reach(*target)
        elif not (name.startswith("__") and name.endswith("__")):
            self._reach_whole(file)

    def _reach_whole(self, file: str) -> None:
        self._execute(file)
        for name in summary(file)["definitions"]:
            self._reach(file, name)

    def parts(self) -> Iterator[tuple[str, str, dict]]:
        """Yield (file, name of the definition or '' for its statements, summary) of all that counts."""
        for file in sorted(self.executed):
            yield file, "", summary(file)["statements"]
        for file, name in sorted(self.reached):
            yield file, name, summary(file)["definitions"][name]

    def names(self) -> Names:
        """Return the names of attributes and the texts in all that is reached: a flag that is read is among them."""
        parts = [part for _, _, part in self.parts()]
        listed = {field for target in self._listed for field in self.fields_of(*target)}
        names = listed.union(*(part["names"] for part in parts))
        return Names(names, {text for part in parts for text in part["beginnings"]})

    def fields_of(self, file: str, name: str | None) -> Iterator[str]:
        """Yield the fields of a class and of its base classes."""
        if part := summary(file)["definitions"].get(name):
            yield from part["fields"]
            for base in part["bases"]:
                if target := self._target(file, part, base):
                    yield from self.fields_of(*target)

    def record(self) -> dict[str, str]:
        """Return file -> digest of what is reached of it, for source files and for the files that code reads."""
        names = self.names()
        said: dict[str, hashlib._Hash] = {}
        for file, name, part in self.parts():
            flags = [field for field in part["flags"] if field[0] in names]
            if part["digest"] or flags:
                said.setdefault(file, hashlib.sha256()).update(json.dumps([name, part["digest"], flags]).encode())
            for read in source_text.files_read(file, part["texts"]):
                said.setdefault(read, hashlib.sha256(source_text.content(read)))
        return {file: digest.hexdigest()[:16] for file, digest in sorted(said.items())}


def _located(names: list[str]) -> tuple[str, str | None] | None:
    """Return (file, definition) of a dotted name; None if it is not the project's."""
    for end in range(len(names), 0, -1):
        if file := file_of(".".join(names[:end])):
            return file, names[end] if end < len(names) else None
    return None
