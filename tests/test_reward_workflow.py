"""Experiments whose rewards are rules, functions of the user's own, scores of the data, or mixtures of several."""

import copy as copies
import json

import miniature
import pytest
import yaml

from preference.files import artifacts, records

pytestmark = pytest.mark.workflow

TASK = "results/miniature/min_length"
OWN = "def score(messages, response, fields):\n    return -abs(len(response) - 40) / 40\n"
KTO = {"learning_rate": 1.0e-4, "epochs": 1, "batch_size": 8, "micro_batch_size": 4, "max_length": 200, "beta": 0.1}


def small(folder, **task) -> miniature.Workflow:
    """The miniature with one seed and one on-policy run of one round, and with other keys of its task."""
    folder.mkdir(parents=True, exist_ok=True)
    miniature.write_data(folder)
    config = copies.deepcopy(yaml.safe_load(miniature.MINIATURE.read_text()))
    config["seeds"] = [1]
    config["tasks"]["min_length"] |= task
    config["runs"] = {"dpo_on_policy": {"algorithm": "dpo", "source": "on_policy"}}
    return miniature.Workflow(folder, config)


def stages(workflow: miniature.Workflow) -> set[str]:
    return {job.split()[0] for job in workflow.plan()}


RULE = {"name": "regex", "pattern": "the", "as": "says_the"}


@pytest.fixture(scope="module")
def without_learned(tmp_path_factory):
    """A finished run that trains on a rule and a function, as the gold reward."""
    workflow = small(
        tmp_path_factory.mktemp("rules"), gold_reward=[{"python": "own.py:score"}, {**RULE, "weight": 0.5}]
    )
    (workflow.folder / "own.py").write_text(OWN)
    workflow.config["runs"]["dpo_on_policy"]["reward"] = "gold"
    workflow.said = workflow.call()
    return workflow


def test_where_no_run_reads_a_learned_reward_no_reward_model_is_trained_or_read(without_learned):
    folder = without_learned.folder
    assert not list(folder.rglob("reward_model")) and "train_reward_model" not in without_learned.said
    rows = records.read(folder / TASK / "dpo_on_policy/seed1/round1/evaluation.parquet", "evaluation")
    for row in rows:
        assert row["reward"] == row["gold_reward"] == row["reward_gold_score"] + 0.5 * row["reward_gold_says_the"]
    assert {row["reward_gold_says_the"] for row in rows} <= {0.0, 1.0} and len({row["reward"] for row in rows}) > 2
    assert "gold reward" in (folder / "results/miniature/tables/final.txt").read_text()
    assert (folder / "results/miniature/report.html").is_file()


def test_a_changed_function_reruns_what_it_scores_and_an_unused_verifier_nothing(without_learned):
    assert without_learned.plan() == set()
    file = without_learned.folder / "own.py"
    try:
        file.write_text(OWN.replace("40", "30"))
        found = stages(without_learned)
    finally:
        file.write_text(OWN)
    assert {"score_responses", "score_preference_responses", "evaluate_policy", "evaluate_sft_policy"} <= found
    assert not {"generate_responses", "train_sft", "prepare_task"} & found
    made_by = artifacts.metadata(without_learned.folder / f"{TASK}/seed1/sft/evaluation.json")
    assert [name for name in made_by["code"] if "verifiers/" in name] == [
        "preference/rewards/verifiers/__init__.py",
        "preference/rewards/verifiers/regex.py",
    ]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A finished run of KTO on unpaired answers with the data's own labels, without any other reward."""
    folder = tmp_path_factory.mktemp("given")
    workflow = small(folder, data={"sft": "instructions.jsonl", "preferences": "labels.jsonl"})
    rows = [json.loads(line) for line in (folder / "instructions.jsonl").read_text().splitlines()][256:296]
    labelled = [
        {"prompt": row["prompt"], "completion": row["response"], "label": bool(number % 2)}
        for number, row in enumerate(rows)
    ]
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    del workflow.config["tasks"]["min_length"]["gold_reward"]
    workflow.config["stages"] |= {"train_kto": {**KTO, "threshold": "mean"}, "collect_responses": {}}
    workflow.config["runs"] = {"kto": {"algorithm": "kto", "source": "offline", "reward": "given"}}
    workflow.said = workflow.call()
    return workflow


def test_labels_of_the_data_are_trained_on_and_nothing_else_is_needed(given):
    rows = records.read(given.folder / TASK / "kto/seed1/round1/rewards.parquet", "rewards")
    assert {row["reward"] for row in rows} == {0.0, 1.0} and {row["gold_reward"] for row in rows} == {None}
    samples = records.read(given.folder / TASK / "kto/seed1/round1/evaluation.parquet", "evaluation")
    assert {row["reward"] for row in samples} == {row["win"] for row in samples} == {None}
    metrics = artifacts.read_json(given.folder / TASK / "kto/seed1/round1/evaluation.json")["metrics"]
    assert {"kl", "entropy", "num_tokens"} <= metrics.keys() and not {"reward", "win_rate"} & metrics.keys()
    assert not list(given.folder.rglob("reward_model"))


def test_the_tables_and_the_report_say_that_nothing_was_scored(given):
    report = (given.folder / "results/miniature/report.html").read_text()
    assert "Nothing scores the responses here" in report and "nan" not in report.lower().replace("nanosecond", "")
    assert "nan" not in (given.folder / "results/miniature/tables/final.txt").read_text()


def test_a_mixed_reward_is_scored_in_rounds_and_in_evaluations_by_its_parts(tmp_path):
    workflow = small(tmp_path, reward_model=["trained", {**RULE, "weight": 0.5}])
    workflow.call()
    for table in ("rewards", "evaluation"):
        rows = records.read(tmp_path / TASK / f"dpo_on_policy/seed1/round1/{table}.parquet", table)
        assert {row["reward_says_the"] for row in rows} <= {0.0, 1.0}
        assert len({row["reward_learned"] for row in rows}) > 2
        assert all(row["reward"] == row["reward_learned"] + 0.5 * row["reward_says_the"] for row in rows)
    assert "held-out accuracy" in (tmp_path / "results/miniature/report.html").read_text()
    assert workflow.plan() == set()


# Plans alone.


def test_a_mixed_reward_with_the_trained_model_trains_it_and_any_other_does_not(tmp_path):
    mixed = small(tmp_path / "mixed", reward_model=["trained", {**RULE, "weight": 0.5}])
    assert {"train_reward_model", "score_responses"} <= stages(mixed)
    rule = small(tmp_path / "rule", reward_model=RULE)
    assert "train_reward_model" not in stages(rule) and "score_responses" in stages(rule)


def test_a_reward_model_that_is_said_is_the_one_that_is_not_said(tmp_path):
    said, unsaid = (
        small(tmp_path / name, **more) for name, more in (("said", {"reward_model": "trained"}), ("not", {}))
    )
    assert said.plan() == unsaid.plan()
    gold = small(tmp_path / "gold", reward_model="trained")
    gold.config["runs"]["dpo_on_policy"]["reward"] = "gold"
    assert "train_reward_model" not in stages(gold)
