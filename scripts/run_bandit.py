"""Train one cell of the bandit lab: history.parquet of its seeds at the grid point that its tuning seeds choose.

Every (learning rate, beta) of the grid is trained on the tuning seeds, the one with the largest mean final reward is
trained on the reported seeds, and both are written: tuning.parquet, history.parquet, and seconds.json, what they cost.
All runs of a pass are one tensor program (arXiv 2404.14367, section 4, on its didactic bandits).
"""

import dataclasses
import itertools
import math
import time

from pydantic.dataclasses import dataclass

from preference.bandits import cells, training
from preference.bandits.cells import Cell
from preference.files import artifacts, documents, provenance, records
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import LearningRate, Positive, Seed
from preference.running.stage import InputError


@dataclass(frozen=True, kw_only=True)
class Flags(Cell):
    output: str = flag("history.parquet to write: the measures of every reported seed, step by step")
    tuning_output: str = flag("tuning.parquet to write: the final reward of every grid point and tuning seed")
    seconds_output: str = flag("seconds.json to write: what tuning and reporting cost")
    learning_rate: tuple[LearningRate, ...] = flag("grid of learning rates of Adam")
    beta: tuple[Positive, ...] = flag(
        "grid: of dpo and ipo (target 1 / (2 beta)), of rwr's weights, of a negative gradient", ()
    )
    seeds: tuple[Seed, ...] = flag("seeds that are reported")
    tuning_seeds: tuple[Seed, ...] = flag("seeds that choose among the grid's points", ())


def main(flags: Flags) -> None:
    if problem := cells.problem(dataclasses.asdict(flags)):
        raise InputError(problem)
    cell = Cell(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Cell)})
    grid = list(itertools.product(flags.learning_rate, flags.beta or (None,)))
    made_by = provenance.describe(__file__, flags, {})
    print(f"{cell.steps} steps of {len(grid)} x {len(flags.tuning_seeds)} runs to tune, {len(flags.seeds)} to report")
    progress = stage.Progress(cell.steps * (1 + (len(grid) > 1)), "steps")
    seconds: dict[str, float] = {}
    tuned = []
    if len(grid) > 1:
        runs, history = trained(briefly(cell), flags.tuning_seeds, grid, progress, seconds, "tuning")
        tuned = tuning_rows(runs, history)
        grid = [best(tuned)]
    runs, history = trained(cell, flags.seeds, grid, progress, seconds, "reporting")
    tuned = tuned or tuning_rows(runs, history)  # a grid of one point chooses itself
    for each in tuned:
        each["chosen"] = (each["learning_rate"], each["beta"]) == grid[0]
    rows = history_rows(runs, history)
    records.write(flags.output, "history", rows, made_by | {"rows_out": len(rows)})
    records.write(flags.tuning_output, "tuning", tuned, made_by | {"rows_out": len(tuned)})
    code = made_by.pop("code")
    documents.SECONDS.check(seconds)
    artifacts.write_json(flags.seconds_output, {**seconds, "made_by": made_by, "code": code})
    stage.say(report(rows, grid[0], cell))


def briefly(cell: Cell) -> Cell:
    """The cell with the records that tuning reads: the last one, and the first."""
    return dataclasses.replace(cell, record_every=cell.steps, diagnose=False)


def trained(cell: Cell, seeds, grid, progress, seconds: dict, name: str) -> tuple[training.Runs, list[dict]]:
    """The runs of one pass and their history; what the pass cost is written down under its name."""
    runs, start = training.Runs.of(seeds, grid), time.perf_counter()
    history = training.train(cell, runs, progress.update)
    seconds[name] = {"runs": len(runs.seeds), "steps": cell.steps, "seconds": round(time.perf_counter() - start, 3)}
    return runs, history


def tuning_rows(runs: training.Runs, history: list[dict]) -> list[dict]:
    """A row per run: its grid point, its seed, its final reward."""
    alive = training.finite(history)[-1]
    return [
        {**setting, "reward": reward if lives else None, "diverged": not lives, "chosen": False}
        for setting, reward, lives in zip(settings(runs), history[-1]["reward"].tolist(), alive.tolist(), strict=True)
    ]


def best(tuned: list[dict]) -> tuple[float, float | None]:
    """The (learning rate, beta) with the largest mean final reward; one with a diverged seed loses to all without."""

    def merit(point):
        rows = [each for each in tuned if (each["learning_rate"], each["beta"]) == point]
        rewards = [each["reward"] for each in rows if not each["diverged"]]
        return len(rewards) == len(rows), len(rewards) and sum(rewards) / len(rewards)

    return max(dict.fromkeys((each["learning_rate"], each["beta"]) for each in tuned), key=merit)


def history_rows(runs: training.Runs, history: list[dict]) -> list[dict]:
    """A row per run and recorded step; from the step on that a run is not finite, its measures are empty."""
    rows, alive = [], training.finite(history)
    for record, lives in zip(history, alive, strict=True):
        place = {name: record[name] for name in ("step", "round", "queries")}
        measured = {name: value.tolist() for name, value in record.items() if name not in place}
        for i, (setting, finite) in enumerate(zip(settings(runs), lives.tolist(), strict=True)):
            values = {name: value[i] for name, value in measured.items() if finite and math.isfinite(value[i])}
            rows.append({**setting, **place, "diverged": not finite, **values})
    return rows


def settings(runs: training.Runs) -> list[dict]:
    """The seed and the grid point of every run."""
    named = zip(runs.seeds.tolist(), runs.learning_rates, runs.betas, strict=True)
    return [{"seed": seed, "learning_rate": rate, "beta": beta} for seed, rate, beta in named]


def report(rows: list[dict], point: tuple[float, float | None], cell: Cell) -> str:
    last = [each for each in rows if each["step"] == cell.steps]
    rewards = [each["reward"] for each in last if not each["diverged"]]
    chosen = f"learning rate {point[0]:g}" + ("" if point[1] is None else f", beta {point[1]:g}")
    mean = f"reward {sum(rewards) / len(rewards):.3f}" if rewards else "no run is finite"
    lost = f", {len(last) - len(rewards)} diverged" if len(last) > len(rewards) else ""
    return f"{cell.steps} steps of {len(last)} seeds at {chosen}: {mean}{lost}"


if __name__ == "__main__":
    stage.run(main, Flags)
