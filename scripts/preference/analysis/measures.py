"""What is measured of a policy as it learns, a bandit's or a language model's, and as it is called on an axis."""

import math

OF_BANDITS = {  # the columns of a history.parquet
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
OF_MODELS = {  # of a metrics.csv; KL is to the SFT policy, entropy of a token
    "gold_reward": "gold reward",
    "learned_reward": "learned reward",  # `reward` there: of a bandit that name is the true one
    "num_tokens": "tokens of a response",
    "finished": "share of finished responses",
    "win_rate": "win rate against SFT",
    "gold_win_rate": "win rate against SFT by gold reward",
    "accuracy": "accuracy on held-out pairs",
    **{name: OF_BANDITS[name] for name in ("kl", "entropy", "chosen_logratio", "rejected_logratio", "margin")},
}
TITLES = OF_BANDITS | OF_MODELS
RANGES = {"reward": (0, 1), "kl": (0, math.inf), "reverse_kl": (0, math.inf), "gradient_cosine": (-1, 1)}
RANGES |= dict.fromkeys(("finished", "win_rate", "gold_win_rate", "accuracy"), (0, 1))  # if limited
PROGRESS = {"step": "gradient steps", "queries": "reward queries", "kl": TITLES["kl"]}  # what a curve can be drawn over
REDUCED = {  # what the history of a seed comes down to in the table of cells, of which measures (see histories)
    "final": tuple(TITLES),
    "area": ("reward", "gold_reward"),
    "change": ("gold_reward", "chosen_logratio", "rejected_logratio", "margin"),
}
TIDY = ("step", "queries", "metric", "mean", "low", "high", "seeds", "diverged")  # after the levels, of curves
RESERVED = (*TIDY, "steps", "learning_rate", "beta", "grid", "grid_diverged", "at_end_of_grid")  # no axis is called so
