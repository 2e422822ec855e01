"""The losses of the language models, as the bandit calls them: on all samples of all states of all runs at once.

A batch has log-probabilities, rewards and advantages of shape (runs, states, samples); samples are in the order of
their rewards, the best one first, so that every pair (i, j) with i < j has its chosen response first.
"""

from dataclasses import dataclass

import torch

from preference.bandits.cells import Cell
from preference.losses.best_of_n import best_of_n_loss
from preference.losses.contrastive import dpo_loss, ipo_loss
from preference.losses.likelihood import pref_ft_loss, rwr_loss, rwr_weights
from preference.losses.policy_gradient import ppo_loss, reinforce_loss


@dataclass(frozen=True)
class Samples:
    """A round's samples, or those of some of its states, each (runs, states, samples, ...)."""

    contexts: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    ref_logps: torch.Tensor
    old_logps: torch.Tensor
    advantages: torch.Tensor

    def of_states(self, states: torch.Tensor) -> "Samples":
        """Those of some states of each run, (runs, some)."""
        return Samples(*(_taken(part, states) for part in vars(self).values()))


def loss(cell: Cell, logps: torch.Tensor, batch: Samples, beta: torch.Tensor | None) -> torch.Tensor:
    """The loss of every run, (runs,).

    Args:
        logps: log pi of the batch's samples, (runs, states, samples).
        beta: one per run, (runs, 1, 1), where the algorithm has one.
    """
    if cell.algorithm in ("dpo", "ipo", "pref_ft"):
        total, count = _over_pairs(pair_losses(cell, logps, batch, beta), counted_pairs(batch.rewards, cell.min_margin))
        return total / count.clamp(min=1)  # zero where no pair counts, so that such a step has no gradient
    if cell.algorithm == "best_of_n":
        strength = 0.0 if beta is None else beta[..., 0]
        losses = best_of_n_loss(logps, batch.rewards, batch.ref_logps, cell.negative, strength)
    elif cell.algorithm in ("rwr", "awr"):  # awr: the advantages are the rewards, normalised per state
        losses = rwr_loss(logps, rwr_weights(batch.advantages, beta))
    elif cell.algorithm == "reinforce":
        losses = reinforce_loss(logps, batch.advantages, batch.ref_logps, cell.kl_coef)
    else:
        assert cell.clip_range is not None
        losses = ppo_loss(logps, batch.old_logps, batch.advantages, cell.clip_range)
    return losses.flatten(1).mean(dim=1)


def pair_losses(cell: Cell, logps: torch.Tensor, batch: Samples, beta: torch.Tensor | None) -> torch.Tensor:
    """The loss of every pair of samples of a state, (runs, states, pairs)."""
    chosen, rejected = pairs(logps)
    if cell.algorithm == "pref_ft":
        return pref_ft_loss(chosen)
    assert beta is not None
    paired = {"dpo": dpo_loss, "ipo": ipo_loss}[cell.algorithm]
    return paired(chosen, rejected, *pairs(batch.ref_logps), beta)


def pairs(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(chosen, rejected) of every pair of samples, each (..., pairs), of values (..., samples)."""
    first, second = torch.triu_indices(values.shape[-1], values.shape[-1], offset=1)
    return values[..., first], values[..., second]


def counted_pairs(rewards: torch.Tensor, min_margin: float) -> torch.Tensor:
    """Whether a pair's rewards differ by more than a margin, (runs, states, pairs); a tie never counts."""
    chosen, rejected = pairs(rewards)
    return chosen - rejected > min_margin


def log_ratios(logps: torch.Tensor, batch: Samples, min_margin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean log(pi / ref) of the chosen and of the rejected responses of a batch's pairs, each (runs,); NaN where a run
    has no pair, as it has none when all its samples are equal."""
    counted = counted_pairs(batch.rewards, min_margin)
    sums = (_over_pairs(part, counted) for part in pairs(logps - batch.ref_logps))
    return tuple(total / count for total, count in sums)


def _over_pairs(values: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum over the pairs that count, how many these are), each (runs,)."""
    return (values * counted).sum((1, 2)), counted.sum((1, 2))


def _taken(part: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    return part[torch.arange(len(states))[:, None], states]
