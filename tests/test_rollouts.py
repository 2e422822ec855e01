"""Advantages by hand on three numbers, then as properties, then against plain loops over rounds."""

import json
import math
from types import SimpleNamespace

import bandit_oracle
import pytest
import torch

from preference.bandits.cells import BASELINES, SCALES
from preference.training import rollouts

THREE = torch.tensor([[[1.0, 2.0, 6.0]]], dtype=torch.float64)  # one run, one state, three samples


@pytest.mark.parametrize(
    ("baseline", "by_hand"),
    [
        (None, [1, 2, 6]),
        ("average", [-2, -1, 3]),
        ("per_prompt", [-2, -1, 3]),
        ("leave_one_out", [1 - 4, 2 - 3.5, 6 - 1.5]),
        ("moving_average", [-2, -1, 3]),
        ("exponential_moving_average", [-2, -1, 3]),
    ],
)
def test_baselines_by_hand_on_three_rewards(baseline, by_hand):
    assert rollouts.advantages(THREE, baseline, {}).flatten().tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("baseline", "second"),
    [
        ("average", 7),
        ("per_prompt", 7),
        ("moving_average", (1 + 2 + 6 + 6 + 7 + 8) / 6),
        ("exponential_moving_average", 0.9 * 3 + 0.1 * 7),
    ],
)
def test_what_a_baseline_remembers_by_hand_in_a_second_round(baseline, second):
    memory = {}
    rollouts.advantages(THREE, baseline, memory)
    found = rollouts.advantages(torch.tensor([[[6.0, 7.0, 8.0]]]).double(), baseline, memory)
    assert found.flatten().tolist() == pytest.approx([6 - second, 7 - second, 8 - second])


def test_scales_by_hand_on_three_rewards():
    deviation = math.sqrt((4 + 1 + 9) / 3)
    per_state = [-2 / deviation, -1 / deviation, 3 / deviation]
    assert rollouts.scaled(THREE, "per_state", {}).flatten().tolist() == pytest.approx(per_state)
    running = [1 / deviation, 2 / deviation, 6 / deviation]
    assert rollouts.scaled(THREE, "running", {}).flatten().tolist() == pytest.approx(running)
    assert rollouts.scaled(THREE, None, {}) is THREE


def test_rewards_shaped_by_the_kl_by_hand_on_three_samples():
    logps, ref_logps = torch.tensor([[[-1.0, -2.0, -3.0]]]), torch.tensor([[[-2.0, -2.0, -1.0]]])
    shaped = rollouts.kl_shaped(THREE, logps, ref_logps, 0.5)
    assert shaped.flatten().tolist() == [1 - 0.5, 2, 6 + 1]


def test_advantages_sum_to_zero_per_state_and_leave_one_out_is_wider_by_n_over_n_minus_one():
    rewards = random_rewards(0)
    per_prompt = rollouts.advantages(rewards, "per_prompt", {})
    assert per_prompt.sum(-1).abs().max() < 1e-12
    assert torch.allclose(rollouts.advantages(rewards, "leave_one_out", {}), per_prompt * 4 / 3)
    normalised = rollouts.per_state(rewards)
    assert normalised.sum(-1).abs().max() < 1e-12
    assert torch.allclose(normalised.square().mean(-1), torch.ones(3, 5).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("samples", [2, 3, 7, 10])
def test_equal_rewards_of_a_state_have_no_advantage(samples, dtype):
    rewards = torch.exp(-(((torch.arange(100) - 20) / 10) ** 2)).to(dtype).view(1, 100, 1).expand(1, 100, samples)
    for scale in ("per_state", "running"):
        scaled = rollouts.scaled(rewards, scale, {})
        assert rollouts.advantages(scaled, "per_prompt", {}).abs().max() < 1e-5, scale
    assert not rollouts.per_state(rewards).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_first_round_without_any_spread_is_not_blown_up(dtype):
    memory = {}
    first = rollouts.scaled(torch.full((1, 1, 10), 0.9, dtype=dtype), "running", memory)
    assert first.abs().max() <= 1
    second = rollouts.scaled(THREE.to(dtype), "running", memory)
    values = [0.9] * 10 + [1, 2, 6]
    mean = sum(values) / 13
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 13)
    assert second.flatten().tolist() == pytest.approx([each / deviation for each in (1, 2, 6)], rel=1e-5)


@pytest.mark.parametrize("scale", [None, *SCALES])
@pytest.mark.parametrize("baseline", [None, *BASELINES])
def test_three_rounds_of_three_runs_equal_plain_loops(baseline, scale):
    memory, pasts = {}, [bandit_oracle.Past() for _ in range(3)]
    cell = SimpleNamespace(algorithm="reinforce", baseline=baseline, scale=scale)
    for number in range(3):
        rewards = random_rewards(number)
        found = rollouts.advantages(rollouts.scaled(rewards, scale, memory), baseline, memory)
        for run, past in enumerate(pasts):
            states = [{"rewards": state.tolist()} for state in rewards[run]]
            bandit_oracle.weigh(cell, states, past)
            assert found[run].tolist() == [pytest.approx(state["advantages"], abs=1e-9) for state in states]


