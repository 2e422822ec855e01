"""Policies of the bandit lab: densities and measures by hand, against integrals and against enumeration."""

import math

import pytest
import torch

from preference.bandits import categorical, draws, line, networks, problems, sequences
from preference.bandits.categorical import CategoricalPolicy
from preference.bandits.cells import LINE_POLICIES
from preference.bandits.line import LinePolicy
from preference.bandits.sequences import SequencePolicy

SEED = torch.tensor([1])
LOCATED = [(-0.7, 0.4), (0.0, 1.0), (0.7, 0.1), (-2.0, 0.3), (0.3, 2.5)]
CENTRES = (torch.arange(400_000).double() + 0.5) / 400_000


def constant(policy, outputs: list[float]) -> dict[str, torch.Tensor]:
    """Parameters of a network whose outputs are these, whatever it reads."""
    parameters = {name: torch.zeros_like(value) for name, value in policy.init(SEED).items()}
    parameters["3.bias"] = torch.tensor(outputs, dtype=torch.float64).view(1, 1, -1)
    return parameters


def shaken(parameters: dict[str, torch.Tensor], by: float, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: value + by * torch.randn(value.shape, generator=generator) for name, value in parameters.items()}


def measured(policy, parameters, seeds=SEED, states: int = 3) -> dict[str, list[float]]:
    contexts = policy.contexts(seeds, "eval_contexts", states)
    found, _ = policy.measures(parameters, contexts, seeds, 0)
    assert set(found) == set(policy.measured)
    return {name: value.tolist() for name, value in found.items()}


# --- a hundred arms


def arms_of(probs: dict[int, float]) -> list[float]:
    return [math.log(probs[arm]) if arm in probs else -700.0 for arm in range(problems.NUM_ACTIONS)]


def test_measures_of_a_policy_on_three_arms_by_hand():
    policy = CategoricalPolicy(5, 8, torch.float64)
    ref = policy.ref_probs.tolist()
    found = measured(policy, constant(policy, arms_of({20: 0.5, 30: 0.25, 99: 0.25})))
    cross = 0.5 * math.log(ref[20]) + 0.25 * math.log(ref[30]) + 0.25 * math.log(ref[99])
    assert found["reward"] == pytest.approx([0.5 + 0.25 * math.exp(-1) + 0.25 * math.exp(-62.41)])
    assert found["entropy"] == pytest.approx([1.5 * math.log(2)])
    assert found["kl"] == pytest.approx([-1.5 * math.log(2) - cross])
    lost = 1 - ref[20] - ref[30] - ref[99]
    likely = sum(ref[arm] * math.log(prob) for arm, prob in ((20, 0.5), (30, 0.25), (99, 0.25)))
    assert found["reverse_kl"] == pytest.approx([sum(p * math.log(p) for p in ref) - likely + 700 * lost])


def test_the_reference_is_at_no_distance_from_itself_and_every_other_policy_at_some():
    policy = CategoricalPolicy(4, 8, torch.float64)
    itself = measured(policy, constant(policy, policy.ref_logprobs.tolist()))
    assert itself["kl"] == pytest.approx([0], abs=1e-12) and itself["reverse_kl"] == pytest.approx([0], abs=1e-12)
    assert itself["reward"] == pytest.approx([(policy.ref_probs @ policy.arm_rewards).item()])
    uniform = measured(policy, constant(policy, [0.0] * 100))
    assert uniform["entropy"] == pytest.approx([math.log(100)])
    assert uniform["kl"] == pytest.approx([-math.log(100) - policy.ref_logprobs.mean().item()])
    for seed in range(5):
        found = measured(policy, shaken(policy.init(SEED), 1.0, seed))
        assert found["kl"][0] > 0 and found["reverse_kl"][0] > 0


def test_draws_by_inversion_by_hand_on_three_arms():
    probs = torch.tensor([[[0.5, 0.25, 0.25]]])
    chances = torch.tensor([[[1e-9, 0.49, 0.51, 0.74, 0.76, 1 - 1e-9]]], dtype=torch.float64)
    assert categorical._inverse(probs, chances).flatten().tolist() == [0, 0, 1, 1, 2, 2]


