"""Losses whose gradient weighs log-probabilities by advantages: REINFORCE, PPO and GRPO, and what goes with them.

Most are elementwise: on log-probabilities of whole responses, or of their tokens.
"""

import torch

KL_ESTIMATORS = ("k1", "k2", "k3")


def reinforce_loss(
    logps: torch.Tensor,
    advantages: torch.Tensor,
    ref_logps: torch.Tensor,
    kl_coef: float = 0.0,
    kl_estimator: str = "k2",
) -> torch.Tensor:
    """-A log pi(y | x) + kl_coef KL, where the KL is that of `kl_estimate` (Williams 1992).

    There is no importance ratio, so that a second pass over the same samples is off-policy. The estimator k1 adds no
    term: it belongs into the rewards (rollouts.kl_shaped).

    Args:
        logps, advantages, ref_logps: one per response, of one shape.

    Returns:
        One loss per response, of that shape.
    """
    losses = -advantages * logps
    return losses if kl_estimator == "k1" else losses + kl_coef * kl_estimate(logps, ref_logps, kl_estimator)


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


def value_loss(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip_range: float
) -> torch.Tensor:
    """max((V - R)^2, (V' - R)^2) / 2, V' = V cut to V_old +- c.

    That is L^VF of arXiv 1707.06347, equation 9, clipped as in its authors' code.

    Args:
        values: V of each token, any shape.
        old_values: V of the model that sampled, of that shape.
        returns: R, what V should be (rollouts.gae), of that shape.
        clip_range: c, in units of reward, > 0.

    Returns:
        One loss per token, of that shape.
    """
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())


def kl_estimate(logprobs: torch.Tensor, ref_logprobs: torch.Tensor, estimator: str) -> torch.Tensor:
    """Estimates of KL(pi || ref) from samples of pi (J. Schulman, "Approximating KL Divergence", 2020).

    With d = log pi - log ref, `k1`: d, unbiased; `k2`: d^2 / 2, biased, never negative; `k3`: exp(-d) - 1 + d, unbiased
    where pi can draw all that ref can, never negative.

    As a loss, on samples of the very policy, they differ in their expected gradient: that of k1 is zero, so that it
    belongs into the reward (rollouts.kl_shaped, token_rewards); that of k2 is the gradient of KL(pi || ref); that of k3
    is the gradient of the other direction, KL(ref || pi). All this of what the arguments are log-probabilities of. The
    sum over a response's tokens estimates the responses' KL as well (k1, k3), but its gradient (k2, k3) is that of
    each token's KL alone: it leaves out that an earlier token leads to where later ones are far from the reference.

    Args:
        logprobs, ref_logprobs: of the same tokens, or summed over the same responses, any shape.

    Returns:
        One estimate per token or response, nats, of that shape.
    """
    difference = logprobs - ref_logprobs
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return 0.5 * difference.square()
    assert estimator == "k3", estimator
    return torch.expm1(-difference) + difference


def grpo_loss(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    ref_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip_range: float,
    kl_coef: float,
) -> torch.Tensor:
    """GRPO: the mean over a response's tokens of PPO's loss + kl_coef * k3 (arXiv 2402.03300, equations 3 and 4).

    Args:
        logprobs: log pi of each token, (batch, tokens).
        old_logprobs, ref_logprobs: of the policy that sampled, and of the reference, of that shape.
        advantages: one per response (rollouts.grpo_advantages), (batch,).
        mask: true on response tokens and their EOS, (batch, tokens); all are finite outside, too.
        clip_range: of the ratios, > 0.
        kl_coef: weight of the KL to the reference, >= 0.

    Returns:
        One loss per response, (batch,).
    """
    losses = ppo_loss(logprobs, old_logprobs, advantages.unsqueeze(-1), clip_range)
    losses = losses + kl_coef * kl_estimate(logprobs, ref_logprobs, "k3")
    return (losses * mask).sum(-1) / mask.sum(-1)
