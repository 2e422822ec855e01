"""Best-of-N on N responses per prompt, with the seven ways of arXiv 2404.14367's code to push the others down."""

import math

import torch

LEAST_RATIO = 0.01  # a response this much less likely than the best one is not pushed down any further


def best_of_n_loss(
    logps: torch.Tensor, rewards: torch.Tensor, ref_logps: torch.Tensor, negative: str = "none", beta: float = 0.0
) -> torch.Tensor:
    """-log pi(best) plus beta times what pushes the rest down.

    The best response has the largest reward (of equal ones the first). "Worse" ones have a smaller reward and are at
    least 0.01 times as likely as the best, since an unbounded loss has to end somewhere.

    Args:
        logps: log pi(y | x), (..., responses).
        rewards, ref_logps: of the same responses, of that shape.
        negative: `none`; `worst`: + log pi of the response with the smallest reward; `sum`, `average`: + log pi of the
            worse ones, summed or divided by N - 1; `sum_constrained`, `average_constrained`: the same of log-ratios to
            the reference (equal gradients, another value); `complement`: - log(1 - pi) of the worse ones, bounded.

    Returns:
        One loss per prompt, (...).
    """
    assert negative == "none" or logps.shape[-1] > 1, "a negative gradient needs a second response"
    best = rewards.argmax(-1, keepdim=True)
    best_logps, best_rewards = logps.gather(-1, best), rewards.gather(-1, best)
    if negative.endswith("_constrained"):
        lifted, pushed = best_logps - ref_logps.gather(-1, best), logps - ref_logps
    else:
        lifted, pushed = best_logps, logps
    if negative == "none":
        below = 0.0
    elif negative == "worst":
        below = pushed.gather(-1, rewards.argmin(-1, keepdim=True)).squeeze(-1)
    elif negative == "complement":
        below = -((rewards < best_rewards) * _log_complement(logps)).sum(-1)
    else:
        likely = (logps - best_logps).detach() > math.log(LEAST_RATIO)
        below = ((rewards < best_rewards) & likely).mul(pushed).sum(-1)
        below = below / (logps.shape[-1] - 1) if negative.startswith("average") else below
    return -lifted.squeeze(-1) + beta * below


def _log_complement(logps: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(logps)); finite where a probability is rounded to one."""
    return torch.log(-torch.expm1(logps.clamp(max=-1e-6)))
