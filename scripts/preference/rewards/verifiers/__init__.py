"""Verifiers: rewards that a rule computes. Each module is one, found by its name. Standard library only.

A module has a frozen dataclass `Reward`. Its fields are the keys of the spec, and an instance is called with a row of
kind "responses" and returns a number. `row["fields"]` holds the other columns of the data's row, by name.
"""

import dataclasses
import difflib
import importlib
import typing
from collections.abc import Iterable
from pathlib import Path

from preference.running.stage import InputError

WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def names() -> list[str]:
    """Return the names of all verifiers."""
    # Not by pkgutil: then every verifier would count as code of every stage that scores, and not only those in use.
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def _class_of(name: str, where: str):
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"{where}: {name!r} is not one of {', '.join(known)}{hint}")
    return importlib.import_module(f"{__name__}.{name}").Reward


def check_keys(name: str, keys: Iterable[str], where: str, named_by: str, shared: tuple[str, ...]) -> None:
    """Raise an InputError if a verifier does not exist or does not have one of the keys.

    Args:
        where, named_by: the key of the config, or the flag, of the reward and of its name, for the error.
        shared: keys that every reward has.
    """
    known = [field.name for field in dataclasses.fields(_class_of(name, named_by))]
    for key in sorted(set(keys) - set(known)):
        near = difflib.get_close_matches(str(key), known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(['name', *known, *shared])}"
        raise InputError(f"{where}.{key}: unknown key; {hint}")


def make(name: str, options: dict):
    """Return the verifier with these options.

    Raises:
        InputError: an option is missing, has the wrong type, or has a value that cannot be used.
    """
    reward = _class_of(name, "name")
    kinds = typing.get_type_hints(reward)
    for field in dataclasses.fields(reward):
        if field.name not in options:
            if field.default is dataclasses.MISSING:
                raise InputError(f"{name} needs {field.name}, {WORDS[kinds[field.name]]}")
        elif not _is(options[field.name], kinds[field.name]):
            raise InputError(f"{name}: {field.name} is {options[field.name]!r}, not {WORDS[kinds[field.name]]}")
    try:
        return reward(**options)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _is(value, kind) -> bool:
    """Say whether a value has a type; a whole number is a number, and true is no number."""
    return type(value) is kind or (kind is float and type(value) is int)


def field_of(row: dict, name: str):
    """Return a field of a row's data.

    Raises:
        InputError: the row has no such field; the line names the row and the fields that it has.
    """
    fields = row.get("fields") or {}
    if fields.get(name) is None:
        there = f"it has {', '.join(sorted(fields))}" if fields else "it has no fields"
        raise InputError(f"prompt_id {row['prompt_id']}: its data has no field '{name}'; {there}")
    return fields[name]
