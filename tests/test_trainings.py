"""Every algorithm's training stage on a small table: its first loss, its direction, its log, and what it remembers."""

import contextlib
import importlib
import json

import pandas
import pytest
import torch
from safetensors.torch import load_file

import collect_responses
import score_responses
import train_kto
from preference.files import conversations, records
from preference.losses import best_of_n, contrastive, likelihood, policy_gradient, unpaired
from preference.models import chat, policies, tokens
from preference.running.flags import derived
from preference.running.stage import InputError
from preference.training import fit, rollouts, scored

TEXTS = ["red", "one two three", "hi there", "name a colour", "a b c", "say hi"]
PROMPTS, SAMPLES = 4, 3
REWARDS = [[3.0, 1.0, 2.0], [0.5, 0.0, 1.0], [-1.0, -2.0, -1.5], [2.0, 2.5, 0.0]]
SCORED = {
    "best_of_n": {},
    "rwr": {"beta": 2.0},
    "kto": {"beta": 0.5, "threshold": "mean"},
    "reinforce": {"kl_coef": 0.1, "baseline": "per_prompt"},
    "ppo": {"clip_range": 0.2, "kl_coef": 0.1},
    "grpo": {"clip_range": 0.2, "kl_coef": 0.1},
}
PAIRED = {
    "pref_ft": {},
    "csft": {"good": "good: ", "bad": "bad: "},
    "slic": {"delta": 100.0, "sft_coef": 0.1},
    "simpo": {"beta": 2.0, "gamma_beta_ratio": 0.3},
    "dpo": {"beta": 0.3},
    "ipo": {"beta": 0.3},
}


def samples(chat_format) -> list[dict]:
    rows = []
    for i in range(PROMPTS):
        prompt = f"count to {i}"
        for j in range(SAMPLES):
            ids = chat_format.encode(prompt, TEXTS[(i + j) % len(TEXTS)])[1]
            about = {"prompt_id": records.prompt_id(prompt), "sample_id": j, "prompt": conversations.user(prompt)}
            response = conversations.assistant(TEXTS[(i + j) % len(TEXTS)])
            drawn = {"response": response, "response_ids": ids, "finish_reason": "stop", "num_tokens": len(ids) - 1}
            rows.append({**about, "tools": None, **drawn, "reward": REWARDS[i][j], "gold_reward": None})
    return rows


def pairs(chat_format, model) -> list[dict]:
    """Best and worst sample of each prompt, with the model as the reference."""
    rows = []
    for group in (samples(chat_format)[i : i + SAMPLES] for i in range(0, PROMPTS * SAMPLES, SAMPLES)):
        best, *_, worst = sorted(group, key=lambda row: -row["reward"])
        row = {"prompt_id": best["prompt_id"], "prompt": best["prompt"]}
        for side, sample in (("chosen", best), ("rejected", worst)):
            row |= {side: sample["response"], f"{side}_tokens": sample["response_ids"]}
            row[f"{side}_finish_reason"] = "stop"
            row[f"ref_{side}_logps"] = logps(model, chat_format, [sample]).item()
        rows.append(row)
    return rows


def logps(model, chat_format, rows: list[dict]) -> torch.Tensor:
    """log pi of each row's response, one at a time: neither padding nor another order plays a part."""
    found = []
    for row in rows:
        sequence = (chat_format.encode_prompt(row["prompt"]), row["response_ids"])
        with torch.no_grad():
            found.append(policies.response_logps(model, tokens.batch([sequence], chat_format.pad_id))[0])
    return torch.stack(found).double()


