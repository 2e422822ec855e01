"""Pairs whose prompt is called input."""

from preference.tasks.columns import CHAT, PAIR, SCORES, Row

COLUMNS = {"input": CHAT, **PAIR}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.prompt("input"), **row.answers()}