def test_arms_are_drawn_as_often_as_they_are_likely_and_their_log_probabilities_are_the_policys():
    policy = CategoricalPolicy(4, 8, torch.float64)
    parameters, contexts = shaken(policy.init(SEED), 0.5), policy.contexts(SEED, "contexts", 1)
    probs = policy.logprobs(parameters, contexts).exp()[0, 0]
    actions = policy.sample(parameters, contexts, policy.uniforms(SEED, 1, 100_000, 1))
    drawn_as_often(actions, probs)
    drawn_as_often(policy.sample_reference(contexts, policy.uniforms(SEED, 1, 100_000, 2)), policy.ref_probs)
    assert torch.allclose(policy.logps(parameters, contexts, actions).exp(), probs[actions])
    assert torch.equal(policy.ref_logps(contexts, actions).exp(), policy.ref_logprobs.exp()[actions])
    assert torch.equal(policy.rewards(contexts, actions), problems.arm_rewards(4)[actions])


def drawn_as_often(actions: torch.Tensor, probs: torch.Tensor) -> None:
    counts = torch.bincount(actions.flatten(), minlength=len(probs)).double()
    expected = actions.numel() * probs
    squares = ((counts - expected) ** 2 / expected)[expected > 5]
    assert squares.sum() < len(squares) + 5 * math.sqrt(2 * len(squares)), "chi-squared"


def test_pretraining_brings_the_policy_to_the_reference():
    from preference.bandits import training
    from preference.bandits.cells import Cell

    sizes = {"source": "offline", "rounds": 1, "epochs": 1, "states": 1, "samples": 1, "algorithm": "rwr"}
    for policy, reward, limit in (("categorical", 5, 1e-2), ("gaussian", 1, 1e-2), ("cauchy", 1, 1e-2)):
        cell = Cell(policy=policy, reward=reward, hidden_size=32, **sizes)
        its = training.policy_of(cell, torch.float64)
        runs = training.Runs.of((1, 2), [(0.1, None)])
        found = measured(its, training.initial(its, cell, runs), runs.seeds, 20)
        assert max(found["kl"]) < limit and max(found["reverse_kl"]) < limit, policy


# --- the line


def line_policy(family: str, reward: int = 1) -> LinePolicy:
    return LinePolicy(family, reward, 8, torch.float64)


def at(policy, loc: float, scale: float) -> dict[str, torch.Tensor]:
    return constant(policy, [loc, math.log(scale)])


def dense(policy, loc: float, scale: float) -> torch.Tensor:
    """Quantiles, very many."""
    quantiles = (math.pi * (CENTRES - 0.5)).tan() if policy.cauchy else torch.special.ndtri(CENTRES)
    return loc + scale * quantiles


def log_density(policy, actions: torch.Tensor, loc: float, scale: float) -> torch.Tensor:
    return policy.logps(at(policy, loc, scale), torch.zeros(1, 1, 100).double(), actions.view(1, 1, -1)).flatten()


@pytest.mark.parametrize(
    ("family", "by_hand"),
    [
        ("gaussian", [-math.log(0.4 * math.sqrt(2 * math.pi)) - half for half in (0, 0.5, 2)]),
        ("cauchy", [-math.log(0.4 * math.pi * more) for more in (1, 2, 5)]),
    ],
)
def test_log_densities_by_hand_at_none_one_and_two_scales_from_the_centre(family, by_hand):
    for name in (family, f"tanh_{family}"):
        policy, actions = line_policy(name), torch.tensor([[[-0.7, -0.3, -1.5]]], dtype=torch.float64)
        assert policy.ref_logps(None, actions).flatten().tolist() == pytest.approx(by_hand)
        assert log_density(policy, actions, -0.7, 0.4).tolist() == pytest.approx(by_hand)


def test_kl_by_hand():
    gaussian, cauchy = line_policy("gaussian"), line_policy("cauchy")
    one_away = measured(gaussian, at(gaussian, -0.3, 0.4))
    assert one_away["kl"] == pytest.approx([0.5]) and one_away["reverse_kl"] == pytest.approx([0.5])
    wide = measured(gaussian, at(gaussian, -0.7, 0.8))
    assert wide["kl"] == pytest.approx([1.5 - math.log(2)])
    assert wide["reverse_kl"] == pytest.approx([math.log(2) - 0.375])
    assert measured(cauchy, at(cauchy, 0.1, 0.4))["kl"] == pytest.approx([math.log(2)])


