"""The tables of an experiment as CSV: reading and writing them, how an interval is printed, what it says about SFT."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from preference.files import artifacts
from preference.files.columns import Table
from preference.running.stage import InputError

MEAN = "mean"  # what stands in the column `seed` of a row that averages over several seeds
SFT = "sft"  # the run name of the policy that every run starts from
NAMES = {"task": str, "run": str, "seed": str, "metric": str, "judged_by": str, "above_sft": str}
NAMES |= dict.fromkeys(("question", "against", "cell", "differs"), str)


def read_evaluation(path: Path | str) -> dict:
    """Read an evaluation.json; anything else is an InputError that names the file."""
    content = artifacts.read_json(path)
    if not isinstance(content.get("metrics"), dict):
        raise InputError(f"{path}: has no 'metrics', so it is not an evaluation")
    for name, metric in content["metrics"].items():
        if not {"mean", "low", "high"} <= metric.keys():
            raise InputError(f"{path}: metric '{name}' lacks one of mean, low, high")
    return content


def read_csv(path: Path | str, columns: list[str]) -> pd.DataFrame:
    """Read a table with these columns (and maybe more); empty cells are NaN, names stay text."""
    artifacts.check_manifest(path)
    try:
        # a run may be called 'NA' or '007': only an empty cell is missing, and a name is not a number
        frame = pd.read_csv(path, dtype=NAMES, keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError) as error:
        raise artifacts.damaged(path, f"is not a table ({error})") from None
    if missing := [name for name in columns if name not in frame.columns]:
        raise InputError(f"{path}: has no column '{missing[0]}'")
    if frame.empty:
        raise InputError(f"{path}: has no rows")
    return frame


def write_csv(path: Path | str, table: Table, frame: pd.DataFrame, made_by: dict, axes: Iterable[str] = ()) -> None:
    """Write a table of `tables` and its manifest, with six significant digits; every column must be declared there.

    Args:
        axes: columns that the config names.
    """
    table.check(frame.columns, axes)
    artifacts.write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"), made_by)


def prompt_means(rows: list[dict], column: str) -> dict[str, float]:
    """Map prompt_id to the mean of a column over its samples, sorted by id; rows without a value are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if row[column] is not None:
            values.setdefault(row["prompt_id"], []).append(row[column])
    # sorted, so that the order of the rows does not show in the last bits of a mean
    return {prompt: float(np.mean(sorted(values[prompt]))) for prompt in sorted(values)}


def aligned(means_by_seed: list[dict[str, float]], what: str) -> np.ndarray:
    """Means by prompt_id of each seed as (seeds, prompts), columns sorted by id; (0, 0) where none has any."""
    if not any(means_by_seed):
        return np.empty((0, 0))
    prompts = sorted(means_by_seed[0])
    for means in means_by_seed:
        if means.keys() != means_by_seed[0].keys():
            raise InputError(f"{what} is known for other prompts in one seed than in another; evaluate them again")
    return np.array([[means[prompt] for prompt in prompts] for means in means_by_seed])


def labelled(labels: tuple[str, ...], parts: int, flag: str) -> list[tuple[str, ...]]:
    """Split labels such as 'task/run/seed' at their slashes; a label with another number of parts is an InputError."""
    split = [tuple(label.split("/")) for label in labels]
    for label, names in zip(labels, split, strict=True):
        if len(names) != parts or not all(names):
            raise InputError(f"--{flag}: '{label}' has not the {parts} parts of {'/'.join(['…'] * parts)}")
    if len(set(split)) != len(split):
        raise InputError(f"--{flag}: a label occurs twice")
    return split


def labelled_paths(values: tuple[str, ...], parts: int, flag: str) -> list[tuple[tuple[str, ...], str]]:
    """Split LABEL=PATH, and the label at its slashes."""
    if wrong := [value for value in values if "=" not in value]:
        raise InputError(f"--{flag}: '{wrong[0]}' is not LABEL=PATH")
    labels, paths = zip(*(value.split("=", 1) for value in values), strict=True) if values else ((), ())
    return list(zip(labelled(labels, parts, flag), paths, strict=True))


def shown(mean: float, low: float, high: float) -> str:
    """An interval in words: mean [low, high], no finer than its width warrants."""
    if math.isnan(mean):
        return "–"
    if math.isnan(low) or math.isnan(high):
        return f"{mean:.3g}"
    places = decimals(mean, low, high)
    return f"{_fixed(mean, places)} [{_fixed(low, places)}, {_fixed(high, places)}]"


def decimals(mean: float, low: float, high: float) -> int:
    """Decimals that split the width of an interval into 5 to 50 steps; a width of a rounding error is none.

    A point is shown with three digits.
    """
    width = high - low
    digits = -math.floor(math.log10(width / 5)) if width > 1e-9 * abs(mean) else 2 - _magnitude(mean)
    return min(max(digits, 0), 6)


def _magnitude(number: float) -> int:
    return math.floor(math.log10(abs(number))) if number else 0


def _fixed(number: float, places: int) -> str:
    text = f"{number:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text  # no '-0.00'


def verdict(low: float, high: float) -> str:
    """Whether a difference lies above zero: yes, no (it lies below), or unclear (its interval holds zero)."""
    return "yes" if low > 0 else "no" if high < 0 else "unclear"
