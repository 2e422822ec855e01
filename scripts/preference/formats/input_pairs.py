"""Pairs whose prompt is called input."""

from preference.columns import CHAT, SCORES, TEXT, Row

COLUMNS = {"input": CHAT, "chosen": TEXT, "rejected": TEXT}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.prompt("input"), **row.answers()}
