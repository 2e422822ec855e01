"""Make kl_directions.csv: the way of the forward and of the reverse KL to a target, from each of a few starts.

Both by exact gradient descent on softmax logits. With p = softmax(z), the gradient of the forward KL(q || p) is p - q,
that of the reverse KL(p || q) is p (log(p / q) - KL(p || q)). Where p1 = p2 = p, one step of rate eta therefore changes
log(p1 / p2) by exactly eta (q1 - q2) and by eta p log(q1 / q2): the reverse KL is faster where p exceeds the
logarithmic mean of q1 and q2, and only there (arXiv 2404.14367, section 6, whose figure shows one start and draws its
bars without saying how).

kl_directions.csv         a row per point, direction, step and category, beside the bars of the published figure
kl_directions_checks.csv  a row per value and the expected one: the identities at every pair of categories that start
                          equal, how often the reverse KL is faster among random pairs inside and outside
                          the regime, after one step and after all, and which of the two the published bars match
"""

import itertools

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from preference.files import provenance, summaries, tables
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, LearningRate, Seed
from preference.running.stage import InputError

DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class Flags:
    points: tuple[str, ...] = flag("NAME=START:TARGET, two distributions such as 0.3,0.3,0.4:0.2,0.1,0.7")
    learning_rate: LearningRate = flag("learning rate of gradient descent on the logits")
    steps: Count = flag("steps of gradient descent", unit="steps")
    draws: Count = flag("random pairs of start and target, uniform on the simplex, the start's first two made equal")
    seed: Seed = flag("seed of the draws")
    output: str = flag("kl_directions.csv to write")
    checks_output: str = flag("kl_directions_checks.csv to write")
    published: str | None = flag(
        "the published figure's bars: NAME=FORWARD:REVERSE, NAME one of --points", default=None
    )


def main(flags: Flags) -> None:
    points = {}
    for name, start, target in (parsed(text, "points") for text in flags.points):
        if name in points:
            raise InputError(f"--points: the name '{name}' occurs twice")
        points[name] = start, target
    published = {}
    if flags.published:
        name, *bars = parsed(flags.published, "published")
        if name not in points or len(bars[0]) != len(points[name][0]):
            raise InputError(f"--published: '{name}' is none of --points, or has other categories")
        published[name] = dict(zip(DIRECTIONS, bars, strict=True))
    rate, steps = flags.learning_rate, flags.steps
    paths = {name: followed(start, target, rate, steps) for name, (start, target) in points.items()}
    table = pd.concat([tidy(name, points[name][1], path, published.get(name, {})) for name, path in paths.items()])

    checks = [check for name, pair in points.items() for check in identities(name, *pair, rate=rate)]
    checks += shares(flags, len(next(iter(points.values()))[0]))
    for name, of_directions in published.items():
        checks += matches(paths[name], **of_directions)
    made_by = provenance.describe(__file__, flags, {})
    found = pd.DataFrame(checks, columns=tables.KL_CHECKS.names)
    summaries.write_csv(flags.output, tables.KL_DIRECTIONS, table, made_by)
    summaries.write_csv(flags.checks_output, tables.KL_CHECKS, found, made_by)
    print(found.to_string(index=False, na_rep="", float_format="%.4g"))


def followed(start: np.ndarray, target: np.ndarray, rate: float, steps: int) -> dict[str, np.ndarray]:
    """The distributions on the way, shape (steps + 1, …, categories), of gradient descent in either direction."""
    found = {}
    for direction in DIRECTIONS:
        logits, path = np.log(start), [start]
        for _ in range(steps):
            logits = logits - rate * gradient(direction, path[-1], target)
            path.append(softmax(logits))
        found[direction] = np.stack(path)
    return found