@pytest.fixture
def train(tiny_policy, tmp_path):
    """Train an algorithm on the table in a folder of its own; (log, policy's folder)."""
    model, chat_format = policies.load_policy(tiny_policy), chat.load(tiny_policy)
    records.write(tmp_path / "rewards.parquet", "rewards", samples(chat_format), {})
    made_by = {"inputs": {"reference": {"sha256": "another"}}}
    records.write(tmp_path / "pairs.parquet", "reference_logps", pairs(chat_format, model), made_by)

    def trained(algorithm, name="policy", **changed):
        module = importlib.import_module(f"train_{algorithm}")
        output = tmp_path / name
        flags = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 12, "micro_batch_size": 12, "max_length": 64}
        flags |= {"output": str(output), "log_output": f"{output}.csv", "policy": tiny_policy, "seed": 1}
        if algorithm in SCORED:
            flags |= {"rewards": f"{tmp_path}/rewards.parquet", **SCORED[algorithm]}
        else:
            flags |= {"pairs": f"{tmp_path}/pairs.parquet", **PAIRED[algorithm]}
        if algorithm in ("kto", "reinforce", "ppo", "grpo"):
            flags["reference"] = tiny_policy
        module.main(derived(module.Flags(**flags), **changed))
        return pandas.read_csv(f"{output}.csv"), output

    trained.start, trained.chat = model, chat_format
    return trained


def by_hand(algorithm: str, model, chat_format) -> float:
    """The loss of the first step, from log-probabilities that are asked for one by one."""
    rows = samples(chat_format)
    rewards = torch.tensor(REWARDS, dtype=torch.float64)
    own = logps(model, chat_format, rows).view(PROMPTS, SAMPLES)
    chosen = own.gather(1, rewards.argmax(1, keepdim=True)).squeeze(1)
    rejected = own.gather(1, rewards.argmin(1, keepdim=True)).squeeze(1)
    lengths = torch.tensor([len(row["response_ids"]) for row in rows]).view(PROMPTS, SAMPLES)
    of_chosen = lengths.gather(1, rewards.argmax(1, keepdim=True)).squeeze(1)
    of_rejected = lengths.gather(1, rewards.argmin(1, keepdim=True)).squeeze(1)
    centred = rewards - rewards.mean(1, keepdim=True)
    desirable = (rewards >= rewards.mean()).flatten()
    zero = torch.zeros(PROMPTS * SAMPLES, dtype=torch.float64)
    return {
        "best_of_n": lambda: -chosen.mean(),
        "rwr": lambda: -(torch.exp(rewards / 2.0) * own).mean(),
        "kto": lambda: unpaired.kto_loss(zero, zero, desirable, torch.tensor(0.0), 0.5, 1.0, 1.0).mean(),
        "reinforce": lambda: -(centred * own).mean(),  # the KL is zero at the reference
        "grpo": lambda: -(centred / (centred.square().sum(1, keepdim=True) / 2).sqrt()).mean(),  # every ratio is one
        "pref_ft": lambda: -chosen.mean(),
        "csft": lambda: csft_by_hand(model, rows),
        "slic": lambda: contrastive.slic_loss(chosen, rejected, 100.0, 0.1).mean(),
        "simpo": lambda: contrastive.simpo_loss(chosen, rejected, of_chosen, of_rejected, 2.0, 0.3).mean(),
        "dpo": lambda: contrastive.dpo_loss(chosen, rejected, chosen, rejected, 0.3).mean(),
        "ipo": lambda: contrastive.ipo_loss(chosen, rejected, chosen, rejected, 0.3).mean(),
    }[algorithm]().item()


def csft_by_hand(model, rows: list[dict]) -> torch.Tensor:
    """Nats per token of the best samples after `good: ` and of the worst after `bad: `, one at a time."""
    total, tokens_read = 0.0, 0
    for group in (rows[i : i + SAMPLES] for i in range(0, len(rows), SAMPLES)):
        worst, *_, best = sorted(group, key=lambda row: row["reward"])
        for control, row in (("good: ", best), ("bad: ", worst)):
            total -= logps(model, chat.load(model.name_or_path, control=control), [row]).item()
            tokens_read += len(row["response_ids"])
    return torch.tensor(total / tokens_read)


