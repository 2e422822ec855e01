"""TRL's unpaired preferences: an answer, and whether it is a good one."""

from preference.tasks import dialogues
from preference.tasks.columns import CHAT, LABEL, Row

COLUMNS = {"prompt": CHAT, "completion": CHAT, "label": LABEL}


def example(row: Row) -> dict:
    answer = dialogues.answered(row.whole("prompt", "completion"), row.column("completion"))
    return {**answer, "given_reward": row.label("label"), "unpaired": True}
