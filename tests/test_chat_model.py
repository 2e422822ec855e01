"""The workflow on a real chat model and real preferences: no SFT, a reward model, DPO off and on policy, evaluation."""

import re

import pytest
import yaml
from miniature import ROOT, Workflow

from preference.files import artifacts, conversations, records

pytestmark = pytest.mark.chat

DATA = ROOT.parent / "shared" / "data" / "alpaca_preferences" / "train.parquet"
MODEL = ROOT / "models" / "smollm2"
ENGINES = {"dpo_offline": "transformers", "dpo_on_policy": "vllm"}


def small(config: dict) -> dict:
    """config/smollm2.yaml at a size for minutes; each engine samples for one of the runs."""
    config["tasks"]["chat"] |= {"data": {"preferences": str(DATA)}, "base_model": str(MODEL)}
    stages, length = config["stages"], {"max_length": 128}
    stages["prepare_task"] |= {"num_eval_prompts": 6, "num_eval_preferences": 12, "num_prompts": 64}
    stages["prepare_task"]["max_characters"] = 300
    for stage in ("train_reward_model", "train_dpo"):
        stages[stage] |= {"batch_size": 8, "micro_batch_size": 8, **length}
    stages["train_reward_model"]["num_pairs"] = 48
    stages["generate_responses"] |= {"num_prompts": 24, "samples_per_prompt": 2, "max_new_tokens": 32}
    stages["score_responses"] |= length
    stages["compute_reference_logps"] |= {"batch_size": 8, **length}
    stages["evaluate_policy"] |= {"max_new_tokens": 32, **length}
    config["runs"]["dpo_offline"]["construct_pairs"] = {"num_pairs": 24}
    for run, engine in ENGINES.items():
        config["runs"][run] |= {stage: {"engine": engine} for stage in ("generate_responses", "evaluate_policy")}
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    if not DATA.is_file():
        pytest.skip("the folder with real preference data is not beside the project")
    config = small(yaml.safe_load((ROOT / "config" / "smollm2.yaml").read_text()))
    workflow = Workflow(tmp_path_factory.mktemp("chat"), config)
    workflow.said = workflow.call("--cores", "2")
    return workflow


@pytest.fixture(scope="module")
def folder(finished):
    return finished.folder / "results" / "smollm2" / "chat"


def test_nothing_is_tuned_or_copied_before_the_first_round(finished, folder):
    assert "train_sft" not in finished.said
    assert not (folder / "seed1" / "sft" / "policy").exists()
    made_by = records.metadata(folder / "dpo_on_policy" / "seed1" / "round1" / "responses.parquet")
    assert made_by["inputs"]["policy"]["path"] == str(MODEL)


@pytest.mark.parametrize("run", ENGINES)
def test_answers_are_english_that_the_model_ends_itself_and_both_engines_sample_them(folder, run):
    rows = records.read(folder / run / "seed1" / "round1" / "evaluation.parquet", "evaluation")
    texts = [conversations.text(row["response"]) for row in rows]
    assert sum(bool(re.search(r"\b(the|a|is|of|to|and)\b", text)) for text in texts) >= 0.7 * len(texts), texts
    assert not any("<|im_" in text for text in texts)
    assert {row["end_token"] for row in rows} <= {"<|im_end|>", None}
    made_by = records.metadata(folder / run / "seed1" / "round1" / "evaluation.parquet")
    assert made_by["engine"] == ENGINES[run]


def test_training_learns_and_every_number_is_finite(folder):
    for run in ENGINES:
        metrics = artifacts.read_json(folder / run / "seed1" / "round1" / "evaluation.json")["metrics"]
        assert metrics["kl"]["mean"] > 0 and metrics["reward"]["low"] <= metrics["reward"]["high"]
    log = (folder / "dpo_offline" / "seed1" / "round1" / "policy.log").read_text()
    assert "policy and reference differ by at most" in log
    assert "responses end with '<|im_end|>'" in log and "'<|im_start|>'(1)" in log


def test_the_report_shows_the_answers_side_by_side(finished):
    page = (finished.folder / "results" / "smollm2" / "report.html").read_text()
    assert "dpo_offline" in page and "dpo_on_policy" in page
