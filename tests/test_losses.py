"""Losses by hand on three numbers, then as properties; test_trl.py compares them with TRL's."""

import math

import pytest
import torch

from preference.bandits.cells import NEGATIVES
from preference.losses.best_of_n import best_of_n_loss
from preference.losses.contrastive import (
    bradley_terry_loss,
    dpo_loss,
    implicit_rewards,
    ipo_loss,
    simpo_loss,
    slic_loss,
)
from preference.losses.likelihood import WEIGHTINGS, pref_ft_loss, rwr_loss, rwr_weights, sft_loss
from preference.losses.policy_gradient import (
    KL_ESTIMATORS,
    grpo_loss,
    kl_estimate,
    ppo_loss,
    reinforce_loss,
    value_loss,
)
from preference.losses.unpaired import kto_loss


def test_dpo_loss_by_hand_on_three_pairs():
    # log-ratios (chosen, rejected): (1, -1), (0, 0), (-2, 1); h = 2, 0, -3; beta = 0.5 -> 1, 0, -1.5
    loss = dpo_loss(
        torch.tensor([-4.0, -7.0, -9.0]),
        torch.tensor([-6.0, -2.0, -1.0]),
        torch.tensor([-5.0, -7.0, -7.0]),
        torch.tensor([-5.0, -2.0, -2.0]),
        beta=0.5,
    )
    by_hand = [math.log(1 + math.exp(-1.0)), math.log(2.0), math.log(1 + math.exp(1.5))]
    assert loss.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_dpo_loss_at_the_reference_is_ln_2_whatever_beta():
    logps = torch.randn(2, 8)
    for beta in (0.01, 0.1, 10.0):
        assert dpo_loss(*logps, *logps, beta).tolist() == pytest.approx([math.log(2)] * 8, abs=1e-6)


def test_label_smoothing_mixes_the_two_labels():
    logps = torch.randn(4, 8)
    swapped = dpo_loss(logps[1], logps[0], logps[3], logps[2], 0.3)
    mixed = 0.8 * dpo_loss(*logps, 0.3) + 0.2 * swapped
    assert torch.allclose(dpo_loss(*logps, 0.3, label_smoothing=0.2), mixed, atol=1e-6)


def test_dpo_loss_falls_when_the_margin_grows_and_does_not_know_the_level():
    logps = torch.randn(4, 8)
    wider = dpo_loss(logps[0] + 1, logps[1] - 1, logps[2], logps[3], 0.1)
    shifted = dpo_loss(logps[0] + 5, logps[1] + 5, logps[2], logps[3], 0.1)
    assert (wider < dpo_loss(*logps, 0.1)).all()
    assert torch.allclose(shifted, dpo_loss(*logps, 0.1), atol=1e-6)


def test_implicit_rewards_by_hand():
    found = implicit_rewards(torch.tensor([-1.0, -2.0, 0.0]), torch.tensor([-2.0, -2.0, -4.0]), beta=0.5)
    assert found.tolist() == [0.5, 0.0, 2.0]


def test_a_smoothed_bradley_terry_loss_is_the_mean_over_labels_that_are_right_and_wrong():
    chosen, rejected = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([1.0, -2.0, 1.0])
    right, wrong = bradley_terry_loss(chosen, rejected), bradley_terry_loss(rejected, chosen)
    smoothed = bradley_terry_loss(chosen, rejected, label_smoothing=0.2)
    assert torch.allclose(smoothed, 0.8 * right + 0.2 * wrong) and not torch.allclose(smoothed, right)
    assert smoothed[1].item() == pytest.approx(0.8 * math.log(1 + math.exp(-2)) + 0.2 * math.log(1 + math.exp(2)))


