"""What a geometry lets expect beside what was found: the rule by hand and as a table, the runs asked, and the plan."""

import itertools

import miniature
import pandas as pd
import pytest
import yaml

import compare_expectations
from preference.analysis import geometry
from preference.files import artifacts, summaries, tables
from preference.running.stage import InputError
from workflow.config import runs, validation


def test_three_seeds_are_compared_by_hand():
    ours, theirs = [(-20.0, -8.0), (-20.0, -9.0), (-20.0, -10.0)], [(-20.0, -11.0), (-20.0, -11.0), (-20.0, -14.0)]
    found = compare_expectations.compare(ours, theirs, "much")
    # differences 3, 2, 4: mean 3, standard error 1 / sqrt 3, and t of two degrees is 4.3027; a quarter of 11 is 2.75
    assert found["difference"] == pytest.approx(3)
    assert (found["low"], found["high"]) == (pytest.approx(3 - 2.4842, abs=1e-4), pytest.approx(3 + 2.4842, abs=1e-4))
    assert (found["run_minus_sft"], found["against_minus_sft"], found["small"]) == (11, 8, 2.75)
    assert (found["found"], found["as_expected"]) == ("helps", "yes")


def test_seeds_are_paired_so_that_what_they_share_does_not_widen_the_interval():
    ours, theirs = [(0.0, 10.0), (0.0, 50.0), (0.0, 90.0)], [(0.0, 8.0), (0.0, 47.9), (0.0, 88.1)]
    found = compare_expectations.compare(ours, theirs, "much")
    assert found["low"] > 1.7 and found["high"] < 2.3


def test_one_seed_has_no_interval_and_is_undecided_whatever_is_expected():
    for expected in ("much", "some", "little"):
        found = compare_expectations.compare([(0.0, 9.0)], [(0.0, 1.0)], expected)
        assert (found["found"], found["as_expected"], found["difference"]) == ("undecided", "undecided", 8)


# The interval, where 1 is small: what was found, and whether it is what was expected of much, some and little help.
CASES = [
    ((2.0, 3.0), "helps", "yes", "yes", "no"),
    ((0.5, 3.0), "helps", "yes", "yes", "undecided"),
    ((0.2, 0.8), "helps", "no", "yes", "yes"),
    ((-0.5, 0.5), "no difference seen", "no", "no", "yes"),
    ((0.0, 0.0), "no difference seen", "no", "no", "yes"),
    ((-0.5, 3.0), "no difference seen", "undecided", "undecided", "undecided"),
    ((-3.0, 3.0), "no difference seen", "undecided", "undecided", "undecided"),
    ((-3.0, 0.5), "no difference seen", "undecided", "undecided", "undecided"),
    ((-0.8, -0.2), "hurts", "no", "no", "yes"),
    ((-3.0, -0.5), "hurts", "no", "no", "undecided"),
    ((-3.0, -2.0), "hurts", "no", "no", "no"),
]


@pytest.mark.parametrize("interval, found, much, some, little", CASES)
def test_an_interval_is_judged_by_the_rule(interval, found, much, some, little):
    assert compare_expectations.found(*interval) == found
    verdicts = [compare_expectations.as_expected(each, *interval, small=1.0) for each in ("much", "some", "little")]
    assert verdicts == [much, some, little]
    assert compare_expectations.as_expected(None, *interval, small=1.0) == "no expectation"


def test_the_rule_knows_no_unit_and_much_and_little_never_both_come_true():
    ends = [-3, -1, -0.5, 0, 0.25, 1, 2]
    for low, high in itertools.combinations_with_replacement(ends, 2):
        verdicts = [compare_expectations.as_expected(each, low, high, 1) for each in ("much", "some", "little")]
        scaled = [compare_expectations.as_expected(each, 8 * low, 8 * high, 8) for each in ("much", "some", "little")]
        assert verdicts == scaled
        assert verdicts[0] != "yes" or (verdicts[1] == "yes" and verdicts[2] != "yes")


