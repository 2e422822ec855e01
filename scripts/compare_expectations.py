"""Make expectations.csv and .txt: did on-policy data and a negative gradient help as the task's geometry let expect?

A task's cell is the one that diagnose_geometry placed more than half of its seeds in; what the paper (arXiv 2404.14367)
expects there is geometry.EXPECTED. A contrast is two runs of the task: one has what is asked after, the other has not.
Their difference in final reward, gold where the task has one and else learned, is taken seed by seed; its mean has a
95 % t interval. The rule, fixed before any result was looked at:

* It helps where the interval lies above zero, hurts where it lies below, and no difference is seen where it holds zero.
  One seed has no interval: undecided.
* A difference is small up to a quarter of the way from the SFT policy that the run which moved further went.
* `much` came as expected where it helps, and did not where it hurts or where the whole interval is small.
* `some` came as expected where it helps, even if by little, and did not where it hurts or where the whole interval is
  small and holds zero.
* `little` came as expected where the whole interval is small, and did not where all of it is more than small.
* All else is undecided: an interval that holds both zero and more than what is small speaks for neither.

expectations.csv  a row per contrast
expectations.txt  the same to read, by task and question
"""

import itertools
import textwrap
from collections import Counter

import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis import geometry, intervals, measures
from preference.analysis.geometry import Expectation
from preference.files import artifacts, provenance, summaries, tables
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError

WIDTH = 100
SMALL = 0.25
YES, NO, UNDECIDED, NO_EXPECTATION = "yes", "no", "undecided", "no expectation"
SCATTERED = Expectation(None, "no cell holds more than half of the seeds")

Ends = tuple[float, float]  # a reward of the SFT policy, and after a run's last round


@dataclass(frozen=True)
class Flags:
    geometries: tuple[str, ...] = flag("task/seed=geometry.json of each SFT policy")
    metrics: tuple[str, ...] = flag("task/run/seed=metrics.csv of every run of a contrast")
    contrasts: tuple[str, ...] = flag("task/question/run/against=what else differs, in words, or nothing")
    output: str = flag("expectations.csv to write")
    text_output: str = flag("expectations.txt to write")


def main(flags: Flags) -> None:
    geometries = summaries.labelled_paths(flags.geometries, 2, "geometries")
    metrics = summaries.labelled_paths(flags.metrics, 3, "metrics")
    cells = {label: read_cell(path) for label, path in geometries}
    ends = {label: read_ends(path) for label, path in metrics}
    contrasts = summaries.labelled_paths(flags.contrasts, 4, "contrasts")
    rows = [
        judge(task, question, run, against, differs, cells, ends)
        for (task, question, run, against), differs in contrasts
    ]

    files = {"geometries": geometries, "metrics": metrics}
    inputs = {name: tuple(path for _, path in labelled) for name, labelled in files.items()}
    made_by = provenance.describe(__file__, flags, inputs, labels=["/".join(label) for label in (*cells, *ends)])
    summaries.write_csv(flags.output, tables.EXPECTATIONS, pd.DataFrame(rows), made_by)
    artifacts.write_text(flags.text_output, text := as_text(rows), made_by)
    print(text)


def read_cell(path: str) -> str:
    """The name of the cell in a geometry.json."""
    cell = artifacts.read_json(path).get("cell", "")
    if cell not in geometry.CELLS.values():
        raise InputError(f"{path}: names no cell, so it is not diagnose_geometry's")
    return cell


def read_ends(path: str) -> dict[str, Ends]:
    """The rewards of round 0, which is the SFT policy, and of the last round, by name; the gold one if it is there."""
    rounds = summaries.read_csv(path, ["round", "reward"]).set_index("round").sort_index()
    if rounds.index[0] != 0 or len(rounds) < 2:
        raise InputError(f"{path}: wants round 0, which is the SFT policy, and a later one")
    ends = rounds.filter(measures.REWARDS).iloc[[0, -1]].dropna(axis="columns")
    return {name: (float(ends[name].iloc[0]), float(ends[name].iloc[-1])) for name in ends}


def judge(task: str, question: str, run: str, against: str, differs: str, cells: dict, ends: dict) -> dict:
    """The line of one contrast."""
    if question not in geometry.QUESTIONS:
        raise InputError(f"--contrasts: '{question}' is not one of {', '.join(geometry.QUESTIONS)}")
    seeds = seeds_of(task, run, against, cells, ends)
    name, count = majority([cells[task, seed] for seed in seeds])
    expectation = geometry.expected(name, question) if name else SCATTERED
    judged_by = judge_of(task, [(run, seed) for seed in seeds] + [(against, seed) for seed in seeds], ends)
    ours, theirs = ([ends[task, each, seed][judged_by] for seed in seeds] for each in (run, against))
    return {
        **{"task": task, "question": question, "run": run, "against": against, "differs": differs},
        **{"cell": name or "", "in_cell": count, "seeds": len(seeds)},
        **{"expected": expectation.helps or "unknown", "because": expectation.because, "judged_by": judged_by},
        **compare(ours, theirs, expectation.helps),
    }


