"""Minus the distance of the response's length to a target (arXiv 2404.14367, section 4.2)."""

import dataclasses

from preference.rewards import lengths
from preference.running.stage import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward(lengths.Length):
    """-| |y| - target |."""

    target: int

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.target <= 10**9:
            raise InputError(f"target: {self.target} must be from 1 to 1000000000")

    def __call__(self, row: dict) -> float:
        """Return the reward of a row."""
        return float(-abs(self.length(row) - self.target))