def test_bradley_terry_loss_by_hand_on_three_pairs():
    loss = bradley_terry_loss(torch.tensor([1.0, 0.0, -2.0]), torch.tensor([1.0, -2.0, 1.0]))
    by_hand = [math.log(2), math.log(1 + math.exp(-2.0)), math.log(1 + math.exp(3.0))]
    assert loss.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_sft_loss_by_hand_counts_response_tokens_only():
    logprobs = torch.tensor([[-9.0, -1.0, -2.0], [-9.0, -3.0, -9.0]])
    mask = torch.tensor([[False, True, True], [False, True, False]])
    assert sft_loss(logprobs, mask).item() == pytest.approx((1 + 2 + 3) / 3)


def test_pref_ft_loss_is_the_negative_log_likelihood_of_the_sequence():
    assert pref_ft_loss(torch.tensor([-1.5, -2.0, 0.0])).tolist() == [1.5, 2.0, 0.0]


def test_ipo_loss_by_hand_on_three_pairs():
    # log-ratios (chosen, rejected): (1, -1), (0, 0), (-2, 1); h = 2, 0, -3; beta = 0.25 -> target 2
    logps = [[-4.0, -7.0, -9.0], [-6.0, -2.0, -1.0], [-5.0, -7.0, -7.0], [-5.0, -2.0, -2.0]]
    assert ipo_loss(*map(torch.tensor, logps), beta=0.25).tolist() == [0.0, 4.0, 25.0]


def test_rwr_loss_by_hand_on_three_responses():
    weights = rwr_weights(torch.tensor([0.0, -0.5, 1.0]), beta=0.5)
    loss = rwr_loss(torch.tensor([-1.0, -2.0, -3.0]), weights)
    assert loss.tolist() == pytest.approx([1.0, 2 * math.exp(-1), 3 * math.exp(2)])


def test_reinforce_loss_by_hand_on_three_responses():
    logps, ref_logps = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-2.0, -2.0, -1.0])
    advantages = torch.tensor([1.0, -2.0, 0.0])
    assert reinforce_loss(logps, advantages, ref_logps).tolist() == [1.0, -4.0, 0.0]
    assert reinforce_loss(logps, advantages, ref_logps, kl_coef=0.5).tolist() == [1.25, -4.0, 1.0]


def test_ppo_loss_by_hand_inside_above_and_below_the_clip_range():
    ratios = torch.tensor([1.1, 1.5, 0.5, 1.5, 0.5], dtype=torch.float64)
    advantages = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0], dtype=torch.float64)
    logps = ratios.log().requires_grad_()
    loss = ppo_loss(logps, torch.zeros(5).double(), advantages, clip_range=0.2)
    assert loss.tolist() == pytest.approx([-2.2, -2.4, -1.0, 3.0, 1.6])
    loss.sum().backward()
    assert logps.grad.tolist() == pytest.approx([-2.2, 0.0, -1.0, 3.0, 0.0])


def test_ppo_and_reinforce_have_one_gradient_where_the_policy_is_the_one_that_sampled():
    logps, advantages = torch.randn(8, requires_grad=True), torch.randn(8)
    ppo = torch.autograd.grad(ppo_loss(logps, logps.detach(), advantages, 0.2).sum(), logps)
    reinforce = torch.autograd.grad(reinforce_loss(logps, advantages, torch.zeros(8)).sum(), logps)
    assert torch.allclose(*ppo, *reinforce)


def test_slic_loss_by_hand_below_at_and_above_its_margin():
    chosen, rejected = torch.tensor([-4.0, -3.0, -1.0]), torch.tensor([-3.0, -5.0, -9.0])  # differences -1, 2, 8
    assert slic_loss(chosen, rejected, delta=2.0, sft_coef=0.5).tolist() == [3.0 + 2.0, 0.0 + 1.5, 0.0 + 0.5]