@pytest.mark.parametrize("algorithm", [*(SCORED.keys() - {"ppo"}), *PAIRED])
def test_the_first_loss_is_that_of_sequence_log_probabilities_of_the_very_tokens(train, algorithm):
    log, _ = train(algorithm)
    expected = by_hand(algorithm, train.start, train.chat)
    assert log.loss[0] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_ppos_first_loss_is_the_surrogate_at_ratio_one_and_the_error_of_values_that_are_zero(train):
    log, _ = train("ppo", value_coef=0.5)
    # advantages are whitened over tokens, so that their mean over a response's tokens is what the policy's part is
    rows = samples(train.chat)
    lengths = torch.tensor([len(row["response_ids"]) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    rewards = torch.zeros(mask.shape)
    rewards[torch.arange(len(rows)), lengths - 1] = torch.tensor(REWARDS).flatten()
    advantages, returns = rollouts.gae(rewards, torch.zeros(mask.shape), mask, 1.0, 0.95)
    whitened = rollouts.whiten(advantages, mask)
    policy = -((whitened * mask).sum(1) / lengths).mean()
    value = (0.5 * returns.square() * mask).sum(1).div(lengths).mean()
    assert log.loss[0] == pytest.approx((policy + 0.5 * value).item(), rel=1e-4)
    assert log.value_loss[0] == pytest.approx(value.item(), rel=1e-4)


@pytest.mark.parametrize("algorithm", [*SCORED, *(PAIRED.keys() - {"csft"})])
def test_training_raises_the_best_response_above_the_worst(train, algorithm):
    _, output = train(algorithm, epochs=4, batch_size=12 if algorithm in SCORED else 4)
    rows, after = samples(train.chat), policies.load_policy(str(output))
    gains = (logps(after, train.chat, rows) - logps(train.start, train.chat, rows)).view(PROMPTS, SAMPLES)
    rewards = torch.tensor(REWARDS)
    best, worst = (gains.gather(1, of.unsqueeze(1)).mean() for of in (rewards.argmax(1), rewards.argmin(1)))
    assert best > worst + 1e-3, (best, worst)


@pytest.mark.parametrize("algorithm", [*SCORED, *PAIRED])
def test_the_log_begins_with_the_policy_that_the_round_starts_from(train, algorithm):
    log, _ = train(algorithm, epochs=2)
    assert abs(log.staleness[0]) < 1e-4 < abs(log.staleness.iloc[-1]) and log.entropy[0] > 1
    if "kl" in log:
        assert abs(log.kl[0]) < 1e-4 < abs(log.kl.iloc[-1])
    if algorithm in ("ppo", "grpo"):
        assert log.clip_fraction[0] == 0


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo", "grpo"])
def test_the_first_ratio_is_one_in_the_arithmetic_of_the_steps(train, algorithm):
    log, _ = train(algorithm, dtype="bfloat16")
    # what float32 says of the start of so small a model is eight times as far away
    assert abs(log.staleness[0]) < 1e-6 and abs(log.kl[0]) < 1e-6


@pytest.mark.parametrize("algorithm", [*SCORED, *PAIRED])
def test_accumulation_accumulates_whatever_the_loss(train, algorithm):
    weights = [
        load_file(train(algorithm, f"micro{size}", micro_batch_size=size)[1] / "model.safetensors") for size in (12, 2)
    ]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=2e-5) for name in weights[0])


@pytest.mark.parametrize("negative", ["worst", "sum", "average", "complement"])
def test_best_of_n_with_a_negative_gradient_reads_all_of_a_prompts_samples(train, negative):
    log, _ = train("best_of_n", negative=negative, beta=0.1)
    own = logps(train.start, train.chat, samples(train.chat)).view(PROMPTS, SAMPLES)
    rewards = torch.tensor(REWARDS, dtype=torch.float64)
    expected = best_of_n.best_of_n_loss(own, rewards, torch.zeros_like(own), negative, 0.1).mean().item()
    assert log.loss[0] == pytest.approx(expected, rel=1e-4)


