"""SHP: a post and two comments on it; `labels` is 1 where comment A is preferred, and 0 where B is."""

from preference.files import conversations
from preference.tasks.columns import LABEL, NUMBER, TEXT, Row

COLUMNS = {"history": TEXT, "human_ref_A": TEXT, "human_ref_B": TEXT, "labels": LABEL}
ALSO = {"score_A": NUMBER, "score_B": NUMBER}


def example(row: Row) -> dict:
    chosen, rejected = ("A", "B") if row.label("labels") else ("B", "A")
    return {
        "prompt": conversations.user(row.text("history")),
        "chosen": conversations.assistant(row.text(f"human_ref_{chosen}")),
        "rejected": conversations.assistant(row.text(f"human_ref_{rejected}")),
        "chosen_reward": row.number(f"score_{chosen}"),
        "rejected_reward": row.number(f"score_{rejected}"),
    }
