"""Draws that hang on a seed and on what is drawn for, never on an order: equal rows draw alike wherever they stand."""

import hashlib


def derive_seed(seed: int, *parts) -> int:
    """A seed of 63 bits for one use of a stage's seed; other parts give unrelated draws."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def uniform(seed: int, *parts) -> float:
    """A draw from [0, 1) for one use of a stage's seed."""
    return (derive_seed(seed, *parts) >> 10) / 2**53  # all the bits that a float can tell apart
