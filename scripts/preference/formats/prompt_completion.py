"""TRL's prompts with completions."""

from preference import dialogues
from preference.columns import CHAT, Row

COLUMNS = {"prompt": CHAT, "completion": CHAT}


def example(row: Row) -> dict:
    return dialogues.answered(row.whole("prompt", "completion"), row.column("completion"))
