"""TRL's prompts with completions."""

from preference import turns
from preference.columns import CHAT, Row

COLUMNS = {"prompt": CHAT, "completion": CHAT}


def example(row: Row) -> dict:
    return turns.answered(row.prompt("prompt") + row.response("completion"), row.column("completion"))
