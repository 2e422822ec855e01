"""Make metrics.csv of one run and seed, a row per round, from what each round left.

Round 0 is the SFT policy. `step` counts optimizer steps up to the end of a round, `queries` the responses that a reward
judged for it: those that were sampled and, of preferences, both of each pair. Every metric has three columns: NAME,
NAME_low, NAME_high (95 % interval over prompts); a metric that a round does not have is an empty cell.
"""

import itertools

import pandas as pd
from pydantic.dataclasses import dataclass

from preference.files import provenance, records, summaries, tables
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags:
    evaluations: tuple[str, ...] = flag("evaluation.json of the SFT policy, then of round 1, 2, …")
    trainings: tuple[str, ...] = flag("training.csv of round 1, 2, …")
    trained_on: tuple[str, ...] = flag("what round 1, 2, … was trained on, pairs.parquet or rewards.parquet")
    output: str = flag("metrics.csv to write")


def main(flags: Flags) -> None:
    rounds = [summaries.read_evaluation(path)["metrics"] for path in flags.evaluations]
    check_lengths(flags)
    names = dict.fromkeys(name for metrics in rounds for name in metrics)
    columns = ["round", "step", "queries", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    steps = itertools.accumulate(map(steps_of, flags.trainings), initial=0)
    queries = itertools.accumulate(map(queries_of, flags.trained_on), initial=0)
    rows = [
        {"round": number, "step": step, "queries": asked, **_cells(metrics)}
        for number, (metrics, step, asked) in enumerate(zip(rounds, steps, queries, strict=True))
    ]
    inputs = {name: getattr(flags, name) for name in ("evaluations", "trainings", "trained_on")}
    made_by = provenance.describe(__file__, flags, inputs)
    summaries.write_csv(flags.output, tables.RUN, pd.DataFrame(rows, columns=columns), made_by)
    print(f"{len(rows)} rounds, {len(names)} metrics: {', '.join(names)}")


def check_lengths(flags: Flags) -> None:
    rounds = len(flags.evaluations) - 1
    for name in ("trainings", "trained_on"):
        if (found := len(getattr(flags, name))) != rounds:
            raise InputError(f"--{name}: {found} files for {rounds} rounds after SFT")


def steps_of(training: str) -> int:
    """The optimizer steps of a training, a row each."""
    return len(summaries.read_csv(training, ["step"]))


def queries_of(table: str) -> int:
    """How many responses were judged to make what a round was trained on."""
    made_by = records.metadata(table)
    found = made_by.get("queries") if made_by.get("kind") == "pairs" else made_by.get("rows_out")
    if found is None:
        raise InputError(f"{table}: does not say how many responses were judged for it; make it again")
    return found


def _cells(metrics: dict) -> dict[str, float]:
    ends = {"": "mean", "_low": "low", "_high": "high"}
    return {f"{name}{end}": values[key] for name, values in metrics.items() for end, key in ends.items()}


if __name__ == "__main__":
    stage.run(main, Flags)
