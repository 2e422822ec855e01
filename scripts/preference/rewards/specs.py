"""Specs of rewards, as a config or a command line gives them. Standard library only: planning reads them, too.

A spec is a mapping with exactly one of these keys:

* `model`: a reward model, as a folder or a hub id; in a config also `trained`, the one that the workflow trains
* `python`: `file.py:function`, a function of your own (see functions)
* `name`: a verifier, which is a module of `preference.rewards.verifiers`; its own keys stand beside the name

A spec may also have `weight` (default 1) and `as`, the name of its column. A plain text stands for a spec with one key.
"""

import dataclasses
import difflib
import json
import math
import re
from pathlib import Path

from preference.models import model_folders
from preference.rewards import functions, verifiers
from preference.running.stage import InputError

KINDS = ("model", "python", "name")
SHARED = ("weight", "as")
TRAINED = "trained"
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@dataclasses.dataclass(frozen=True)
class Part:
    """One reward of a weighted sum: its name, its weight, and its spec without both."""

    name: str
    weight: float
    spec: dict

    @property
    def kind(self) -> str:
        """Return the key that says what the reward is: model, python or name."""
        return next(key for key in KINDS if key in self.spec)

    @property
    def subject(self) -> str:
        """Return the model, the function or the name of the verifier."""
        return self.spec[self.kind]

    def files(self) -> list[str]:
        """Return the files and folders that the reward is read from; a hub id counts as one."""
        return {"model": [self.subject], "python": [self.subject.rpartition(":")[0]], "name": []}[self.kind]

    def check(self) -> None:
        """Raise an InputError if the reward cannot be used; nothing is loaded and nothing runs."""
        if self.kind == "name":
            self.verifier()
        elif self.kind == "python":
            functions.check(self.subject)
        elif self.subject != TRAINED:
            model_folders.check_reward_model(self.subject)

    def verifier(self):
        """Return the verifier, a function of a row of kind "responses"."""
        return verifiers.make(self.subject, {key: value for key, value in self.spec.items() if key != "name"})


def listed(value) -> list:
    """Return the specs of a config's value or of a flag's: one, or a list of them."""
    return list(value) if isinstance(value, list | tuple) else [value]


def parse(value, where: str, plain: str) -> list[Part]:
    """Return the parts of a reward.

    Args:
        value: a spec or a list of specs; each is a mapping, JSON of one, or a plain text.
        where: the flag or the key of the config, for the error.
        plain: what a plain text is, "model" or "name".

    Raises:
        InputError: a spec is not well-formed, or two have one name.
    """
    specs = [_mapping(each, where, plain) for each in listed(value)]
    if not specs:
        raise InputError(f"{where}: is empty; name at least one reward")
    parts: list[Part] = []
    for given, spec in zip(listed(value), specs, strict=True):
        named_by = where if given == spec.get(plain) else f"{where}.{plain}"
        parts.append(_part(spec, where, named_by, {part.name for part in parts}))
    return parts


def _mapping(value, where: str, plain: str) -> dict:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError(f"{where}: {value} is not JSON") from None
    if isinstance(value, str):
        value = {plain: value}
    if not isinstance(value, dict):
        raise InputError(f"{where}: {value!r} is not a reward; write a mapping with one of {', '.join(KINDS)}")
    kinds = [key for key in KINDS if key in value]
    if not kinds:
        raise InputError(f"{where}.{plain}: is missing; a reward has one of {', '.join(KINDS)}")
    if len(kinds) > 1:
        raise InputError(f"{where}: has both {kinds[0]} and {kinds[1]}; a reward has one of {', '.join(KINDS)}")
    return value


def _part(spec: dict, where: str, named_by: str, taken: set[str]) -> Part:
    kind = next(key for key in KINDS if key in spec)
    subject, weight = spec[kind], spec.get("weight", 1.0)
    if not isinstance(subject, str) or not subject:
        raise InputError(f"{where}.{kind}: {subject!r} is not a text")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise InputError(f"{where}.weight: {weight!r} is not a finite number")
    own = {key: value for key, value in spec.items() if key not in SHARED}
    if kind == "name":
        verifiers.check_keys(subject, own.keys() - {"name"}, where, named_by, SHARED)
    elif unknown := sorted(own.keys() - {kind}):
        raise InputError(f"{where}.{unknown[0]}: {unknown_key(unknown[0], [kind, *SHARED])}")
    return Part(_name(spec, kind, where, taken), float(weight), own)


def unknown_key(key: str, known: list[str]) -> str:
    """Return the words for a key that does not exist."""
    near = difflib.get_close_matches(key, known, 1, 0.5)
    return "unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def _name(spec: dict, kind: str, where: str, taken: set[str]) -> str:
    """Return the name of a part: the one that `as` gives, or one that is made of the spec and is not taken."""
    if "as" in spec:
        name = spec["as"]
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(f"{where}.as: {name!r} is not a name: use lower-case letters, digits and _, 60 at most")
        if name in taken:
            raise InputError(f"{where}.as: {name!r} names two rewards; give each its own name")
        return name
    derived = _derived(spec[kind], kind)
    tries = [derived, *(f"{derived}_{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in tries if name not in taken)


def _derived(subject: str, kind: str) -> str:
    if subject == TRAINED and kind == "model":
        return "learned"
    text = subject.rpartition(":")[2] if kind == "python" else Path(subject.partition("@")[0]).name
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:50]
    return name if NAME.fullmatch(name) else f"reward_{name}".rstrip("_")
