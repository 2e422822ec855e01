"""Engines that sample responses. Each module is one, found by its name.

A module has `TRAITS`, and a context manager `sampling(policy, rules, requests, flags)`: it loads the policy and gives a
function that samples some of the requests. `flags` are those of samplers. Planning reads the traits of every engine, so
a module imports only the standard library at its top, and the library that samples inside its functions.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preference.running.stage import InputError, Progress

Request = tuple[str, list[int]]  # "<prompt_id>/<sample_id>", prompt ids: one response is asked for
Sample = Callable[[list[Request], Progress], list[list[int]]]  # returns the ids of each response


@dataclass(frozen=True)
class Rules:
    """Token ids that end a response, and ids that are never drawn."""

    stops: tuple[int, ...]  # ids that end a response
    textless: tuple[int, ...]  # ids that are never drawn


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Where an engine is installed, and what its jobs ask of a machine. They never change what is sampled."""

    package: str | None = None  # it is installed if this is; None: wherever the stages run
    folder: str | None = None  # a virtual environment of its own beside the project, which its pins need
    missing: str = ""  # the error if it is not installed: how to install it
    per_second: float | None = None  # operations on a GPU, if other than those of torch
    shares_model: bool = False  # among `tensor_parallel_size` GPUs


@functools.cache
def known() -> dict[str, Traits]:
    """Return the name of each engine -> its traits, the fastest first: `auto` is the first that is installed."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    traits = {name: load(name).TRAITS for name in names}
    return dict(sorted(traits.items(), key=lambda named: -(named[1].per_second or 0)))


def load(engine: str):
    """Return the module of an engine."""
    return importlib.import_module(f"{__name__}.{engine}")


def members(engine: str | None) -> list[str]:
    """Return the source files of an engine, which no import statement names; of None there are none."""
    return [f"preference/engines/{engine}.py"] if engine else []


def resolve(engine: str) -> str:
    """Return the engine that samples: the named one, or for "auto" the fastest that is installed.

    Raises:
        InputError: the named one is not installed.
    """
    if engine == "auto":
        return next(name for name, traits in known().items() if _is_installed(traits))
    if not _is_installed(known()[engine]):
        raise InputError(f"--engine {engine}: {known()[engine].missing}")
    return engine


def _is_installed(traits: Traits) -> bool:
    return traits.package is None or importlib.util.find_spec(traits.package) is not None


def until_end(ids: list[int], stops: tuple[int, ...]) -> list[int]:
    """Return the ids up to the first that ends a response and with it; all of them if there is none."""
    return ids[: next((place + 1 for place, each in enumerate(ids) if each in stops), len(ids))]
