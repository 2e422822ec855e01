"""Minus the length of the response: short responses are good (arXiv 2404.14367, section 4.2)."""

import dataclasses

from preference.rewards import lengths


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward(lengths.Length):
    """-|y|."""

    def __call__(self, row: dict) -> float:
        """Return the reward of a row."""
        return float(-self.length(row))
