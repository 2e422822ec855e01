"""Unpaired preferences as conversations: whether the last answer is a good one."""

from preference.tasks import dialogues
from preference.tasks.columns import MESSAGES, Row

COLUMNS = {"messages|conversations": MESSAGES, "label|kto_tag": ("bool",)}


def example(row: Row) -> dict:
    answer = dialogues.answered(row.messages("messages"), row.column("messages"))
    return {**answer, "given_reward": row.label("label"), "unpaired": True}
