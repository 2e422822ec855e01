"""Train one cell of the bandit lab: history.parquet of its seeds at the grid point that its tuning seeds choose.

Every (learning rate, beta) of the grid is trained on the tuning seeds, the one with the largest mean final reward is
trained on the reported seeds, and both are written: tuning.parquet, history.parquet, and seconds.json, what they cost.
All runs of a pass are one tensor program (arXiv 2404.14367, section 4, on its didactic bandits).
"""

import dataclasses
import itertools
import math
import time
from dataclasses import dataclass

from preference.bandits import cells, training
from preference.bandits.cells import Cell
from preference.files import artifacts, provenance, records
from preference.running import stage
from preference.running.stage import InputError, flag


@dataclass(frozen=True)
class Flags:
    output: str = flag("history.parquet to write: the measures of every reported seed, step by step")
    tuning_output: str = flag("tuning.parquet to write: the final reward of every grid point and tuning seed")
    seconds_output: str = flag("seconds.json to write: what tuning and reporting cost")
    policy: str = flag("class of policies", choices=cells.POLICIES)
    reward: int = flag("published id of the reward: 1-3 on the line, 4, 5, 8, 9 of arms, 6, 7 of tokens")
    algorithm: str = flag("what is minimised", choices=cells.ALGORITHMS)
    source: str = flag("samples of the reference, once, or of the policy as a round finds it", choices=cells.SOURCES)
    rounds: int = flag("times that samples are drawn")
    epochs: int = flag("passes over a round's samples")
    states: int = flag("states, or prompts, of a round")
    samples: int = flag("samples per state")
    learning_rate: tuple[float, ...] = flag("grid of learning rates of Adam")
    seeds: tuple[int, ...] = flag("seeds that are reported")
    tuning_seeds: tuple[int, ...] = flag("seeds that choose among the grid's points", ())
    beta: tuple[float, ...] = flag(
        "grid: of dpo and ipo (target 1 / (2 beta)), of rwr's weights, of a negative gradient", ()
    )
    batch_states: int | None = flag("states of one gradient step; all where it is not given", None)
    fresh_states: bool = flag("every round has new states", False, form="switch")
    min_margin: float = flag("a pair counts where its rewards differ by more", 0.0)
    negative: str = flag("how best_of_n pushes other samples down", "none", choices=cells.NEGATIVES)
    baseline: str | None = flag("what is subtracted from rewards", None, choices=cells.BASELINES)
    scale: str | None = flag("what rewards are divided by", None, choices=cells.SCALES)
    kl_coef: float = flag("weight of the KL to the reference", 0.0)
    clip_range: float | None = flag("of ppo's ratio", None)
    hidden_size: int = flag("width of the network's two hidden layers", 256)
    initialization: str = flag("first parameters", "pretrained", choices=cells.INITIALIZATIONS)
    eval_states: int = flag("held-out states", 100)
    record_every: int = flag("steps between two records", 1)
    diagnose: bool = flag("also record the inner product of the gradients of chosen and rejected", False, form="switch")


def main(flags: Flags) -> None:
    if problem := cells.problem(dataclasses.asdict(flags)):
        raise InputError(problem)
    cell = Cell(**{field.name: getattr(flags, field.name) for field in dataclasses.fields(Cell)})
    grid = list(itertools.product(flags.learning_rate, flags.beta or (None,)))
    made_by = provenance.describe(__file__, flags, {})
    print(f"{cell.steps} steps of {len(grid)} x {len(flags.tuning_seeds)} runs to tune, {len(flags.seeds)} to report")
    progress = stage.Progress(cell.steps * (1 + (len(grid) > 1)), "steps")
    seconds, tuned = {}, []
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
