"""The learning rate of each optimizer step, as a pure function of the step's number."""

import math

SCHEDULES = ("constant", "linear", "cosine")


def warmup_steps(ratio: float, total: int) -> int:
    """Return how many of the steps warm up: their share, rounded up."""
    return math.ceil(ratio * total - 1e-9)  # 0.07 of 100 steps is 7.000000000000001 in floating point


def multiplier(step: int, total: int, warmup: int, schedule: str) -> float:
    """Return the learning rate of a step as a share of its peak; it is never 0.

    In n warm-up steps, step i has i / n, so that the last of them trains at the peak already. The first step after the
    warm-up has the peak, too. From there `linear` and `cosine` decay so that only a step after the last would have 0.

    Args:
        step: number of the optimizer step, from 1 to `total`.
        warmup: how many steps warm up, from 0 to `total`.
        schedule: one of SCHEDULES.
    """
    assert 1 <= step <= total, f"step {step} of {total}"
    if step <= warmup:
        return step / warmup
    decayed = (step - warmup - 1) / (total - warmup)  # from 0 to less than 1
    return {"constant": 1.0, "linear": 1 - decayed, "cosine": (1 + math.cos(math.pi * decayed)) / 2}[schedule]
