"""Prompts without answers."""

from preference.tasks.columns import CHAT, Row

COLUMNS = {"prompt": CHAT}


def example(row: Row) -> dict:
    return {"prompt": row.prompt("prompt"), "response": None}
