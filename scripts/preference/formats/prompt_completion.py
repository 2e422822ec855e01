"""TRL's prompts with completions."""

from preference.tasks import dialogues
from preference.tasks.columns import CHAT, Row

COLUMNS = {"prompt": CHAT, "completion": CHAT}


def example(row: Row) -> dict:
    return dialogues.answered(row.whole("prompt", "completion"), row.column("completion"))
