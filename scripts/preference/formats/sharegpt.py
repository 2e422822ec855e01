"""ShareGPT: conversations of `from` and `value`; the last answer, and the turns before it as its prompt."""

from preference.tasks import dialogues
from preference.tasks.columns import MESSAGES, Row

COLUMNS = {"conversations|conversation": MESSAGES}


def example(row: Row) -> dict:
    return dialogues.answered(row.conversation("conversations"), row.column("conversations"))