# three prompts with two, one and three samples, rows in no order
GROUPS = torch.tensor([2, 0, 2, 1, 0, 2])
FLAT = torch.tensor([1.0, 4.0, 2.0, 9.0, 8.0, 6.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("baseline", "by_hand"),
    [
        (None, [1, 4, 2, 9, 8, 6]),
        ("average", [-4, -1, -3, 4, 3, 1]),
        ("per_prompt", [-2, -2, -1, 0, 2, 3]),
        ("leave_one_out", [1 - 4, 4 - 8, 2 - 3.5, 0, 8 - 4, 6 - 1.5]),
        ("moving_average", [-4, -1, -3, 4, 3, 1]),
        ("exponential_moving_average", [-4, -1, -3, 4, 3, 1]),
    ],
)
def test_baselines_of_unequal_groups_by_hand_and_a_sample_alone_in_its_group(baseline, by_hand):
    assert rollouts.group_advantages(FLAT, GROUPS, baseline, {}).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("baseline", [None, *BASELINES])
def test_three_rounds_of_equal_groups_in_any_order_equal_the_bandits(baseline):
    memory, of_bandit = {}, {}
    for number in range(3):
        rewards = random_rewards(number)[:1]
        groups = torch.arange(5).repeat_interleave(4)
        order = torch.randperm(20, generator=torch.Generator().manual_seed(number))
        found = rollouts.group_advantages(rewards.flatten()[order], groups[order], baseline, memory)
        expected = rollouts.advantages(rewards, baseline, of_bandit)
        assert torch.allclose(found, expected.flatten()[order], atol=1e-12)
    assert memory.keys() == of_bandit.keys()


@pytest.mark.parametrize("baseline", [None, *BASELINES])
def test_a_memory_that_was_written_and_read_between_rounds_is_the_same_memory(baseline):
    first, second = random_rewards(0)[0, 0].float(), random_rewards(1)[0, 0].float()
    groups, memory = torch.zeros(4, dtype=torch.int64), {}
    rollouts.group_advantages(first, groups, baseline, memory)
    read = {name: torch.tensor(json.loads(json.dumps(tensor.tolist()))).double() for name, tensor in memory.items()}
    found = rollouts.group_advantages(second, groups, baseline, read)
    assert found.dtype == torch.float32
    assert torch.allclose(found, rollouts.group_advantages(second, groups, baseline, memory), atol=1e-6)


def test_grpo_advantages_by_hand_and_a_sample_alone_in_its_group():
    two, three = math.sqrt(8) + 1e-4, math.sqrt((4 + 1 + 9) / 2) + 1e-4
    by_hand = [-2 / three, -2 / two, -1 / three, 0, 2 / two, 3 / three]
    assert rollouts.grpo_advantages(FLAT, GROUPS).tolist() == pytest.approx(by_hand)


def test_grpo_advantages_do_not_know_the_level_or_scale_of_a_group_and_equal_rewards_have_none():
    rewards, groups = 10 * random_rewards(3)[0].flatten(), torch.arange(5).repeat_interleave(4)
    level, scale = torch.randn(2, 5).double()
    moved = rewards * (1 + scale.abs())[groups] + level[groups]
    assert torch.allclose(rollouts.grpo_advantages(moved, groups), rollouts.grpo_advantages(rewards, groups), atol=1e-3)
    for samples in (2, 3, 7, 10):
        equal = torch.rand(20).repeat_interleave(samples)
        found = rollouts.grpo_advantages(equal, torch.arange(20).repeat_interleave(samples))
        assert found.abs().max() < 5e-3, "an ulp of float32 is no difference"


# a response of two tokens after a prompt of one, and one of three: contiguous, padded on both sides
MASK = torch.tensor([[False, True, True, False], [True, True, True, False]])


def test_token_rewards_by_hand_put_the_reward_at_the_last_token_and_the_kl_at_each():
    logprobs = torch.tensor([[0.0, -1.0, -2.0, 0.0], [-1.0, -2.0, -3.0, 0.0]]).double()
    ref_logprobs = torch.tensor([[0.0, -2.0, -2.0, 0.0], [-2.0, -2.0, -1.0, 0.0]]).double()
    found = rollouts.token_rewards(torch.tensor([5.0, 7.0]).double(), logprobs, ref_logprobs, MASK, 0.5)
    assert found.tolist() == [[0, -0.5, 5, 0], [-0.5, 0, 7 + 1, 0]]


def test_token_rewards_of_a_response_sum_to_its_shaped_reward():
    mask, (logprobs, ref_logprobs) = random_mask(0), torch.randn(2, 8, 6).double()
    rewards = torch.randn(8).double()
    found = rollouts.token_rewards(rewards, logprobs, ref_logprobs, mask, 0.3)
    logps, ref_logps = ((each * mask).sum(-1) for each in (logprobs, ref_logprobs))
    assert torch.allclose(found.sum(-1), rollouts.kl_shaped(rewards, logps, ref_logps, 0.3))
    assert not found[~mask].any()


def test_a_response_without_a_token_has_nowhere_to_put_its_reward():
    with pytest.raises(AssertionError, match="without a token"):
        rollouts.token_rewards(torch.zeros(2), *torch.zeros(2, 2, 4), MASK & torch.tensor([[True], [False]]), 0.1)


def test_gae_by_hand_on_three_tokens():
    # gamma = lam = 1/2; delta: 0 + 2/2 - 1 = 0, 0 + 4/2 - 2 = 0, 6 - 4 = 2; advantages: 1/8, 1/2, 2
    rewards = torch.tensor([[0.0, 0.0, 6.0, 0.0]]).double()
    values = torch.tensor([[1.0, 2.0, 4.0, 99.0]]).double()
    advantages, returns = rollouts.gae(rewards, values, MASK[1:], 0.5, 0.5)
    assert advantages.tolist() == [[0.125, 0.5, 2.0, 0.0]]
    assert returns.tolist() == [[1.125, 2.5, 6.0, 0.0]]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_gae_equals_the_sum_of_its_definition(gamma, lam):
    mask = random_mask(1)
    rewards, values = torch.randn(2, 8, 6).double()
    advantages, returns = rollouts.gae(rewards * mask, values, mask, gamma, lam)
    for row in range(8):
        places = mask[row].nonzero().flatten().tolist()
        r, v = rewards[row, places].tolist(), values[row, places].tolist() + [0.0]
        errors = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(places))]
        for t, place in enumerate(places):
            by_definition = sum((gamma * lam) ** (s - t) * errors[s] for s in range(t, len(places)))
            assert advantages[row, place].item() == pytest.approx(by_definition, abs=1e-12)
            assert returns[row, place].item() == pytest.approx(by_definition + v[t], abs=1e-12)
    assert not advantages[~mask].any() and not returns[~mask].any()


