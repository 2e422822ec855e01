"""orca_dpo_pairs: a question, perhaps a system message, and two answers."""

from preference.columns import CHAT, SCORES, TEXT, Row

COLUMNS = {"question": CHAT, "chosen": TEXT, "rejected": TEXT}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.prompt("question"), **row.answers()}