def test_best_of_n_keeps_as_many_as_it_is_told(train):
    log, _ = train("best_of_n", keep=2)
    own = logps(train.start, train.chat, samples(train.chat)).view(PROMPTS, SAMPLES)
    kept = torch.tensor(REWARDS).topk(2).indices
    assert log.loss[0] == pytest.approx(-own.gather(1, kept).mean().item(), rel=1e-4)
    with pytest.raises(InputError, match=r"--keep 4: prompt \w+ has 3 samples"):
        train("best_of_n", keep=4)


def test_csft_tells_the_best_response_from_the_worst_by_the_control_text(train):
    _, output = train("csft", epochs=120, learning_rate=1e-2)
    rows, after, rewards = samples(train.chat), policies.load_policy(str(output)), torch.tensor(REWARDS)

    def margin(control):
        found = logps(after, chat.load(str(output), control=control), rows).view(PROMPTS, SAMPLES)
        return (found.gather(1, rewards.argmax(1, True)) - found.gather(1, rewards.argmin(1, True))).mean()

    assert margin(None) == margin("good: ") > 1 > -1 > margin("bad: ")


def test_csft_keeps_its_good_text_whatever_control_text_the_round_before_had(train):
    log, first = train("csft")
    _, second = train("csft", "second", policy=str(first), good="great: ")
    assert log.chosen.tolist() == [0.5]
    for folder, text in ((first, "good: "), (second, "great: ")):
        format = chat.load(str(folder))
        assert format.tokenizer.decode(format.encode_prompt("say hi")).endswith(f"<|assistant|>{text}")


@pytest.mark.parametrize("weighting", likelihood.WEIGHTINGS)
def test_rwr_weighs_by_the_advantage(train, weighting):
    beta = None if weighting == "filter" else 0.5
    log, _ = train("rwr", weighting=weighting, beta=beta, baseline="average", max_weight=2.0)
    own = logps(train.start, train.chat, samples(train.chat))
    rewards = torch.tensor(REWARDS, dtype=torch.float64).flatten()
    weights = likelihood.rwr_weights(rewards - rewards.mean(), beta, weighting, 2.0)
    assert log.loss[0] == pytest.approx(-(weights * own).mean().item(), rel=1e-4)
    assert log.weight[0] == pytest.approx(weights.mean().item(), rel=1e-5)


@pytest.mark.parametrize("estimator", policy_gradient.KL_ESTIMATORS)
def test_reinforce_is_drawn_back_to_the_reference_by_every_estimator(train, estimator):
    _, moved = train("reinforce", "moved", learning_rate=1e-2, epochs=4)
    rows = samples(train.chat)

    def gap(kl_coef):
        """How far a policy that has moved is from the reference, after a step in which rewards have no say."""
        flags = {"policy": str(moved), "kl_coef": kl_coef, "kl_estimator": estimator, "baseline": None}
        _, output = train("reinforce", "back", **flags, max_advantage=None if estimator == "k1" else 1e-9)
        after = logps(policies.load_policy(str(output)), train.chat, rows)
        return (after - logps(train.start, train.chat, rows)).abs().mean().item()

    assert gap(10.0) < gap(0.0)


def test_a_moving_average_goes_on_in_the_next_round_and_starts_anew_in_another_algorithm(train):
    log, first = train("reinforce", baseline="moving_average")
    again, _ = train("reinforce", "second", baseline="moving_average", policy=str(first))
    rewards = torch.tensor(REWARDS).flatten()
    memory = json.loads((first / "memory.json").read_text())
    assert memory["stage"] == "train_reinforce" and memory["memory"]["baseline"][0] == [12.0]
    assert again.advantage[0] == pytest.approx(log.advantage[0], abs=1e-5) == pytest.approx(0, abs=1e-5)
    records_of_second = json.loads((first.with_name("second") / "memory.json").read_text())["memory"]
    assert records_of_second["baseline"][0] == [24.0]
    assert records_of_second["baseline"][1] == pytest.approx([2 * rewards.sum().item()])
    assert policies.recall(str(first), "train_rwr") == {}


