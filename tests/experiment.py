"""A made-up experiment on disk for the tests of tables, figures and report: known means, unruly text."""

from pathlib import Path

import numpy as np

import summarize_experiment
import summarize_run
from preference.analysis import intervals
from preference.files import artifacts, records

VERSIONS = {"torch": "2.13.0", "transformers": "5.17.0"}
GOLD = [-30.0, -20.0, -25.0, -40.0, -10.0, -15.0, -35.0, -22.0]
RUNS = {"worse": [value - 3 for value in GOLD], "better": [value + 2 for value in GOLD]}
METRICS = ("reward", "gold_reward", "num_tokens", "kl", "entropy")


def samples(gold: list[float], reward: list[float] | None = None, has_gold: bool = True, kl: float = 0.0) -> list[dict]:
    """One sample per prompt; prompt i is the same in every table. A gold reward of -n has n tokens."""
    rows = []
    for i, (value, learned) in enumerate(zip(gold, reward or gold, strict=True)):
        prompt = f"prompt {i} <script>alert('prompt')</script>"
        rows.append(
            {
                "prompt_id": records.prompt_id(prompt),
                "sample_id": 0,
                "prompt": prompt,
                "response": f"<script>alert({i})</script> & \u202e {value}",
                "response_ids": [1, 2],
                "finish_reason": "stop" if i else "length",
                "num_tokens": int(abs(value)),
                "reward": float(learned),
                "gold_reward": float(value) if has_gold else None,
                "logps": -1.0,
                "ref_logps": -1.0,
                "kl": kl + 0.01 * i,
                "entropy": 1.0,
                "win": 0.5,
                "gold_win": 0.5 if has_gold else None,
            }
        )
    return rows


def write_evaluation(folder: Path, rows: list[dict]) -> None:
    """evaluation.json and evaluation.parquet."""
    made_by = {"stage": "evaluate_policy", "flags": {}, "versions": VERSIONS}
    rng = np.random.default_rng(0)
    columns = {name: [row[name] for row in rows] for name in METRICS}
    columns["margin"] = [row["reward"] for row in rows]
    metrics = {name: intervals.summary(column, rng) for name, column in columns.items() if None not in column}
    records.write(folder / "evaluation.parquet", "evaluation", rows, made_by)
    content = {"kind": "evaluation", **made_by, "num_prompts": len(rows), "metrics": metrics}
    artifacts.write_json(folder / "evaluation.json", content)


def write_pairs(path: Path) -> None:
    rows = [{"prompt_id": "a", "prompt": "p", "chosen": "c", "rejected": "r"}]
    records.write(path, "pairs", rows, {"rows_in": 8, "rows_out": 1, "queries": 8, "dropped": {"tied rewards": 3}})


def write_training(path: Path, steps: int) -> None:
    lines = ["step,loss", *(f"{step},0.5" for step in range(1, steps + 1))]
    artifacts.write_text(path, "\n".join(lines) + "\n", {"stage": "train_dpo"})


def make(folder: Path, seeds=("1",), order=slice(None), has_gold: bool = True) -> summarize_experiment.Flags:
    """Write the experiment with each run's rows in the given order, and summarize it."""
    runs, metrics, finals = [], [], []
    for seed in seeds:
        write_evaluation(folder / "sft" / seed, samples(GOLD, has_gold=has_gold))
    for run, gold in RUNS.items():
        for seed in seeds:
            here = folder / run / seed
            rows = samples([g + 0.5 * int(seed) for g in gold], has_gold=has_gold, kl=2.0)
            write_evaluation(here, rows[order])
            evaluations = (str(folder / "sft" / seed / "evaluation.json"), str(here / "evaluation.json"))
            write_training(here / "training.csv", steps=3)
            write_pairs(here / "pairs.parquet")
            made = {"trainings": (str(here / "training.csv"),), "trained_on": (str(here / "pairs.parquet"),)}
            summarize_run.main(summarize_run.Flags(evaluations, **made, output=str(here / "metrics.csv")))
            runs.append(f"length/{run}/{seed}")
            metrics.append(str(here / "metrics.csv"))
            finals.append(str(here / "evaluation.parquet"))
    flags = summarize_experiment.Flags(
        runs=tuple(runs),
        metrics=tuple(metrics),
        samples=tuple(finals),
        baselines=tuple(f"length/{seed}" for seed in seeds),
        baseline_samples=tuple(str(folder / "sft" / seed / "evaluation.parquet") for seed in seeds),
        metrics_output=str(folder / "tables" / "metrics.csv"),
        final_output=str(folder / "tables" / "final.csv"),
        text_output=str(folder / "tables" / "final.txt"),
    )
    summarize_experiment.main(flags)
    return flags
