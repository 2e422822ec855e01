"""Experiments of a config: which runs their cells are, what is wrong with one, and what is made of their metrics."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from miniature import Workflow

import judge_claims
import plot_axis
import plot_curves
import summarize_cells
from preference.analysis import histories
from preference.files import summaries, tables
from preference.running.stage import InputError
from workflow.config import experiments, labs, runs, validation

ROOT = Path(__file__).parents[1]

GOLD = {  # of each seed after each round
    "ppo_b64": {1: [-20.0, -9.0, -6.0], 2: [-20.0, -10.0, -4.0]},
    "ppo_b128": {1: [-20.0, -12.0], 2: [-20.0, -11.0]},
    "dpo": {1: [-20.0, -2.0], 2: [-20.0, -3.0]},
}
EXPERIMENTS = """
sampling:
  title: Fresh samples
  axes: {method: [ppo], batch: [b64, b128]}
  figure: {kind: curves, metric: gold_reward, x: step, panels: [task, method], lines: batch}
methods:
  title: Methods
  axes: {run: [ppo_b64, dpo], task: [short]}
  figure: {kind: axis, metric: [gold_reward, change_margin], x: run, panels: task}
"""
CLAIMS = """
- id: fresh
  claim: Fresh samples help.
  source: E2
  statistic: {experiment: sampling, value: final gold_reward, of: "short.ppo.b64 - methods[dpo.short]"}
  passes: {above: -10}
