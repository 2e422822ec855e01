"""Where a task lies: has the reference mass at the reward's peak (C1), are the preferences where it has mass (C2)?

The two conditions of the coverage table of arXiv 2404.14367, as statistics of samples. Pure functions of arrays; k
samples of each prompt are a row. Rewards are compared within a prompt only, as preferences are.
"""

import math
from typing import NamedTuple

import numpy as np

KL = 1.0  # nats that the tilting may move a prompt's samples; log 8 - 7/8 = 1.20 is what best-of-8 moves
LAST = 8  # n of the best-of-n whose gain is looked at; so many samples a prompt are needed
SIZES = (1, 2, 4, 8)

# Where the cells meet, chosen on seeds that no reported number is of; docs/geometry.md says how. For orientation: where
# the reward's density falls towards its peak as a normal's does, the late gain is 0.28; where it is uniform, 8 / 35 =
# 0.23, since E[best of n] = n / (n + 1); where it rises exponentially, 1 / 7, since the peak - E[best of n] = 1 / n.
LATE_GAIN = 0.185
OVERLAP = 0.75

CELLS = {  # (do the peaks overlap, do the preferences) -> the paper's task there
    (True, True): "Mode Length",
    (True, False): "not studied",
    (False, True): "Min Length",
    (False, False): "Skew Length",
}


class Expectation(NamedTuple):
    """How much something is expected to help: much, some, little, or None where the paper did not study it; and why."""

    helps: str | None
    because: str

    def __str__(self) -> str:
        return f"{self.helps}: {self.because}" if self.helps else self.because


NOT_STUDIED = Expectation(None, "not studied in the paper")
MOVES = Expectation("much", "the policy has to move to where the reference has little mass")
QUESTIONS = ("on_policy_data", "negative_gradient")
EXPECTED = {  # what the paper expects (its coverage table and its takeaways) in each cell, of each of QUESTIONS
    (True, True): (
        Expectation("little", "where the reward's peak is near, offline supervised training does well"),
        Expectation("little", "it may be left out"),
    ),
    (True, False): (NOT_STUDIED, NOT_STUDIED),
    (False, True): (
        MOVES,
        Expectation("some", "offline, it beats supervised training on the chosen responses"),
    ),
    (False, False): (
        MOVES,
        Expectation("much", "offline it helps most where the preferences are skewed towards the good responses"),
    ),
}


def expected(name: str, question: str) -> Expectation:
    """What the paper expects in the cell of this name, a value of CELLS, of one of QUESTIONS."""
    cell = next(cell for cell, called in CELLS.items() if called == name)
    return EXPECTED[cell][QUESTIONS.index(question)]


def best_of_n(values: np.ndarray, n: int, of: np.ndarray | None = None) -> np.ndarray:
    """The mean of the best of n samples over all subsets of n of a prompt's k samples, without replacement.

    The i-th smallest of k (from 1) is the best of C(i - 1, n - 1) of the C(k, n) subsets.

    Args:
        values: what is compared, shape (prompts, k).
        of: what the mean is taken of, such as the gold reward of the sample that is best by the learned one; equal
            values then stand in their order. The values themselves where it is not given.

    Returns:
        Shape (prompts,).
    """
    samples = values.shape[1]
    assert 1 <= n <= samples, f"best of {n} wants at least {n} samples, got {samples}"
    order = np.argsort(values, axis=1, kind="stable")
    weights = np.array([math.comb(i, n - 1) / math.comb(samples, n) for i in range(samples)])
    return np.take_along_axis(values if of is None else of, order, axis=1) @ weights


def best_of_n_kl(n: int) -> float:
    """KL of best-of-n to the reference in nats, log n - (n - 1) / n; exact without ties, else above it (2401.01879)."""
    return math.log(n) - (n - 1) / n


def tilting_weights(rewards: np.ndarray, kl: float) -> np.ndarray:
    """Weights w ~ exp(r / tau) of one prompt's samples, tau such that sum_i w_i log(k w_i) = kl.

    The policy that maximises reward at this KL to the reference (arXiv 1909.08593), on its samples. Where the best
    samples are so many that no weights on them reach the KL, log(k / ties), they share all of it.

    Args:
        rewards: shape (k,).
        kl: nats.
    """
    above = rewards - rewards.max()
    best = (above == 0).astype(float) / (above == 0).sum()
    if _kl_to_uniform(best) <= kl:
        return best
    low, high = 0.0, 1.0 / -above[above < 0].max()  # of 1 / tau; the KL grows with it
    while _kl_to_uniform(_softmax(high * above)) < kl:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _kl_to_uniform(_softmax(middle * above)) < kl else (low, middle)
    return _softmax(low * above)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _kl_to_uniform(weights: np.ndarray) -> float:
    some = weights[weights > 0]
    return float((some * np.log(len(weights) * some)).sum())


def effective_share(weights: np.ndarray) -> float:
    """Effective sample size over k: 1 / (k sum w^2), from 1 / k (one sample has it all) to 1."""
    return float(1 / (len(weights) * (weights**2).sum()))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 within a row; equal values share the mean of theirs. Shape (prompts, k)."""
    below = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    equal = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    return below + (equal + 1) / 2


def spearman(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation within each prompt; 0 where all of one side are equal. Shape (prompts,)."""
    a, b = (each - each.mean(axis=1, keepdims=True) for each in (ranks(left), ranks(right)))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)


def percentiles(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Where values, shape (m,), lie among a prompt's samples, shape (k,): the share below, equal ones by half."""
    less, equal = ((f(values[:, None], samples[None])).mean(axis=1) for f in (np.greater, np.equal))
    return less + equal / 2


def late_gains(rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """C1, a prompt each: what the last doubling, from best-of-4 to best-of-8, adds; what all of best-of-8 does."""
    last, before, first = (best_of_n(rewards, n) for n in (LAST, LAST // 2, 1))
    return last - before, last - first


def overlaps(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """C2: 1 - sup |F_pref - F_ref|, the most that two distributions can share that differ so in one statistic.

    1 - the total variation distance is what they share; Kolmogorov and Smirnov's distance of any statistic is no
    greater than it. F_ref is a sample's own percentile among the others of its prompt, so it is uniform.

    Args:
        counts: how many of a prompt's preferred and rejected responses have each percentile, shape (prompts, bins).
        weights: how often a prompt is drawn in each resample, shape (resamples, prompts).

    Returns:
        Shape (resamples,); NaN where none of the drawn prompts has a pair.
    """
    drawn = weights @ counts
    total = drawn.sum(axis=1, keepdims=True)
    below = np.divide(np.cumsum(drawn, axis=1), total, out=np.full_like(drawn, np.nan), where=total > 0)
    return 1 - np.abs(below - np.arange(1, counts.shape[1] + 1) / counts.shape[1]).max(axis=1)


def percentile_counts(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """How many of the values have 0, 1, …, k of the samples below them, shape (k + 1,); ties are shared out evenly.

    A value that is drawn as the samples are has each of these with probability 1 / (k + 1).
    """
    counts = np.zeros(len(samples) + 1)
    for value in values:
        low, equal = int((samples < value).sum()), int((samples == value).sum())
        counts[low : low + equal + 1] += 1 / (equal + 1)
    return counts
