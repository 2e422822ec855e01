"""What a gradient step of the bandit lab costs, against plain loops and the published code: `make bench-bandit`.

A step is measured with the evaluation after it, as published, from one step to the next: neither imports, nor
pretraining, nor the collection of samples count. The middle of several steps is taken. Runs that are trained together
share a step's time; the plain loops train one run.
"""

import argparse
import os
import statistics
import time

import bandit_oracle
import torch

from preference.bandits import training
from preference.bandits.cells import Cell
from preference.bandits.training import Runs

SEEDS = tuple(range(1, 11))
SIZES = {"source": "offline", "rounds": 1, "states": 10, "samples": 10, "eval_states": 100, "initialization": "random"}
CASES = [  # title, settings, learning rate, beta, the published code's seconds per step, how many times faster to be
    ("categorical ipo", {"policy": "categorical", "reward": 5, "algorithm": "ipo"}, 0.003, 0.05, 1.7, 1000),
    ("categorical dpo", {"policy": "categorical", "reward": 5, "algorithm": "dpo"}, 0.003, 0.1, 1.7, 1000),
    ("categorical best-of-n", {"policy": "categorical", "reward": 5, "algorithm": "best_of_n"}, 0.01, None, 0.055, 100),
    ("tokens best-of-n", {"policy": "tokens", "reward": 7, "algorithm": "best_of_n"}, 1e-4, None, 17.5, 300),
]


def step_seconds(train, steps: int, **settings) -> float:
    """The middle of the seconds from one step to the next, evaluation included."""
    times = []
    train(Cell(**SIZES | settings | {"epochs": steps + 1}), lambda: times.append(time.perf_counter()))
    return statistics.median(after - before for before, after in zip(times, times[1:], strict=False))


def together(steps: int, seeds: tuple[int, ...], grid: list, **settings) -> float:
    """Seconds of a step of all runs of a cell."""
    return step_seconds(lambda cell, progress: training.train(cell, Runs.of(seeds, grid), progress), steps, **settings)


def alone(steps: int, learning_rate: float, beta: float | None, **settings) -> float:
    """Seconds of a step of one run in plain loops, whose tensors are too small for more than one thread."""

    def train(cell, progress):
        bandit_oracle.train(cell, SEEDS[0], learning_rate, beta, progress)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = step_seconds(train, steps, **settings)
    torch.set_num_threads(threads)
    return seconds


def compare(steps: int, plain_steps: int) -> None:
    print(f"\n{len(SEEDS)} seeds together, 10 states x 10 samples, 100 held-out states after every step")
    print(f"{'':22}{'s / run and step':>17}{'plain loops':>13}{'times':>8}{'published':>11}{'times':>8}{'goal':>7}")
    for title, settings, rate, beta, published, goal in CASES:
        seconds = together(steps, SEEDS, [(rate, beta)], **settings) / len(SEEDS)
        plain = alone(plain_steps, rate, beta, **settings)
        times = f"{plain:>13.3f}{plain / seconds:>8.0f}{published:>11.3f}{published / seconds:>8.0f}{goal:>7}"
        print(f"{title:22}{seconds:>17.6f}{times}", flush=True)


def double(steps: int) -> None:
    """Cost against states, seeds and grid points: where it is linear, twice as much takes at most twice as long."""
    print("\nms per step of categorical ipo, all runs together, and how much longer than half as much of it")
    settings, rate, beta = CASES[0][1:4]
    sizes = {
        "states": [({"states": count}, SEEDS, 1, count) for count in (10, 20, 40, 80, 160)],
        "seeds": [({}, tuple(range(count)), 1, count) for count in (5, 10, 20, 40, 80)],
        "grid points": [({}, SEEDS[:5], count, count) for count in (1, 2, 4, 8, 16)],
    }
    for name, rows in sizes.items():
        half, cells = None, []
        for others, seeds, points, count in rows:
            grid = [(rate * (1 + i), beta) for i in range(points)]
            seconds = together(steps, seeds, grid, **settings | others)
            cells.append(f"{count}: {1000 * seconds:.1f}" + (f" (x{seconds / half:.2f})" if half else ""))
            half = seconds
        print(f"{name:12}" + "   ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    parser.add_argument("--steps", type=int, default=30, help="steps of the batched program (default 30)")
    parser.add_argument("--plain_steps", type=int, default=3, help="steps of the plain loops (default 3)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads on {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before this")
    print(f"torch {torch.__version__}, float32; the plain loops: 1 thread, float64")
    compare(arguments.steps, arguments.plain_steps)
    double(arguments.steps)


if __name__ == "__main__":
    main()
