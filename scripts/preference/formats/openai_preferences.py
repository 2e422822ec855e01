"""OpenAI's preference fine-tuning: a conversation and its tools in `input`, and two outputs."""

from preference.tasks import dialogues
from preference.tasks.columns import MAPPING, MESSAGES, Row, as_messages

COLUMNS = {"input": MAPPING, "preferred_output": MESSAGES, "non_preferred_output": MESSAGES}


def example(row: Row) -> dict:
    given = row.value("input") or {}
    prompt = as_messages(given.get("messages"), f"{row.column('input')}: messages")
    names = ("preferred_output", "non_preferred_output")
    chosen, rejected = (prompt + row.messages(name) for name in names)
    return {**dialogues.pair(chosen, rejected, tuple(map(row.column, names))), "tools": given.get("tools")}
