"""Losses that raise the likelihood of given responses: no negative gradient (arXiv 2404.14367, section 2)."""

import torch


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


def rwr_loss(logps: torch.Tensor, rewards: torch.Tensor, beta: float) -> torch.Tensor:
    """Reward-weighted regression: -exp(r / beta) log pi(y | x) (Peters and Schaal 2007; arXiv 2404.14367, section 3.2).

    With rewards that are normalised per prompt (rollouts.per_state) this is advantage-weighted regression.

    Args:
        logps: log pi(y | x) summed over the response, any shape.
        rewards: one per response, of that shape.
        beta: temperature of the weights, > 0; the larger, the more equal they are.

    Returns:
        One loss per response, of that shape.
    """
    return -torch.exp(rewards / beta) * logps
