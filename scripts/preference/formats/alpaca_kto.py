"""LLaMA-Factory's unpaired answers to Alpaca's instructions: `kto_tag` says whether an answer is a good one."""

from preference.formats import alpaca_instructions
from preference.tasks.columns import TEXT, Row

COLUMNS = {"instruction": TEXT, "output": TEXT, "kto_tag|label": ("bool",)}
ALSO = alpaca_instructions.ALSO


def example(row: Row) -> dict:
    return {**alpaca_instructions.example(row), "given_reward": row.label("kto_tag"), "unpaired": True}
