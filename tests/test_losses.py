"""Losses by hand on three numbers, at the reference, and against TRL's on random batches."""

import math

import pytest
import torch

from preference.bandits.cells import NEGATIVES
from preference.losses.best_of_n import best_of_n_loss
from preference.losses.contrastive import bradley_terry_loss, dpo_loss, implicit_rewards, ipo_loss
from preference.losses.likelihood import pref_ft_loss, rwr_loss, sft_loss
from preference.losses.policy_gradient import ppo_loss, reinforce_loss


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
    loss = rwr_loss(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([0.0, -0.5, 1.0]), beta=0.5)
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


@pytest.fixture(scope="module")
def trl_trainer(tiny_policy, tmp_path_factory):
    """TRL's DPO trainer around a tiny model: the oracle for loss, gradient, mask and shift together."""
    trl = pytest.importorskip("trl", reason="TRL is in envs/dev.txt")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_policy, dtype=torch.float32),
        ref_model=AutoModelForCausalLM.from_pretrained(tiny_policy, dtype=torch.float32),
        args=trl.DPOConfig(str(tmp_path_factory.mktemp("trl")), beta=0.3, report_to=[], use_cpu=True, bf16=False),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2),
        processing_class=AutoTokenizer.from_pretrained(tiny_policy),
    )


# TRL's sigmoid loss knows no label smoothing: there, it is the mixture of the batch and the batch with labels swapped.
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_dpo_loss_and_its_gradient_equal_trls_on_random_batches(trl_trainer, label_smoothing):
    from preference import policies

    generator = torch.Generator().manual_seed(1)
    model, reference = trl_trainer.model.eval(), trl_trainer.ref_model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))

    def trl_loss(pairs):
        examples = [{"prompt_ids": w[0], "chosen_ids": w[1], "rejected_ids": r[1]} for w, r in pairs]
        return trl_trainer._compute_loss(model, trl_trainer.data_collator(examples), return_outputs=False)

    for _ in range(3):
        pairs = [random_pair(generator, model.config.vocab_size) for _ in range(4)]
        model.zero_grad()
        theirs = (1 - label_smoothing) * trl_loss(pairs) + label_smoothing * trl_loss([(r, w) for w, r in pairs])
        theirs.backward()
        gradient = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        with torch.no_grad():
            ref_chosen, ref_rejected = policies.pair_logps(reference, pairs, pad_id=1)
        chosen, rejected = policies.pair_logps(model, pairs, pad_id=1)
        ours = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, 0.3, label_smoothing).mean()
        ours.backward()
        assert abs(ours.item() - math.log(2)) > 1e-3, "the oracle would be trivial at the reference"
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
        for name, parameter in model.named_parameters():
            assert torch.allclose(parameter.grad, gradient[name], atol=1e-5), name


def random_pair(generator, vocab_size):
    def ids(longest):
        length = int(torch.randint(1, longest, (), generator=generator))
        return torch.randint(2, vocab_size, (length,), generator=generator).tolist()

    prompt = ids(6)
    return (prompt, ids(12)), (prompt, ids(12))
