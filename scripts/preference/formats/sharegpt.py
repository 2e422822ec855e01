"""ShareGPT: conversations of `from` and `value`; the last answer, and the turns before it as its prompt."""

from preference import turns
from preference.columns import MESSAGES, Row

COLUMNS = {"conversations|conversation": MESSAGES}


def example(row: Row) -> dict:
    return turns.answered(row.messages("conversations"), row.column("conversations"))
