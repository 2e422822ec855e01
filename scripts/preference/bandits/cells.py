"""A cell of the bandit lab: one problem, one policy, one algorithm, and how much data it sees. No torch here.

A cell is trained for many seeds and many points of its grid at once, see training.train.
"""

from dataclasses import dataclass

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
    """What is trained, apart from seeds and the grid (learning rate, beta); scripts/run_bandit.py explains each."""

    policy: str
    reward: int
    algorithm: str
    source: str
    rounds: int
    epochs: int
    states: int
    samples: int
    batch_states: int | None = None
    fresh_states: bool = False
    min_margin: float = 0.0
    negative: str = "none"
    baseline: str | None = None
    scale: str | None = None
    kl_coef: float = 0.0
    clip_range: float | None = None
    hidden_size: int = 256
    initialization: str = "pretrained"
    eval_states: int = 100
    record_every: int = 1
    diagnose: bool = False

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
