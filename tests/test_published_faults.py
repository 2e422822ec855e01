"""The faults of the published code that change its science do not exist here: a claim for each of the eleven.

They are numbered as they were found: what the published code does is said first, in brackets.
"""

import itertools
import json

import pandas
import pytest
import torch
from safetensors.torch import load_file

import train_dpo
import train_pref_ft
import train_rwr
from preference.files import artifacts, records
from preference.losses.contrastive import dpo_loss
from preference.models import chat, policies, tokens
from preference.models.tokens import Limit
from preference.rewards import reward_models
from preference.running.stage import InputError
from preference.training import fit, scored

TASK = "results/miniature/min_length"
PROMPTS = ["count to three", "say hi", "name a colour", "count to ten"]


@pytest.fixture
def policy(tiny_policy):
    return policies.load_policy(tiny_policy), chat.load(tiny_policy)


def scored_rows(chat_format) -> list[dict]:
    """Two finished samples to each prompt, the shorter one better."""
    rows = []
    for prompt, (sample_id, text) in itertools.product(PROMPTS, enumerate(("red", "one two three"))):
        ids = chat_format.encode(prompt, text)[1]
        about = {"prompt_id": records.prompt_id(prompt), "sample_id": sample_id, "prompt": prompt, "tools": None}
        drawn = {"response": text, "response_ids": ids, "finish_reason": "stop", "num_tokens": len(ids) - 1}
        rows.append({**about, **drawn, "reward": 1.0 - sample_id, "gold_reward": 1.0 - len(ids)})
    return rows


def pair_rows(chat_format) -> list[dict]:
    rows = scored_rows(chat_format)
    return [
        {
            "prompt_id": good["prompt_id"],
            "prompt": good["prompt"],
            "tools": None,
            **{side: row["response"] for side, row in (("chosen", good), ("rejected", bad))},
            **{f"{side}_tokens": row["response_ids"] for side, row in (("chosen", good), ("rejected", bad))},
            **{f"{side}_finish_reason": row["finish_reason"] for side, row in (("chosen", good), ("rejected", bad))},
        }
        for good, bad in zip(rows[::2], rows[1::2], strict=True)
    ]


def training(tmp_path, tiny_policy, **changed) -> dict:
    output = tmp_path / "policy"
    flags = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "micro_batch_size": 4, "max_length": 64, "seed": 1}
    return flags | {"output": str(output), "log_output": f"{output}.csv", "policy": tiny_policy} | changed


def pref_ft(tmp_path, tiny_policy, chat_format, **changed) -> tuple[pandas.DataFrame, dict]:
    """(log, weights) of a few steps on the chosen responses."""
    records.write(tmp_path / "pairs.parquet", "pairs", pair_rows(chat_format), {})
    flags = training(tmp_path, tiny_policy, pairs=f"{tmp_path}/pairs.parquet", **changed)
    train_pref_ft.main(train_pref_ft.Flags(**flags))
    return pandas.read_csv(flags["log_output"]), load_file(tmp_path / "policy" / "model.safetensors")


def test_1_dpo_is_of_whole_responses(policy):
    """[-log sigmoid of each position's difference, tokens of unrelated responses set against each other]"""
    model, chat_format = policy
    short, long = ([chat_format.encode_prompt(PROMPTS[0]), [5] * n] for n in (2, 7))
    with torch.no_grad():
        chosen, rejected = policies.pair_logps(model, [(short, long)], chat_format.pad_id)
        each, mask = policies.response_logprobs(model, tokens.batch([short, long], chat_format.pad_id))
    assert mask.sum(-1).tolist() == [2, 7]
    assert torch.allclose(torch.stack([chosen[0], rejected[0]]), each.sum(-1), atol=1e-5)
    loss = dpo_loss(chosen, rejected, torch.zeros(1), torch.zeros(1), 0.1)
    assert loss.shape == (1,)
    assert loss.item() == pytest.approx(-torch.nn.functional.logsigmoid(0.1 * (each[0] - each[1]).sum()).item(), 1e-5)


