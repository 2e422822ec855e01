"""Gold rewards: r*(x, y) of the tasks that define one (arXiv 2404.14367, section 4.2)."""

# Of a row of kind "responses"; lengths in tokens without EOS.
GOLD_REWARDS = {
    "min_length": lambda row: -float(row["num_tokens"]),
    "max_length": lambda row: float(row["num_tokens"]),
}


def gold_rewards(name: str, rows: list[dict]) -> list[float]:
    """The task's own reward of each row of kind "responses"."""
    return [GOLD_REWARDS[name](row) for row in rows]