def test_ppos_value_head_and_kl_weight_go_on_and_are_no_part_of_the_policy(train):
    adaptive = {"kl_target": 6.0, "kl_horizon": 120}
    _, first = train("ppo", **adaptive)
    memory = policies.recall(str(first), "train_ppo")
    assert memory["kl_coef"] == pytest.approx(0.1 * (1 - 0.2 * 12 / 120))  # a KL of zero is below its target
    assert torch.tensor(memory["value_weight"]).abs().max() > 0
    assert not any("value_head" in name for name in load_file(first / "model.safetensors"))
    _, second = train("ppo", "second", policy=str(first), **adaptive)
    assert policies.recall(str(second), "train_ppo")["kl_coef"] < memory["kl_coef"]


@pytest.mark.parametrize("algorithm", ["ppo", "kto"])
def test_a_killed_training_with_more_than_a_policy_ends_byte_for_byte_the_same(train, algorithm, monkeypatch):
    flags = {"batch_size": 4, "checkpoint_steps": 1, "epochs": 2}
    _, whole = train(algorithm, "whole", **flags)
    step, calls = fit._step, 0

    def killed(*arguments):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(fit, "_step", killed)
    with contextlib.suppress(KeyboardInterrupt):
        train(algorithm, "killed", **flags)
    monkeypatch.setattr(fit, "_step", step)
    _, resumed = train(algorithm, "killed", **flags)
    for name in ("model.safetensors", *(["memory.json"] if algorithm == "ppo" else [])):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name


def test_ktos_mismatched_responses_answer_another_prompt(train, tmp_path):
    flags = train_kto.Flags(
        **{
            "rewards": f"{tmp_path}/rewards.parquet",
            "policy": "",
            "reference": "",
            "beta": 1.0,
            "output": "",
            "log_output": "",
            "seed": 1,
        },
        **{"learning_rate": 1.0, "epochs": 1, "batch_size": 1, "micro_batch_size": 1, "max_length": 64},
    )
    read = scored.read(flags, train.chat)
    others = train_kto.mismatched(read, flags)
    assert [prompt for prompt, _ in others] == [prompt for prompt, _ in read.sequences]
    later = read.sequences[SAMPLES:] + read.sequences[:SAMPLES]
    assert [response for _, response in others] == [response for _, response in later]


def test_a_step_that_diverges_names_its_prompts_and_the_last_good_state(train, tmp_path):
    with pytest.raises(InputError) as error:
        train("rwr", beta=1e-3, epochs=2, batch_size=6, checkpoint_steps=1)
    said = str(error.value)
    named = {row["prompt_id"] for row in samples(train.chat)}
    assert "step 1: the loss is" in said and "no state is kept yet" in said and "lower --learning_rate" in said
    assert any(prompt_id in said for prompt_id in named)


@pytest.mark.parametrize("algorithm", [*SCORED, *PAIRED])
def test_a_policy_that_diverges_at_the_last_step_is_refused_by_every_algorithm(train, tmp_path, algorithm):
    with pytest.raises(InputError, match=r"step 1: after the update, .* on prompts \w+.*lower --learning_rate"):
        train(algorithm, learning_rate=1e30)
    assert not list(tmp_path.glob("policy")) and not list(tmp_path.glob("policy.*csv*"))


def test_preferences_become_two_samples_of_their_prompt_and_are_counted_on_beside_others(train, tiny_policy, tmp_path):
    output = tmp_path / "responses.parquet"
    files = {"preferences": f"{tmp_path}/pairs.parquet", "policy": tiny_policy, "output": str(output)}
    collect_responses.main(collect_responses.Flags(**files, round=1, num_pairs=2))
    rows = records.read(output, "responses")
    assert [row["sample_id"] for row in rows] == [0, 1, 0, 1]
    assert [row["num_tokens"] for row in rows] == [len(row["response_ids"]) - 1 for row in rows]
    both = score_responses.together([rows, rows[:2]])
    assert [row["sample_id"] for row in both] == [0, 1, 0, 1, 2, 3]
