"""Make report.html, one page that needs nothing else, from an experiment's tables, figures, samples and config.

Files that belong to a part of the experiment are given as LABEL=PATH; a label is task/seed, task/run/seed or
task/run/seed/round.
"""

import json
from pathlib import Path

import pandas as pd
import yaml
from pydantic.dataclasses import dataclass

from preference.analysis import measures
from preference.files import artifacts, provenance, records, summaries, tables, turns
from preference.files.summaries import SFT, labelled_paths
from preference.report import page as report
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.stage import InputError

AXES = ("algorithm", "source", "rounds", "reference")


@dataclass(frozen=True)
class Flags:
    experiment: str = flag("name of the experiment")
    config: str = flag("the resolved config, YAML")
    metrics: str = flag("tables/metrics.csv")
    final: str = flag("tables/final.csv")
    sft: tuple[str, ...] = flag("task/seed=evaluation.json of each SFT policy")
    samples: tuple[str, ...] = flag("task/run/seed=evaluation.parquet after the last round; the run of SFT is 'sft'")
    output: str = flag("report.html to write")
    judgements: str | None = flag("tables/judgements.csv, where a task has a judge", default=None)
    figures: tuple[str, ...] = flag("SVG files, in the order to show them", default=())
    claims: str | None = flag("tables/claims.csv", default=None)
    reward_models: tuple[str, ...] = flag("task/seed=evaluation.json of each reward model", default=())
    trained_on: tuple[str, ...] = flag("task/run/seed/roundN=what a round was trained on: pairs, samples", default=())
    expectations: str | None = flag("tables/expectations.csv, where there is one", default=None)
    num_examples: Count = flag("prompts per task to show answers to", default=4)


def main(flags: Flags) -> None:
    config = artifacts.read_text(flags.config)
    metrics = summaries.read_csv(flags.metrics, tables.TIDY.names)
    final = summaries.read_csv(flags.final, ["task", "run", "judged_by", "above_sft"]).fillna({"above_sft": ""})
    tasks = [rows.to_dict("records") for _, rows in final.groupby("task", sort=False)]
    evaluations, models = (
        {label: summaries.read_evaluation(path) for label, path in labelled_paths(getattr(flags, name), 2, name)}
        for name in ("sft", "reward_models")
    )
    page = report.render(
        experiment=flags.experiment,
        tables=[report.main_table(rows) | {"conclusion": report.conclusion(rows)} for rows in tasks],
        judged=judged_rows(flags.judgements),
        figures=[report.inline_svg(read_svg(path), Path(path).stem) for path in flags.figures],
        claims=report.claims_table(read_claims(flags.claims)),
        expectations=expectations(flags.expectations),
        sft=health_table(evaluations, measures.shown("start")),
        reward_models=health_table(models, measures.shown("start", measures.REWARD_MODELS)),
        runs=run_rows(yaml.safe_load(config) or {}, metrics),
        trained_on=[data_row(label, path) for label, path in labelled_paths(flags.trained_on, 4, "trained_on")],
        rounds=[round_table(rows) for _, rows in metrics.groupby(["task", "run", "seed"], sort=False)],
        examples=examples(flags),
        config=config,
        versions=sorted({pair for content in evaluations.values() for pair in content.get("versions", {}).items()}),
    )
    artifacts.write_text(flags.output, page, provenance.describe(__file__, flags, inputs(flags)))
    print(f"{len(page):,} characters")


def inputs(flags: Flags) -> dict[str, str | tuple[str, ...]]:
    """The files that the page is made from, without their labels."""
    names = ("config", "metrics", "final", "judgements", "figures", "claims", "expectations")
    files = {name: getattr(flags, name) for name in names}
    labels = ("sft", "samples", "reward_models", "trained_on")
    return files | {name: tuple(value.split("=", 1)[1] for value in getattr(flags, name)) for name in labels}


def read_claims(path: str | None) -> list[dict]:
    columns = ["claim", "source", "statistic", "mean", "low", "high", "rule", "verdict", "note"]
    return summaries.read_csv(path, columns).to_dict("records") if path else []


def expectations(path: str | None) -> dict | None:
    """What the geometry of the tasks let expect, beside what was found; None where nothing was made of it."""
    if path is None:
        return None
    rows = summaries.read_csv(path, ["task", "question", "run", "against", "as_expected"])
    return report.expectations(rows.fillna({"cell": "", "differs": ""}).to_dict("records"))


def judged_rows(path: str | None) -> list[dict]:
    """The rows of judgements.csv as they are shown; none where no task has a judge."""
    columns = ["task", "run", "win_rate", "wins", "ties", "losses", "verdicts", "unparsed", "position_bias"]
    rows = summaries.read_csv(path, columns).to_dict("records") if path else []
    return [
        {
            **{name: row[name] for name in ("wins", "ties", "losses", "verdicts", "unparsed")},
            "run": f"{row['task']} / {row['run']}",
            "win_rate": report.halves(*(row[f"win_rate{end}"] for end in ("", "_low", "_high"))),
            "first_place": f"{row['position_bias']:.2f}" if report.known(row["position_bias"]) else "–",
        }
        for row in rows
    ]


