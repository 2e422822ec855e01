"""Make seconds.csv, a row per cell of a lab: what its tuning and its reported runs cost.

For both: `*_runs` (seeds times grid points, advanced together), `*_steps` of each run, `*_seconds`; and of the two
together `seconds_per_run_and_step`. A cell whose grid is one point has no tuning.
"""

from dataclasses import dataclass

import pandas as pd

from preference import artifacts, histories, provenance, stage, summaries
from preference.stage import InputError, flag

PASSES, COUNTS = ("tuning", "reporting"), ("runs", "steps", "seconds")


@dataclass(frozen=True)
class Flags:
    seconds: tuple[str, ...] = flag("EXPERIMENT/LABEL=seconds.json of each cell")
    output: str = flag("seconds.csv to write")


def main(flags: Flags) -> None:
    paths = histories.labelled(flags.seconds, "seconds")
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


if __name__ == "__main__":
    stage.run(main, Flags)
