"""Gold rewards: r*(x, y) of the tasks that define one, all of them of the response's length |y| (arXiv 2404.14367,
section 4.2): min_length -|y|, max_length |y|, mode_length -| |y| - L | with a target length L."""

import dataclasses
import re
from collections.abc import Callable

from preference import conversations
from preference.stage import InputError, flag

# Of a row of kind "responses".
UNITS: dict[str, Callable[[dict], int]] = {
    "tokens": lambda row: row["num_tokens"],  # without EOS
    "characters": lambda row: len(conversations.text(row["response"])),
    "words": lambda row: len(
        re.findall(r"\w+", conversations.text(row["response"]))
    ),  # runs of Unicode letters, digits and _
}
# Of a length and a target, which only mode_length has.
GOLD_REWARDS: dict[str, Callable[[int, int | None], float]] = {
    "min_length": lambda length, target: float(-length),
    "max_length": lambda length, target: float(length),
    "mode_length": lambda length, target: float(-abs(length - target)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags of every stage that judges responses."""

    reward_model: str | None = flag("reward model folder; without it the gold reward is the reward", None)
    gold_reward: str | None = flag("the task's own reward, where it has one", None, tuple(GOLD_REWARDS))
    target_length: int | None = flag("length that --gold_reward mode_length is highest at", None)
    length_unit: str = flag("what --gold_reward counts a response's length in", "tokens", tuple(UNITS))


def check(flags: Flags) -> None:
    """Refuse flags that name no reward, or a gold reward that lacks its target or has none."""
    if flags.reward_model is None and flags.gold_reward is None:
        raise InputError("--reward_model, --gold_reward: give at least one")
    if flags.gold_reward == "mode_length" and flags.target_length is None:
        raise InputError("--gold_reward mode_length: needs --target_length")
    if flags.gold_reward != "mode_length" and flags.target_length is not None:
        raise InputError(f"--target_length {flags.target_length}: only --gold_reward mode_length has a target")


def gold_rewards(flags: Flags, rows: list[dict]) -> list[float] | None:
    """The task's own reward of each row of kind "responses", in --length_unit; None for a task that defines none."""
    if flags.gold_reward is None:
        return None
    reward, length = GOLD_REWARDS[flags.gold_reward], UNITS[flags.length_unit]
    return [reward(length(row), flags.target_length) for row in rows]
