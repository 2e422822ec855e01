"""Make the tables of an experiment from history.parquet and tuning.parquet, or from the metrics.csv, of its cells.

The first two are a bandit's; a run of a language model has a metrics.csv of each of its seeds.

Every mean is over the seeds whose runs stayed finite, with its 95 % t interval: NAME, NAME_low, NAME_high. How many
did not is in the column `diverged`, and where none did the cells are empty.

<experiment>.csv         a row per cell: its level of each axis; of a bandit the learning rate and beta that were
                         chosen, of how many (`grid`), how many of these diverged on a tuning seed, and whether the
                         learning rate is at an end of its grid; seeds that are in the means, and diverged ones;
                         `final_*`, a measure at the last step; `area_*`, its mean over all steps; `change_*`, since
                         step 0.
curves_<experiment>.csv  tidy: levels, step, queries, metric, mean, low, high, seeds (as above) and diverged.
"""

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis import histories, intervals
from preference.analysis.histories import History
from preference.analysis.measures import REDUCED
from preference.files import provenance, records, summaries, tables
from preference.running import stage
from preference.running.flags import flag
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags:
    axes: tuple[str, ...] = flag("names of the axes, in the order of the levels in a label")
    output: str = flag("<experiment>.csv to write")
    curves_output: str = flag("curves_<experiment>.csv to write")
    histories: tuple[str, ...] = flag("LABEL=history.parquet of each cell, LABEL its levels joined by '.'", default=())
    tunings: tuple[str, ...] = flag("LABEL=tuning.parquet of each of --histories", default=())
    metrics: tuple[str, ...] = flag("of language models, LABEL/SEED=metrics.csv of each seed of each cell", default=())


def main(flags: Flags) -> None:
    if taken := [axis for axis in flags.axes if flags.axes.count(axis) > 1 or axis in tables.RESERVED]:
        raise InputError(f"--axes: '{taken[0]}' is also another column; give the axis another name")
    read, sources = histories.read_all(flags.histories, flags.metrics)
    levels = {label: levels_of(label, flags.axes) for label in read}
    tunings = histories.labelled(flags.tunings, "tunings")
    if flags.histories and (odd := read.keys() ^ tunings.keys()):
        raise InputError(f"--tunings: '{min(odd)}' is in one of --histories and --tunings only")
    chosen = {label: tuned(path, read[label]) for label, path in tunings.items()}
    final = [levels[label] | chosen.get(label, {}) | final_row(history) for label, history in read.items()]
    curves = pd.concat([curves_of(history, levels[label]) for label, history in read.items()])

    sources["inputs"] |= {"tunings": tuple(tunings.values())}
    made_by = provenance.describe(__file__, flags, **sources)
    summaries.write_csv(flags.output, tables.CELLS, pd.DataFrame(final), made_by, flags.axes)
    summaries.write_csv(flags.curves_output, tables.CURVES, curves, made_by, flags.axes)
    diverged = sum(int(history.diverged.sum()) for history in read.values())
    print(f"{len(read)} cells, {sum(len(h.seeds) for h in read.values())} runs, {diverged} of them diverged")


def levels_of(label: str, axes: tuple[str, ...]) -> dict[str, str]:
    """Map each axis to the level that a label names."""
    names = label.split(".")
    if len(names) != len(axes) or not all(names):
        raise InputError(
            f"--histories, --metrics: '{label}' has not a level for each of the {len(axes)} axes {', '.join(axes)}"
        )
    return dict(zip(axes, names, strict=True))


def tuned(path: str, history: History) -> dict:
    """What was chosen, and from what; a history that was made with something else is an InputError."""
    rows = records.read(path, "tuning")
    grid = {(row["learning_rate"], row["beta"]) for row in rows}
    chosen = {(row["learning_rate"], row["beta"]) for row in rows if row["chosen"]}
    if chosen != {(history.learning_rate, history.beta)}:
        raise InputError(f"{path}: does not choose what {history.path} was made with; make both again")
    rates = sorted({rate for rate, _ in grid})
    return {
        "learning_rate": history.learning_rate,
        "beta": history.beta,
        "grid": len(grid),
        "grid_diverged": len({(row["learning_rate"], row["beta"]) for row in rows if row["diverged"]}),
        "at_end_of_grid": "yes" if len(rates) > 1 and history.learning_rate in (rates[0], rates[-1]) else "no",
    }


def final_row(history: History) -> dict:
    """The columns of one cell: counts, and the interval of each number that a seed's history comes down to."""
    found = counts(history)
    found |= {"steps": history.steps[-1], "queries": history.queries[-1]}
    for kind, measures in REDUCED.items():
        for name in (name for name in measures if name in history.measures):
            found |= _cells(f"{kind}_{name}", _values(history, name, getattr(histories, kind)))
    return found


def _values(history: History, measure: str, reduce) -> np.ndarray:
    """One number of each seed that stayed finite; none where the measure was not taken."""
    known = histories.measured(history, measure)
    return reduce(history.steps[known], history.finite(measure)[:, known]) if known.any() else np.empty(0)


def _cells(name: str, values: np.ndarray) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), intervals.student(values), strict=True))


def curves_of(history: History, levels: dict[str, str]) -> pd.DataFrame:
    """The tidy rows of one cell; a measure has no row at a step at which it was not taken."""
    parts = []
    for name in history.measures:
        known = histories.measured(history, name)
        if name == "reward" and history.diverged.all():
            known = history.steps == history.steps[0]  # an empty row, so that the table shows how many diverged
        mean, low, high = intervals.student(history.finite(name)[:, known])
        steps = {"step": history.steps[known], "queries": history.queries[known]}
        parts.append(pd.DataFrame({**levels, **steps, "metric": name, "mean": mean, "low": low, "high": high}))
    return pd.concat(parts).assign(**counts(history))[[*levels, *tables.CURVES.names]]


def counts(history: History) -> dict:
    """How many seeds are in the means, and how many are not."""
    return {"seeds": int((~history.diverged).sum()), "diverged": int(history.diverged.sum())}


if __name__ == "__main__":
    stage.run(main, Flags)
