"""The training loop: order, accumulation, resuming, and what it refuses."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import OPTConfig, OPTForCausalLM

from preference.files import artifacts, provenance
from preference.losses.likelihood import sft_loss
from preference.models import chat, policies, tokens
from preference.running.stage import InputError
from preference.training import fit, schedules

ROWS = [([5, 6], [7 + i % 3] * (1 + i % 5) + [0]) for i in range(20)]


def flags(tmp_path, **changes):
    values = {
        "output": str(tmp_path / "policy"),
        "log_output": str(tmp_path / "training.csv"),
        "learning_rate": 1e-3,
        "epochs": 2,
        "batch_size": 8,
        "micro_batch_size": 8,
        "max_length": 32,
        "seed": 1,
        "schedule": "cosine",
        "warmup_ratio": 0.2,
        "checkpoint_steps": 2,
    }
    return fit.Training(**{**values, **changes})


def run(path, policy, changes=None, stop_after=None):
    """Train a few steps; with stop_after, fail there as a kill would."""
    options = flags(path, **(changes or {}))
    model = policies.load_policy(str(policy))
    calls = 0

    def loss(micro, step):
        nonlocal calls
        calls += torch.is_grad_enabled()  # a state is checked without gradients
        if stop_after is not None and calls > stop_after:
            raise KeyboardInterrupt
        logprobs, mask = policies.response_logprobs(model, tokens.batch([ROWS[i] for i in micro], 1))
        return sft_loss(logprobs, mask) * mask.sum() / sum(len(ROWS[i][1]) for i in step), {"reward": len(micro)}

    lengths = [len(prompt) + len(response) for prompt, response in ROWS]
    rows = fit.Rows([f"prompt{i}" for i in range(len(ROWS))], lengths)
    log = fit.train(model, chat.load(str(policy)), rows, loss, options, {"what": "test"})
    return log, load_file(path / "policy" / "model.safetensors")


def test_every_pass_visits_every_row_once_in_an_order_of_its_own():
    order = fit.data_order(10, 4, 2, seed=3)
    assert [len(step) for step in order] == [4, 4, 2, 4, 4, 2]
    first, second = sum(order[:3], []), sum(order[3:], [])
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert order == fit.data_order(10, 4, 2, seed=3) != fit.data_order(10, 4, 2, seed=4)


def test_accumulation_accumulates_a_small_micro_batch_changes_rounding_only(tmp_path, tiny_policy):
    whole, weights = run(tmp_path / "whole", tiny_policy)
    parts, others = run(tmp_path / "parts", tiny_policy, {"micro_batch_size": 3})
    assert len(whole) == len(parts) == 6
    assert [row["loss"] for row in whole] == pytest.approx([row["loss"] for row in parts], abs=1e-5)
    assert all(torch.allclose(weights[name], others[name], atol=1e-5) for name in weights)


@pytest.mark.parametrize("stop_after", [1, 3, 5, 6])  # 6 is all of them: the end was not noticed
def test_a_killed_training_resumes_and_ends_byte_for_byte_as_if_it_had_not_been(tmp_path, tiny_policy, stop_after):
    run(tmp_path / "whole", tiny_policy)
    with contextlib.suppress(KeyboardInterrupt):
        run(tmp_path / "killed", tiny_policy, stop_after=stop_after)
    assert (tmp_path / "killed" / "policy").exists() == (stop_after == 6)
    for output in (tmp_path / "killed").glob("policy*"):  # as the workflow does where it did not notice the end
        if output.suffix != ".checkpoints":
            artifacts.remove(output)
    run(tmp_path / "killed", tiny_policy, stop_after=6 - stop_after // 2 * 2)
    for name in ("policy/model.safetensors", "policy/tokenizer.json", "training.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_model_is_whole_and_its_manifest_says_so(tmp_path, tiny_policy):
    run(tmp_path, tiny_policy)
    manifest = json.loads((tmp_path / "policy.manifest.json").read_text())
    assert manifest["files"] == provenance.contents(tmp_path / "policy") and "model.safetensors" in manifest["files"]


def test_a_base_with_a_generation_config_that_the_library_would_not_save_can_be_trained(tmp_path, tiny_policy, capsys):
    base = Path(shutil.copytree(tiny_policy, tmp_path / "base"))
    (base / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "top_p": 0.9, "eos_token_id": 0}))
    run(tmp_path, base)
    written = json.loads((tmp_path / "policy" / "generation_config.json").read_text())
    assert written["eos_token_id"] == [0] and "temperature" not in written
    assert "the generation config keeps its token ids alone: GenerationConfig is invalid" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["state.json", "step2.safetensors"])
def test_a_damaged_state_costs_the_work_and_never_the_result(tmp_path, tiny_policy, name, capsys):
    run(tmp_path / "whole", tiny_policy)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", tiny_policy, stop_after=3)
    (state,) = (tmp_path / "killed" / "policy.checkpoints").glob(f"*/{name}")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    run(tmp_path / "killed", tiny_policy)
    assert "trains from the start" in capsys.readouterr().err
    weights = [(tmp_path / where / "policy" / "model.safetensors").read_bytes() for where in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_how_often_a_state_is_kept_changes_nothing_that_is_made(tmp_path, tiny_policy):
    for name, every in (("often", 1), ("never", 100)):
        run(tmp_path / name, tiny_policy, {"checkpoint_steps": every})
    weights = [(tmp_path / name / "policy" / "model.safetensors").read_bytes() for name in ("often", "never")]
    assert weights[0] == weights[1]
    described = [provenance.describe("train_sft.py", flags(tmp_path, checkpoint_steps=every), {}) for every in (1, 9)]
    assert described[0] == described[1] and "checkpoint_steps" not in described[0]["flags"]


def test_a_diverged_training_stops_with_the_step_and_writes_nothing(tmp_path, tiny_policy):
    with pytest.raises(InputError, match=r"step \d+: the loss is .*lower --learning_rate"):
        run(tmp_path, tiny_policy, {"learning_rate": 1e30, "schedule": "constant", "warmup_ratio": 0.0})
    assert not (tmp_path / "policy").exists() and not (tmp_path / "policy.manifest.json").exists()


def test_a_training_that_diverges_at_its_last_step_names_it_and_its_prompts_and_writes_nothing(tmp_path, tiny_policy):
    changes = {"learning_rate": 1e30, "schedule": "constant", "warmup_ratio": 0.0, "batch_size": 20, "epochs": 1}
    with pytest.raises(InputError) as error:
        run(tmp_path, tiny_policy, changes)
    said = str(error.value)
    assert said.startswith("step 1: after the update, ") and said.endswith("lower --learning_rate (now 1e+30)")
    assert "on prompts prompt" in said and "no policy was written, no state is kept yet" in said
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".checkpoints"] == []


def test_finite_weights_that_say_nothing_finite_are_refused_as_well(tmp_path, tiny_policy):
    model, rows = policies.load_policy(tiny_policy), list(range(8))

    def loss(micro, step):
        logprobs, mask = policies.response_logprobs(model, tokens.batch([ROWS[i] for i in micro], 1))
        return sft_loss(logprobs, mask), {"logps": logprobs.sum().item()}

    assert fit._fault_of_state(model, rows, rows, loss, flags(tmp_path)) is None
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(3e38)
    fault = fit._fault_of_state(model, rows, rows, loss, flags(tmp_path))
    assert fault.startswith("after the update, the loss is ") and "the logps is " in fault


def test_a_state_that_is_not_finite_is_never_the_last_good_one(tmp_path, tiny_policy):
    changes = {"learning_rate": 1e30, "schedule": "constant", "warmup_ratio": 0.0, "checkpoint_steps": 1}
    with pytest.raises(InputError, match="step 1: after the update, .* no state is kept yet"):
        run(tmp_path, tiny_policy, changes)


@pytest.mark.parametrize("schedule", schedules.SCHEDULES)
def test_a_round_of_one_step_trains_at_the_full_learning_rate(tmp_path, tiny_policy, schedule):
    log, weights = run(
        tmp_path, tiny_policy, {"schedule": schedule, "warmup_ratio": 0.1, "batch_size": 20, "epochs": 1}
    )
    before = load_file(Path(tiny_policy) / "model.safetensors")
    assert [row["learning_rate"] for row in log] == [1e-3]
    assert not torch.equal(weights["gpt_neox.embed_in.weight"], before["gpt_neox.embed_in.weight"])


def test_a_constant_schedule_warms_up_as_well(tmp_path, tiny_policy):
    log, _ = run(tmp_path, tiny_policy, {"schedule": "constant", "warmup_ratio": 0.5})
    assert [row["learning_rate"] for row in log] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 1e-3, 1e-3])


@pytest.fixture(scope="module")
def tiny_opt(tiny_policy, tmp_path_factory):
    """An untrained OPT, whose dropout is a function and not a module, and which drops whole layers."""
    folder = str(tmp_path_factory.mktemp("models") / "opt")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 128}
    model = OPTForCausalLM(OPTConfig(vocab_size=300, num_hidden_layers=2, num_attention_heads=2, **sizes))
    policies.save(model, policies.load_tokenizer(tiny_policy), folder, {})
    return folder


@pytest.mark.parametrize("model", ["tiny_policy", "tiny_opt"])
def test_dropout_of_every_kind_is_off_so_nothing_depends_on_when_training_was_killed(tmp_path, model, request):
    """The reference has none, and a ratio of two networks under different masks is no ratio of their probabilities."""
    dropping = Path(shutil.copytree(request.getfixturevalue(model), tmp_path / "dropping"))
    config = json.loads((dropping / "config.json").read_text())
    kinds = ("hidden_dropout", "attention_dropout", "dropout", "activation_dropout", "layerdrop", "classifier_dropout")
    (dropping / "config.json").write_text(json.dumps(config | dict.fromkeys(kinds, 0.5)))
    weights = [run(tmp_path / str(i), policy)[1] for i, policy in enumerate((request.getfixturevalue(model), dropping))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
