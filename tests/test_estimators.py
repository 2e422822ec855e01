"""Policy gradients against exact ones, by enumeration: every response of a small policy, weighed by its probability.

The policy is a table of logits, a row per prefix, over three tokens, of which the first ends a response; a response has
at most three tokens. So there are 15 responses, and every draw of two responses is one of 225.
"""

import itertools

import pytest
import torch

from preference.losses.policy_gradient import grpo_loss, kl_estimate, ppo_loss, reinforce_loss
from preference.training import rollouts

EOS, TOKENS, LONGEST = 0, 3, 3
CHOICES = range(TOKENS)


def responses(prefix: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Each response that goes on from a prefix."""
    if len(prefix) == LONGEST or EOS in prefix:
        return [prefix]
    return [response for token in CHOICES for response in responses((*prefix, token))]


RESPONSES = responses()
PREFIXES = sorted({response[:end] for response in RESPONSES for end in range(len(response))})
MASK = torch.tensor([[end < len(response) for end in range(LONGEST)] for response in RESPONSES])
PLACES = torch.tensor(  # the row of the table that each token of each response is drawn from
    [[PREFIXES.index(r[:end]) if end < len(r) else 0 for end in range(LONGEST)] for r in RESPONSES]
)
DRAWN = torch.tensor([[*r, *[0] * (LONGEST - len(r))] for r in RESPONSES])
GENERATOR = torch.Generator().manual_seed(0)
THETA, REF = torch.randn(2, len(PREFIXES), TOKENS, generator=GENERATOR).double()
REWARDS = torch.randn(len(RESPONSES), generator=GENERATOR).double()
REF_LOGPROBS = REF.log_softmax(-1)[PLACES, DRAWN] * MASK
REF_LOGPS = REF_LOGPROBS.sum(-1)


@pytest.fixture
def theta():
    return THETA.clone().requires_grad_()


def logprobs_of(theta):
    """log pi of each token of each response, (responses, tokens), zero after its end."""
    return theta.log_softmax(-1)[PLACES, DRAWN] * MASK


def logps_of(theta):
    return logprobs_of(theta).sum(-1)


def kl(theta):
    """KL(pi || ref) of whole responses."""
    logps = logps_of(theta)
    return (logps.exp() * (logps - REF_LOGPS)).sum()


def gradient(scalar, theta):
    return torch.autograd.grad(scalar, theta, retain_graph=True)[0]


def gradient_of_reward(theta, kl_coef=0.0):
    """That of E[r] - kl_coef KL(pi || ref)."""
    return gradient((logps_of(theta).exp() * REWARDS).sum() - kl_coef * kl(theta), theta)


def expected(values, theta):
    """E of a number per response over the policy that samples: its probabilities are weights without a gradient."""
    return (logps_of(theta).detach().exp() * values).sum()


def test_the_responses_are_fifteen_and_their_probabilities_sum_to_one(theta):
    assert len(RESPONSES) == 15 and len(PREFIXES) == 7
    assert logps_of(theta).exp().sum().item() == pytest.approx(1)
    assert gradient_of_reward(theta).abs().max() > 0.01, "the oracle would be trivial"


DRAWS = torch.tensor(list(itertools.product(range(len(RESPONSES)), repeat=2)))  # every two responses to one prompt


def expected_reinforce(theta, weigh):
    """Minus the gradient of the expected REINFORCE loss of two samples; `weigh` makes advantages of (draws, 1, 2)."""
    logps = logps_of(theta)[DRAWS]
    rewards = REWARDS[DRAWS].unsqueeze(1)  # every draw is a run of its own, of one state
    losses = reinforce_loss(logps, weigh(rewards).squeeze(1), REF_LOGPS[DRAWS]).mean(-1)
    return -gradient((logps.detach().sum(-1).exp() * losses).sum(), theta)


def first_round(baseline):
    """What a first round with rewards 0.3, -0.2 and 1.1 leaves every draw to remember."""
    memory = {}
    rollouts.advantages(torch.tensor([0.3, -0.2, 1.1]).double().expand(len(DRAWS), 1, 3), baseline, memory)
    return memory


def test_reinforce_has_the_gradient_of_the_expected_reward_with_no_baseline_a_constant_and_leave_one_out(theta):
    exact = gradient_of_reward(theta)
    for weigh in (
        lambda rewards: rollouts.advantages(rewards, None, {}),
        lambda rewards: rewards - 0.7,
        lambda rewards: rollouts.advantages(rewards, "leave_one_out", {}),
    ):
        assert torch.allclose(expected_reinforce(theta, weigh), exact, atol=1e-12)


# A baseline that holds a part b of a sample's own reward takes that part of the gradient away, and of nothing else.
@pytest.mark.parametrize(
    ("baseline", "remembers", "factor"),
    [
        ("per_prompt", False, 1 - 1 / 2),  # (n - 1) / n, n = 2
        ("average", False, 1 - 1 / 2),  # one prompt: the batch is its samples
        ("moving_average", False, 1 - 1 / 2),
        ("moving_average", True, 1 - 1 / 5),  # a fifth of all rewards so far
        ("exponential_moving_average", False, 1 - 1 / 2),
        ("exponential_moving_average", True, 1 - 0.1 / 2),  # a half of the mean, which enters with 0.1
    ],
)
def test_a_baseline_with_the_samples_own_reward_in_it_shrinks_the_gradient_by_that_part(
    theta, baseline, remembers, factor
):
    memory = first_round(baseline) if remembers else {}
    found = expected_reinforce(theta, lambda rewards: rollouts.advantages(rewards, baseline, memory))
    assert torch.allclose(found, factor * gradient_of_reward(theta), atol=1e-12)


def test_an_average_over_two_prompts_takes_a_fourth_of_the_gradient_of_each(theta):
    # a second prompt with the rewards 0.5 and -0.4, whose samples are no draws of this policy
    def weigh(rewards):
        other = torch.tensor([0.5, -0.4]).double().expand(len(DRAWS), 1, 2)
        return rollouts.advantages(torch.cat([rewards, other], dim=1), "average", {})[:, :1]

    assert torch.allclose(expected_reinforce(theta, weigh), 0.75 * gradient_of_reward(theta), atol=1e-12)


@pytest.mark.parametrize(("baseline", "factor"), [("leave_one_out", 1.0), ("per_prompt", 0.5)])
def test_flat_groups_have_the_same_expected_gradient(theta, baseline, factor):
    groups = torch.arange(len(DRAWS)).repeat_interleave(2)

    def weigh(rewards):
        return rollouts.group_advantages(rewards.flatten(), groups, baseline, {}).view_as(rewards)

    assert torch.allclose(expected_reinforce(theta, weigh), factor * gradient_of_reward(theta), atol=1e-12)


def test_reinforce_with_the_kl_in_the_reward_or_as_k2_of_responses_has_the_gradient_of_reward_minus_kl(theta):
    logps = logps_of(theta)
    shaped = rollouts.kl_shaped(REWARDS, logps.detach(), REF_LOGPS, 0.3)
    in_reward = reinforce_loss(logps, shaped, REF_LOGPS)
    as_loss = reinforce_loss(logps, REWARDS, REF_LOGPS, kl_coef=0.3)
    exact = gradient_of_reward(theta, kl_coef=0.3)
    for losses in (in_reward, as_loss):
        assert torch.allclose(-gradient(expected(losses, theta), theta), exact, atol=1e-12)


def test_k1_and_k3_expect_the_kl_of_responses_summed_over_tokens_as_well_and_k2_does_not(theta):
    exact = kl(theta).item()
    for estimator, unbiased in (("k1", True), ("k2", False), ("k3", True)):
        of_responses = kl_estimate(logps_of(theta), REF_LOGPS, estimator)
        of_tokens = (kl_estimate(logprobs_of(theta), REF_LOGPROBS, estimator) * MASK).sum(-1)
        for found in (of_responses, of_tokens):
            assert (expected(found, theta).item() == pytest.approx(exact, abs=1e-9)) == unbiased, estimator


def test_as_a_loss_k1_has_no_gradient_k2_that_of_the_reverse_and_k3_that_of_the_forward_kl(theta):
    forward = (REF_LOGPS.exp() * (REF_LOGPS - logps_of(theta))).sum()
    exact = {"k1": torch.zeros_like(theta), "k2": gradient(kl(theta), theta), "k3": gradient(forward, theta)}
    for estimator, by_definition in exact.items():
        found = gradient(expected(kl_estimate(logps_of(theta), REF_LOGPS, estimator), theta), theta)
        assert torch.allclose(found, by_definition, atol=1e-12), estimator
    assert not torch.allclose(exact["k2"], exact["k3"], atol=0.01)


def test_summed_over_tokens_they_have_the_gradient_of_each_tokens_kl_where_it_is_and_not_of_the_responses(theta):
    log_pi, log_ref = theta.log_softmax(-1), REF.log_softmax(-1)
    reverse = (log_pi.exp() * (log_pi - log_ref)).sum(-1)
    forward = (log_ref.exp() * (log_ref - log_pi)).sum(-1)
    for estimator, of_prefix in (("k2", reverse), ("k3", forward)):
        losses = (kl_estimate(logprobs_of(theta), REF_LOGPROBS, estimator) * MASK).sum(-1)
        where_it_is = (of_prefix[PLACES] * MASK).sum(-1)  # how often a prefix is reached has no gradient here
        found = gradient(expected(losses, theta), theta)
        assert torch.allclose(found, gradient(expected(where_it_is, theta), theta), atol=1e-12), estimator
    tokenwise = (kl_estimate(logprobs_of(theta), REF_LOGPROBS, "k2") * MASK).sum(-1)
    missing = gradient(expected(tokenwise, theta), theta) - gradient(kl(theta), theta)
    last = torch.tensor([len(prefix) == LONGEST - 1 for prefix in PREFIXES])
    assert missing[~last].abs().max() > 0.01
    assert missing[last].abs().max() < 1e-12, "nothing comes after a last token"


def test_the_rewards_of_tokens_expect_the_reward_minus_the_exact_kl_of_responses(theta):
    logprobs = logprobs_of(theta).detach()
    found = rollouts.token_rewards(REWARDS, logprobs, REF_LOGPROBS, MASK, 0.3).sum(-1)
    exact = (logps_of(theta).exp() * REWARDS).sum() - 0.3 * kl(theta)
    assert expected(found, theta).item() == pytest.approx(exact.item())


def test_the_first_step_of_ppo_on_responses_has_the_gradient_of_the_expected_reward(theta):
    logps = logps_of(theta)
    found = -gradient(expected(ppo_loss(logps, logps.detach(), REWARDS - 0.7, 0.2), theta), theta)
    assert torch.allclose(found, gradient_of_reward(theta), atol=1e-12)


def values_of(theta, kl_coef):
    """The exact value of each prefix: what it expects of the rewards of tokens that are still to come, (prefixes,)."""
    logprobs = logprobs_of(theta).detach()
    rewards = rollouts.token_rewards(REWARDS, logprobs, REF_LOGPROBS, MASK, kl_coef)
    to_come = rewards.flip(-1).cumsum(-1).flip(-1)
    weights = logps_of(theta).detach().exp().unsqueeze(-1) * MASK
    sums = torch.zeros(2, len(PREFIXES)).double()
    sums.index_add_(1, PLACES.flatten(), torch.stack([(weights * to_come).flatten(), weights.flatten()]))
    return sums[0] / sums[1]


def expected_ppo(theta, values, lam):
    """Minus the gradient of the expected loss of PPO's first step, summed over tokens, with the KL in the rewards."""
    logprobs = logprobs_of(theta)
    rewards = rollouts.token_rewards(REWARDS, logprobs.detach(), REF_LOGPROBS, MASK, 0.3)
    advantages, _ = rollouts.gae(rewards, values[PLACES], MASK, 1.0, lam)
    losses = (ppo_loss(logprobs, logprobs.detach(), advantages, 0.2) * MASK).sum(-1)
    return -gradient(expected(losses, theta), theta)


def test_the_first_step_of_ppo_on_tokens_has_the_gradient_of_reward_minus_kl(theta):
    exact = gradient_of_reward(theta, kl_coef=0.3)
    wrong = torch.randn(len(PREFIXES), generator=torch.Generator().manual_seed(1)).double()
    assert torch.allclose(expected_ppo(theta, wrong, lam=1.0), exact, atol=1e-12), "values are a baseline"
    for lam in (0.0, 0.5, 0.95):
        assert torch.allclose(expected_ppo(theta, values_of(theta, 0.3), lam), exact, atol=1e-12), lam
    assert not torch.allclose(expected_ppo(theta, wrong, lam=0.5), exact, atol=0.01), "wrong values bias a lam below 1"


def test_the_returns_of_exact_values_expect_these_values(theta):
    values = values_of(theta, 0.3)
    rewards = rollouts.token_rewards(REWARDS, logprobs_of(theta).detach(), REF_LOGPROBS, MASK, 0.3)
    for lam in (0.0, 0.95, 1.0):
        advantages, returns = rollouts.gae(rewards, values[PLACES], MASK, 1.0, lam)
        weights = (logps_of(theta).detach().exp().unsqueeze(-1) * MASK).flatten()
        of_prefixes = torch.zeros(len(PREFIXES)).double().index_add(0, PLACES.flatten(), weights * advantages.flatten())
        assert of_prefixes.abs().max() < 1e-12, lam
        assert torch.allclose(returns, advantages + values[PLACES] * MASK)


def test_the_first_step_of_grpo_has_the_gradient_of_the_expected_reward_over_the_length(theta):
    # the mean over a response's tokens is where GRPO leaves the expected reward: a long response counts for less
    logprobs, per_length = logprobs_of(theta), REWARDS / MASK.sum(-1)
    losses = grpo_loss(logprobs, logprobs.detach(), REF_LOGPROBS, REWARDS, MASK, 0.2, kl_coef=0.0)
    exact = gradient((logps_of(theta).exp() * per_length).sum(), theta)
    assert torch.allclose(-gradient(expected(losses, theta), theta), exact, atol=1e-12)
    assert not torch.allclose(exact, gradient_of_reward(theta), atol=0.01)
