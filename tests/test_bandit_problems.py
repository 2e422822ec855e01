"""Rewards, the distribution of the data, and draws: by hand, then as properties."""

import math

import pytest
import torch

from preference.bandits import draws, problems
from preference.bandits.draws import STREAMS

SEEDS = torch.tensor([1, 2, 3])


@pytest.mark.parametrize(
    ("reward", "arms"),
    [
        (4, {70: 1, 60: math.exp(-1), 90: math.exp(-4)}),
        (5, {20: 1, 30: math.exp(-1), 0: math.exp(-4)}),
        (6, {70: 1, 75: math.exp(-0.25), 99: math.exp(-8.41)}),
        (7, {20: 1, 15: math.exp(-0.25), 40: math.exp(-4)}),
        (8, {70: 1, 50: math.exp(-1), 30: math.exp(-4)}),
        (9, {70: 1, 40: math.exp(-1), 10: math.exp(-4)}),
    ],
)
def test_rewards_of_arms_by_hand(reward, arms):
    found = problems.arm_rewards(reward)
    assert found.shape == (100,)
    assert {arm: found[arm].item() for arm in arms} == pytest.approx(arms)


@pytest.mark.parametrize(
    ("reward", "actions"),
    [
        (1, {0.7: 1, -0.05: math.exp(-1), 2.2: math.exp(-4)}),
        (2, {0.7: 1, 0.45: math.exp(-1), 1.2: math.exp(-4)}),
        (3, {-0.7: 1, -0.45: math.exp(-1), -1.2: math.exp(-4)}),
    ],
)
def test_rewards_on_the_line_by_hand(reward, actions):
    found = problems.line_rewards(reward, torch.tensor(list(actions), dtype=torch.float64))
    assert found.tolist() == pytest.approx(list(actions.values()))


def test_the_reference_is_ten_thousand_draws_of_a_tanh_cauchy_in_a_hundred_bins():
    probs = problems.reference_probs()
    counts = (probs * problems.NUM_DRAWS).tolist()
    assert probs.sum().item() == pytest.approx(1, abs=1e-12)
    assert all(count > 0 and count == pytest.approx(round(count)) for count in counts)

    def below(edge: float) -> float:
        """P(tanh(Cauchy) < edge)."""
        value = math.copysign(math.inf, edge) if abs(edge) == 1 else math.atanh(edge)
        return 0.5 + math.atan((value - problems.LOC) / problems.SCALE) / math.pi

    edges = [-1 + i / 50 for i in range(101)]
    edges[0], edges[-1] = -1.0, 1.0
    chances = [below(high) - below(low) for low, high in zip(edges, edges[1:], strict=False)]
    for bin_, (count, chance) in enumerate(zip(counts, chances, strict=True)):
        deviation = math.sqrt(problems.NUM_DRAWS * chance * (1 - chance))
        assert abs(count - problems.NUM_DRAWS * chance) < 5 * deviation, bin_


def test_the_reference_has_the_published_edge_bins_entropy_and_rewards():
    probs = problems.reference_probs()
    assert probs.argmax() == 0
    published = {0: 0.0765, 99: 0.0425, 20: 0.0235, 70: 0.0021}
    assert {arm: probs[arm].item() for arm in published} == pytest.approx(published, rel=0.2, abs=1e-3)
    assert -(probs * probs.log()).sum().item() == pytest.approx(4.12, abs=0.02)
    rewards = {4: 0.0405, 5: 0.377, 8: 0.096, 9: 0.188}
    assert {reward: (probs @ problems.arm_rewards(reward)).item() for reward in rewards} == pytest.approx(
        rewards, abs=0.006
    )


def test_draws_equal_a_hash_of_one_number_at_a_time_in_python_integers():
    def mixed(number: int) -> int:
        number ^= number >> 16
        number = number * 0x7FEB352D % 2**32
        number ^= number >> 15
        number = number * 0x846CA68B % 2**32
        return number ^ number >> 16

    def drawn(seed: int, stream: str, counters: tuple[int, ...], position: int) -> float:
        key = mixed(seed ^ mixed(0x9E3779B9 * (STREAMS.index(stream) + 1) % 2**32))
        for counter in counters:
            key = mixed(key ^ mixed(counter + 1))
        return (mixed(mixed((position + 0x85EBCA6B) % 2**32) ^ key) + 0.5) / 2**32

    for stream, counters in (("contexts", ()), ("actions", (7,)), ("order", (400, 3))):
        found = draws.uniform(torch.tensor([0, 5, 2**31]), stream, (2, 3), *counters)
        for i, seed in enumerate((0, 5, 2**31)):
            assert found[i].flatten().tolist() == [drawn(seed, stream, counters, place) for place in range(6)]


def test_draws_do_not_depend_on_which_other_seeds_draw():
    together = draws.uniform(SEEDS, "actions", (4, 5), 3)
    for i, seed in enumerate(SEEDS):
        assert torch.equal(together[i], draws.uniform(seed.view(1), "actions", (4, 5), 3)[0])
    assert torch.equal(together, draws.uniform(SEEDS.flip(0), "actions", (4, 5), 3).flip(0))


def test_draws_are_uniform_inside_the_unit_interval():
    many = draws.uniform(SEEDS, "contexts", (200_000,))
    assert many.min() > 0 and many.max() < 1
    for numbers in many:
        counts = torch.histc(numbers, bins=100, min=0, max=1)
        squares = ((counts - 2000) ** 2 / 2000).sum().item()
        assert abs(squares - 99) < 5 * math.sqrt(2 * 99), "chi-squared of a hundred bins"


def test_draws_of_other_seeds_streams_counters_and_places_have_nothing_in_common():
    several = [draws.uniform(torch.arange(20), stream, (20_000,)) for stream in STREAMS]
    several += [draws.uniform(torch.arange(20), "actions", (20_000,), *counters) for counters in ((0,), (1,), (1, 0))]
    rows = torch.cat(several)
    correlations = torch.corrcoef(rows) - torch.eye(len(rows), dtype=torch.float64)
    assert correlations.abs().max() < 6 / math.sqrt(20_000)
    for numbers in rows:
        for lag in (1, 9, 10, 100):
            assert abs(torch.corrcoef(torch.stack([numbers[:-lag], numbers[lag:]]))[0, 1]) < 6 / math.sqrt(20_000)


def test_normal_draws_have_the_moments_of_a_normal():
    numbers = draws.normal(SEEDS, "weights", (100_000,)).flatten()
    moments = [(numbers**power).mean().item() for power in (1, 2, 3, 4)]
    for found, expected, variance in zip(moments, (0, 1, 0, 3), (1, 2, 15, 96), strict=True):
        assert abs(found - expected) < 5 * math.sqrt(variance / len(numbers))
