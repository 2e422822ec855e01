"""A conversation that waits for its answer, and two answers as single messages or as texts."""

from preference.columns import MAPPING, MESSAGES, SCORES, TEXT, Row

COLUMNS = {
    "messages|conversations|conversation|prompt": MESSAGES,
    "chosen": (*MAPPING, *TEXT),
    "rejected": (*MAPPING, *TEXT),
}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.messages("messages"), **row.answers()}
