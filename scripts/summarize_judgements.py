"""Make judgements.csv, a row per task and run, from the judgements.parquet of every seed.

The win rate against the SFT policy counts a tie as half a win; its 95 % interval is a bootstrap over seeds and prompts,
as those of final.csv are. Wins, ties and losses are counts over all seeds, the columns after them those of
`verdicts.counts`.
"""

import pandas as pd
from pydantic.dataclasses import dataclass

from preference.analysis import intervals
from preference.files import provenance, records, summaries, tables
from preference.judges import verdicts
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Resamples, Seed
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags:
    runs: tuple[str, ...] = flag("task/run/seed, one per run and seed, in the config's order")
    judgements: tuple[str, ...] = flag("judgements.parquet of each of --runs")
    output: str = flag("judgements.csv to write")
    resamples: Resamples = flag("bootstrap resamples", default=2000)
    seed: Seed = flag("seed of the bootstrap", default=0)


def main(flags: Flags) -> None:
    if len(flags.runs) != len(flags.judgements):
        raise InputError(f"--judgements: {len(flags.judgements)} values for {len(flags.runs)} of --runs")
    judged: dict[tuple[str, str], list[list[dict]]] = {}
    for (task, run, _), path in zip(summaries.labelled(flags.runs, 3, "runs"), flags.judgements, strict=True):
        judged.setdefault((task, run), []).append(records.read(path, "judgements"))
    frame = pd.DataFrame(row(*names, seeds, flags) for names, seeds in judged.items())
    made_by = provenance.describe(__file__, flags, {"judgements": flags.judgements})
    summaries.write_csv(flags.output, tables.JUDGEMENTS, frame, made_by)
    print(frame.to_string(index=False))


def row(task: str, run: str, seeds: list[list[dict]], flags: Flags) -> dict:
    """One row of judgements.csv."""
    means = [summaries.prompt_means(rows, "preference") for rows in seeds]
    rates = summaries.aligned(means, f"{task}/{run}: preference")
    rng = intervals.generator(flags.seed, task, run, "judgements")
    rate = intervals.bootstrap_nested(rates, rng, flags.resamples)
    return {
        **{"task": task, "run": run, "seeds": len(seeds), "prompts": rates.shape[1]},
        **dict(zip(("win_rate", "win_rate_low", "win_rate_high"), rate, strict=True)),
        **verdicts.counts([judged for rows in seeds for judged in rows]),
    }


if __name__ == "__main__":
    stage.run(main, Flags)
