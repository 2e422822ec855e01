<<<<<<< HEAD
"""Make seconds.csv, a row per cell of a lab: what its tuning and its reported runs cost.

For both: `*_runs` (seeds times grid points, advanced together), `*_steps` of each run, `*_seconds`; and of the two
together `seconds_per_run_and_step`. A cell whose grid is one point has no tuning.
=======
"""Make seconds.csv of a lab from the seconds.json of every cell: what tuning and reporting each took, wall time.

A row per cell: experiment, cell; the runs and gradient steps of tuning (empty where a grid has one point) and of
reporting, and the seconds of each; seconds, of both; microseconds_per_step, of one run. Seconds are those of training
and recording, without the start of the program. They depend on the machine and on what else it did.
>>>>>>> labs
"""

from dataclasses import dataclass

import pandas as pd

from preference import artifacts, histories, provenance, stage, summaries
from preference.stage import InputError, flag

<<<<<<< HEAD
PASSES, COUNTS = ("tuning", "reporting"), ("runs", "steps", "seconds")
=======
PASSES = ("tuning", "reporting")
>>>>>>> labs


@dataclass(frozen=True)
class Flags:
    seconds: tuple[str, ...] = flag("EXPERIMENT/LABEL=seconds.json of each cell")
    output: str = flag("seconds.csv to write")


def main(flags: Flags) -> None:
    paths = histories.labelled(flags.seconds, "seconds")
<<<<<<< HEAD
    table = pd.DataFrame([{**_names(name), **costs(path)} for name, path in paths.items()])
    made_by = provenance.describe(__file__, flags, {"seconds": tuple(paths.values())}, labels=list(paths))
    summaries.write_csv(flags.output, table, made_by)
    print(f"{len(table)} cells, {table[[f'{name}_seconds' for name in PASSES]].sum().sum():.0f} seconds")


def _names(label: str) -> dict[str, str]:
    experiment, slash, cell = label.partition("/")
    if not slash:
        raise InputError(f"--seconds: '{label}' is not EXPERIMENT/LABEL")
    return {"experiment": experiment, "cell": cell}


def costs(path: str) -> dict[str, float]:
    """The columns of one cell."""
    content = artifacts.read_json(path)
    if not any(name in content for name in PASSES):
        raise InputError(f"{path}: has neither 'tuning' nor 'reporting', so it is not of a bandit's cell")
    passes = {name: content.get(name, dict.fromkeys(COUNTS, 0)) for name in PASSES}
    found = {f"{name}_{count}": passes[name][count] for name in PASSES for count in COUNTS}
    taken = sum(each["runs"] * each["steps"] for each in passes.values())
    return {**found, "seconds_per_run_and_step": sum(each["seconds"] for each in passes.values()) / taken}
=======
    table = pd.DataFrame([cost_of(name, path) for name, path in paths.items()])
    made_by = provenance.describe(__file__, flags, {"seconds": tuple(paths.values())}, labels=list(paths))
    summaries.write_csv(flags.output, table, made_by)
    stage.say(f"{len(table)} cells took {table['seconds'].sum():.0f} s")


def cost_of(name: str, path: str) -> dict:
    """The row of one cell."""
    experiment, slash, label = name.partition("/")
    if not slash:
        raise InputError(f"--seconds: '{name}' is not EXPERIMENT/LABEL")
    content = artifacts.read_json(path)
    if "reporting" not in content:
        raise InputError(f"{path}: has no 'reporting', so it is not what a cell took")
    passes = [content[key] for key in PASSES if key in content]
    steps = sum(each["runs"] * each["steps"] for each in passes)
    seconds = sum(each["seconds"] for each in passes)
    each = {f"{key}_{unit}": content.get(key, {}).get(unit) for key in PASSES for unit in ("runs", "steps", "seconds")}
    total = {"seconds": seconds, "microseconds_per_step": 1e6 * seconds / max(steps, 1)}
    return {"experiment": experiment, "cell": label, **each, **total}
>>>>>>> labs


if __name__ == "__main__":
    stage.run(main, Flags)