"""


@pytest.fixture
def config():
    whole = yaml.safe_load((ROOT / "tests" / "miniature.yaml").read_text())
    whole["tasks"] = {"short": {**whole["tasks"]["min_length"], "data": "built_in"}}
    whole["stages"]["train_ppo"] = {**whole["stages"]["train_pref_ft"], "clip_range": 0.2, "kl_coef": 0.0}
    ppo = {"algorithm": "ppo", "source": "on_policy"}
    dpo = {"algorithm": "dpo", "source": "on_policy", "reference": "fixed"}
    whole["runs"] = {"ppo_b64": {**ppo, "rounds": 2}, "ppo_b128": ppo, "dpo": dpo}
    return {**whole, "experiments": yaml.safe_load(EXPERIMENTS), "claims": yaml.safe_load(CLAIMS)}


def test_levels_name_a_task_and_joined_a_run(config):
    assert experiments.cells(config, "sampling") == {
        "short.ppo.b64": ("short", "ppo_b64"),
        "short.ppo.b128": ("short", "ppo_b128"),
    }
    assert experiments.cells(config, "methods") == {
        "ppo_b64.short": ("short", "ppo_b64"),
        "dpo.short": ("short", "dpo"),
    }


def test_a_claim_reads_the_metrics_of_every_seed_of_its_cells_of_any_experiment(config):
    found = experiments.metrics_of_claims(config)
    assert found["methods/dpo.short/2"] == "results/miniature/short/dpo/seed2/metrics.csv"
    assert list(found) == [
        f"{name}/{seed}" for name in ("sampling/short.ppo.b64", "methods/dpo.short") for seed in (1, 2)
    ]


def test_an_experiment_is_a_target_of_its_tables_and_its_figure(config):
    made = ("tables/sampling.csv", "tables/curves_sampling.csv", "figures/sampling.svg", "figures/sampling.png")
    assert experiments.targets(config)["miniature_sampling"] == [f"results/miniature/{path}" for path in made]
    assert labs.figure(config, "methods") == (
        "plot_axis",
        {"metric": ["final_gold_reward", "change_margin"], "panels": ["task"], "title": "Methods", "x": "run"},
    )


def test_such_a_config_has_no_problem_and_one_without_experiments_neither(config):
    assert validation.problems(config) == []
    assert (
        validation.problems({key: value for key, value in config.items() if key not in ("experiments", "claims")}) == []
    )


def changed(config, path, value):
    *keys, last = path
    for key in keys:
        config = config[key]
    config[last] = value


PROBLEMS = {
    "a run that there is not": (
        ("experiments", "sampling", "axes", "batch"),
        ["b64", "b32"],
        "experiments.sampling.axes: short.ppo.b32 is the run ppo_b32, which there is not; there are ppo_b64, ppo_b128",
    ),
    "a task that there is not": (
        ("experiments", "methods", "axes", "task"),
        ["long"],
        "experiments.methods.axes.task: there is no task long; there are short",
    ),
    "an axis that no figure shows": (
        ("experiments", "methods", "figure", "panels"),
        [],
        "experiments.methods.figure.lines: the axis task is 0 times in panels, lines and x, not once",
    ),
    "a measure of bandits": (
        ("experiments", "sampling", "figure", "metric"),
        "reverse_kl",
        "experiments.sampling.figure.metric: reverse_kl is not one of gold_reward, learned_reward",
    ),
    "a claim about one": (
        ("claims", 0, "statistic", "value"),
        "final gradient_cosine",
        "claims: claim 'fresh': statistic.value: 'final gradient_cosine' is not one of final, area",
    ),
    "a claim about no cell": (
        ("claims", 0, "statistic", "of"),
        "short.ppo.b32",
        "claims: claim 'fresh': statistic.of: experiment 'sampling' has no cell 'short.ppo.b32'",
    ),
    "a title that is missing": (("experiments", "sampling", "title"), "", "experiments.sampling.title: is empty"),
}


@pytest.mark.parametrize("what", PROBLEMS)
def test_what_is_wrong_with_an_experiment_is_a_line_under_its_key(config, what):
    path, value, problem = PROBLEMS[what]
    changed(config, path, value)
    found = validation.problems(config)
    assert any(line.startswith(problem) for line in found), found


def test_a_gold_reward_of_a_task_without_is_in_no_claim_and_no_figure(config, tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "p", "chosen": "c", "rejected": "r"}\n')
    config["tasks"]["short"] = {"data": {"sft": str(file), "preferences": str(file)}, "base_model": "from_scratch"}
    of_figures = [line.split(":")[0] for line in validation.problems(config)]
    assert of_figures == ["experiments.sampling.figure.metric", "experiments.methods.figure.metric"]
    for name in ("sampling", "methods"):
        config["experiments"][name]["figure"]["metric"] = "kl"
    assert validation.problems(config) == ["claims: claim 'fresh': statistic: task short has no gold_reward"]


def test_names_of_the_results_own_tables_are_taken(config):
    config["experiments"] = {"final": config["experiments"]["sampling"]}
    del config["claims"]
    assert "experiments.final: the name is taken by the results' own" in validation.problems(config)


def test_a_target_that_is_a_rule_of_the_workflow_is_refused(config, tmp_path):
    config |= {"experiment": "train", "experiments": {"dpo": config["experiments"]["sampling"]}}
    del config["claims"]
    said = Workflow(tmp_path, config).fail("--dry-run")
    assert "experiments: the target train_dpo is a rule of the workflow; rename the experiment" in said


def test_a_run_that_is_not_made_on_a_task_is_no_cell_of_it(config):
    config["tasks"]["other"] = config["tasks"]["short"]
    config["runs"]["dpo"]["tasks"] = ["other"]
    problem = "experiments.methods.axes: dpo.short is the run dpo, which is not made on task short"
    assert problem in validation.problems(config)


def write_metrics(folder: Path, run: str, seed: int, **others) -> str:
    gold = GOLD[run][seed]
    path = folder / run / f"seed{seed}" / "metrics.csv"
    columns = {"round": range(len(gold)), "step": [8 * i for i in range(len(gold))]}
    columns |= {
        "queries": [64 * i for i in range(len(gold))],
        "gold_reward": gold,
        "reward": [0.5] * len(gold),
        **others,
    }
    summaries.write_csv(path, tables.RUN, pd.DataFrame(columns), {"stage": "summarize_run"})
    return str(path)


@pytest.fixture
def metrics(tmp_path) -> dict[str, dict[str, str]]:
    return {run: {str(seed): write_metrics(tmp_path, run, seed) for seed in (1, 2)} for run in GOLD}


def typed(metrics, names: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{label}/{seed}={path}" for label, run in names.items() for seed, path in metrics[run].items())


def test_a_history_of_a_run_has_a_step_per_round_and_its_learned_reward_under_a_name_of_its_own(metrics):
    history = histories.read_runs(metrics["ppo_b64"])
    assert (list(history.steps), list(history.queries), history.seeds) == ([0, 8, 16], [0, 64, 128], (1, 2))
    assert history.measures["gold_reward"].tolist() == [GOLD["ppo_b64"][1], GOLD["ppo_b64"][2]]
    assert (history.measures["learned_reward"] == 0.5).all() and "reward" not in history.measures
    assert "margin" not in history.measures


def test_a_seed_may_have_taken_a_step_less_than_another_and_the_mean_counts(tmp_path, metrics):
    metrics["dpo"]["2"] = write_metrics(tmp_path, "dpo", 2, step=[0, 7], queries=[0, 60])
    history = histories.read_runs(metrics["dpo"])
    assert (list(history.steps), list(history.queries)) == ([0, 7.5], [0, 62])


def test_seeds_of_other_rounds_are_refused(metrics):
    with pytest.raises(InputError, match="seed2/metrics.csv: has other rounds than"):
        histories.read_runs({"1": metrics["ppo_b64"]["1"], "2": metrics["dpo"]["2"]})


def test_what_a_round_of_one_seed_lacks_is_no_measure(tmp_path, metrics):
    metrics["dpo"]["2"] = write_metrics(tmp_path, "dpo", 2, gold_reward=[-20.0, None])
    assert list(histories.read_runs(metrics["dpo"]).measures) == ["learned_reward"]


def test_cells_of_runs_have_the_same_tables_as_cells_of_a_lab(tmp_path, metrics):
    flags = summarize_cells.Flags(
        axes=("task", "method", "batch"),
        output=str(tmp_path / "e.csv"),
        curves_output=str(tmp_path / "curves_e.csv"),
        metrics=typed(metrics, {"short.ppo.b64": "ppo_b64", "short.ppo.b128": "ppo_b128"}),
    )
    summarize_cells.main(flags)
    with open(flags.output, newline="") as file:
        fresh, stale = csv.DictReader(file)
    assert (fresh["batch"], fresh["seeds"], fresh["steps"], fresh["queries"]) == ("b64", "2", "16", "128")
    assert float(fresh["final_gold_reward"]) == -5 and float(stale["final_gold_reward"]) == -11.5
    assert float(fresh["change_gold_reward"]) == 15 and "final_margin" not in fresh
    curves = summaries.read_csv(flags.curves_output, ["step", "metric", "mean"])
    gold = curves[(curves["metric"] == "gold_reward") & (curves["batch"] == "b64")]
    assert list(gold["mean"]) == [-20, -9.5, -5]
    drawn = plot_curves.Flags(
        curves=flags.curves_output,
        output=str(tmp_path / "curves.svg"),
        **{"metric": ("gold_reward",), "x": "queries", "panels": ("task", "method"), "lines": ("batch",)},
    )
    plot_curves.main(drawn)
    drawn = plot_axis.Flags(
        table=flags.output,
        output=str(tmp_path / "axis.svg"),
        **{"metric": ("final_gold_reward",), "x": "batch", "panels": ("task",), "lines": ("method",)},
    )
    plot_axis.main(drawn)
    assert all("gold reward" in (tmp_path / f"{name}.svg").read_text() for name in ("curves", "axis"))


def test_a_claim_about_runs_is_judged_seed_by_seed(tmp_path, metrics):
    names = {"sampling/short.ppo.b64": "ppo_b64", "methods/dpo.short": "dpo"}
    flags = judge_claims.Flags(
        claims=json.dumps(yaml.safe_load(CLAIMS)),
        output=str(tmp_path / "claims.csv"),
        text_output=str(tmp_path / "claims.txt"),
        metrics=typed(metrics, names),
    )
    judge_claims.main(flags)
    with open(flags.output, newline="") as file:
        (line,) = csv.DictReader(file)
    # -6 - -2 and -4 - -3: -2.5 +- 12.7062 * 2.1213 / sqrt(2)
    found = [float(line[name]) for name in ("mean", "low", "high")]
    assert found == pytest.approx([-2.5, -21.5593, 16.5593], rel=1e-4)
    assert (line["seeds"], line["verdict"]) == ("2", "undecided")


@pytest.mark.parametrize("given", [{}, {"histories": ("a=b",), "metrics": ("a/1=b",)}])
def test_cells_are_of_one_kind(given):
    with pytest.raises(InputError, match="--histories, --metrics: give one of the two"):
        histories.read_all(given.get("histories", ()), given.get("metrics", ()))


def test_a_seed_is_named_beside_its_cell():
    with pytest.raises(InputError, match="--metrics: 'short.ppo' is not LABEL/SEED"):
        histories.read_all((), ("short.ppo=metrics.csv",))


@pytest.mark.parametrize("name", ["length", "length_quick", "length_tuning"])
def test_the_length_configs_have_no_problem(name):
    assert validation.problems(yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())) == []


def test_the_learning_rates_of_the_length_experiments_are_points_of_the_grid_that_was_tuned():
    whole, tuning = (
        yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()) for name in ("length", "length_tuning")
    )
    assert not set(whole["seeds"]) & set(tuning["seeds"])
    assert whole["tasks"] == tuning["tasks"]
    rates = {"train_" + run["algorithm"]: set() for run in tuning["runs"].values()}
    for run in tuning["runs"].values():
        rates["train_" + run["algorithm"]].add(run["train_" + run["algorithm"]]["learning_rate"])
    for run in whole["runs"].values():
        stage = "train_" + run["algorithm"]
        assert {**whole["stages"][stage], **run.get(stage, {})}["learning_rate"] in rates[stage]


def test_every_run_of_the_length_experiments_takes_the_same_steps_and_labels_for_each_pass():
    whole = yaml.safe_load((ROOT / "config" / "length.yaml").read_text())
    whole = runs.complete(whole, validation.DEFAULTS, "transformers")
    for name, run in whole["runs"].items():
        where = {"task": "min_length", "run": name, "seed": 1, "round": 1}
        drawn = runs.options(whole, "generate_responses", where)
        train = runs.options(whole, f"train_{run['algorithm']}", where)
        per_row = {"pairs": 2, "reference_logps": 2}.get(runs.trained_on(whole, name), 1)
        per_row *= drawn["samples_per_prompt"] if run["algorithm"] == "best_of_n" else 1
        labels = drawn["num_prompts"] * drawn["samples_per_prompt"]
        if run["source"] == "offline":
            of_pair = runs.options(whole, "generate_responses", {"task": "min_length", "seed": 1})["samples_per_prompt"]
            labels = of_pair * runs.options(whole, "construct_pairs", where)["num_pairs"]
        assert labels * run["rounds"] == 512, name
        assert train["batch_size"] * per_row == 16, name
