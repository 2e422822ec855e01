"""Model folders: what is loaded is what was saved, and what cannot be trusted is refused in one line."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig

import evaluate_policy
from preference.files import provenance
from preference.models import model_folders, policies, tokens
from preference.running.stage import InputError


@pytest.fixture
def folder(tiny_policy, tmp_path):
    return Path(shutil.copytree(tiny_policy, tmp_path / "policy"))


def refused(path, line):
    with pytest.raises(InputError) as refusal:
        policies.load_policy(str(path))
    assert str(path) in str(refusal.value) and line in str(refusal.value), refusal.value


def test_a_saved_policy_comes_back_with_the_same_log_probabilities(tiny_policy, tmp_path):
    model, tokenizer = policies.load_policy(tiny_policy), policies.load_tokenizer(tiny_policy)
    policies.save(model, tokenizer, str(tmp_path / "again"), {"stage": "test"})
    batch = tokens.batch([([5, 6], [7, 8, 0])], 1)
    again = policies.load_policy(str(tmp_path / "again"))
    assert torch.equal(policies.response_logps(model, batch), policies.response_logps(again, batch))
    assert {p.name for p in tmp_path.iterdir()} == {"again", "again.manifest.json", ".again.origin.json"}


def test_a_saved_tokenizer_does_not_depend_on_the_environment(tiny_policy, tmp_path, monkeypatch):
    model = policies.load_policy(tiny_policy)
    for name, offline in (("online", False), ("offline", True)):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        policies.save(model, policies.load_tokenizer(tiny_policy), str(tmp_path / name), {})
    assert provenance.contents(tmp_path / "online") == provenance.contents(tmp_path / "offline")


def test_a_tokenizer_reads_text_as_its_file_does_whatever_class_its_folder_names(folder):
    before = policies.load_tokenizer(str(folder))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "LlamaTokenizerFast"}))
    found = policies.load_tokenizer(str(folder))
    assert found("one two").input_ids == before("one two").input_ids
    assert found.decode(found("one two").input_ids) == "one two"


def test_a_policy_whose_metrics_are_not_finite_is_named_as_one_that_diverged():
    metrics = {"kl": {"mean": 1.0, "low": 0.5, "high": 2.0, "n": 3}}
    evaluate_policy.check_finite("dpo/policy", metrics)
    metrics["perplexity"] = metrics["kl"] | {"high": math.inf}
    with pytest.raises(InputError, match="dpo/policy: perplexity of this policy is not finite, so its training div"):
        evaluate_policy.check_finite("dpo/policy", metrics)


@pytest.mark.parametrize(
    ("rope", "length"),
    [
        (None, 128),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}, 512),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, 128),
        ({"type": "linear", "factor": 2.0}, 256),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}, 128),
        ({"full_attention": {"rope_type": "linear", "factor": 8.0}}, 128),
    ],
)
def test_rope_scaling_stretches_what_a_model_reads(tmp_path, rope, length):
    config = LlamaConfig(max_position_embeddings=128)
    config.rope_parameters = rope
    assert policies.context_length(config) == length
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 128, "rope_scaling": rope}))
    assert model_folders.context_length(str(tmp_path)) == length


def test_pickles_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin is a pickle")


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "has no weights")


def test_a_folder_that_is_not_there_is_refused(folder):
    refused(folder / "none", "no such model folder")


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    refused(tmp_path, "not a model folder (no config.json)")


def test_a_damaged_config_is_refused(folder):
    (folder / "config.json").write_text("{")
    refused(folder, "config.json is damaged")


def test_truncated_weights_are_refused(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(folder, "cannot be loaded as a AutoModelForCausalLM")


def test_a_missing_tensor_is_refused_and_not_filled_with_random_numbers(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["gpt_neox.layers.1.mlp.dense_h_to_4h.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "the weights lack 1 tensors, such as gpt_neox.layers.1.mlp.dense_h_to_4h.weight")


def test_a_policy_is_not_a_reward_model_until_it_is_given_a_head(tiny_policy, tmp_path):
    with pytest.raises(InputError, match="the weights lack 1 tensors, such as score.weight"):
        policies.load_reward_model(tiny_policy)
    model = policies.new_reward_model(tiny_policy, pad_id=1)
    policies.save(model, policies.load_tokenizer(tiny_policy), str(tmp_path / "model"), {})
    again = policies.load_reward_model(str(tmp_path / "model"))
    assert torch.equal(model.score.weight, again.score.weight) and again.config.pad_token_id == 1


def test_a_weight_that_is_not_finite_is_never_written(tiny_policy, tmp_path):
    model = policies.load_policy(tiny_policy)
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[0, 0] = float("nan")
    with pytest.raises(AssertionError, match="embed_in.weight is not finite"):
        policies.save(model, policies.load_tokenizer(tiny_policy), str(tmp_path / "bad"), {})
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_cannot_be_read_is_refused(folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "None"}))
    (folder / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(InputError, match="its tokenizer cannot be loaded"):
        policies.load_tokenizer(str(folder))


def test_a_context_that_is_too_short_for_max_length_is_named(tiny_policy):
    with pytest.raises(InputError, match="--max_length 4096: tiny reads at most 128 tokens"):
        policies.check_context(policies.load_config(tiny_policy), "tiny", 4096)
