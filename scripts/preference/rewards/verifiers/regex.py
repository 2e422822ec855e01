"""1 if a regular expression is found in the response, else 0. Reads no field.

`pattern` is searched for as Python's `re.search` does it; `\\A` and `\\Z` tie it to the begin and the end of the text.
"""

import dataclasses
import re
from functools import cached_property

from preference.files import conversations
from preference.running.stage import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward:
    """The regular expression."""

    pattern: str

    def __post_init__(self):
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise InputError(f"pattern: {self.pattern!r} is not a regular expression: {error}") from None

    def __call__(self, row: dict) -> float:
        """Return the reward of a row."""
        return float(self._compiled.search(conversations.text(row["response"])) is not None)

    @cached_property
    def _compiled(self) -> re.Pattern:
        return re.compile(self.pattern)
