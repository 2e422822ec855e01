"""Make metrics.csv of one run and seed, a row per round, from the evaluation.json of each round.

Round 0 is the SFT policy. Every metric has three columns: NAME, NAME_low, NAME_high (95 % interval over prompts); a
metric that a round does not have is an empty cell.
"""

from dataclasses import dataclass

import pandas as pd

from preference import provenance, stage, summaries
from preference.stage import flag


@dataclass(frozen=True)
class Flags:
    evaluations: tuple[str, ...] = flag("evaluation.json of the SFT policy, then of round 1, 2, …")
    output: str = flag("metrics.csv to write")


def main(flags: Flags) -> None:
    rounds = [summaries.read_evaluation(path)["metrics"] for path in flags.evaluations]
    names = dict.fromkeys(name for metrics in rounds for name in metrics)
    columns = ["round", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    rows = [{"round": number, **_cells(metrics)} for number, metrics in enumerate(rounds)]
    made_by = provenance.describe(__file__, flags, {"evaluations": flags.evaluations})
    summaries.write_csv(flags.output, pd.DataFrame(rows, columns=columns), made_by)
    print(f"{len(rows)} rounds, {len(names)} metrics: {', '.join(names)}")


def _cells(metrics: dict) -> dict[str, float]:
    ends = {"": "mean", "_low": "low", "_high": "high"}
    return {f"{name}{end}": values[key] for name, values in metrics.items() for end, key in ends.items()}


if __name__ == "__main__":
    stage.run(main, Flags)
