"""Rewards of a response's length |y| (arXiv 2404.14367, section 4.2). Standard library only."""

import dataclasses
import re
from collections.abc import Callable

from preference.files import conversations
from preference.running.stage import InputError

UNITS: dict[str, Callable[[dict], int]] = {  # the length of a row of kind "responses"
    "tokens": lambda row: row["num_tokens"],  # without the end token
    "characters": lambda row: len(conversations.text(row["response"])),
    "words": lambda row: len(re.findall(r"\w+", conversations.text(row["response"]))),  # runs of letters, digits and _
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Length:
    """The unit that a length is counted in: tokens, characters or words."""

    unit: str = "tokens"

    def __post_init__(self):
        if self.unit not in UNITS:
            raise InputError(f"unit: {self.unit!r} is not one of {', '.join(UNITS)}")

    def length(self, row: dict) -> int:
        """Return the length of a row's response in the unit."""
        return UNITS[self.unit](row)
