"""Histories of cells as arrays, of bandits and of language models' runs, and one number of each seed's history.

A run that was not finite at some step counts in no mean, at no step: a mean over other seeds before and after would
jump where none of them did.
"""

from dataclasses import dataclass

import numpy as np

from preference.analysis import measures
from preference.files import records, summaries
from preference.running.stage import InputError


@dataclass(frozen=True)
class History:
    """What was measured of every seed of a cell at the same steps."""

    path: str
    seeds: tuple[int, ...]
    steps: np.ndarray  # (steps,); of a language model's run their mean over seeds
    queries: np.ndarray  # (steps,), of the reward, so far
    learning_rate: float | None  # of a language model's run, the config says them
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
        diverged=np.any(column("diverged", bool), axis=1),
        measures={name: column(name, float) for name in measures.OF_BANDITS},
    )


def read_runs(paths: dict[str, str]) -> History:
    """The history of a language model's run from the metrics.csv of each of its seeds: seed -> path.

    A step is a round's last: where pairs tie, one seed may have taken a step less than another, and the mean counts.
    What not every round of every seed has, such as a gold reward, is no measure of the run's.
    """
    tables = [summaries.read_csv(path, ["round", "step", "queries"]) for path in paths.values()]
    for path, table in zip(paths.values(), tables, strict=True):
        if list(table["round"]) != list(tables[0]["round"]):
            raise InputError(f"{path}: has other rounds than {next(iter(paths.values()))}")
    columns = {measure.name: measure.column.name for measure in measures.of(measures.MODELS) if measure.title}
    known = {name: column for name, column in columns.items() if all(column in table for table in tables)}
    taken = {name: np.stack([table[column].to_numpy(float) for table in tables]) for name, column in known.items()}
    return History(
        path=next(iter(paths.values())),
        seeds=tuple(int(seed) for seed in paths),
        steps=np.mean([table["step"] for table in tables], axis=0),
        queries=np.mean([table["queries"] for table in tables], axis=0),
        learning_rate=None,
        beta=None,
        diverged=np.zeros(len(tables), dtype=bool),  # a training that diverges ends the workflow, and has no metrics
        measures={name: values for name, values in taken.items() if np.isfinite(values).all()},
    )


def read_all(histories: tuple[str, ...], metrics: tuple[str, ...]) -> tuple[dict[str, History], dict]:
    """The cells that a stage was told of, --histories LABEL=history.parquet or --metrics LABEL/SEED=metrics.csv.

    Returns:
        (label -> history, what provenance.describe is told: the input files by flag, and `labels`, whose they are).
    """
    if bool(histories) == bool(metrics):
        raise InputError("--histories, --metrics: give one of the two")
    flag, values = ("histories", histories) if histories else ("metrics", metrics)
    paths = labelled(values, flag)
    if histories:
        read_each = {label: read(path) for label, path in paths.items()}
    else:
        read_each = {label: read_runs(of_seeds) for label, of_seeds in _by_seed(paths).items()}
    return read_each, {"inputs": {flag: tuple(paths.values())}, "labels": list(paths)}


def _by_seed(paths: dict[str, str]) -> dict[str, dict[str, str]]:
    """Map each label of LABEL/SEED to the path of each of its seeds."""
    found: dict[str, dict[str, str]] = {}
    for name, path in paths.items():
        label, _, seed = name.rpartition("/")
        if not (label and seed.isdigit()):
            raise InputError(f"--metrics: '{name}' is not LABEL/SEED")
        found.setdefault(label, {})[seed] = path
    return found


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