def test_a_tasks_cell_is_that_of_more_than_half_of_its_seeds():
    assert compare_expectations.majority(["a", "b", "a"]) == ("a", 2)
    assert compare_expectations.majority(["a", "b"]) == (None, 1)
    assert compare_expectations.majority(["a"]) == ("a", 1)


def test_what_is_expected_can_be_compared_and_read():
    helps = {cell: tuple(each.helps for each in both) for cell, both in geometry.EXPECTED.items()}
    assert helps == {
        (True, True): ("little", "little"),
        (True, False): (None, None),
        (False, True): ("much", "some"),
        (False, False): ("much", "much"),
    }
    assert geometry.expected("Min Length", "negative_gradient").helps == "some"
    assert str(geometry.expected("Mode Length", "negative_gradient")) == "little: it may be left out"
    assert str(geometry.expected("not studied", "on_policy_data")) == "not studied in the paper"


# The stage on files.

ON, OFF = (-8.0, -9.0, -10.0), (-11.0, -11.0, -14.0)
CONTRAST = "length/on_policy_data/dpo_on/dpo_off=rounds 3 against 1"


def write(folder, cells=("Min Length",) * 3, gold=(True, True), contrasts=(CONTRAST,)) -> compare_expectations.Flags:
    """A geometry of each seed, and two runs whose learned reward is 100 above their gold one."""
    geometries, metrics = [], []
    for seed, cell in enumerate(cells, 1):
        artifacts.write_json(path := folder / f"geometry{seed}.json", {"kind": "geometry", "cell": cell})
        geometries.append(f"length/{seed}={path}")
    for (run, last), has_gold in zip({"dpo_on": ON, "dpo_off": OFF}.items(), gold, strict=True):
        for seed in range(1, len(cells) + 1):
            table = pd.DataFrame({"round": [0, 1, 2], "gold_reward": [-20.0, 0.0, last[seed - 1]]})
            table["reward"] = table["gold_reward"] + 100
            path = folder / f"{run}{seed}.csv"
            summaries.write_csv(path, tables.RUN, table if has_gold else table.drop(columns="gold_reward"), {})
            metrics.append(f"length/{run}/{seed}={path}")
    outputs = (str(folder / "expectations.csv"), str(folder / "expectations.txt"))
    return compare_expectations.Flags(tuple(geometries), tuple(metrics), contrasts, *outputs)


def rows_of(flags) -> list[dict]:
    compare_expectations.main(flags)
    return summaries.read_csv(flags.output, ["as_expected"]).to_dict("records")


def test_a_row_says_what_was_expected_and_what_came(tmp_path):
    flags = write(tmp_path, contrasts=(CONTRAST, CONTRAST.replace("on_policy_data", "negative_gradient")))
    first, second = rows_of(flags)
    assert (first["cell"], first["in_cell"], first["seeds"]) == ("Min Length", 3, 3)
    assert (first["expected"], second["expected"]) == ("much", "some")
    assert (first["judged_by"], first["difference"], first["small"]) == ("gold_reward", 3, 2.75)
    assert (first["found"], first["as_expected"], first["differs"]) == ("helps", "yes", "rounds 3 against 1")
    text = artifacts.read_text(flags.text_output)
    assert "length in Min Length (3 of 3 seeds)" in text and "on_policy_data, expected to help: much" in text
    assert "dpo_on against dpo_off: helps; as expected: yes" in text and "also differ: rounds 3 against 1" in text


def test_without_a_gold_reward_the_learned_one_judges(tmp_path):
    (row,) = rows_of(write(tmp_path, gold=(False, False)))
    assert (row["judged_by"], row["run_minus_sft"], row["as_expected"]) == ("reward", 11, "yes")


