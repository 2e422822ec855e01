"""TRL's preferences with an explicit prompt."""

from preference.columns import CHAT, SCORES, TEXT, Row

COLUMNS = {"prompt": CHAT, "chosen": TEXT, "rejected": TEXT}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.prompt("prompt"), **row.answers()}
