"""Advantages by hand on three numbers, then as properties, then against plain loops over rounds."""

import math
from types import SimpleNamespace

import bandit_oracle
import pytest
import torch

from preference import rollouts
from preference.bandits.cells import BASELINES, SCALES

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


def random_rewards(seed: int) -> torch.Tensor:
    """(3 runs, 5 states, 4 samples), of another mean in each run."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 5, 4, generator=generator).double() + torch.arange(3).view(3, 1, 1)
