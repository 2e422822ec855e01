"""What is measured of a bandit's policy as it learns, as it is called on an axis; the columns of the tables of it."""

import math

TITLES = {
    "reward": "expected reward",
    "reward_se": "standard error of the reward",
    "entropy": "entropy (nats)",
    "entropy_se": "standard error of the entropy (nats)",
    "kl": "KL(π ‖ reference) (nats)",
    "kl_se": "standard error of the KL(π ‖ reference) (nats)",
    "reverse_kl": "KL(reference ‖ π) (nats)",
    "reverse_kl_se": "standard error of the KL(reference ‖ π) (nats)",
    "loss": "loss",
    "gradient_norm": "gradient norm",
    "chosen_logratio": "log-ratio of chosen (nats)",
    "rejected_logratio": "log-ratio of rejected (nats)",
    "margin": "margin (nats)",
    "gradient_product": "⟨∇ chosen, ∇ rejected⟩",
    "gradient_cosine": "cos(∇ chosen, ∇ rejected)",
}
RANGES = {"reward": (0, 1), "kl": (0, math.inf), "reverse_kl": (0, math.inf), "gradient_cosine": (-1, 1)}  # if limited
PROGRESS = {"step": "gradient steps", "queries": "reward queries", "kl": TITLES["kl"]}  # what a curve can be drawn over
REDUCED = {  # what the history of a seed comes down to in the table of cells, of which measures (see histories)
    "final": tuple(TITLES),
    "area": ("reward",),
    "change": ("chosen_logratio", "rejected_logratio", "margin"),
}
TIDY = ("step", "queries", "metric", "mean", "low", "high", "seeds", "diverged")  # after the levels, of curves
RESERVED = (*TIDY, "steps", "learning_rate", "beta", "grid", "grid_diverged", "at_end_of_grid")  # no axis is called so