def test_2_the_mask_covers_the_response_from_its_first_token_and_no_padding_is_attended_to(policy):
    """[off by one, so that the first token never counts and padding does; an attention mask of ones]"""
    model, chat_format = policy
    prompt = chat_format.encode_prompt(PROMPTS[0])
    tensors = tokens.batch([(prompt, [7, 8, 9]), (prompt * 3, [7] * 20)], chat_format.pad_id)
    logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
    logits.retain_grad()
    logprobs, mask = policies.gather_logprobs(logits, tensors["input_ids"], tensors["response_mask"])
    logprobs[0].sum().backward()
    moved = logits.grad[0].abs().sum(-1).nonzero().flatten().tolist()
    assert moved == [len(prompt) - 1, len(prompt), len(prompt) + 1], "the predictions of the three tokens, no others"
    with torch.no_grad():
        alone = policies.response_logps(model, tokens.batch([(prompt, [7, 8, 9])], chat_format.pad_id))
    assert logprobs[0].sum().item() == pytest.approx(alone.item(), abs=1e-4)


def test_3_the_end_of_a_response_is_kept_from_sampling_to_training(finished, policy, tmp_path):
    """[decoded without special tokens and tokenised again, so that stopping is never learnt]"""
    folder = finished.folder / TASK / "dpo_on_policy" / "seed1" / "round1"
    chat_format = chat.load(str(folder / "policy"))
    files = {"output": "", "log_output": "", "policy": "", "rewards": str(folder / "rewards.parquet")}
    numbers = {"learning_rate": 1.0, "epochs": 1, "batch_size": 1, "micro_batch_size": 1, "max_length": 200, "seed": 1}
    samples = scored.read(scored.Flags(**files, **numbers), chat_format)
    rows = records.read(folder / "rewards.parquet", "rewards")
    ends = [response[-1] == chat_format.end_id for _, response in samples.sequences]
    assert ends == [row["finish_reason"] == "stop" for row in rows] and any(ends)
    pair = chat_format.pair(records.read(folder / "pairs.parquet", "pairs")[0])
    assert all(response[-1] == chat_format.end_id for _, response in pair)


def test_4_the_reward_model_reads_one_format_in_training_and_in_scoring(policy):
    """[trained on text with end tokens, asked for scores of text without]"""
    _, chat_format = policy
    sample = scored_rows(chat_format)[0]
    _, ((trained, _), *_) = chat.encode_pairs("x", pair_rows(chat_format), chat_format, Limit(64), drawn=False)
    assert trained == reward_models.reward_sequence(chat_format, sample)
    assert trained[1] == sample["response_ids"], "the very tokens that were drawn"


def test_5_weights_stay_float32_so_that_a_small_learning_rate_moves_them(tmp_path, tiny_policy, policy):
    """[bfloat16 weights under Adam: an update below a 512th of a weight rounds away]"""
    before = load_file(f"{tiny_policy}/model.safetensors")
    _, after = pref_ft(tmp_path, tiny_policy, policy[1], dtype="bfloat16", learning_rate=1e-6, epochs=3)
    name = next(name for name in after if "dense" in name and after[name].dim() == 2)
    assert after[name].dtype == torch.float32
    changed = (after[name] - before[name]).abs()
    assert (changed > 0).float().mean() > 0.9 and changed.max() < 1e-5


def test_6_a_step_of_the_optimizer_is_a_batch_however_it_is_cut(tmp_path, tiny_policy, policy):
    """[accumulation only divides the loss: every slice takes a step]"""
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, weights = pref_ft(tmp_path / "whole", tiny_policy, policy[1], epochs=2)
    cut, others = pref_ft(tmp_path / "cut", tiny_policy, policy[1], epochs=2, micro_batch_size=1)
    assert len(whole) == len(cut) == 2
    assert all(torch.allclose(weights[name], others[name], atol=1e-5) for name in weights)


def test_7_passes_and_the_size_of_a_step_act(tmp_path, tiny_policy, policy):
    """[T, the mix and the reward model's number of pairs are read and ignored]"""
    log, _ = pref_ft(tmp_path, tiny_policy, policy[1], epochs=3, batch_size=2)
    assert len(log) == 3 * 2
    assert [len(step) for step in fit.data_order(4, 2, 3, seed=1)] == [2] * 6