@pytest.mark.parametrize(("loc", "scale"), LOCATED)
@pytest.mark.parametrize("family", LINE_POLICIES)
def test_closed_forms_equal_integrals(family, loc, scale):
    policy = line_policy(family)
    found = measured(policy, at(policy, loc, scale))
    actions, ref_actions = dense(policy, loc, scale), dense(policy, problems.LOC, problems.SCALE)
    ratios = [
        log_density(policy, each, loc, scale) - policy.ref_logps(None, each.view(1, 1, -1)).flatten()
        for each in (actions, ref_actions)
    ]
    assert found["kl"] == pytest.approx([ratios[0].mean().item()], abs=1e-4)
    assert found["reverse_kl"] == pytest.approx([-ratios[1].mean().item()], abs=1e-3)
    assert found["kl"][0] >= -1e-12 and found["reverse_kl"][0] >= -1e-12
    surprise = -log_density(policy, actions, loc, scale)
    if family in ("gaussian", "cauchy"):
        assert found["entropy"] == pytest.approx([surprise.mean().item()], abs=1e-4)
    if family == "tanh_gaussian":  # the density of tanh(x) is that of x over 1 - tanh(x)^2
        slope = (1 - actions.tanh() ** 2).clamp(min=1e-300).log()
        assert found["entropy"] == pytest.approx([(surprise + slope).mean().item()], abs=2e-3)
    for reward in (1, 2, 3):
        policy = line_policy(family, reward)
        quadrature = measured(policy, at(policy, loc, scale))["reward"]
        assert quadrature == pytest.approx([policy.rewards(None, actions).mean().item()], abs=7e-4), reward


def test_the_entropy_of_a_tanh_cauchy_is_not_reported_since_it_is_infinite():
    assert "entropy" not in line_policy("tanh_cauchy").measured


def test_the_slope_of_tanh_does_not_cancel_far_from_zero():
    values = torch.tensor([0.0, 1.0, -1.0, 20.0, -300.0], dtype=torch.float64)
    by_hand = [0, math.log(1 - math.tanh(1) ** 2), math.log(1 - math.tanh(1) ** 2)]
    by_hand += [math.log(4) - 2 * value for value in (20, 300)]
    assert line._log_slope(values).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("family", LINE_POLICIES)
def test_actions_are_drawn_as_often_as_they_are_likely(family):
    policy, count = line_policy(family), 100_000
    contexts = policy.contexts(SEED, "contexts", 1)
    uniforms = policy.uniforms(SEED, 1, count, 1)
    within = 0.5 if family.endswith("cauchy") else math.erf(1 / math.sqrt(2))
    for actions, loc, scale in (
        (policy.sample(at(policy, 0.5, 0.2), contexts, uniforms), 0.5, 0.2),
        (policy.sample_reference(contexts, uniforms), -0.7, 0.4),
    ):
        for share, chance in (((actions < loc), 0.5), (((actions - loc).abs() < scale), within)):
            assert share.double().mean().item() == pytest.approx(chance, abs=4 * math.sqrt(0.25 / count))
        rewards = torch.exp(-((((actions.tanh() if "tanh" in family else actions) - 0.7) / 0.75) ** 2))
        assert torch.allclose(policy.rewards(contexts, actions), rewards)


# --- sequences


def test_the_gpt_has_the_published_size():
    parameters = networks.init_gpt(torch.tensor([1, 2]), torch.float32)
    assert sum(value[0].numel() for value in parameters.values()) == 94_992
    spread = {name: value.double().std().item() for name, value in parameters.items() if name.endswith("weight")}
    assert spread["head.weight"] == pytest.approx(0.02, rel=0.05)
    assert spread["0.up.weight"] == pytest.approx(0.02, rel=0.05)
    assert spread["2.down.weight"] == pytest.approx(0.02 / math.sqrt(6), rel=0.05)
    assert spread["1.attended.weight"] == pytest.approx(0.02 / math.sqrt(6), rel=0.05)


def test_the_gpt_agrees_token_by_token_with_a_cache_and_does_not_see_the_future():
    parameters = shaken(networks.init_gpt(torch.tensor([1, 2]), torch.float64), 0.1)
    tokens = (draws.uniform(torch.tensor([1, 2]), "actions", (3, 9)) * 100).long()
    logits, cache = networks.gpt(parameters, tokens), []
    one_by_one = [networks.gpt(parameters, tokens[..., place : place + 1], cache) for place in range(9)]
    assert torch.allclose(torch.cat(one_by_one, dim=2), logits, atol=1e-10)
    changed = tokens.clone()
    changed[..., 5] = (tokens[..., 5] + 1) % 100
    moved = (networks.gpt(parameters, changed) - logits).abs().amax(dim=(0, 1, 3))
    assert (moved[:5] == 0).all() and (moved[5:] > 1e-3).all()


