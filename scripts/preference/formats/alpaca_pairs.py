"""Alpaca's instructions with two answers: instruction, input, chosen, rejected."""

from preference.columns import PAIR, SCORES, TEXT, Row
from preference.formats import alpaca_instructions

COLUMNS = {"instruction": TEXT, **PAIR}
ALSO = {"input": TEXT, **SCORES}


def example(row: Row) -> dict:
    return {"prompt": alpaca_instructions.prompt(row), **row.answers()}
