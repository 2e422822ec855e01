"""Alpaca's instructions with two answers: instruction, input, chosen, rejected."""

from preference.formats import alpaca_instructions
from preference.tasks.columns import PAIR, SCORES, TEXT, Row

COLUMNS = {"instruction": TEXT, **PAIR}
ALSO = {"input": TEXT, **SCORES}


def example(row: Row) -> dict:
    return {"prompt": alpaca_instructions.prompt(row), **row.answers()}
