"""1 if the whole response is JSON, else 0. Reads no field.

`type` asks for an `object` or an `array`; `any` takes every value, a bare number or text too. NaN and Infinity are not
JSON. White space around the value does not count, and a fence of three backticks makes it no JSON.
"""

import dataclasses
import json

from preference.files import conversations
from preference.running.stage import InputError

TYPES = {"any": object, "object": dict, "array": list}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward:
    """The type that the value must have."""

    type: str = "any"

    def __post_init__(self):
        if self.type not in TYPES:
            raise InputError(f"type: {self.type!r} is not one of {', '.join(TYPES)}")

    def __call__(self, row: dict) -> float:
        """Return the reward of a row."""
        try:
            value = json.loads(conversations.text(row["response"]), parse_constant=_refuse)
        except (ValueError, RecursionError):
            return 0.0
        return float(isinstance(value, TYPES[self.type]))


def _refuse(name: str):
    raise ValueError(f"{name} is not JSON")
