"""Sources of data as a config or a command line names them. Standard library only: planning asks too.

A source is a path, a hub id `owner/name@config:split`, the word `built_in`, or a mapping (JSON on a command line) with
`source` and any of `columns`, `fields`, `weight` and `split`.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preference.running.stage import InputError
from preference.tasks import instructions

BUILT_IN = "built_in"
ROLES = ("sft", "prompts", "preferences", "eval_prompts", "eval_preferences")
KEYS = ("source", "columns", "fields", "weight", "split")
KINDS = (".parquet", ".json", ".jsonl", ".csv", ".tsv")
ENDING = re.compile(r"\.(parquet|json|jsonl|csv|tsv)(\.gz|\.zst)?$")
PICKLES = (".pkl", ".pickle", ".pt", ".bin", ".joblib")
PICKLE = "is a pickle, which can run code as it is read; write Parquet or JSON lines instead"
NAME = r"\w[\w.-]*"
HUB = re.compile(rf"(?P<path>{NAME}/{NAME})(@(?P<config>{NAME}))?(:(?P<split>{NAME}(\[[\d:%-]+\])?))?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Source:
    name: str  # a path, a hub id or built_in; a split follows after a colon
    columns: dict[str, str] = dataclasses.field(default_factory=dict)  # name that a format knows -> name in the data
    fields: tuple[str, ...] = ()  # columns that are kept for rewards
    weight: float = 1.0  # the share of its rows that is taken


def parse(entry: str | dict) -> Source:
    """Return the source that a text, a JSON object or a mapping describes.

    Raises:
        InputError: the line names the entry and the key.
    """
    if isinstance(entry, str) and not entry.lstrip().startswith("{"):
        return Source(entry)
    given = _mapping(entry)
    if unknown := [key for key in given if key not in KEYS]:
        raise InputError(f"{entry}: unknown key {unknown[0]}; known are {', '.join(KEYS)}")
    name, split, weight = given.get("source"), given.get("split"), given.get("weight", 1.0)
    columns, fields = given.get("columns", {}), given.get("fields", [])
    if not isinstance(name, str) or not name:
        raise InputError(f"{entry}: source is missing; name a file, a folder or a hub id")
    if not isinstance(columns, dict) or not all(isinstance(text, str) and text for text in columns.values()):
        raise InputError(f"{name}: columns is {columns!r}; write the data's names, as in {{prompt: question}}")
    if not isinstance(fields, list) or not all(isinstance(text, str) and text for text in fields):
        raise InputError(f"{name}: fields is {fields!r}; write a list of names of columns")
    if type(weight) not in (int, float) or not 0 < weight <= 1:
        raise InputError(f"{name}: weight is {weight!r}; it must be more than 0 and at most 1, the share of its rows")
    return Source(_with_split(name, split), columns, tuple(fields), float(weight))


def _mapping(entry: str | dict) -> dict:
    if isinstance(entry, dict):
        return entry
    try:
        return dict(json.loads(entry))
    except ValueError as error:
        raise InputError(f"{entry}: begins as a JSON object and is none ({error})") from None


def _with_split(name: str, split) -> str:
    if split is None:
        return name
    if not isinstance(split, str) or not split:
        raise InputError(f"{name}: split is {split!r}; name one of its splits")
    if not is_local(name) and ":" in name:
        raise InputError(f"{name}: names a split already, so leave out split: {split}")
    return f"{name}:{split}"


def parse_all(entries) -> list[Source]:
    """Return the sources of a role: one entry, several, or None.

    Raises:
        InputError: an entry is spelt wrong, or names the source of another one.
    """
    found = [parse(entry) for entry in _entries(entries)]
    names = [source.name for source in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{twice[0]}: is named twice; name it once")
    return found


def _entries(entries) -> list:
    if entries is None:
        return []
    return list(entries) if isinstance(entries, list | tuple) else [entries]


def is_local(name: str) -> bool:
    """Return whether a source is spelt as a path (`./x`, `/x`, `x.parquet`) and not as a hub id."""
    return name.startswith((".", "/")) or bool(ENDING.search(name.split(":")[0]))


def parse_hub(name: str) -> dict[str, Any]:
    """Read `owner/name[@config][:split]`; a split may be a slice, as `train[:90%]`.

    Raises:
        InputError: the source is spelt otherwise.
    """
    match = HUB.fullmatch(name)
    if match is None:
        if Path(name).suffix in PICKLES:
            raise InputError(f"{name}: {PICKLE}")
        raise InputError(f"{name}: neither a path (./folder, x.parquet, x.jsonl) nor a hub id owner/name@config:split")
    return match.groupdict()


def problems(given: dict) -> Iterator[tuple[str, str]]:
    """Yield (flag, what is wrong with it) of flags that no data could mend.

    Args:
        given: flags of prepare_task by name; a flag that is not given is None or absent.
    """
    roles = {role: _entries(given.get(role)) for role in ROLES}
    others = [role for role in ROLES[1:] if roles[role]]
    if BUILT_IN in roles["sft"]:
        if len(roles["sft"]) > 1:
            yield "sft", f"{BUILT_IN} stands alone; leave out the other sources"
        for role in others:
            yield role, f"is not needed: sft is {BUILT_IN}, which makes all roles itself"
        yield from _numbers(given)
    else:
        if given.get("answer_words") is not None:
            yield "answer_words", f"is of {BUILT_IN} only, which sft is not"
        for role in others:
            if BUILT_IN in roles[role]:
                yield role, f"only sft can be {BUILT_IN}"
        if not any(roles[role] for role in ROLES[:3]):
            yield "sft", "is missing: name a source of sft, of prompts or of preferences"
        if "eval_prompts" not in others and given.get("num_eval_prompts") is None:
            yield "num_eval_prompts", "is missing: how many prompts to hold out; or name a source of eval_prompts"
    if "eval_preferences" in others and "preferences" not in others:
        yield "eval_preferences", "is of use only beside preferences"
    if {"preferences", "eval_prompts"} <= set(others) and "eval_preferences" not in others:
        yield "eval_preferences", "is missing: no pair of the preferences may have one of the eval_prompts"


def _numbers(given: dict) -> Iterator[tuple[str, str]]:
    names = ("num_sft", "num_prompts", "num_eval_prompts")
    missing = [name for name in names if given.get(name) is None]
    for name in missing:
        yield name, f"is missing; sft is {BUILT_IN}, which makes as many as it is told"
    if not missing and (total := sum(given[name] for name in names)) > (there := instructions.available()):
        yield (
            "num_sft",
            f"is too many: with num_prompts and num_eval_prompts {total}, and {BUILT_IN} has {there} prompts",
        )
