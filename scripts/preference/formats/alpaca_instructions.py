"""AlpacaFarm's instructions: an instruction, perhaps its input, and an answer."""

from preference.files import conversations
from preference.tasks.columns import TEXT, Row

COLUMNS = {"instruction": TEXT, "output": (*TEXT, "null")}
ALSO = {"input": TEXT}


def example(row: Row) -> dict:
    return {"prompt": prompt(row), "response": conversations.assistant(row.text("output"))}


def prompt(row: Row) -> conversations.Messages:
    """Return the instruction, with its input in the next line if it has one."""
    given = row.text("input")
    return conversations.user(f"{row.text('instruction')}\n{given}" if given.strip() else row.text("instruction"))
