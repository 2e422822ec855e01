"""From scored samples to preference pairs: which two responses of a prompt are compared, which pairs are dropped."""

import random
from collections import Counter

from preference.files import conversations
from preference.running.stage import InputError

NO_HISTORY, ALL_ROUNDS = "none", "all"
PAIRINGS = ("best_vs_worst", "best_vs_random", "random", "closest_above_margin")
TRUNCATED = ("keep", "drop")


def choose_pair(samples: list[dict], pairing: str, min_margin: float, rng: random.Random) -> tuple[dict, dict] | None:
    """Choose (chosen, rejected) among one prompt's samples by their rewards.

    Args:
        samples: rows with `reward`, at least two.
        pairing: best_vs_worst; best_vs_random (of the others); random (two at random, the better one chosen);
            closest_above_margin (of all pairs whose margin is at least min_margin, the one with the smallest).
        min_margin: the least difference of rewards.

    Returns:
        The pair, or None where its margin is zero (a tie) or below min_margin.
    """
    ranked = sorted(samples, key=lambda s: (-s["reward"], s["sample_id"]))
    if pairing == "best_vs_worst":
        candidates = [(ranked[0], ranked[-1])]
    elif pairing == "best_vs_random":
        candidates = [(ranked[0], rng.choice(ranked[1:]))]
    elif pairing == "random":
        first, second = sorted(rng.sample(range(len(ranked)), 2))
        candidates = [(ranked[first], ranked[second])]
    else:
        candidates = [(a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 :]]
    margins = [(a["reward"] - b["reward"], i) for i, (a, b) in enumerate(candidates)]
    above = [(margin, i) for margin, i in margins if margin > 0 and margin >= min_margin]
    return candidates[min(above)[1]] if above else None


def construct(
    samples: list[dict], pairing: str, min_margin: float, truncated: str, rng: random.Random
) -> tuple[list[dict], Counter]:
    """Pair the samples of each prompt.

    Args:
        samples: rows of kind "rewards".
        truncated: "drop" leaves out responses that did not end by themselves before pairing, "keep" uses them.

    Returns:
        Rows of kind "pairs", in the order of first appearance of their prompts, and the prompts dropped by reason.
    """
    by_prompt: dict[str, list[dict]] = {}
    for sample in samples:
        by_prompt.setdefault(sample["prompt_id"], []).append(sample)
    dropped: Counter[str] = Counter()
    rows = []
    for group in by_prompt.values():
        usable = [s for s in group if truncated == "keep" or s["finish_reason"] == "stop"]
        distinct = {conversations.key(s["response"]): s for s in reversed(usable)}
        if len(usable) < 2:
            dropped["fewer than two finished responses"] += 1
        elif len(distinct) < 2:
            dropped["identical responses"] += 1
        elif (pair := choose_pair(list(distinct.values()), pairing, min_margin, rng)) is None:
            dropped["tie or margin below min_margin"] += 1
        else:
            rows.append(_row(*pair))
    return rows, dropped


def _row(chosen: dict, rejected: dict) -> dict:
    return {
        **{name: chosen.get(name) for name in ("prompt_id", "prompt", "tools", "fields")},
        "chosen": chosen["response"],
        "rejected": rejected["response"],
        "chosen_reward": chosen["reward"],
        "rejected_reward": rejected["reward"],
        "chosen_finish_reason": chosen["finish_reason"],
        "rejected_finish_reason": rejected["finish_reason"],
        "chosen_tokens": chosen["response_ids"],
        "rejected_tokens": rejected["response_ids"],
    }


def window(pairs: list, round: int, num_pairs: int | None) -> list:
    """The offline pairs of a round: consecutive windows of num_pairs, starting over past the end; None takes all."""
    if num_pairs is None:
        return pairs
    if num_pairs > len(pairs):
        raise InputError(f"--num_pairs {num_pairs}: there are only {len(pairs)} preferences")
    return [pairs[i % len(pairs)] for i in range((round - 1) * num_pairs, round * num_pairs)]


def earlier_rounds(history: str, round: int) -> range:
    """Return the rounds before a round whose pairs it learns from once more.

    Args:
        history: `none`, `all`, or how many of the last rounds.

    Raises:
        InputError: history is none of these.
    """
    if history == NO_HISTORY:
        return range(round, round)
    if history == ALL_ROUNDS:
        return range(1, round)
    if not history.isdecimal() or int(history) < 1:
        raise InputError(f"--history {history}: must be none, all, or how many of the last rounds, from 1")
    return range(max(1, round - int(history)), round)


def not_repeated(earlier: list[dict], own: list[dict]) -> list[dict]:
    """Return the earlier pairs of which the own ones repeat none: same prompt, same two responses."""
    repeated = set(map(_identity, own))
    return [row for row in earlier if _identity(row) not in repeated]


def _identity(row: dict) -> tuple[str, ...]:
    return row["prompt_id"], conversations.key(row["chosen"]), conversations.key(row["rejected"])
