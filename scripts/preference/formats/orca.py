"""Orca: a question, perhaps a system message, and a response."""

from preference.tasks.columns import CHAT, TEXT, Row

COLUMNS = {"question": CHAT, "response": TEXT}


def example(row: Row) -> dict:
    return {"prompt": row.prompt("question"), "response": row.response("response")}
