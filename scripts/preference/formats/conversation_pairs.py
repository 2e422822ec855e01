"""A conversation that waits for its answer, and two answers as single messages or as texts."""

from preference.tasks.columns import MESSAGES, PAIR, SCORES, Row

COLUMNS = {
    "messages|conversations|conversation|trajectory|prompt": MESSAGES,
    **PAIR,
}
ALSO = SCORES


def example(row: Row) -> dict:
    return {"prompt": row.messages("messages"), **row.answers()}