def test_8_what_was_trained_on_is_never_evaluated_on(finished, policy):
    """[the evaluation's batch replaced the training's: a round was trained on held-out prompts]"""
    folder = finished.folder / TASK
    held_out = records.read(folder / "data" / "eval_prompts.parquet", "eval_prompts")
    for run, name in (("dpo_on_policy", "pairs"), ("pref_ft_offline", "pairs")):
        trained_on = folder / run / "seed1" / "round2" / f"{name}.parquet"
        policy[1].check_disjoint(trained_on, records.read(trained_on, "prompts"), "eval", held_out)
    with pytest.raises(InputError, match="trained: 1 of its prompts are to the model the same as some in eval, such"):
        policy[1].check_disjoint("trained", held_out[:1], "eval", held_out)


def test_9_a_prompt_stands_once_before_its_response(policy):
    """[the prompt is there twice, and its second copy is trained on]"""
    _, chat_format = policy
    for row in pair_rows(chat_format):
        for prompt, response in chat_format.pair(row):
            decode = chat_format.tokenizer.decode
            assert decode([*prompt, *response]).count(row["prompt"]) == 1 and row["prompt"] not in decode(response)


def test_10_what_rwr_weighs_by_is_in_its_log(tmp_path, tiny_policy, policy):
    """[a temperature at which every weight is about one, unseen]"""
    records.write(tmp_path / "rewards.parquet", "rewards", scored_rows(policy[1]), {})
    flags = training(tmp_path, tiny_policy, rewards=f"{tmp_path}/rewards.parquet", batch_size=8)
    weights = []
    for beta in (10.0, 0.5):
        train_rwr.main(train_rwr.Flags(**flags, beta=beta))
        weights.append(pandas.read_csv(flags["log_output"]).weight[0])
    assert weights[0] == pytest.approx((1 + torch.tensor(0.1).exp().item()) / 2, rel=1e-4)
    assert weights[1] == pytest.approx((1 + torch.tensor(2.0).exp().item()) / 2, rel=1e-4)


def test_11_gold_and_learned_reward_are_measured_side_by_side_on_the_same_prompts_with_intervals(finished):
    """[one reward for training and evaluation; a handful of other prompts each time; no reward at all for DPO]"""
    folder, seen = finished.folder / TASK, []
    for name in (
        "seed1/sft",
        "dpo_on_policy/seed1/round1",
        "dpo_on_policy/seed1/round2",
        "pref_ft_offline/seed1/round2",
    ):
        metrics = artifacts.read_json(folder / name / "evaluation.json")["metrics"]
        for reward in ("reward", "gold_reward"):
            assert metrics[reward]["low"] <= metrics[reward]["mean"] <= metrics[reward]["high"]
        seen.append(
            sorted(row["prompt_id"] for row in records.read(folder / name / "evaluation.parquet", "evaluation"))
        )
    assert len(seen[0]) == 16 and all(prompts == seen[0] for prompts in seen)


def test_a_pair_is_learnt_by_the_loss_that_is_checked_above(tmp_path, tiny_policy, policy):
    """The stage calls that very loss: at the reference it is log 2, whatever the responses."""
    model, chat_format = policy
    with torch.no_grad():
        pairs = [chat_format.pair(row) for row in pair_rows(chat_format)]
        chosen, rejected = policies.pair_logps(model, pairs, chat_format.pad_id)
    rows = [
        {**row, "ref_chosen_logps": w.item(), "ref_rejected_logps": r.item()}
        for row, w, r in zip(pair_rows(chat_format), chosen, rejected, strict=True)
    ]
    records.write(tmp_path / "pairs.parquet", "reference_logps", rows, {"inputs": {"reference": {"sha256": "another"}}})
    flags = training(tmp_path, tiny_policy, pairs=f"{tmp_path}/pairs.parquet", beta=0.1)
    train_dpo.main(train_dpo.Flags(**flags))
    assert pandas.read_csv(flags["log_output"]).loss[0] == pytest.approx(0.6931, abs=1e-3)
    assert json.loads((tmp_path / "policy.manifest.json").read_text())["rows_in"] == len(PROMPTS)