def test_sampled_sequences_begin_with_their_prompts_and_their_log_probabilities_add_up():
    policy = SequencePolicy(7, torch.float64)
    parameters, contexts = shaken(policy.init(SEED), 0.1), policy.contexts(SEED, "contexts", 4)
    assert contexts.min() >= 0 and contexts.max() < 100
    actions = policy.sample(parameters, contexts, policy.uniforms(SEED, 4, 3, 1))
    assert actions.shape == (1, 4, 3, 10) and (actions[..., 0] == contexts[..., None]).all()
    logprobs = policy.logprobs(parameters, actions).view(1, 4, 3, 9, 100)
    assert torch.allclose(logprobs.exp().sum(-1), torch.ones(()).double())
    taken = logprobs.gather(-1, actions[..., 1:, None]).squeeze(-1)
    assert torch.allclose(policy.logps(parameters, contexts, actions), taken.sum(-1))
    by_hand = problems.arm_rewards(7)[actions].sum(-1) / 10
    assert torch.allclose(policy.rewards(contexts, actions), by_hand)


@pytest.fixture
def short(monkeypatch):
    """(policy, parameters) on three tokens and sequences of four, whose 27 continuations can be enumerated."""
    monkeypatch.setattr(problems, "NUM_ACTIONS", 3)
    monkeypatch.setattr(problems, "SEQUENCE_LENGTH", 4)
    monkeypatch.setattr(sequences, "NEW", 3)
    policy = SequencePolicy(7, torch.float64)
    policy.token_rewards = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    return policy, shaken(policy.init(SEED), 0.4), shaken(policy.init(SEED), 0.4, seed=1)


def every(policy, parameters, reference) -> dict[str, float]:
    """Measures by enumeration of all prompts and all continuations."""
    tokens = torch.cartesian_prod(*[torch.arange(3)] * 4).view(1, 81, 1, 4)
    logps, ref_logps = (policy.logps(each, None, tokens).flatten() for each in (parameters, reference))
    assert logps.exp().sum().item() == pytest.approx(3), "continuations of a prompt sum to one"
    probs, ref_probs = logps.exp() / 3, ref_logps.exp() / 3
    return {
        "reward": (probs @ policy.token_rewards[tokens].mean(-1).flatten()).item(),
        "entropy": -(probs @ logps).item(),
        "kl": (probs @ (logps - ref_logps)).item(),
        "reverse_kl": (ref_probs @ (ref_logps - logps)).item(),
    }


def test_monte_carlo_measures_of_sequences_are_within_their_errors_of_an_enumeration(short):
    policy, parameters, reference = short
    runs, states = 100, 50
    many, ref_many = (
        {name: value.expand(runs, *value.shape[1:]) for name, value in each.items()} for each in short[1:]
    )
    seeds = torch.arange(runs)
    policy.refer_to(ref_many, seeds, states)
    found, _ = policy.measures(many, policy.contexts(seeds, "eval_contexts", states), seeds, 7)
    exact = every(policy, parameters, reference)
    assert min(exact["kl"], exact["reverse_kl"]) > 0.1, "the comparison would be trivial"
    for name, value in exact.items():
        error = found[name].std().item() / math.sqrt(runs)
        assert abs(found[name].mean().item() - value) < 4 * error, name
        assert error < 0.05 * abs(value), name
        assert found[f"{name}_se"].mean().item() == pytest.approx(found[name].std().item(), rel=0.25), name


def test_sequences_are_drawn_as_often_as_they_are_likely(short):
    policy, parameters, _ = short
    prompts = torch.zeros(1, 1, dtype=torch.long)
    actions = policy.sample(parameters, prompts, policy.uniforms(SEED, 1, 5_000, 1))
    tokens = torch.cartesian_prod(*[torch.arange(3)] * 3)
    tokens = torch.cat([torch.zeros(27, 1, dtype=torch.long), tokens], dim=1).view(1, 1, 27, 4)
    numbered = actions[0, 0] @ torch.tensor([27, 9, 3, 1])
    drawn_as_often(numbered, policy.logps(parameters, prompts, tokens).exp()[0, 0])
