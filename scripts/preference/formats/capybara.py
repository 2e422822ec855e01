"""Capybara: conversations as a list of `input` and `output`."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks import dialogues
from preference.tasks.columns import MAPPINGS, Row, as_text, mappings

COLUMNS = {"conversation|conversations": MAPPINGS}


def example(row: Row) -> dict:
    messages, column = [], row.column("conversation")
    for turn in mappings(row, "conversation"):
        if not {"input", "output"} <= turn.keys():
            raise InputError(f"{column} has a turn without input and output")
        messages += conversations.user(as_text(turn["input"], column))
        messages += conversations.assistant(as_text(turn["output"], column))
    return dialogues.answered(messages, column)
