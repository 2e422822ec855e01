"""Pairs of conversations: UltraFeedback-binarized, Skywork, Capybara's and Tulu's preferences, TRL's implicit prompt.

The two are equal up to an answer of the assistant, and their prompt is what they share.
"""

from preference.files import conversations
from preference.tasks import dialogues
from preference.tasks.columns import CHAT, MESSAGES, SCORES, Row

COLUMNS = {"chosen": MESSAGES, "rejected": MESSAGES}
ALSO = {"prompt|question|instruction|input": CHAT, **SCORES}


def example(row: Row) -> dict:
    chosen, rejected = (_whole(row, name) for name in ("chosen", "rejected"))
    return {**dialogues.pair(chosen, rejected, (row.column("chosen"), row.column("rejected"))), **row.scores()}


def _whole(row: Row, name: str) -> conversations.Messages:
    """Return one of the two conversations from its beginning."""
    messages = row.messages(name)
    if isinstance(row.value("prompt"), list):
        return dialogues.with_prompt(row.messages("prompt"), messages, row.column(name))
    is_answer = bool(messages) and messages[0]["role"] == "assistant"
    return row.prompt("prompt") + messages if is_answer and "prompt" in row else messages  # a text may be any question
