"""1 if the last number of the response is the row's number, else 0. Reads `fields[field]`.

The field is a number or a text, whose last number counts. Thousands may be parted by commas. Two numbers are equal if
they differ by at most `tolerance`. A response without a number gets 0.
"""

import dataclasses
import math
import re

from preference.files import conversations
from preference.rewards import verifiers
from preference.running.stage import InputError

# A sign counts only if nothing stands before it, so that 5-3 ends with 3. Digits of a word such as x2 are no number.
NUMBER = re.compile(r"(?<![\w.])([-+−]?)((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)((?:[eE][-+]?\d+)?)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward:
    """The field of the data that holds the right number, and the largest difference that counts as none."""

    field: str = "answer"
    tolerance: float = 0.0

    def __post_init__(self):
        if not 0 <= self.tolerance < math.inf:
            raise InputError(f"tolerance: {self.tolerance} must be at least 0")

    def __call__(self, row: dict) -> float:
        """Return the reward of a row."""
        right = verifiers.field_of(row, self.field)
        expected = last_number(str(right))
        if expected is None:
            raise InputError(f"prompt_id {row['prompt_id']}: field '{self.field}' is {right!r:.60}, without a number")
        found = last_number(conversations.text(row["response"]))
        return float(found is not None and abs(found - expected) <= self.tolerance)


def last_number(text: str) -> float | None:
    """Return the last finite number of a text; None if there is none."""
    for sign, digits, exponent in reversed(NUMBER.findall(text)):
        number = float(sign.replace("−", "-") + digits.replace(",", "") + exponent)
        if math.isfinite(number):
            return number
    return None
