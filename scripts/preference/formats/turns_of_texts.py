"""Conversations as lists of texts, of the user and of the assistant in turn."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks import dialogues
from preference.tasks.columns import TEXTS, Row, as_text

COLUMNS = {"conversations|conversation|data": TEXTS}


def example(row: Row) -> dict:
    texts, column = row.value("conversations"), row.column("conversations")
    if not isinstance(texts, list):
        raise InputError(f"{column} is not a list of texts")
    speak = (conversations.user, conversations.assistant)
    said = [message for i, text in enumerate(texts) for message in speak[i % 2](as_text(text, column))]
    return dialogues.answered(said, column)