def health_table(evaluations: dict[tuple[str, ...], dict], titles: dict[str, str]) -> dict:
    """A line per label with the metrics that any of them has."""
    names = [name for name in titles if any(name in content["metrics"] for content in evaluations.values())]
    lines = [
        {
            "label": f"{task}, seed {seed}",
            "cells": [interval_cell(content["metrics"].get(name)) for name in names],
            "count": content.get("num_pairs") or content["num_prompts"],
        }
        for (task, seed), content in evaluations.items()
    ]
    return {"titles": [titles[name] for name in names], "lines": lines}


def interval_cell(metric: dict | None) -> tuple[str, str]:
    """The mean and its interval as two texts; a dash where the metric is not there."""
    return report.halves(metric["mean"], metric["low"], metric["high"]) if metric else ("–", "")


def run_rows(config: dict, metrics: pd.DataFrame) -> list[dict]:
    """What each run is, from the config; the number of rounds is that of the metrics, where the config is silent."""
    rounds = metrics.groupby("run")["round"].max()
    rows = []
    for name in dict.fromkeys(metrics["run"]):
        run = dict(config.get("runs", {}).get(name, {}))
        axes = {axis: as_line(run.pop(axis)) if axis in run else "–" for axis in AXES}
        axes["rounds"] = rounds[name] if axes["rounds"] == "–" else axes["rounds"]
        rows.append({"name": name, **axes, "rest": as_line(run) if run else "–"})
    return rows


def as_line(value) -> str:
    """A config value on one line, as YAML: a mapping without its outer braces."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
    text = text.removesuffix("\n...\n").strip()
    return text[1:-1] if isinstance(value, dict) else text


def data_row(label: tuple[str, ...], path: str) -> dict:
    """How many pairs or samples a round has, of how many rows, and why prompts were dropped: the table's metadata."""
    task, run, seed, number = label
    made_by = records.metadata(path)
    dropped = [f"{count} {reason}" for reason, count in sorted(made_by.get("dropped", {}).items())]
    return {
        "run": f"{task} / {run}, seed {seed}",
        "round": number.removeprefix("round"),
        "rows_in": made_by.get("rows_in", "–"),
        "rows_out": made_by.get("rows_out", "–"),
        "unit": "pairs" if made_by.get("kind") == "pairs" else "samples",
        "dropped": ", ".join(dropped) or "none",
    }


def round_table(rows: pd.DataFrame) -> dict:
    """The main metrics of one run and seed by round."""
    task, run, seed = rows.iloc[0][["task", "run", "seed"]]
    titles = {name: title for name, title in measures.shown("rounds").items() if (rows["metric"] == name).any()}
    cells = {(row["round"], row["metric"]): row for row in rows.to_dict("records")}
    numbers = sorted(set(rows["round"]))
    lines = [{"round": n, "cells": [interval_cell(cells.get((n, name))) for name in titles]} for n in numbers]
    whose = "mean of seeds" if seed == summaries.MEAN else f"seed {seed}"
    return {"name": f"{task} / {run}, {whose}", "titles": list(titles.values()), "lines": lines}


def examples(flags: Flags) -> list[dict]:
    """The first sample of SFT and of every run to the first prompts of each task, of each run's first seed."""
    read: dict[str, dict[str, dict]] = {}  # task: run: prompt_id: row
    for (task, run, _), path in labelled_paths(flags.samples, 3, "samples"):
        if run not in read.setdefault(task, {}):
            rows = sorted(records.read(path, "evaluation"), key=lambda row: -row["sample_id"])
            read[task][run] = {row["prompt_id"]: row for row in rows}
    return [
        example
        for task, runs in read.items()
        for example in task_examples(task, dict(sorted(runs.items(), key=lambda item: item[0] != SFT)), flags)
    ]


def task_examples(task: str, runs: dict[str, dict[str, dict]], flags: Flags) -> list[dict]:
    shared = sorted(set.intersection(*(set(rows) for rows in runs.values())))
    return [
        {
            "task": task,
            "prompt_id": prompt_id,
            "prompt": prompt(next(iter(runs.values()))[prompt_id]),
            "answers": [answer(run, rows[prompt_id]) for run, rows in runs.items()],
        }
        for prompt_id in shared[: flags.num_examples]
    ]


def prompt(row: dict) -> list[turns.Turn]:
    """The turns of a row's prompt, after the tools that it offers."""
    said = turns.read("prompt", row["prompt"]) or []
    if not row["tools"]:
        return said
    offered = turns.Turn("tools", json.dumps(row["tools"], ensure_ascii=False, indent=1))
    return [offered, *(turn._replace(label=turn.label or "user") for turn in said)]


def answer(run: str, row: dict) -> dict:
    names = {"gold_reward": "gold", "reward": "learned"}
    rewards = "".join(f"{words} {row[name]:.3g}, " for name, words in names.items() if row[name] is not None)
    cut = ", cut at the limit" if row["finish_reason"] == "length" else ""
    return {
        "run": run,
        "response": turns.read("response", row["response"]),
        "about": f"{rewards}{row['num_tokens']} tokens{cut}",
    }


def read_svg(path: str) -> str:
    text = artifacts.read_text(path)
    if "<svg" not in text:
        raise InputError(f"{path}: is not an SVG figure")
    return text


if __name__ == "__main__":
    stage.run(main, Flags)
