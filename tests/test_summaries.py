"""Tables of an experiment: rows per round, joins by prompt_id, verdicts, and the figures drawn from them."""

import csv
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from experiment import GOLD, RUNS, make, samples, write_evaluation, write_pairs, write_training

import plot_frontier
import plot_margins
import plot_rewards
import summarize_experiment
import summarize_run
from preference.files import artifacts, summaries
from preference.report import style
from preference.running.stage import InputError

SCRIPTS = Path(summarize_run.__file__).parent


def table(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_has_a_row_per_round_and_round_0_is_sft(tmp_path):
    make(tmp_path)
    rows = table(tmp_path / "better" / "1" / "metrics.csv")
    assert [(row["round"], row["step"], row["queries"]) for row in rows] == [("0", "0", "0"), ("1", "3", "8")]
    assert float(rows[0]["gold_reward"]) == pytest.approx(sum(GOLD) / 8)
    assert float(rows[1]["gold_reward_low"]) < float(rows[1]["gold_reward"]) < float(rows[1]["gold_reward_high"])


def test_a_metric_that_a_round_lacks_is_an_empty_cell(tmp_path):
    write_evaluation(tmp_path / "a", samples(GOLD, has_gold=False))
    write_evaluation(tmp_path / "b", samples(GOLD))
    files = tuple(str(tmp_path / name / "evaluation.json") for name in "ab")
    write_training(tmp_path / "training.csv", steps=1)
    write_pairs(tmp_path / "pairs.parquet")
    made = {"trainings": (str(tmp_path / "training.csv"),), "trained_on": (str(tmp_path / "pairs.parquet"),)}
    summarize_run.main(summarize_run.Flags(files, **made, output=str(tmp_path / "metrics.csv")))
    assert [row["gold_reward"] != "" for row in table(tmp_path / "metrics.csv")] == [False, True]


def test_the_best_run_comes_first_whatever_the_config_says(tmp_path):
    make(tmp_path)
    rows = table(tmp_path / "tables" / "final.csv")
    assert [row["run"] for row in rows] == ["better", "sft", "worse"]
    assert [row["above_sft"] for row in rows] == ["yes", "", "no"]


def test_the_difference_to_sft_joins_by_prompt_id_not_by_position(tmp_path):
    make(tmp_path / "straight")
    make(tmp_path / "reversed", order=slice(None, None, -1))
    rows = table(tmp_path / "reversed" / "tables" / "final.csv")
    # paired, the difference is the same for every prompt: no width at all; by position it would be wide
    assert float(rows[0]["gold_reward_minus_sft_low"]) == pytest.approx(2.5)
    assert float(rows[0]["gold_reward_minus_sft_high"]) == pytest.approx(2.5)
    straight, turned = (tmp_path / name / "tables" / "final.csv" for name in ("straight", "reversed"))
    assert straight.read_bytes() == turned.read_bytes()


def test_seeds_are_pooled_and_averaged(tmp_path):
    make(tmp_path, seeds=("1", "3"))
    best = table(tmp_path / "tables" / "final.csv")[0]
    assert best["seeds"] == "2" and float(best["gold_reward"]) == pytest.approx(sum(GOLD) / 8 + 2 + 1.0)
    assert float(best["gold_reward_minus_sft_low"]) == pytest.approx(2.5)
    assert float(best["gold_reward_minus_sft_high"]) == pytest.approx(3.5)
    rows = table(tmp_path / "tables" / "metrics.csv")
    mean = [r for r in rows if (r["run"], r["seed"], r["round"], r["metric"]) == ("better", "mean", "1", "gold_reward")]
    assert float(mean[0]["mean"]) == pytest.approx(float(best["gold_reward"])) and mean[0]["low"] == ""


def test_without_gold_the_learned_reward_judges(tmp_path):
    make(tmp_path, has_gold=False)
    rows = table(tmp_path / "tables" / "final.csv")
    assert {row["judged_by"] for row in rows} == {"reward"} and rows[0]["gold_reward"] == ""
    assert [row["run"] for row in rows] == ["better", "sft", "worse"]
    assert "gold" not in (tmp_path / "tables" / "final.txt").read_text()


def test_the_text_table_is_aligned(tmp_path):
    make(tmp_path)
    head, *rows = (tmp_path / "tables" / "final.txt").read_text().splitlines()[1:]
    assert all(row[head.index("tokens") - 1] == " " != row[head.index("tokens")] for row in rows)


def test_equal_inputs_give_equal_tables(tmp_path):
    for name in "ab":
        make(tmp_path / name, seeds=("1", "2"))
    for name in ("metrics.csv", "final.csv", "final.txt"):
        assert (tmp_path / "a/tables" / name).read_bytes() == (tmp_path / "b/tables" / name).read_bytes()


def test_another_set_of_prompts_is_refused(tmp_path):
    flags = make(tmp_path)
    write_evaluation(tmp_path / "better" / "1", samples(RUNS["better"])[:-1])
    with pytest.raises(InputError, match=r"length/better/1: gold_reward is known for 7 prompts and for 8 of SFT's"):
        summarize_experiment.main(flags)


def test_a_missing_metrics_file_ends_in_one_line(tmp_path):
    flags = [f"--{name}={tmp_path / 'no.csv'}" for name in ("metrics", "samples", "baseline_samples")]
    flags += [f"--{name}_output={tmp_path / name}" for name in ("metrics", "final", "text")]
    command = [sys.executable, SCRIPTS / "summarize_experiment.py", "--runs=t/r/1", "--baselines=t/1", *flags]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert f"{tmp_path / 'no.csv'}: no such file" in ended.stderr


def test_a_file_too_few_is_named(tmp_path):
    flags = make(tmp_path)
    with pytest.raises(InputError, match="--metrics: 1 values for 2 of --runs"):
        summarize_experiment.main(summarize_experiment.Flags(**{**vars(flags), "metrics": flags.metrics[:1]}))


def test_an_evaluation_without_metrics_is_named(tmp_path):
    artifacts.write_json(tmp_path / "evaluation.json", {"kind": "evaluation"})
    with pytest.raises(InputError, match="has no 'metrics'"):
        summaries.read_evaluation(tmp_path / "evaluation.json")


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0.7123, 0.6411, 0.7799), "0.71 [0.64, 0.78]"),
        ((-30.94, -32.6, -29.27), "-30.9 [-32.6, -29.3]"),
        ((0.0, 0.0, 0.0), "0.00 [0.00, 0.00]"),
        ((32.0, 32.0 - 1e-14, 32.0), "32.0 [32.0, 32.0]"),  # a rounding error is no width
        ((-0.001, -0.4, 0.4), "0.0 [-0.4, 0.4]"),
        ((12.3456, float("nan"), float("nan")), "12.3"),
        ((float("nan"),) * 3, "–"),
    ],
)
def test_an_interval_is_shown_no_finer_than_its_width(interval, text):
    assert summaries.shown(*interval) == text


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.1, 1, "yes"), (-1, -0.1, "no"), (-1, 1, "unclear"), (0, 1, "unclear")]
)
def test_a_difference_counts_only_beyond_its_interval(low, high, word):
    assert summaries.verdict(low, high) == word


@pytest.mark.parametrize("script", [plot_rewards, plot_margins, plot_frontier])
@pytest.mark.parametrize("seeds", [("1",), ("1", "2")])
def test_a_figure_of_equal_data_has_equal_bytes(script, seeds, tmp_path):
    tables = make(tmp_path, seeds=seeds).metrics_output
    for name in "ab":
        script.main(script.Flags(tables, str(tmp_path / f"{name}.svg")))
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_a_figure_says_where_there_is_no_gold_reward(tmp_path):
    tables = make(tmp_path, has_gold=False).metrics_output
    plot_rewards.main(plot_rewards.Flags(tables, str(tmp_path / "rewards.svg")))
    assert "not measured here" in (tmp_path / "rewards.svg").read_text()


@pytest.mark.parametrize("largest", [0.0004, 0.0042, 0.09, 1.3, 7.7, 160.0])
def test_ticks_of_kl_do_not_run_into_each_other(largest):
    figure, ((axis,),) = style.panels(["task"], 1)
    axis.plot([0, largest], [0, 1])
    plot_frontier.scale(axis, largest)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
    assert len(boxes) > 2 and all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
