"""A cell of the bandit lab: one problem, one policy, one algorithm, and how much data it sees. No torch here.

A cell is trained for many seeds and many points of its grid at once, see training.train.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from preference.running.flags import flag
from preference.running.ranges import Count, NotNegative, Positive, Repeats

LINE_POLICIES = ("gaussian", "tanh_gaussian", "cauchy", "tanh_cauchy")
POLICIES = ("categorical", *LINE_POLICIES, "tokens")
ALGORITHMS = ("best_of_n", "rwr", "awr", "pref_ft", "dpo", "ipo", "reinforce", "ppo")
SOURCES = ("offline", "on_policy")
NEGATIVES = ("none", "worst", "sum", "average", "sum_constrained", "average_constrained", "complement")
BASELINES = ("average", "per_prompt", "moving_average", "exponential_moving_average", "leave_one_out")
SCALES = ("running", "per_state")
INITIALIZATIONS = ("pretrained", "random")
REWARDS = {"line": (1, 2, 3), "categorical": (4, 5, 8, 9), "tokens": (6, 7)}  # published ids, by what they reward


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is trained, apart from seeds and the grid (learning rate, beta), which run_bandit adds."""

    policy: str = flag("class of policies", choices=POLICIES)
    reward: Annotated[int, Interval(ge=1, le=9)] = flag(
        "published id of the reward: 1-3 on the line, 4, 5, 8, 9 of arms, 6, 7 of tokens"
    )
    algorithm: str = flag("what is minimised", choices=ALGORITHMS)
    source: str = flag("samples of the reference, once, or of the policy as a round finds it", choices=SOURCES)
    rounds: Count = flag("times that samples are drawn")
    epochs: Repeats = flag("passes over a round's samples")
    states: Count = flag("states, or prompts, of a round")
    batch_states: Count | None = flag("states of one gradient step; all where it is not given", None)
    samples: Count = flag("samples per state")
    fresh_states: bool = flag("every round has new states", False, form="switch")
    min_margin: NotNegative = flag("a pair counts where its rewards differ by more", 0.0)
    negative: str = flag("how best_of_n pushes other samples down", "none", choices=NEGATIVES)
    baseline: str | None = flag("what is subtracted from rewards", None, choices=BASELINES)
    scale: str | None = flag("what rewards are divided by", None, choices=SCALES)
    kl_coef: NotNegative = flag("weight of the KL to the reference", 0.0)
    clip_range: Positive | None = flag("ppo's ratios count from 1 - clip_range to 1 + clip_range", None)
    hidden_size: Count = flag("width of the network's two hidden layers", 256)
    initialization: str = flag("first parameters", "pretrained", choices=INITIALIZATIONS)
    eval_states: Count = flag("held-out states", 100)
    record_every: Count = flag("steps between two records", 1, unit="steps")
    diagnose: bool = flag("also record the inner product of the gradients of chosen and rejected", False, form="switch")

    @property
    def batch(self) -> int:
        """States of one gradient step."""
        return self.batch_states or self.states

    @property
    def round_steps(self) -> int:
        """Gradient steps of one round."""
        return self.epochs * (self.states // self.batch)

    @property
    def steps(self) -> int:
        return self.rounds * self.round_steps

    @property
    def pairs(self) -> bool:
        """Whether a state has several samples, of which one can be chosen and one rejected."""
        return self.samples > 1


COMPARING = (
    "best_of_n",
    "awr",
    "pref_ft",
    "dpo",
    "ipo",
)  # algorithms that learn from differences between samples of a state
READERS = {  # flag -> the algorithms that read it; to any other it would be a setting that does nothing
    "beta": ("dpo", "ipo", "rwr", "awr", "best_of_n"),
    "min_margin": ("pref_ft", "dpo", "ipo"),
    "negative": ("best_of_n",),
    "baseline": ("rwr", "reinforce", "ppo"),
    "scale": ("rwr", "reinforce", "ppo"),
    "kl_coef": ("reinforce", "ppo"),
    "clip_range": ("ppo",),
}
OF_ALGORITHM = ("learning_rate", *READERS)
NEEDED = ("policy", "reward", "algorithm", "source", "rounds", "epochs", "states", "samples", "learning_rate", "seeds")
UNSAID: tuple[object, ...] = (None, False, 0, "none", (), [])  # values that stand for a flag that is not given


def problem(settings: dict) -> str | None:
    """What is wrong with a cell as a whole, as `--flag value: reason`, where each value alone is right."""
    return next((f"--{flag}{shown(settings, flag)}: {reason}" for flag, reason in faults(settings)), None)


def shown(settings: dict, flag: str) -> str:
    """A flag's value with a blank before it, where it has one that is short."""
    value = settings.get(flag)
    return "" if value in UNSAID or isinstance(value, list | tuple) else f" {value}"


def faults(settings: dict):
    """Yield (flag, what is wrong with it) for flags that contradict each other or that nothing reads.

    Args:
        settings: flag -> value, by the names of run_bandit; lists may be tuples, and what is not given may be missing.
    """
    said = {flag: value for flag, value in settings.items() if value not in UNSAID}
    if missing := [flag for flag in NEEDED if flag not in said]:
        yield from ((flag, "is missing") for flag in missing)
        return
    yield from _problem_faults(**said)
    yield from _algorithm_faults(said)
    yield from _data_faults(**said)
    for name in ("seeds", "tuning_seeds", "learning_rate", "beta"):
        values = said.get(name)
        if isinstance(values, list | tuple) and len(set(values)) < len(values):
            yield name, "names one of its values twice"


def _problem_faults(policy: str, reward: int, hidden_size: int = 0, eval_states: int = Cell.eval_states, **_):
    rewards = REWARDS["line" if policy in LINE_POLICIES else policy]
    if reward not in rewards:
        yield "reward", f"is no reward of the policy {policy}, which has {', '.join(map(str, rewards))}"
    if policy == "tokens" and hidden_size not in (0, Cell.hidden_size):
        yield "hidden_size", "is not read by the policy tokens, whose network has one size"
    if policy == "tokens" and eval_states == 1:
        yield "eval_states", "is too few; what is sampled has no standard error"


def _algorithm_faults(said: dict):
    algorithm, negative = said["algorithm"], said.get("negative")
    for name, readers in READERS.items():
        if name in said and algorithm not in readers:
            yield name, f"is not read by {algorithm}, only by {', '.join(readers)}"
    if algorithm == "ppo" and "clip_range" not in said:
        yield "clip_range", "is missing; ppo needs it"
    if algorithm == "best_of_n" and "beta" in said and not negative:
        yield "beta", "is not read by best_of_n without a negative gradient (negative)"
    if "beta" not in said and algorithm in READERS["beta"] and (algorithm != "best_of_n" or negative):
        yield "beta", f"is missing; {algorithm}{f' with negative {negative}' if negative else ''} needs it"


def _data_faults(source: str, rounds: int, states: int, samples: int, seeds, learning_rate, algorithm: str, **others):
    if source == "offline" and rounds > 1:
        yield "rounds", "is more than 1, but offline samples are drawn once; more passes are epochs"
    if states % others.get("batch_states", states):
        yield "batch_states", f"does not divide states, which is {states}"
    if samples == 1:
        what = [algorithm] if algorithm in COMPARING else []
        per_state = {"baseline": ("per_prompt", "leave_one_out"), "scale": ("per_state",), "diagnose": (True,)}
        what += [f"{flag} {others[flag]}" for flag, values in per_state.items() if others.get(flag) in values]
        yield from (("samples", f"is too few; {each} compares samples of one state") for each in what)
    points = math.prod(len(grid) for grid in (learning_rate, others.get("beta")) if isinstance(grid, list | tuple))
    if points > 1 and "tuning_seeds" not in others:
        yield "tuning_seeds", f"is missing; one of the {points} points of the grid is chosen on them"
    if shared := sorted(set(seeds) & set(others.get("tuning_seeds", ()))):
        yield "tuning_seeds", f"seed {shared[0]} is one of seeds, too; what is tuned on a seed is not reported of it"
