"""Prompts with answers, and this workflow's own instructions."""

from preference.tasks import dialogues
from preference.tasks.columns import CHAT, Row

COLUMNS = {"prompt": CHAT, "response": CHAT}


def example(row: Row) -> dict:
    return dialogues.answered(row.whole("prompt", "response"), row.column("response"))
