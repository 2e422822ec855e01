"""AlpacaEval's outputs: a model's answer to each instruction."""

from preference.formats.alpaca_instructions import example  # noqa: F401
from preference.tasks.columns import TEXT

COLUMNS = {"instruction": TEXT, "output": (*TEXT, "null"), "generator": TEXT}
ALSO = {"input": TEXT}
