"""Histories and tunings of made-up cells, for the tests of what is made from them."""

from pathlib import Path

from preference.analysis.measures import OF_BANDITS
from preference.files import records

STEPS = (0, 10, 20)


def write_history(path: Path, rewards: dict[int, list[float | None]], steps=STEPS, **others) -> Path:
    """A history with the rewards of each seed at each step; a run has diverged from its first None on.

    Other measures are given as one number for all, or as rewards are.
    """
    rows = []
    for seed, values in rewards.items():
        for i, step in enumerate(steps):
            gone = None in values[: i + 1]
            numbers = {"reward": values[i]} | {
                name: given[seed][i] if isinstance(given, dict) else given for name, given in others.items()
            }
            measures = {name: None if gone else numbers.get(name) for name in OF_BANDITS}
            made = {"seed": seed, "step": step, "round": 1, "queries": 5 * step, "learning_rate": 0.01, "beta": None}
            rows.append({**made, "diverged": gone, **measures})
    records.write(path, "history", rows, {"stage": "test"})
    return path


def write_tuning(path: Path, chosen: float = 0.01, rates=(0.001, 0.01, 0.1), beta=None, diverged=()) -> Path:
    """A tuning over learning rates on two seeds, of which one was chosen and some may have diverged."""
    rows = [
        {"learning_rate": rate, "beta": beta, "seed": seed, "chosen": rate == chosen, "diverged": rate in diverged}
        | {"reward": None if rate in diverged else 0.5}
        for rate in rates
        for seed in (101, 102)
    ]
    records.write(path, "tuning", rows, {"stage": "test"})
    return path
