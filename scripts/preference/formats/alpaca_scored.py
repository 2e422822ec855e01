"""A row for each answer to one of Alpaca's instructions, with one score."""

from preference.formats import alpaca_instructions
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {"instruction": TEXT, "output": TEXT, "given_reward|reward|score|rating": NUMBER}
ALSO = alpaca_instructions.ALSO


def example(row: Row) -> dict:
    return {**alpaca_instructions.example(row), "given_reward": row.number("given_reward")}
