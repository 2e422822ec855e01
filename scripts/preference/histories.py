"""Histories of a bandit's cells as arrays, and one number of each seed's history.

A run that was not finite at some step counts in no mean, at no step: a mean over other seeds before and after would
jump where none of them did.
"""

from dataclasses import dataclass

import numpy as np

from preference import records
from preference.measures import TITLES
from preference.stage import InputError


@dataclass(frozen=True)
class History:
    """What was measured of every seed of a cell at the same steps."""

    path: str
    seeds: tuple[int, ...]
    steps: np.ndarray  # (steps,)
    queries: np.ndarray  # (steps,), of the reward, so far
    learning_rate: float
    beta: float | None
    diverged: np.ndarray  # (seeds,)
    measures: dict[str, np.ndarray]  # (seeds, steps); NaN where not measured, and where a run is not finite any more

    def finite(self, measure: str) -> np.ndarray:
        """A measure of the seeds that stayed finite, shape (finite seeds, steps)."""
        return self.measures[measure][~self.diverged]


def read(path: str) -> History:
    """Read a history.parquet; one whose seeds were not all recorded at the same steps is an InputError."""
    rows = sorted(records.read(path, "history"), key=lambda row: (row["seed"], row["step"]))
    seeds, steps = (sorted({row[key] for row in rows}) for key in ("seed", "step"))
    if [(row["seed"], row["step"]) for row in rows] != [(seed, step) for seed in seeds for step in steps]:
        raise InputError(f"{path}: not every seed has each of the {len(steps)} steps once")
    for key in ("learning_rate", "beta"):
        if len(found := {row[key] for row in rows}) > 1:
            raise InputError(f"{path}: column '{key}' has {len(found)} values; a cell has one, the chosen")

    def column(key: str, kind) -> np.ndarray:
        return np.array([row[key] for row in rows], dtype=kind).reshape(len(seeds), len(steps))

    queries = column("queries", int)
    if (queries != queries[0]).any():
        raise InputError(f"{path}: column 'queries' differs between seeds at one step")
    return History(
        path=str(path),
        seeds=tuple(seeds),
        steps=np.array(steps),
        queries=queries[0],
        learning_rate=rows[0]["learning_rate"],
        beta=rows[0]["beta"],
        diverged=column("diverged", bool).any(axis=1),
        measures={name: column(name, float) for name in TITLES},
    )


def measured(history: History, measure: str) -> np.ndarray:
    """At which steps a measure is known of every seed that stayed finite, shape (steps,); at none where none did."""
    values = history.finite(measure)
    return np.isfinite(values).all(axis=0) & (len(values) > 0)


def final(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The last value of each seed, shape (seeds,)."""
    return values[:, -1]


def area(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean over steps of each seed: the area under its curve, by trapezia, divided by the steps."""
    if len(steps) == 1:
        return values[:, 0]
    return np.trapezoid(values, steps, axis=1) / (steps[-1] - steps[0])


def change(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How much larger each seed's last value is than its first."""
    return values[:, -1] - values[:, 0]


def steps_to(steps: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """The first recorded step at which each seed is at least at a level; the last step where it never is."""
    reached = values >= level
    return np.where(reached.any(axis=1), steps[reached.argmax(axis=1)], steps[-1]).astype(float)


def labelled(values: tuple[str, ...], flag: str) -> dict[str, str]:
    """Map each label of LABEL=PATH to its path; a label that is missing or occurs twice is an InputError."""
    found: dict[str, str] = {}
    for value in values:
        label, separator, path = value.partition("=")
        if not (label and separator and path):
            raise InputError(f"--{flag}: '{value}' is not LABEL=PATH")
        if label in found:
            raise InputError(f"--{flag}: the label '{label}' occurs twice")
        found[label] = path
    return found
