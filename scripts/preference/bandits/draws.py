"""Random numbers that depend on a seed and on what they are for, and on nothing else.

A run must not change because other seeds or other points of a grid are trained beside it, so every run draws from its
own stream. A generator object per run would mean a loop over runs; here a number is a hash of (seed, stream, counters,
position), computed for all runs in one tensor expression.
"""

import torch

STREAMS = ("contexts", "eval_contexts", "pretraining", "weights", "actions", "eval_actions", "order", "reference")
MASK = 0xFFFFFFFF


def uniform(seeds: torch.Tensor, stream: str, shape: tuple[int, ...], *counters: int) -> torch.Tensor:
    """Uniform numbers in (0, 1), (runs, *shape), float64; equal for equal (seed, stream, counters) and shape.

    Args:
        seeds: one seed per run, (runs,), int64; equal seeds get equal numbers.
        counters: which draw of the stream it is, such as the round.
    """
    key = _mixed(seeds ^ _mixed(torch.tensor(0x9E3779B9 * (STREAMS.index(stream) + 1) & MASK)))
    for counter in counters:
        key = _mixed(key ^ _mixed(torch.tensor(counter + 1)))
    position = torch.arange(torch.Size(shape).numel())
    numbers = _mixed(_mixed(position + 0x85EBCA6B & MASK) ^ key[:, None])
    return ((numbers.double() + 0.5) / 2**32).view(len(seeds), *shape)


def normal(seeds: torch.Tensor, stream: str, shape: tuple[int, ...], *counters: int) -> torch.Tensor:
    """Standard normal numbers, (runs, *shape), float64."""
    return torch.special.ndtri(uniform(seeds, stream, shape, *counters))


def _mixed(number: torch.Tensor) -> torch.Tensor:
    """A bijection of 32 bits that changes about half of them when one changes (held in int64, since torch has no
    unsigned arithmetic): two rounds of xor-shift and multiplication (the "lowbias32" of Wellons's hash prospector)."""
    number = number ^ (number >> 16)
    number = number * 0x7FEB352D & MASK
    number = number ^ (number >> 15)
    number = number * 0x846CA68B & MASK
    return number ^ (number >> 16)
