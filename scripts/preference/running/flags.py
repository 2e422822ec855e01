"""Declare the flags of a stage, each once: type, range, unit, default, choices and description.

A script's `Flags` are a pydantic dataclass: a field is a flag, its type has the range (see ranges), `flag` adds the
rest. Flags that scripts share are plain dataclasses, which planning imports without pydantic; the script's own class
checks them, too. The command line, its help, the config's schema and the reference pages are made from these
declarations. Rules between flags stand in the class as `rules` (see rules).
"""

import copy
import dataclasses
import types
import typing

from preference.running import ranges


def flag(
    description: str,
    default=dataclasses.MISSING,
    choices: tuple | None = None,
    form: str = "option",
    folder: str | None = None,
    runtime: bool = False,
    config: bool = True,
    unit: str | None = None,
) -> typing.Any:  # a field, where a value of the flag's type is expected
    """Declare one command-line option; without a default it is required.

    Args:
        form: an "operand" is known by its place and has no name; a "switch" takes no value and is true if it is given.
        folder: what an output holds that is a folder: a "model", which is replaced as a whole, or "tables".
        runtime: it steers how a stage runs and not what it makes, so it is not recorded and makes nothing stale.
        config: a config may set it. False for what the workflow fills in: files, the seed, what a task says.
        unit: what a number counts or measures, such as tokens.
    """
    told = {"choices": choices, "form": form, "folder": folder, "runtime": runtime, "config": config, "unit": unit}
    return dataclasses.field(default=default, metadata={"description": description, **told})  # pydantic reads the first


def derived(flags, **values):
    """Return flags with other values, which may be out of range: a seed that a stage derives has 64 bits."""
    changed = copy.copy(flags)
    for name, value in values.items():
        object.__setattr__(changed, name, value)  # flags are frozen
    return changed


def types_of(flags_class) -> dict[str, object]:
    """Return flag -> its type, with its range."""
    return typing.get_type_hints(flags_class, include_extras=True)


def value_type(kind) -> type:
    """Return the type of one value of a flag, without its range, None and the tuple around several."""
    if typing.get_origin(kind) is typing.Annotated:
        return value_type(typing.get_args(kind)[0])
    if parts := [part for part in typing.get_args(kind) if part not in (types.NoneType, ...)]:
        return value_type(parts[0])
    return kind


def takes_several(kind) -> bool:
    """Say whether a flag takes one value or more."""
    return typing.get_origin(kind) is tuple or any(map(takes_several, typing.get_args(kind)))


def is_output(field: dataclasses.Field) -> bool:
    """Say whether a flag names a file or folder that the stage writes."""
    return field.name.endswith("output")


def problems(flags_class, values: dict):
    """Yield what is wrong with the values of flags that have the right types: a number outside its range."""
    try:
        flags_class(**values)
    except ValueError as error:  # pydantic's
        kinds = types_of(flags_class)
        for wrong in error.errors(include_url=False):  # type: ignore[attr-defined]
            name = wrong["loc"][0]
            interval = ranges.of(kinds[name])
            assert interval, f"--{name}: {wrong}"
            yield f"--{name} {wrong['input']}: must be {ranges.words(interval)}"
