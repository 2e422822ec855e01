"""orca_dpo_pairs: a question, perhaps a system message, and two answers."""

from preference.tasks.columns import CHAT, PAIR, SCORES, Row

COLUMNS = {"question": CHAT, **PAIR}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.prompt("question"), **row.answers()}