def test_slic_loss_has_the_gradient_of_likelihood_alone_beyond_its_margin_and_knows_no_level_without_it():
    chosen, rejected = torch.tensor([-1.0, -4.0], requires_grad=True), torch.tensor([-9.0, -3.0], requires_grad=True)
    slic_loss(chosen, rejected, 2.0, 0.5).sum().backward()
    assert chosen.grad.tolist() == [-0.5, -1.5] and rejected.grad.tolist() == [0.0, 1.0]
    logps = torch.randn(2, 64)
    assert torch.allclose(slic_loss(*logps, 1.0, 0.0), slic_loss(*(logps - 3), 1.0, 0.0), atol=1e-6)


def test_simpo_loss_by_hand_on_three_pairs():
    # per token (chosen, rejected): (-1, -3), (-2, -2), (-3, -1); less 0.5, times 2: 3, -1, -5
    chosen, rejected = (torch.tensor([-2.0, -8.0, -3.0]), torch.tensor([2, 4, 1])), torch.tensor([-9.0, -2.0, -4.0])
    loss = simpo_loss(chosen[0], rejected, chosen[1], torch.tensor([3, 1, 4]), beta=2.0, gamma_beta_ratio=0.5)
    by_hand = [math.log(1 + math.exp(-3.0)), math.log(1 + math.exp(1.0)), math.log(1 + math.exp(5.0))]
    assert loss.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_simpo_loss_does_not_know_how_often_a_response_is_repeated():
    logps, lengths = -5 * torch.rand(2, 64), torch.randint(1, 9, (2, 64))
    longer = simpo_loss(3 * logps[0], 2 * logps[1], 3 * lengths[0], 2 * lengths[1], 2.0, 0.3)
    assert torch.allclose(longer, simpo_loss(*logps, *lengths, 2.0, 0.3), atol=1e-6)


def test_simpo_loss_of_responses_of_one_token_without_a_margin_is_dpo_with_a_uniform_reference():
    logps, level = torch.randn(2, 64), torch.full((64,), -2.0)
    ones = torch.ones(64)
    assert torch.allclose(simpo_loss(*logps, ones, ones, 0.7, 0.0), dpo_loss(*logps, level, level, 0.7), atol=1e-6)


def test_kto_loss_by_hand_on_three_responses():
    # log-ratios 2, 0, -1; z = 1; beta = 0.5: desirable 0.5 and -0.5, undesirable -1
    loss = kto_loss(
        torch.tensor([-1.0, -2.0, -3.0]),
        torch.tensor([-3.0, -2.0, -2.0]),
        torch.tensor([True, True, False]),
        torch.tensor(1.0),
        beta=0.5,
        desirable_weight=2.0,
        undesirable_weight=3.0,
    )
    by_hand = [2 / (1 + math.exp(0.5)), 2 / (1 + math.exp(-0.5)), 3 / (1 + math.exp(1.0))]
    assert loss.tolist() == pytest.approx(by_hand)


def test_kto_loss_raises_desirable_and_lowers_other_responses_within_its_weights():
    logps = torch.randn(64, requires_grad=True)
    desirable = torch.rand(64) < 0.5
    loss = kto_loss(logps, torch.randn(64), desirable, torch.tensor(0.3), 0.5, 2.0, 3.0)
    loss.sum().backward()
    assert torch.equal(logps.grad < 0, desirable)
    assert (loss > 0).all() and (loss < torch.where(desirable, 2.0, 3.0)).all()


def test_the_reference_point_of_kto_is_never_negative_and_has_no_gradient():
    logps, ref_logps = torch.randn(2, 8)
    desirable, kl = torch.arange(8) % 2 == 0, torch.tensor(-0.7, requires_grad=True)
    settings = (0.5, 1.0, 1.0)
    negative = kto_loss(logps.requires_grad_(), ref_logps, desirable, kl, *settings)
    assert torch.equal(negative, kto_loss(logps, ref_logps, desirable, torch.tensor(0.0), *settings))
    kto_loss(logps, ref_logps, desirable, kl + 2, *settings).sum().backward()
    assert kl.grad is None and logps.grad.all()


