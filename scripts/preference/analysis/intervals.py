"""Confidence intervals: of means over prompts by the percentile bootstrap, of means over seeds by Student's t.

The bootstrap (Efron and Tibshirani, ch. 13) resamples prompts: several samples of one prompt are not independent. Ten
seeds are too few to resample, and their means are near enough to normal. Pure functions of arrays and a generator that
is passed; every interval is (mean, low, high).
"""

import math
from functools import cache

import numpy as np

Interval = tuple[float, float, float]


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that belongs to these names: adding a run or a metric leaves the intervals of the others alone."""
    return np.random.default_rng([seed, *"/".join(names).encode()])


def summary(values, rng: np.random.Generator, prompt_ids=None) -> dict[str, float]:
    """An interval as it is written to evaluation.json; n counts what is resampled (prompts, or values without ids)."""
    prompt_ids = range(len(values)) if prompt_ids is None else prompt_ids
    return _named(bootstrap_by_prompt(values, prompt_ids, rng), len(set(prompt_ids)))


def ratio_summary(numerators, denominators, rng: np.random.Generator) -> dict[str, float]:
    """The ratio of two sums over prompts, such as nats per token, as it is written to evaluation.json."""
    return _named(bootstrap_ratio(numerators, denominators, rng), len(numerators))


def _named(interval: Interval, count: int) -> dict[str, float]:
    return {**dict(zip(("mean", "low", "high"), interval, strict=True)), "n": count}


def bootstrap_mean(values, rng: np.random.Generator, resamples: int = 2000, level: float = 0.95) -> Interval:
    """The mean of values, shape (prompts,), and its interval; of a single value the interval is that value."""
    return bootstrap_ratio(values, np.ones(len(values)), rng, resamples, level)


def bootstrap_by_prompt(
    values, prompt_ids, rng: np.random.Generator, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """The mean of values, shape (samples,), and its interval: the samples of one prompt are drawn together or not."""
    _, prompts = np.unique(np.asarray(prompt_ids), return_inverse=True)
    sums, counts = np.bincount(prompts, weights=np.asarray(values, dtype=float)), np.bincount(prompts)
    return bootstrap_ratio(sums, counts, rng, resamples, level)


def bootstrap_ratio(
    numerators, denominators, rng: np.random.Generator, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """sum(numerators) / sum(denominators), both of shape (prompts,), and its interval."""
    values = _finite([numerators, denominators])
    above, below = values @ _weights(values.shape[1], resamples, rng).T
    assert (below > 0).all(), "a resample has nothing to divide by"
    return float(values[0].sum() / values[1].sum()), *_percentiles(above / below, level)


def bootstrap_nested(values_by_seed, rng: np.random.Generator, resamples: int = 2000, level: float = 0.95) -> Interval:
    """The mean over seeds and prompts and its interval: seeds are resampled, then prompts.

    Args:
        values_by_seed: shape (seeds, prompts); column j is the same prompt in every row.

    All seeds answer the same prompts, so one draw of prompts serves all of them: drawing anew within each seed would
    count every prompt once per seed and make the interval too narrow. A handful of seeds is few to resample: the
    interval is then somewhat narrow (Davison and Hinkley 1997, section 3.8). With one seed this is `bootstrap_mean`.
    """
    values = _finite(values_by_seed)
    # a single seed is not drawn, so that the generator is left as bootstrap_mean would find it
    seeds = _weights(len(values), resamples, rng) if len(values) > 1 else np.ones((resamples, 1))
    prompts = _weights(values.shape[1], resamples, rng)
    means = ((seeds @ values) * prompts).sum(axis=1)
    return float(values.mean()), *_percentiles(means, level)


def student(values, level: float = 0.95) -> tuple:
    """The mean over seeds and its t interval; of paired differences, the interval of the mean difference.

    Args:
        values: shape (seeds,) or (seeds, …); the three of the interval then have the shape of what follows.

    One seed has no interval: low and high are NaN. Without seeds the mean is NaN, too.
    """
    values = np.asarray(values, dtype=float)
    seeds = len(values)
    if seeds < 2:
        nothing = np.full(values.shape[1:], np.nan)[()]
        return (values[0] if seeds else nothing), nothing, nothing
    mean = values.mean(axis=0)
    half = t_quantile(seeds - 1, level) * values.std(axis=0, ddof=1) / math.sqrt(seeds)
    return mean, mean - half, mean + half


@cache
def t_quantile(freedom: int, level: float) -> float:
    """The t that |T| stays below with probability `level`, where T has Student's distribution of so many degrees."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_inside(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _share_inside(angle: float, freedom: int) -> float:
    """P(|T| < sqrt(freedom) tan(angle)), by the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    odd, squared = freedom % 2, math.cos(angle) ** 2
    term, total = math.cos(angle) if odd else 1.0, 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= squared * k / (k + 1)
    inside = math.sin(angle) * total
    return 2 / math.pi * (angle + inside) if odd else inside


def _weights(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of `count` things is drawn in a resample, as shares: shape (resamples, count), rows sum to 1."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count


def _percentiles(statistics: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(statistics, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _finite(values) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    assert values.ndim == 2 and values.size, f"want rows of equally many prompts, got shape {values.shape}"
    assert np.isfinite(values).all(), f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values are not finite"
    return values
