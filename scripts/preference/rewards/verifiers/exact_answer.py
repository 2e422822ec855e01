"""1 if the answer that follows a marker is the row's own answer, else 0. Reads `fields[field]`.

The answer is the rest of the line after the last marker, or the next line with text if that rest is blank. White space
around it does not count. A response without the marker gets 0. The row's answer may contain the marker, too, as in
GSM8K, where the solution stands before it; otherwise all of its text counts.
"""

import dataclasses

from preference.files import conversations
from preference.rewards import verifiers
from preference.running.stage import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward:
    """The marker, and the field of the data that holds the right answer."""

    marker: str = "####"
    field: str = "answer"

    def __post_init__(self):
        if not self.marker.strip():
            raise InputError("marker: is empty")

    def __call__(self, row: dict) -> float:
        """Return the reward of a row."""
        right = str(verifiers.field_of(row, self.field))
        expected = self._marked(right) or right.strip()
        return float(self._marked(conversations.text(row["response"])) == expected)

    def _marked(self, text: str) -> str | None:
        """Return what follows the last marker; None if nothing does."""
        _, marker, rest = text.rpartition(self.marker)
        lines = rest.strip().splitlines()
        return lines[0].strip() if marker and lines else None
