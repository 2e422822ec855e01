"""GSM8K: a question and its worked answer, which is kept in `fields` for rewards that compare with it."""

from preference.files import conversations
from preference.tasks.columns import TEXT, Row

COLUMNS = {"question": TEXT, "answer": TEXT}


def example(row: Row) -> dict:
    response = conversations.assistant(row.text("answer"))
    return {
        "prompt": conversations.user(row.text("question")),
        "response": response,
        "fields": {"answer": row.text("answer")},
    }
