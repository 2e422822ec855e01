"""What jobs ask for follows the config: the size of the model, the rows, the attempt."""

import copy
from pathlib import Path

import pytest
import yaml

from workflow.cluster import demands
from workflow.config import runs, validation

ROOT = Path(__file__).parents[1]

WHERE = {"task": "alpaca", "run": "dpo_on_policy", "seed": "1", "round": "1"}


@pytest.fixture
def config():
    said = yaml.safe_load((ROOT / "config" / "alpaca.yaml").read_text())
    return runs.complete(said, validation.DEFAULTS, "vllm")


def with_model(config, model):
    changed = copy.deepcopy(config)
    changed["tasks"]["alpaca"]["base_model"] = model
    return changed


@pytest.mark.parametrize(
    "model, parameters",
    [
        ("EleutherAI/pythia-1.4b", 1.4e9),
        ("EleutherAI/pythia-410m", 4.1e8),
        ("meta-llama/Llama-3.2-1B-Instruct", 1e9),
        ("Qwen/Qwen2.5-0.5B", 5e8),
        ("mistralai/Mistral-7B-v0.3", 7e9),
        ("me/my-8bit-model", demands.UNKNOWN_PARAMETERS),
        ("openai-community/gpt2", demands.UNKNOWN_PARAMETERS),
    ],
)
def test_the_name_of_a_model_says_its_size(config, model, parameters):
    assert demands.parameters(with_model(config, model), "train_sft", WHERE) == parameters


def test_the_size_of_a_folder_is_that_of_its_weights(config, tmp_path, tiny_policy):
    found = demands.parameters(with_model(config, tiny_policy), "train_sft", WHERE)
    weights = (Path(tiny_policy) / "model.safetensors").stat().st_size
    assert found == weights / 2


def test_the_size_of_a_model_from_scratch_is_that_of_its_layers():
    said = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    config = runs.complete(said, validation.DEFAULTS, "transformers")
    size = said["stages"]["initialize_model"]
    width = size["hidden_size"]
    wanted = 2 * size["vocab_size"] * width + 12 * size["num_layers"] * width**2
    where = {"task": next(iter(said["tasks"])), "seed": "1"}
    assert demands.parameters(config, "train_sft", where) == wanted


@pytest.mark.parametrize("stage", ["train_dpo", "generate_responses", "evaluate_policy", "construct_pairs"])
def test_every_attempt_asks_for_twice_as_much(config, stage):
    memory = [demands.memory_mb(config, stage, WHERE, attempt) for attempt in (1, 2, 3)]
    minutes = [demands.minutes(config, stage, WHERE, attempt, on_gpu=True) for attempt in (1, 2, 3)]
    for first, second, third in (memory, minutes):
        assert first < second < third and abs(second / first - 2) < 0.01 and abs(third / first - 4) < 0.01


def test_a_larger_model_and_more_rows_ask_for_more(config):
    larger, more = with_model(config, "EleutherAI/pythia-6.9b"), copy.deepcopy(config)
    more["stages"]["generate_responses"]["num_prompts"] *= 4
    for stage in ("generate_responses", "score_responses"):
        for changed in (larger, more):
            assert demands.memory_mb(changed, stage, WHERE, 1) > demands.memory_mb(config, stage, WHERE, 1)
            assert demands.minutes(changed, stage, WHERE, 1, True) > demands.minutes(config, stage, WHERE, 1, True)


def test_a_shard_asks_for_its_part_of_the_time(config):
    config["stages"]["generate_responses"]["num_prompts"] = 100_000
    whole = demands.minutes(config, "generate_responses", WHERE, 1, True) - demands.MINUTES
    part = demands.minutes(config, "generate_responses", WHERE, 1, True, parts=4) - demands.MINUTES
    assert whole > 20 and abs(part - whole / 4) <= 1


def test_gpus_are_what_shares_a_model_one_for_the_others_and_none_where_no_model_is_read(config):
    config["stages"]["generate_responses"]["tensor_parallel_size"] = 4
    assert demands.gpus(config, "generate_responses", WHERE) == 4
    assert demands.gpus(config, "train_dpo", WHERE) == demands.gpus(config, "score_responses", WHERE) == 1
    config["runs"]["dpo_on_policy"]["reward"] = "gold"
    assert demands.gpus(config, "score_responses", WHERE) == 0
    for stage in ("construct_pairs", "prepare_task", "plot_rewards", "summarize_run", "run_bandit", "join_shards"):
        assert demands.gpus(config, stage, WHERE) == 0


def test_a_large_model_has_more_threads_and_a_small_one_those_that_its_sums_were_made_with(config, tiny_policy):
    assert demands.cpus(config, "train_dpo", WHERE, on_gpu=True) == 4
    assert demands.cpus(config, "train_dpo", WHERE, on_gpu=False) == 8
    assert demands.cpus(config, "construct_pairs", WHERE, on_gpu=False) == 1
    small = with_model(config, tiny_policy)
    for on_gpu in (True, False):
        assert (
            demands.cpus(small, "train_dpo", WHERE, on_gpu) == 1
            and demands.cpus(small, "train_sft", WHERE, on_gpu) == 2
        )


def test_a_table_of_many_rows_asks_for_more_memory(config):
    few = demands.memory_mb(config, "construct_pairs", WHERE, 1)
    config["stages"]["generate_responses"]["num_prompts"] = 100_000
    assert demands.memory_mb(config, "construct_pairs", WHERE, 1) > few + 1000


def test_a_shard_asks_for_the_memory_of_what_it_reads_and_a_shard_of_samples_reads_its_own(config):
    config["stages"]["generate_responses"]["num_prompts"] = 100_000
    for stage, ratio in (("score_responses", 1), ("generate_responses", 4)):
        few = demands.memory_mb(config, stage, WHERE, 1, parts=1_000_000) if ratio > 1 else 0
        whole, part = (demands.memory_mb(config, stage, WHERE, 1, parts=parts) - few for parts in (1, 4))
        assert abs(part - whole / ratio) <= 2, stage


def test_transformers_shares_no_model_whatever_the_flag_says(config):
    config["stages"]["generate_responses"] |= {"tensor_parallel_size": 4, "engine": "transformers"}
    assert demands.gpus(config, "generate_responses", WHERE) == 1


def test_a_round_that_learns_from_earlier_pairs_asks_for_their_time_and_memory(config):
    third = WHERE | {"round": "3"}
    config["stages"]["construct_pairs"]["history"] = "all"
    for stage in ("compute_reference_logps", "train_dpo"):
        first, later = (demands.minutes(config, stage, where, 1, on_gpu=True) for where in (WHERE, third))
        assert later - demands.MINUTES > 2.5 * (first - demands.MINUTES) > 0
    assert demands.memory_mb(config, "construct_pairs", third, 1) > demands.memory_mb(
        config, "construct_pairs", WHERE, 1
    )
    for stage in ("generate_responses", "score_responses", "evaluate_policy"):
        assert len({demands.minutes(config, stage, where, 1, on_gpu=True) for where in (WHERE, third)}) == 1