def seeds_of(task: str, run: str, against: str, cells: dict, ends: dict) -> list[str]:
    """The seeds of a contrast, which both runs and the task's geometry have."""
    ours, theirs = ([seed for t, name, seed in ends if (t, name) == (task, each)] for each in (run, against))
    if not ours or set(ours) != set(theirs):
        raise InputError(f"--metrics: has {len(ours)} seeds of {task}/{run} and {len(theirs)} of {task}/{against}")
    if missing := [seed for seed in ours if (task, seed) not in cells]:
        raise InputError(f"--geometries: has no {task}/{missing[0]}, which {task}/{run} was made with")
    return ours


def judge_of(task: str, labels: list[tuple[str, str]], ends: dict) -> str:
    """The reward that a contrast is judged by: the gold one, which then all of its runs and seeds have."""
    without = [f"{task}/{run}/{seed}" for run, seed in labels if "gold_reward" not in ends[task, run, seed]]
    if without and len(without) < len(labels):
        raise InputError(f"--metrics: {without[0]} has no gold_reward, which others of the task have")
    return "reward" if without else "gold_reward"


def majority(names: list[str]) -> tuple[str | None, int]:
    """The cell of more than half of the seeds, None where there is none; and how many the most frequent one holds."""
    name, count = Counter(names).most_common(1)[0]
    return (name if 2 * count > len(names) else None), count


def compare(ours: list[Ends], theirs: list[Ends], expected: str | None) -> dict:
    """What the rewards of two runs come to, seed by seed, and whether that is what was expected."""
    mean, low, high = intervals.student([one[1] - other[1] for one, other in zip(ours, theirs, strict=True)])
    gains = [sum(last - first for first, last in ends) / len(ends) for ends in (ours, theirs)]
    small = SMALL * max(map(abs, gains))
    return {
        **{"run_minus_sft": gains[0], "against_minus_sft": gains[1]},
        **{"difference": mean, "low": low, "high": high, "small": small},
        **{"found": found(low, high), "as_expected": as_expected(expected, low, high, small)},
    }


def found(low: float, high: float) -> str:
    """What the interval of a difference says; of one seed it is NaN, for which no comparison holds."""
    if low > 0:
        return "helps"
    if high < 0:
        return "hurts"
    return "no difference seen" if low <= 0 <= high else UNDECIDED


def as_expected(expected: str | None, low: float, high: float, small: float) -> str:
    """Whether a difference with this interval is what was expected, by the rule above."""
    is_small = -small <= low and high <= small
    if expected is None:
        return NO_EXPECTATION
    if expected == "little":
        is_more = low > small or high < -small
        return YES if is_small else NO if is_more else UNDECIDED
    if high < 0 or (is_small and (expected == "much" or low <= 0)):
        return NO
    return YES if low > 0 else UNDECIDED


def as_text(rows: list[dict]) -> str:
    """expectations.csv to read: what is expected of each task and question, and what each contrast says of it."""
    lines = []
    for (task, question), grouped in itertools.groupby(rows, key=lambda row: (row["task"], row["question"])):
        group = list(grouped)
        where = f"in {group[0]['cell'] or 'no one cell'} ({group[0]['in_cell']} of {group[0]['seeds']} seeds)"
        expected = f"{question}, expected to help: {group[0]['expected']} ({group[0]['because']})"
        lines += [f"{task} {where}", *wrapped(expected, 2), ""]
        lines += itertools.chain.from_iterable(map(of_contrast, group))
    return "\n".join(lines)


def of_contrast(row: dict) -> list[str]:
    """One contrast: what was found, whether it was expected, and the numbers."""
    difference = summaries.shown(row["difference"], row["low"], row["high"])
    moved = f"{row['run_minus_sft']:.3g} and {row['against_minus_sft']:.3g} from SFT, so {row['small']:.3g} is small"
    differs = wrapped(f"also differ: {row['differs']}", 6) if row["differs"] else []
    return [
        f"    {row['run']} against {row['against']}: {row['found']}; as expected: {row['as_expected']}",
        *wrapped(f"difference in {measures.SHORT[row['judged_by']]} {difference}; they moved {moved}", 6),
        *differs,
        "",
    ]


def wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


if __name__ == "__main__":
    stage.run(main, Flags)
