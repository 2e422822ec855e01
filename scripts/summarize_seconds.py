"""Make seconds.csv of a lab from the seconds.json of every cell: what tuning and reporting each took, wall time.

A row per cell: experiment, cell; the runs and gradient steps of tuning (empty where a grid has one point) and of
reporting, and the seconds of each; seconds, of both; microseconds_per_step, of one run. Seconds are those of training
and recording, without the start of the program. They depend on the machine and on what else it did.
"""

import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis import histories
from preference.files import artifacts, provenance, summaries, tables
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError

PASSES = ("tuning", "reporting")


@dataclass(frozen=True)
class Flags:
    seconds: tuple[str, ...] = flag("EXPERIMENT/LABEL=seconds.json of each cell")
    output: str = flag("seconds.csv to write")


def main(flags: Flags) -> None:
    paths = histories.labelled(flags.seconds, "seconds")
    table = pd.DataFrame([cost_of(name, path) for name, path in paths.items()], columns=tables.SECONDS.names)
    made_by = provenance.describe(__file__, flags, {"seconds": tuple(paths.values())}, labels=list(paths))
    summaries.write_csv(flags.output, tables.SECONDS, table, made_by)
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


if __name__ == "__main__":
    stage.run(main, Flags)
