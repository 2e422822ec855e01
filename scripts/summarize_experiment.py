"""Make the tables of an experiment from the metrics.csv of every run and seed and from the samples of its last round.

metrics.csv  a row per task, run, seed, round and metric. Where a run has several seeds, rows of seed `mean`
             average over them; these carry no interval, because those of single seeds cannot be combined without the
             samples.
final.csv    a row per task and run, the SFT policy among them: means over seeds and prompts of the last round's
             samples with 95 % bootstrap intervals, and the difference to SFT on the same prompts, prompt by prompt
             and seed by seed. Sorted within a task by gold reward, or by the learned reward where there is no gold.
final.txt    the main columns of final.csv, to read in a terminal.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis import intervals, measures
from preference.analysis.measures import MINUS_SFT
from preference.files import artifacts, provenance, records, summaries, tables
from preference.files.summaries import MEAN, SFT
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Resamples, Seed
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags:
    runs: tuple[str, ...] = flag("task/run/seed, one per run and seed, in the config's order")
    metrics: tuple[str, ...] = flag("metrics.csv of each of --runs")
    samples: tuple[str, ...] = flag("evaluation.parquet of the last round of each of --runs")
    baselines: tuple[str, ...] = flag("task/seed, one per SFT policy")
    baseline_samples: tuple[str, ...] = flag("evaluation.parquet of each of --baselines")
    metrics_output: str = flag("metrics.csv to write")
    final_output: str = flag("final.csv to write")
    text_output: str = flag("final.txt to write")
    resamples: Resamples = flag("bootstrap resamples", default=2000)
    seed: Seed = flag("seed of the bootstrap", default=0)


def main(flags: Flags) -> None:
    _check_lengths(flags)
    labels = summaries.labelled(flags.runs, 3, "runs")
    metrics = pd.concat([tidy(label, path) for label, path in zip(labels, flags.metrics, strict=True)])
    samples = _read_samples(labels, flags.samples)
    baselines = [(task, SFT, seed) for task, seed in summaries.labelled(flags.baselines, 2, "baselines")]
    samples |= _read_samples(baselines, flags.baseline_samples)
    last = metrics.groupby(["task", "run"])["round"].max().to_dict()

    inputs = {name: getattr(flags, name) for name in ("metrics", "samples", "baseline_samples")}
    made_by = provenance.describe(__file__, flags, inputs)
    runs = dict.fromkeys((task, run) for task, run, _ in samples)
    final = rank(pd.DataFrame(final_row(task, run, samples, last, flags) for task, run in runs))
    summaries.write_csv(flags.metrics_output, tables.TIDY, pd.concat([metrics, seed_means(metrics)]), made_by)
    summaries.write_csv(flags.final_output, tables.FINAL, final, made_by)
    artifacts.write_text(flags.text_output, text := as_text(final), made_by)
    print(text)


def tidy(label: tuple[str, ...], path: str) -> pd.DataFrame:
    """The metrics.csv of one run and seed as rows of (task, run, seed, round, metric, mean, low, high)."""
    wide = summaries.read_csv(path, ["round"])
    names = [name.removesuffix("_low") for name in wide.columns if name.endswith("_low")]
    rows = [
        (*label, int(row["round"]), name, row[name], row[f"{name}_low"], row[f"{name}_high"])
        for row in wide.to_dict("records")
        for name in names
        if not pd.isna(row[name])
    ]
    return pd.DataFrame(rows, columns=tables.TIDY.names)


def seed_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """Rows of seed `mean`, without interval, for every run, round and metric that all of a run's seeds have."""
    several = metrics.groupby(["task", "run"])["seed"].transform("nunique")
    grouped = metrics[several > 1].assign(seeds=several).groupby(["task", "run", "round", "metric"], sort=False)
    means = grouped.agg(mean=("mean", "mean"), found=("seed", "nunique"), seeds=("seeds", "first")).reset_index()
    means = means[means["found"] == means["seeds"]]
    return means.assign(seed=MEAN, low=np.nan, high=np.nan)[tables.TIDY.names]


def final_row(task: str, run: str, samples: dict, last: dict, flags: Flags) -> dict:
    """One row of final.csv: the metrics of the last round's samples, and the paired differences to SFT."""
    own = {seed: table for (t, r, seed), table in samples.items() if (t, r) == (task, run)}
    row = {"task": task, "run": run, "round": last.get((task, run), 0), "seeds": len(own)}
    row["prompts"] = len({sample["prompt_id"] for sample in next(iter(own.values()))})
    for name, column in measures.SAMPLED.items():
        means = [summaries.prompt_means(table, column) for table in own.values()]
        row |= _cells(name, summaries.aligned(means, f"{task}/{run}: {name}"), (task, run), flags)
    for name in measures.REWARDS:
        pairs = [] if run == SFT else [_differences(task, run, seed, name, samples) for seed in own]
        row |= _cells(f"{name}{MINUS_SFT}", summaries.aligned(pairs, f"{task}/{run}: {name}"), (task, run), flags)
    return row | _judgement(row)


