"""The whole pipeline on real instructions and real preferences, in small: no gold reward, only the reward model."""

import pytest
from miniature import ROOT, Workflow

from preference.files import artifacts, records

pytestmark = pytest.mark.workflow

DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    if not DATA.is_dir():
        pytest.skip("the folder with real preference data is not beside the project")
    workflow = Workflow(tmp_path_factory.mktemp("real"))
    workflow.config["experiment"] = "real"
    task = {
        "data": {
            "sft": str(DATA / "alpaca_instructions" / "train.parquet"),
            "preferences": str(DATA / "alpaca_preferences" / "train.parquet"),
            "eval_prompts": str(DATA / "alpaca_instructions" / "test.parquet"),
            "eval_preferences": str(DATA / "alpaca_preferences" / "test.parquet"),
        },
        "base_model": "from_scratch",
        "prepare_task": {"num_prompts": 64, "num_eval_prompts": 16, "num_sft": 128, "max_characters": 500},
        "initialize_model": {"context_length": 512},
        "train_reward_model": {"batch_size": 64, "micro_batch_size": 16},
        "train_dpo": {"batch_size": 64, "micro_batch_size": 16},
    }
    workflow.config["tasks"] = {"alpaca": task}
    workflow.config["stages"] = {
        name: {**flags, **({"max_length": 500} if "max_length" in flags else {})}
        for name, flags in workflow.config["stages"].items()
    }
    workflow.config["runs"] = {
        "dpo_offline": {"algorithm": "dpo", "source": "offline", "construct_pairs": {"num_pairs": 256}},
        "dpo_on_policy": {"algorithm": "dpo", "source": "on_policy"},
    }
    workflow.call()
    return workflow.folder / "results" / "real" / "alpaca"


def test_formats_are_recognised_and_every_row_is_accounted_for(finished):
    log = (finished / "data" / "prepare_task.log").read_text()
    assert "format alpaca_instructions, 705 rows" in log and "format alpaca_preferences, 4163 rows" in log
    for name in ("sft", "preferences", "eval_preferences"):
        made_by = records.metadata(finished / "data" / f"{name}.parquet")
        assert made_by["rows_in"] == made_by["rows_out"] + sum(made_by["dropped"].values()), name


def test_training_and_held_out_prompts_never_meet(finished):
    ids = {
        path.stem: {row["prompt_id"] for row in records.read(path, "prompts")}
        for path in (finished / "data").glob("*.parquet")
    }
    held_out = ids["eval_prompts"] | ids["eval_preferences"]
    assert held_out and not held_out & (ids["sft"] | ids["prompts"] | ids["preferences"])


def test_the_reward_model_is_judged_on_held_out_preferences(finished):
    content = artifacts.read_json(finished / "seed1" / "reward_model" / "evaluation.json")
    found = content["metrics"]["accuracy"]
    assert content["num_pairs"] > 100 and 0 <= found["low"] <= found["mean"] <= found["high"] <= 1
    assert 10 < found["n"] < content["num_pairs"], "intervals are over prompts, and a prompt has several pairs"


def test_both_runs_end_with_rewards_of_that_model_and_no_gold(finished):
    for run in ("dpo_offline", "dpo_on_policy"):
        metrics = artifacts.read_json(finished / run / "seed1" / "round1" / "evaluation.json")["metrics"]
        assert "gold_reward" not in metrics and metrics["reward"]["n"] == 16 and "perplexity" in metrics


def test_the_report_is_made_without_a_gold_reward(finished):
    assert "learned reward" in (finished.parent / "report.html").read_text()
