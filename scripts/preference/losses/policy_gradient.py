"""Losses whose gradient weighs log-probabilities by advantages: REINFORCE and PPO, on whole responses."""

import torch


def reinforce_loss(
    logps: torch.Tensor, advantages: torch.Tensor, ref_logps: torch.Tensor, kl_coef: float = 0.0
) -> torch.Tensor:
    """-A log pi(y | x) + kl_coef / 2 (log pi - log ref)^2 (Williams 1992; the KL term is the "k2" estimator).

    There is no importance ratio, so that a second pass over the same samples is off-policy.

    Args:
        logps, advantages, ref_logps: one per response, of one shape.

    Returns:
        One loss per response, of that shape.
    """
    return -advantages * logps + kl_coef * 0.5 * (logps - ref_logps) ** 2


def ppo_loss(logps: torch.Tensor, old_logps: torch.Tensor, advantages: torch.Tensor, clip_range: float) -> torch.Tensor:
    """max(-A rho, -A clip(rho, 1 - c, 1 + c)), rho = pi / pi_old (arXiv 1707.06347, equation 7).

    Args:
        logps: log pi(y | x), one per response.
        old_logps: the same under the policy that sampled, of that shape.
        advantages: of that shape; rewards are shaped by the KL before (rollouts.kl_shaped).
        clip_range: c, > 0.

    Returns:
        One loss per response, of that shape.
    """
    ratio = torch.exp(logps - old_logps)
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))