def _differences(task: str, run: str, seed: str, name: str, samples: dict) -> dict[str, float]:
    """Map prompt_id to the run's mean minus that of the SFT policy of the same seed."""
    if (task, SFT, seed) not in samples:
        raise InputError(f"--baselines: has no {task}/{seed}, which {task}/{run}/{seed} is compared with")
    ours, sft = (summaries.prompt_means(samples[task, r, seed], name) for r in (run, SFT))
    if ours.keys() != sft.keys():
        raise InputError(
            f"{task}/{run}/{seed}: {name} is known for {len(ours)} prompts and for {len(sft)} of SFT's, "
            f"{len(ours.keys() & sft.keys())} of them the same; evaluate both again"
        )
    return {prompt: ours[prompt] - sft[prompt] for prompt in ours}


def _cells(name: str, values: np.ndarray, names: tuple[str, ...], flags: Flags) -> dict[str, float]:
    found = (np.nan,) * 3
    if values.size:
        rng = intervals.generator(flags.seed, *names, name)
        found = intervals.bootstrap_nested(values, rng, flags.resamples)
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _judgement(row: dict) -> dict[str, str]:
    """By which reward a run is judged, and whether it lies above SFT's beyond the interval (nothing in SFT's row)."""
    name = "reward" if np.isnan(row["gold_reward"]) else "gold_reward"
    low, high = (row[f"{name}{MINUS_SFT}{end}"] for end in ("_low", "_high"))
    has_none = row["run"] == SFT or np.isnan(low)  # nothing scores the samples of a run that trains on given scores
    return {"judged_by": name, "above_sft": "" if has_none else summaries.verdict(low, high)}


def rank(final: pd.DataFrame) -> pd.DataFrame:
    """Sort within a task by the reward that judges it, best first, and by name where that is equal."""
    tasks = list(dict.fromkeys(final["task"]))
    score = final["gold_reward"].fillna(final["reward"])
    order = final.assign(_task=final["task"].map(tasks.index), _score=-score)
    return order.sort_values(["_task", "_score", "run"]).drop(columns=["_task", "_score"])


def as_text(final: pd.DataFrame) -> str:
    """final.csv as aligned text: a block per task, mean and interval of the main columns."""
    blocks = [_block(task, rows.to_dict("records")) for task, rows in final.groupby("task", sort=False)]
    return "\n".join(blocks)


def _block(task: str, rows: list[dict]) -> str:
    judged = rows[0]["judged_by"]
    names = list(dict.fromkeys([judged, f"{judged}{MINUS_SFT}", *measures.shown("text")]))
    head = ["run", *(measures.SHORT[name] for name in names), "above SFT"]
    body = [[row["run"], *(summaries.shown(*_triple(row, name)) for name in names), row["above_sft"]] for row in rows]
    table = [head, *body]
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    about = f"{task}: {rows[0]['prompts']} prompts, {max(row['seeds'] for row in rows)} seed(s), mean [95 % interval]"
    return "\n".join([about, *lines, ""])


def _triple(row: dict, name: str) -> tuple[float, float, float]:
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def _read_samples(labels: Sequence[tuple[str, ...]], paths: tuple[str, ...]) -> dict[tuple[str, ...], list[dict]]:
    read = [records.read(path, "evaluation") for path in paths]
    for row in (row for table in read for row in table):
        row["finished"] = float(row["finish_reason"] == "stop")
    return dict(zip(labels, read, strict=True))


def _check_lengths(flags: Flags) -> None:
    for first, others in (("runs", ("metrics", "samples")), ("baselines", ("baseline_samples",))):
        for other in others:
            if len(getattr(flags, first)) != len(getattr(flags, other)):
                counts = f"{len(getattr(flags, other))} values for {len(getattr(flags, first))}"
                raise InputError(f"--{other}: {counts} of --{first}")
    if any(label.split("/")[1:2] == [SFT] for label in flags.runs):
        raise InputError(f"--runs: '{SFT}' is the name of the policy that every run starts from")


if __name__ == "__main__":
    stage.run(main, Flags)
