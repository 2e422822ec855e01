"""Make the command line of a stage from its flags.

This is argparse and no library that makes a command line from a pydantic model, for three reasons:

* A stage starts hundreds of times in an experiment. pydantic takes 0.12 s of a processor to import, pydantic-settings
  0.21 s in all, argparse 0.01 s more than Python alone. tyro was not measured.
* A mistake is one line in a log that names the flag. pydantic-settings prints a list of several lines, tyro a box.
* A flag, its key in a config and its field have exactly one name, a switch has no `--no-` form, and several values
  follow one flag.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable

from preference.running import flags as declared
from preference.running import ranges


def parse(flags_class, argv: list[str], description: str | None = None):
    """Make the dataclass of flags from a list of arguments; a wrong one ends the program with one line."""
    return flags_class(**values(flags_class, argv, description))


def values(flags_class, argv: list[str], description: str | None = None) -> dict:
    """Return flag -> value, of the right type but perhaps out of range; a wrong flag ends the program with one line."""
    parser = _OneLineParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = declared.types_of(flags_class)
    for field in dataclasses.fields(flags_class):
        name = field.name if field.metadata["form"] == "operand" else f"--{field.name}"
        parser.add_argument(name, **_argument(field, kinds[field.name]))
    return vars(parser.parse_args(argv))


class _OneLineParser(argparse.ArgumentParser):
    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def _argument(field: dataclasses.Field, kind) -> dict:
    help = _help(field, kind).replace("%", "%%")
    if field.metadata["form"] == "switch":
        return {"action": "store_true", "help": help}
    required = field.default is dataclasses.MISSING
    of_value = declared.value_type(kind)
    parsers: dict[type, Callable[[str], object]] = {bool: _boolean, float: _finite}
    parser = parsers.get(of_value, of_value)
    argument = {"type": parser, "choices": field.metadata["choices"], "help": help}
    if field.metadata["form"] == "option":
        argument |= {"required": True} if required else {"default": field.default}
    if declared.takes_several(kind):
        argument |= {"nargs": "+", "action": _StoreTuple}
    return argument | {"metavar": None if argument["choices"] else field.name.upper()}


def _help(field: dataclasses.Field, kind) -> str:
    """Return the description of a flag with its unit, range and default."""
    interval, has_value = ranges.of(kind), field.metadata["form"] != "switch"
    facts = [field.metadata["unit"], ranges.words(interval) if interval else None]
    if has_value and field.default is not dataclasses.MISSING:
        facts.append(f"default: {field.default}")
    details = "; ".join(filter(None, facts))
    return field.metadata["description"] + (f" ({details})" if details else "")


class _StoreTuple(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, tuple(values))


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return text == "true"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


_finite.__name__ = "float"  # argparse names the type that a text is no value of