def gradient(direction: str, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The gradient of KL(q || p) (forward) or KL(p || q) (reverse) with respect to the logits of p."""
    if direction == "forward":
        return p - q
    logs = np.log(p / q)
    return p * (logs - (p * logs).sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def logarithmic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a - b) / log(a / b), which lies between a and b."""
    return (a - b) / np.log(a / b)


def log_ratio(p: np.ndarray, first: int = 0, second: int = 1) -> np.ndarray:
    return np.log(p[..., first] / p[..., second])


def identities(name: str, start: np.ndarray, target: np.ndarray, rate: float) -> list[dict]:
    """What one step does to log(p_i / p_j) where p_i = p_j, and what the identities say."""
    path, checks = followed(start, target, rate, 1), []
    for i, j in itertools.combinations(range(len(start)), 2):
        if start[i] == start[j] and target[i] != target[j]:
            expected = {
                "forward": rate * (target[i] - target[j]),
                "reverse": rate * start[i] * np.log(target[i] / target[j]),
            }
            regime = "inside" if start[i] > logarithmic_mean(target[i], target[j]) else "outside"
            for direction in DIRECTIONS:
                words = f"{name}: change of log(p{i} / p{j}) in one step, {direction} KL, {regime} the regime"
                checks.append(check(words, float(log_ratio(path[direction][1], i, j)), expected[direction]))
    return checks


def check(words: str, value: float, expected: float = np.nan, tolerance: float = 1e-9) -> dict:
    agrees = "" if np.isnan(expected) else "yes" if abs(value - expected) <= tolerance else "no"
    return {"check": words, "value": value, "expected": expected, "agrees": agrees}


def shares(flags: Flags, categories: int) -> list[dict]:
    """How often the reverse KL is the faster one among random pairs, inside the regime and outside."""
    start, target = drawn(flags.draws, categories, np.random.default_rng(flags.seed))
    inside = start[:, 0] > logarithmic_mean(target[:, 0], target[:, 1])
    path = followed(start, target, flags.learning_rate, flags.steps)
    sign = np.sign(log_ratio(target))
    gains = {direction: sign[:, None] * log_ratio(path[direction]).T for direction in DIRECTIONS}
    faster = gains["reverse"] > gains["forward"]  # (draws, steps + 1)
    checks = [check(f"share of {flags.draws} random pairs inside the regime", inside.mean())]
    for steps in dict.fromkeys((1, flags.steps)):
        for where, of, expected in (("inside", inside, 1.0), ("outside", ~inside, 0.0)):
            words = f"share of those {where} in which the reverse KL is ahead after {steps} step{'s'[: steps > 1]}"
            share = faster[of, steps].mean() if of.any() else np.nan
            checks.append(check(words, share, expected if steps == 1 else np.nan))
    return checks


def drawn(draws: int, categories: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random starts and targets, shape (draws, categories) each; the first two of a start are equal."""
    start, target = rng.dirichlet(np.ones(categories), size=(2, draws))
    start[:, :2] = start[:, :2].mean(axis=1, keepdims=True)
    return start, target


def matches(path: dict[str, np.ndarray], forward: np.ndarray, reverse: np.ndarray) -> list[dict]:
    """How far the published bars are from what is computed, at the step where that is least, under either naming."""
    checks = []
    for words, bars in (("as printed", (forward, reverse)), ("with the two names exchanged", (reverse, forward))):
        errors = [np.abs(path[d][1:] - each).max(axis=1) for d, each in zip(DIRECTIONS, bars, strict=True)]
        worst = np.maximum(*errors)
        best = int(worst.argmin())
        checks.append(check(f"published bars, {words}: largest error, at step {best + 1}", worst[best]))
    return checks


def tidy(name: str, target: np.ndarray, path: dict[str, np.ndarray], published: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row per direction, step and category."""
    parts = []
    for direction, values in path.items():
        step, category = np.indices(values.shape).reshape(2, -1)
        bars = published.get(direction, np.full(len(target), np.nan))
        place = {"point": name, "direction": direction, "step": step, "category": category}
        numbers = {"probability": values.ravel(), "target": target[category], "published": bars[category]}
        parts.append(pd.DataFrame(place | numbers))
    return pd.concat(parts)


def parsed(text: str, flag_name: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Split NAME=P:Q into a name and two distributions over the same categories."""
    name, _, both = text.partition("=")
    try:
        first, second = (np.array([float(number) for number in part.split(",")]) for part in both.split(":"))
    except ValueError:
        raise InputError(f"--{flag_name}: '{text}' is not NAME=P:Q, two lists of numbers") from None
    if len(first) != len(second) or len(first) < 2:
        raise InputError(
            f"--{flag_name}: '{name}' has {len(first)} and {len(second)} categories: not equally many, 2 or more"
        )
    if not all((part > 0).all() and abs(part.sum() - 1) < 1e-6 for part in (first, second)):
        raise InputError(f"--{flag_name}: '{name}' is not two distributions: numbers above 0 that sum to 1")
    return name, first, second


if __name__ == "__main__":
    stage.run(main, Flags)
