"""What is rewarded, what the data look like, and what a policy sees (arXiv 2404.14367; ids as in its code).

Arms and tokens are numbered 0 to 99, a hundred bins of [-1, 1]; the line is all of it. Rewards ignore the context.
"""

import numpy as np
import torch

NUM_ACTIONS = 100
CONTEXT_SIZE = 100
SEQUENCE_LENGTH = 10  # of the combinatorial problem: one prompt token and nine new ones
PEAKS = {4: (70, 10), 5: (20, 10), 6: (70, 10), 7: (20, 10), 8: (70, 20), 9: (70, 30)}  # centre and width, in arms
LINE_PEAKS = {1: (0.7, 0.75), 2: (0.7, 0.25), 3: (-0.7, 0.25)}
LOC, SCALE = -0.7, 0.4  # of the distribution that the data come from
NUM_DRAWS, DRAW_SEED = 10_000, 0


def arm_rewards(reward: int) -> torch.Tensor:
    """exp(-((a - centre) / width)^2) of each arm, (100,), float64, at most 1."""
    centre, width = PEAKS[reward]
    return torch.exp(-(((torch.arange(NUM_ACTIONS).double() - centre) / width) ** 2))


def line_rewards(reward: int, actions: torch.Tensor) -> torch.Tensor:
    """exp(-((a - centre) / width)^2) of actions on the line, of their shape."""
    centre, width = LINE_PEAKS[reward]
    return torch.exp(-(((actions - centre) / width) ** 2))


def reference_probs() -> torch.Tensor:
    """The distribution of the data, (100,), float64: 10,000 draws of tanh(Cauchy(-0.7, 0.4)) in a hundred bins.

    The two edge bins hold what the tails of the Cauchy distribution bring there and are kept, as published: bin 0 is
    the most likely of all. Every bin has draws, so that no log is infinite.
    """
    draws = np.tanh(LOC + SCALE * np.random.default_rng(DRAW_SEED).standard_cauchy(NUM_DRAWS))
    counts, _ = np.histogram(draws, bins=NUM_ACTIONS, range=(-1.0, 1.0))
    assert counts.sum() == NUM_DRAWS and counts.min() > 0, f"{counts.sum()} draws in the bins, {counts.min()} in one"
    return torch.from_numpy(counts / NUM_DRAWS)