@pytest.mark.parametrize(
    "cells, cell, expected, verdict",
    [
        (("Mode Length", "Min Length", "Min Length"), "Min Length", "much", "yes"),
        (("Mode Length", "Mode Length", "Min Length"), "Mode Length", "little", "undecided"),
        (("not studied",) * 3, "not studied", "unknown", "no expectation"),
        (("Mode Length", "Min Length", "Skew Length"), None, "unknown", "no expectation"),
        (("Min Length",), "Min Length", "much", "undecided"),
    ],
)
def test_the_cell_of_most_seeds_says_what_to_expect(tmp_path, cells, cell, expected, verdict):
    (row,) = rows_of(write(tmp_path, cells=cells))
    assert (row["expected"], row["as_expected"]) == (expected, verdict)
    assert row["cell"] == cell if cell else pd.isna(row["cell"])


@pytest.mark.parametrize(
    "change, line",
    [
        ({"contrasts": ("length/on_policy/dpo_on/dpo_off=",)}, "--contrasts: 'on_policy' is not one of on_policy_data"),
        ({"contrasts": (CONTRAST.replace("_off", "_of"),)}, "has 3 seeds of length/dpo_on and 0 of length/dpo_of"),
        ({"contrasts": ("length/dpo_on=",)}, "--contrasts: 'length/dpo_on' has not the 4 parts"),
        ({"gold": (True, False)}, "--metrics: length/dpo_off/1 has no gold_reward, which others of the task have"),
        ({"cells": ("Max Length",)}, "geometry1.json: names no cell"),
    ],
)
def test_what_does_not_belong_together_is_one_line(tmp_path, change, line):
    with pytest.raises(InputError, match=line):
        compare_expectations.main(write(tmp_path, **change))


def test_a_seed_without_a_geometry_is_named(tmp_path):
    flags = write(tmp_path)
    fewer = compare_expectations.Flags(**{**vars(flags), "geometries": flags.geometries[:2]})
    with pytest.raises(InputError, match="--geometries: has no length/3, which length/dpo_on was made with"):
        compare_expectations.main(fewer)


def test_metrics_without_the_sft_policy_are_refused(tmp_path):
    flags = write(tmp_path)
    without = pd.DataFrame({"round": [1, 2], "reward": [1.0, 2.0]})
    summaries.write_csv(tmp_path / "dpo_on1.csv", tables.RUN, without, {})
    with pytest.raises(InputError, match="dpo_on1.csv: wants round 0, which is the SFT policy, and a later one"):
        compare_expectations.main(flags)


# What the workflow asks.


@pytest.fixture
def config():
    """The miniature with samples enough to place its task, and runs that cross the paper's two axes."""
    found = yaml.safe_load(miniature.MINIATURE.read_text())
    found["stages"]["evaluate_policy"]["samples_per_prompt"] = 8
    found["runs"] |= {
        "dpo_offline": {"algorithm": "dpo", "source": "offline"},
        "pref_ft_on_policy": {"algorithm": "pref_ft", "source": "on_policy", "rounds": 2},
    }
    return found


def test_the_two_axes_are_crossed_in_the_configs_order(config):
    assert [(each.question, each.run, each.against) for each in runs.contrasts(config)] == [
        ("on_policy_data", "dpo_on_policy", "dpo_offline"),
        ("on_policy_data", "pref_ft_on_policy", "pref_ft_offline"),
        ("negative_gradient", "dpo_on_policy", "pref_ft_on_policy"),
        ("negative_gradient", "dpo_offline", "pref_ft_offline"),
    ]
    assert [each.differs for each in runs.contrasts(config)] == ["rounds 2 against 1", "", "", "rounds 1 against 2"]
    whole = runs.complete(config, validation.DEFAULTS, "transformers")
    assert runs.contrasts(whole) == runs.contrasts(config)


@pytest.mark.parametrize("axis, value", [("reference", "previous"), ("reward", "gold"), ("algorithm", "ipo")])
def test_runs_that_differ_in_another_axis_do_not_tell_what_on_policy_data_does(config, axis, value):
    config["runs"]["dpo_on_policy"][axis] = value
    found = {(each.run, each.against) for each in runs.contrasts(config)}
    assert ("dpo_on_policy", "dpo_offline") not in found and ("pref_ft_on_policy", "pref_ft_offline") in found


