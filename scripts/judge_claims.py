"""Make claims.csv and claims.txt: what the runs say of each claim, by the rule that the claim fixed beforehand.

A claim's statistic is one number per seed, paired by seed wherever cells are compared; its mean over seeds has a 95 %
t interval. The claim holds where the interval lies inside its rule, does not hold where it lies outside, and is
undecided where it straddles, where a run of its cells diverged, or where there is but one seed. See preference/claims.

claims.csv  a row per claim
claims.txt  the same to read, by experiment
"""

import ast
import json
import operator
import textwrap
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis import claims, histories, intervals
from preference.analysis.claims import Claim, Value
from preference.analysis.histories import History
from preference.files import artifacts, provenance, summaries, tables
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError

WIDTH = 100
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
COMBINED: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "min": np.min, "max": np.max}
SAID = ["id", "claim", "source", "experiment", "statistic", "rule"]


@dataclass(frozen=True)
class Flags:
    claims: str = flag("the claims, a list, as JSON")
    output: str = flag("claims.csv to write")
    text_output: str = flag("claims.txt to write")
    histories: tuple[str, ...] = flag("EXPERIMENT/LABEL=history.parquet of every cell that a claim names", default=())
    metrics: tuple[str, ...] = flag("of language models, EXPERIMENT/LABEL/SEED=metrics.csv of every seed", default=())


def main(flags: Flags) -> None:
    try:
        found = claims.parse_all(json.loads(flags.claims))
    except json.JSONDecodeError as error:
        raise InputError(f"--claims: not JSON ({error})") from None
    read, sources = histories.read_all(flags.histories, flags.metrics)
    for claim in found:
        claims.check_cells(claim, cells_of(read))
    rows = [judge(claim, {name: read[name] for name in claim.cell_names()}) for claim in found]

    made_by = provenance.describe(__file__, flags, **sources)
    summaries.write_csv(flags.output, tables.CLAIMS, pd.DataFrame(rows, columns=tables.CLAIMS.names), made_by)
    artifacts.write_text(flags.text_output, text := as_text(rows), made_by)
    print(text)


def cells_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Map each experiment to its labels."""
    found: dict[str, list[str]] = {}
    for name in names:
        experiment, slash, label = name.partition("/")
        if not slash:
            raise InputError(f"--histories, --metrics: '{name}' is not EXPERIMENT/LABEL")
        found.setdefault(experiment, []).append(label)
    return found


def judge(claim: Claim, cells: dict[str, History]) -> dict:
    """The line of one claim."""
    seeds = next(iter(cells.values())).seeds
    if other := [history.path for history in cells.values() if history.seeds != seeds]:
        raise InputError(f"{other[0]}: has other seeds than the other cells of claim '{claim.id}'")
    values = per_seed(claim, cells)
    mean, low, high = intervals.student(values)
    complete = len(values) == len(seeds) > 1
    found = claims.verdict(low, high, claim.bounds) if complete else claims.UNDECIDED
    said = {key: getattr(claim, key) for key in SAID}
    numbers = {"mean": mean, "low": low, "high": high, "seeds": len(values)}
    return said | numbers | {"verdict": found, "note": "; ".join(notes(claim, cells, len(values)))}


def per_seed(claim: Claim, cells: dict[str, History]) -> np.ndarray:
    """The statistic of every seed that stayed finite in all cells and divides by nothing, shape (those seeds,)."""
    kept = stayed_finite(cells)
    if not kept.any():
        return np.empty(0)
    values = {name: value_of(claim.value, history, kept, claim) for name, history in cells.items()}
    other = claim.against
    against = {name: value_of(other, h, kept, claim) for name, h in cells.items()} if other else None
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.broadcast_to(evaluate(claim.of, values, against), kept.sum())
    return found[np.isfinite(found)]


def stayed_finite(cells: dict[str, History]) -> np.ndarray:
    return ~np.any([history.diverged for history in cells.values()], axis=0)


def notes(claim: Claim, cells: dict[str, History], counted: int) -> list[str]:
    """Why a verdict is open where it is, and which runs never got to a level."""
    found, kept = [], stayed_finite(cells)
    for name, history in cells.items():
        if history.diverged.any():
            found.append(f"{history.diverged.sum()} of {len(kept)} runs of {name} diverged")
        if claim.value.kind == "steps_to":
            reached = (history.measures[claim.value.measure][kept] >= claim.value.level).any(axis=1)
            found += [] if reached.all() else [f"{(~reached).sum()} of {len(kept)} runs of {name} never get there"]
    if counted < kept.sum():
        found.append(f"{kept.sum() - counted} of {len(kept)} seeds would divide by zero")
    return found + (["one seed has no interval"] if len(kept) == 1 else [])


def value_of(value: Value, history: History, kept: np.ndarray, claim: Claim) -> np.ndarray:
    """What the histories of the kept seeds come down to, shape (kept seeds,)."""
    nowhere = np.full((len(kept), len(history.steps)), np.nan)
    numbers = history.measures.get(value.measure, nowhere)[kept]
    known = np.isfinite(numbers).all(axis=0)
    if not known.any():
        raise InputError(f"{history.path}: has no {value.measure}, which claim '{claim.id}' is about")
    level = () if value.level is None else (value.level,)
    return getattr(histories, value.kind)(history.steps[known], numbers[:, known], *level)


def evaluate(tree: ast.expr, values: dict[str, np.ndarray], against: dict[str, np.ndarray] | None) -> np.ndarray:
    """An expression seed by seed, shape (seeds,)."""
    if isinstance(tree, ast.Constant):
        assert isinstance(tree.value, int | float)
        return np.array(float(tree.value))
    if isinstance(tree, ast.Name):
        return values[tree.id]
    parts = [evaluate(part, values, against) for part in claims.parts_of(tree)]
    if isinstance(tree, ast.BinOp):
        return ARITHMETIC[type(tree.op)](*parts)
    if isinstance(tree, ast.UnaryOp):
        return -parts[0]
    assert isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)
    terms = np.stack(np.broadcast_arrays(*parts))
    if tree.func.id in COMBINED:
        return COMBINED[tree.func.id](terms, axis=0)
    if tree.func.id == "slope":
        return slope(np.arange(len(terms))[:, None], terms)
    assert against is not None
    return correlation(np.stack([evaluate(part, against, None) for part in tree.args]), terms)


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The least-squares slope of y on x over the first axis."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return (x * y).sum(axis=0) / (x * x).sum(axis=0)


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's coefficient of x and y over the first axis; no number where either is constant."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))


def as_text(rows: list[dict]) -> str:
    """The claims by experiment: a line of verdict, interval and rule, then the claim and its statistic in words."""
    lines = [f"{claims.tally([line['verdict'] for line in rows])} Means over seeds with 95 % t intervals.", ""]
    widest = max((len(line["id"]) for line in rows), default=0)
    for experiment in dict.fromkeys(line["experiment"] for line in rows):
        lines += [experiment, ""]
        for line in (line for line in rows if line["experiment"] == experiment):
            shown = summaries.shown(line["mean"], line["low"], line["high"])
            lines.append(f"{line['verdict']:<13}  {line['id']:<{widest}}  {shown:<24}  {line['rule']}".rstrip())
            for part in (f"{line['claim']} ({line['source']})", line["statistic"], line["note"]):
                lines += textwrap.wrap(part, WIDTH, initial_indent=" " * 15, subsequent_indent=" " * 17)
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    stage.run(main, Flags)
