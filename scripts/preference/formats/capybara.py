"""Capybara: conversations as a list of `input` and `output`."""

from preference import conversations, dialogues
from preference.columns import MAPPINGS, Row, as_text, mappings
from preference.stage import InputError

COLUMNS = {"conversation|conversations": MAPPINGS}


def example(row: Row) -> dict:
    messages, column = [], row.column("conversation")
    for turn in mappings(row, "conversation"):
        if not {"input", "output"} <= turn.keys():
            raise InputError(f"{column} has a turn without input and output")
        messages += conversations.user(as_text(turn["input"], column))
        messages += conversations.assistant(as_text(turn["output"], column))
    return dialogues.answered(messages, column)
