"""Losses on pairs: what raises the chosen response pushes the rejected one down."""

import torch
from torch.nn.functional import logsigmoid


def dpo_loss(
    chosen_logps: torch.Tensor,
    rejected_logps: torch.Tensor,
    ref_chosen_logps: torch.Tensor,
    ref_rejected_logps: torch.Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """DPO: -log sigmoid(beta * h), h the difference of the two log-ratios (arXiv 2305.18290, equation 7).

    With label_smoothing eps, each label is taken to be wrong with probability eps ("conservative DPO"):
    -(1 - eps) log sigmoid(beta * h) - eps log sigmoid(-beta * h).

    Args:
        chosen_logps, rejected_logps: log pi(y | x) summed over the response, (batch,).
        ref_chosen_logps, ref_rejected_logps: the same under the reference, (batch,).
        beta: strength of the KL constraint, > 0.

    Returns:
        One loss per pair, (batch,); log 2 where policy and reference agree.
    """
    logits = beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps))
    return -(1 - label_smoothing) * logsigmoid(logits) - label_smoothing * logsigmoid(-logits)


def ipo_loss(
    chosen_logps: torch.Tensor,
    rejected_logps: torch.Tensor,
    ref_chosen_logps: torch.Tensor,
    ref_rejected_logps: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """IPO: (h - 1 / (2 beta))^2, h the difference of the two log-ratios (arXiv 2310.12036, equation 17).

    The margin that h is drawn to is 1 / (2 beta); the code of arXiv 2404.14367 calls that target itself beta.

    Args:
        chosen_logps, rejected_logps: log pi(y | x) summed over the response, any shape.
        ref_chosen_logps, ref_rejected_logps: the same under the reference.
        beta: strength of the KL constraint, > 0.

    Returns:
        One loss per pair, of that shape.
    """
    margin = (chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps)
    return (margin - 1 / (2 * beta)) ** 2


def slic_loss(chosen_logps: torch.Tensor, rejected_logps: torch.Tensor, delta: float, sft_coef: float) -> torch.Tensor:
    """SLiC: max(0, delta - log pi(y_w) + log pi(y_l)) - sft_coef log pi(y_w) (arXiv 2305.10425, equation 1).

    The likelihood term, which keeps the policy near its data, is here on the chosen response; the paper also takes it
    on the targets of supervised fine-tuning.

    Args:
        chosen_logps, rejected_logps: log pi(y | x) summed over the response, (batch,).
        delta: margin from which the difference has no gradient, nats, > 0.
        sft_coef: weight of the likelihood term, >= 0.

    Returns:
        One loss per pair, (batch,).
    """
    return (delta - chosen_logps + rejected_logps).clamp(min=0) - sft_coef * chosen_logps


def simpo_loss(
    chosen_logps: torch.Tensor,
    rejected_logps: torch.Tensor,
    chosen_lengths: torch.Tensor,
    rejected_lengths: torch.Tensor,
    beta: float,
    gamma_beta_ratio: float,
) -> torch.Tensor:
    """SimPO: -log sigmoid(beta (log pi(y_w) / |y_w| - log pi(y_l) / |y_l|) - gamma) (arXiv 2405.14734, equation 6).

    Args:
        chosen_logps, rejected_logps: log pi(y | x) summed over the response, (batch,).
        chosen_lengths, rejected_lengths: tokens of the same responses, EOS included, (batch,).
        beta: scale of the mean log-probabilities, > 0.
        gamma_beta_ratio: gamma / beta, the margin that is aimed at, nats per token, >= 0.

    Returns:
        One loss per pair, (batch,).
    """
    margin = chosen_logps / chosen_lengths - rejected_logps / rejected_lengths
    return -logsigmoid(beta * (margin - gamma_beta_ratio))


def implicit_rewards(logps: torch.Tensor, ref_logps: torch.Tensor, beta: float) -> torch.Tensor:
    """The reward that a policy implies: beta * log(pi / pi_ref), (batch,) (arXiv 2305.18290, section 4)."""
    return beta * (logps - ref_logps)


def bradley_terry_loss(
    chosen_scores: torch.Tensor, rejected_scores: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Bradley-Terry likelihood of a preference: -log sigmoid(s_w - s_l) (arXiv 2203.02155, equation 1).

    Args:
        chosen_scores, rejected_scores: the reward model's outputs, (batch,).
        label_smoothing: the probability that a label is taken to be wrong, as in `dpo_loss`.

    Returns:
        One loss per pair, (batch,); log 2 for equal scores.
    """
    margin = chosen_scores - rejected_scores
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)
