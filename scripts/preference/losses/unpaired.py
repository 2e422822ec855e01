"""Losses on single responses that are labelled desirable or not."""

import torch


def kto_loss(
    logps: torch.Tensor,
    ref_logps: torch.Tensor,
    desirable: torch.Tensor,
    kl: torch.Tensor,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> torch.Tensor:
    """KTO: w (1 - sigmoid(beta (r - z))) of a desirable response, w (1 - sigmoid(beta (z - r))) of another.

    r = log pi / pi_ref, and the reference point z is max(0, kl) without gradient (arXiv 2402.01306, section 4.1).

    Args:
        logps, ref_logps: log pi(y | x) summed over the response, and under the reference, (batch,).
        desirable: bool, (batch,).
        kl: an estimate of the KL to the reference, from prompts with the responses to others, nats, a scalar tensor.
        beta: strength of the KL constraint, > 0.
        desirable_weight, undesirable_weight: w of the two sorts, >= 0.

    Returns:
        One loss per response, (batch,), from 0 to its weight.
    """
    beyond = beta * (logps - ref_logps - kl.detach().clamp(min=0))
    weights = torch.where(desirable, desirable_weight, undesirable_weight)
    return weights * torch.sigmoid(torch.where(desirable, -beyond, beyond))
