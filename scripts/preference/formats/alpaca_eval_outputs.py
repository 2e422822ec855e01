"""AlpacaEval's outputs: a model's answer to each instruction."""

from preference.columns import TEXT
from preference.formats.alpaca_instructions import example  # noqa: F401

COLUMNS = {"instruction": TEXT, "output": (*TEXT, "null"), "generator": TEXT}
ALSO = {"input": TEXT}