@pytest.mark.parametrize(
    ("weighting", "by_hand"),
    [
        ("exp", [math.exp(-2), 1.0, 5.0]),
        ("sigmoid", [1 / (1 + math.exp(2)), 0.5, 1 / (1 + math.exp(-4))]),
        ("filter", [0.0, 1.0, 1.0]),
    ],
)
def test_weights_of_rwr_by_hand_cut_at_five(weighting, by_hand):
    advantages = torch.tensor([-1.0, 0.0, 2.0])
    assert rwr_weights(advantages, 0.5, weighting, max_weight=5.0).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weights_of_rwr_are_not_negative_and_do_not_fall_with_the_advantage(weighting):
    advantages = torch.linspace(-5, 5, 101)
    for max_weight in (None, 0.7):
        weights = rwr_weights(advantages, 0.8, weighting, max_weight)
        assert (weights >= 0).all() and (weights.diff() >= 0).all() and weights[-1] > weights[0], max_weight


def test_uncut_exponential_weights_make_the_bandits_rwr_loss_and_a_cut_keeps_huge_ones_finite():
    logps, rewards = torch.randn(2, 64)
    weights = rwr_weights(rewards, 0.3, "exp", None)
    assert torch.allclose(-torch.exp(rewards / 0.3) * logps, rwr_loss(logps, weights))
    assert rwr_weights(torch.tensor([1e4]), 0.3, "exp", 20.0).tolist() == [20.0]


def test_value_loss_by_hand_inside_and_beyond_its_clip_range():
    values = torch.tensor([1.1, 2.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    # the old value is 1 each time; towards the target beyond the range: no gradient; away from it: the full one
    returns = torch.tensor([3.0, 3.0, 0.0, 3.0], dtype=torch.float64)
    loss = value_loss(values, torch.ones(4).double(), returns, clip_range=0.2)
    assert loss.tolist() == pytest.approx([1.9**2 / 2, 1.8**2 / 2, 2.0, 4.5])
    loss.sum().backward()
    assert values.grad.tolist() == pytest.approx([-1.9, 0.0, 2.0, -3.0])


@pytest.mark.parametrize(
    ("estimator", "by_hand"),
    [
        ("k1", [1.0, 0.0, -2.0]),
        ("k2", [0.5, 0.0, 2.0]),
        ("k3", [math.exp(-1), 0.0, math.exp(2) - 3]),
    ],
)
def test_estimates_of_the_kl_by_hand_on_three_tokens(estimator, by_hand):
    found = kl_estimate(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-2.0, -2.0, -1.0]), estimator)
    assert found.tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("estimator", KL_ESTIMATORS)
def test_estimates_of_the_kl_agree_near_the_reference_and_only_k1_is_ever_negative(estimator):
    logps = -torch.rand(64).double()
    near = logps + 1e-3 * torch.randn(64)
    away = logps + torch.randn(64)
    first_order = logps - near if estimator == "k1" else (logps - near).square() / 2
    assert torch.allclose(kl_estimate(logps, near, estimator), first_order, rtol=0.01, atol=1e-12)
    assert (kl_estimate(logps, away, estimator) < 0).any() == (estimator == "k1")


