"""TRL's preferences with an explicit prompt."""

from preference.tasks.columns import CHAT, PAIR, SCORES, Row

COLUMNS = {"prompt": CHAT, **PAIR}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.prompt("prompt"), **row.answers()}