def test_what_else_differs_is_said_by_flag_whatever_the_training_is_called(config):
    config["stages"]["train_dpo"]["learning_rate"] = 3.0e-5
    config["runs"]["dpo_on_policy"]["generate_responses"] = {"temperature": 0.7}
    found = {(each.run, each.against): each.differs for each in runs.contrasts(config)}
    rate = "training.learning_rate 3e-05 against 0.0001"
    both = f"generate_responses.temperature 0.7 against 1, {rate}"
    assert found["dpo_on_policy", "pref_ft_on_policy"] == both
    assert found["dpo_offline", "pref_ft_offline"] == f"rounds 1 against 2, {rate}"
    assert found["dpo_on_policy", "dpo_offline"] == "rounds 2 against 1"  # offline nothing is sampled


def test_mixed_runs_are_compared_where_they_mix_alike(config):
    mixed = {"source": "mix", "offline_fraction": 0.5}
    config["runs"] = {"dpo": {"algorithm": "dpo", **mixed}, "pref_ft": {"algorithm": "pref_ft", **mixed}}
    assert [each.run for each in runs.contrasts(config)] == ["dpo"]
    config["runs"]["dpo"]["offline_fraction"] = 0.25
    assert runs.contrasts(config) == []


def test_only_tasks_that_both_runs_are_made_on_and_that_are_sampled_enough_are_asked(config):
    config["tasks"]["sparse"] = {**config["tasks"]["min_length"], "evaluate_policy": {"samples_per_prompt": 7}}
    config["tasks"]["other"] = dict(config["tasks"]["min_length"])
    config["runs"]["dpo_offline"]["tasks"] = ["min_length"]
    found = {task: [c for c in runs.contrasts(config) if c.task == task] for task in config["tasks"]}
    assert [len(each) for each in found.values()] == [4, 0, 2]
    assert [runs.has_geometry(config, task) for task in config["tasks"]] == [True, False, True]


def test_the_workflow_and_the_library_mean_the_same(config):
    assert runs.GEOMETRY_SAMPLES == geometry.LAST
    assert tuple(dict.fromkeys(each.question for each in runs.contrasts(config))) == geometry.QUESTIONS
    assert {*runs.PUSHING, "pref_ft", "csft"} == {name for name, table in runs.ALGORITHMS.items() if table != "rewards"}


def test_what_the_geometry_needs_is_missed_before_any_job(config):
    config["tasks"]["min_length"]["data"] = "built_in"
    config["runs"] = {name: run for name, run in config["runs"].items() if run["algorithm"] == "pref_ft"}
    del config["stages"]["compute_reference_logps"]
    assert validation.problems(config) == ["stages.compute_reference_logps: is missing"]
    config["stages"]["evaluate_policy"]["samples_per_prompt"] = 7
    assert validation.problems(config) == []


def test_geometry_and_expectations_are_part_of_all_where_the_samples_say_where_a_task_lies(tmp_path, config):
    workflow = miniature.Workflow(tmp_path, config)
    miniature.write_data(tmp_path)
    placed = {f"diagnose_geometry min_length, seed {seed}" for seed in config["seeds"]}
    said = workflow.call("--dry-run", "--printshellcmds")
    assert placed | {"compare_expectations", "render_report"} <= miniature.jobs(said)
    assert "--contrasts " in said and "'min_length/on_policy_data/dpo_on_policy/dpo_offline=rounds 2 against 1'" in said
    assert "--expectations results/miniature/tables/expectations.csv" in said
    workflow.config["runs"] = {"dpo_on_policy": config["runs"]["dpo_on_policy"]}
    alone = workflow.plan()  # no other run to compare it with
    assert placed <= alone and "compare_expectations" not in alone
    workflow.config["stages"]["evaluate_policy"]["samples_per_prompt"] = 7
    assert not placed & workflow.plan()