def test_without_decay_returns_are_the_rewards_to_come_whatever_the_values():
    mask, (rewards, values) = random_mask(2), torch.randn(2, 8, 6).double()
    returns = rollouts.gae(rewards * mask, values, mask, 1.0, 1.0)[1]
    to_come = (rewards * mask).flip(-1).cumsum(-1).flip(-1) * mask
    assert torch.allclose(returns, to_come)


def test_whitened_advantages_by_hand_on_three_tokens():
    found = rollouts.whiten(torch.tensor([[1.0, 2.0], [6.0, 99.0]]), torch.tensor([[True, True], [True, False]]))
    deviation = math.sqrt((4 + 1 + 9) / 2)
    assert found.flatten().tolist() == pytest.approx([-2 / deviation, -1 / deviation, 3 / deviation, 0.0])


def test_whitened_advantages_have_mean_0_and_unbiased_variance_1_and_equal_ones_are_zero():
    mask, advantages = random_mask(3), 5 + 3 * torch.randn(8, 6).double()
    found = rollouts.whiten(advantages, mask)
    assert found[mask].mean().item() == pytest.approx(0, abs=1e-12)
    assert found[mask].var().item() == pytest.approx(1)
    assert not found[~mask].any()
    assert not rollouts.whiten(torch.full((8, 6), 0.9), mask).any()
    one = torch.zeros(8, 6, dtype=torch.bool)
    one[0, 0] = True
    assert not rollouts.whiten(advantages, one).any(), "a single token has no deviation"


@pytest.mark.parametrize(
    ("kl", "by_hand"), [(6.0, 0.2), (6.6, 0.2 * 1.01), (60.0, 0.2 * 1.02), (0.0, 0.2 * 0.98), (-5.0, 0.2 * 0.98)]
)
def test_the_adaptive_coefficient_by_hand_at_near_and_far_from_its_target(kl, by_hand):
    assert rollouts.adapt_kl_coef(0.2, kl, target=6.0, horizon=10000, samples=1000) == pytest.approx(by_hand)


def random_mask(seed: int) -> torch.Tensor:
    """(8 rows, 6 tokens): contiguous, of 1 to 6 tokens, some after a prompt."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(0, 6, (8, 1), generator=generator)
    ends = starts + 1 + (torch.rand(8, 1, generator=generator) * (6 - starts)).long()
    places = torch.arange(6)
    return (places >= starts) & (places < ends)


def test_the_lab_and_the_language_models_know_the_same_baselines():
    assert rollouts.BASELINES == BASELINES


def random_rewards(seed: int) -> torch.Tensor:
    """(3 runs, 5 states, 4 samples), of another mean in each run."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 5, 4, generator=generator).double() + torch.arange(3).view(3, 1, 1)
