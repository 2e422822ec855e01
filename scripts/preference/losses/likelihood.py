"""Losses that raise the likelihood of given responses: no negative gradient (arXiv 2404.14367, section 2)."""

import torch

WEIGHTINGS = ("exp", "sigmoid", "filter")


def sft_loss(logprobs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross-entropy per response token: -sum(logprobs) / number of response tokens.

    Args:
        logprobs: log p of each token, (batch, tokens).
        mask: true on response tokens and their EOS, (batch, tokens).

    Returns:
        A scalar, nats per token.
    """
    return -(logprobs * mask).sum() / mask.sum()


def pref_ft_loss(chosen_logps: torch.Tensor) -> torch.Tensor:
    """Pref-FT: -log pi(y_w | x), maximum likelihood on the chosen response (arXiv 2404.14367, section 3.2).

    Args:
        chosen_logps: log-probabilities summed over the response, (batch,).

    Returns:
        One loss per pair, (batch,), nats.
    """
    return -chosen_logps


def rwr_loss(logps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Reward-weighted regression: -w log pi(y | x) (Peters and Schaal 2007; arXiv 2404.14367, section 3.2).

    The weights are those of `rwr_weights`, in the paper exp(r / beta). If the rewards are normalised per prompt
    (rollouts.per_state), this is advantage-weighted regression.

    Args:
        logps: log pi(y | x) summed over the response, any shape.
        weights: one per response, of that shape.

    Returns:
        One loss per response, of that shape.
    """
    return -weights * logps


def rwr_weights(
    advantages: torch.Tensor,
    beta: torch.Tensor | float | None,
    weighting: str = "exp",
    max_weight: float | None = None,
) -> torch.Tensor:
    """Weights of log pi(y | x) in reward-weighted regression; none is negative (the code of arXiv 2404.14367).

    Args:
        advantages: rewards, or rewards minus a baseline, any shape.
        beta: temperature of `exp` and `sigmoid`, > 0; the larger, the more equal the weights. `filter` has none.
        weighting: `exp`: exp(A / beta); `sigmoid`: sigmoid(A / beta); `filter`: 1 where A >= 0, else 0.
        max_weight: larger weights are cut to it (the code cuts exp at 20); None: uncut.

    Returns:
        One weight per response, of that shape and type.
    """
    if weighting == "exp":
        weights = torch.exp(advantages / beta)
    elif weighting == "sigmoid":
        weights = torch.sigmoid(advantages / beta)
    else:
        assert weighting == "filter", weighting
        weights = (advantages >= 0).to(advantages)
    return weights if max_weight is None else weights.clamp(max=max_weight)