def test_grpo_loss_by_hand_on_a_response_of_two_tokens_and_one_of_one():
    ratios, differences = torch.tensor([[1.1, 1.5], [0.5, 9.0]]).double(), torch.tensor([[0.0, 1.0], [-1.0, 5.0]])
    logprobs = torch.full((2, 2), -3.0).double()
    loss = grpo_loss(
        logprobs,
        logprobs - ratios.log(),
        logprobs - differences,
        torch.tensor([2.0, -1.0]).double(),
        torch.tensor([[True, True], [True, False]]),
        clip_range=0.2,
        kl_coef=0.5,
    )
    # A = 2: -2.2 and, clipped, -2.4; A = -1: clipped 0.8; k3: 0 and 1/e, e - 2
    by_hand = [(-2.2 - 2.4 + 0.5 * math.exp(-1)) / 2, 0.8 + 0.5 * (math.e - 2)]
    assert loss.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_grpo_at_the_policy_that_sampled_has_the_gradient_of_reinforce_over_the_length():
    logprobs = torch.randn(8, 5).double().requires_grad_()
    lengths = torch.randint(1, 6, (8, 1))
    mask, advantages = torch.arange(5) < lengths, torch.randn(8).double()
    grpo = grpo_loss(logprobs, logprobs.detach(), torch.zeros(8, 5).double(), advantages, mask, 0.2, 0.0)
    logps = (logprobs * mask).sum(-1)
    reinforce = reinforce_loss(logps, advantages, torch.zeros(8).double()) / lengths.squeeze(-1)
    gradients = (torch.autograd.grad(loss.sum(), logprobs)[0] for loss in (grpo, reinforce))
    assert torch.allclose(*gradients)


# four responses: the best, a tie with it, a likely worse one, and one that is 0.01 exp(-0.4) as likely as the best
LOGPS = [-1.0, -2.0, -3.0, -1.0 + math.log(0.01) - 0.4]
REWARDS, REF_LOGPS = [0.9, 0.9, 0.5, 0.1], [-2.0, -1.0, -1.5, -6.0]


@pytest.mark.parametrize(
    ("negative", "by_hand"),
    [
        ("none", 1.0),
        ("worst", 1.0 + 0.5 * LOGPS[3]),
        ("sum", 1.0 - 0.5 * 3),
        ("average", 1.0 - 0.5 * 3 / 3),
        ("sum_constrained", 1.0 - 2 - 0.5 * 3 + 0.5 * 1.5),
        ("average_constrained", 1.0 - 2 - 0.5 * 3 / 3 + 0.5 * 1.5 / 3),
        ("complement", 1.0 - 0.5 * math.log(1 - math.exp(-3)) - 0.5 * math.log(1 - math.exp(LOGPS[3]))),
    ],
)
def test_best_of_n_loss_by_hand_with_a_tie_and_a_response_too_unlikely_to_push_down(negative, by_hand):
    tensors = (torch.tensor(values, dtype=torch.float64) for values in (LOGPS, REWARDS, REF_LOGPS))
    assert best_of_n_loss(*tensors, negative, beta=0.5).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("negative", ["sum", "average"])
def test_a_constrained_negative_gradient_is_the_same_gradient(negative):
    logps = (3 * torch.randn(64, 5)).requires_grad_()
    rewards, ref_logps = torch.randn(64, 5), 3 * torch.randn(64, 5)
    plain, constrained = (
        torch.autograd.grad(best_of_n_loss(logps, rewards, ref_logps, name, 0.3).sum(), logps)[0]
        for name in (negative, f"{negative}_constrained")
    )
    assert torch.allclose(plain, constrained)


@pytest.mark.parametrize("negative", NEGATIVES)
def test_best_of_n_loss_does_not_depend_on_the_order_of_responses_and_is_finite_at_certainty(negative):
    logps, rewards, ref_logps = torch.randn(3, 16, 6).double() - 2
    shuffled = torch.randperm(6)
    some = best_of_n_loss(logps, rewards, ref_logps, negative, 0.3)
    assert torch.allclose(
        some, best_of_n_loss(*(each[:, shuffled] for each in (logps, rewards, ref_logps)), negative, 0.3)
    )
    certain = torch.tensor([0.0, -1e-9, -200.0], requires_grad=True)
    loss = best_of_n_loss(certain, torch.tensor([0.1, 1.0, 0.5]), torch.tensor([-1.0, -1.0, -1.0]), negative, 0.3)
    (gradient,) = torch.autograd.grad(loss, certain)
    assert loss.isfinite() and gradient.isfinite().all()
