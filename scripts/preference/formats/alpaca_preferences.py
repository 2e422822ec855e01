"""AlpacaFarm's preferences: 1 says that output_1 won, 2 that output_2 did."""

from preference.files import conversations
from preference.formats import alpaca_instructions
from preference.running.stage import InputError
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {"instruction": TEXT, "output_1": TEXT, "output_2": TEXT, "preference": NUMBER}
ALSO = {"input": TEXT}


def example(row: Row) -> dict:
    if row.value("preference") not in (1, 2):
        raise InputError(f"{row.column('preference')} is {row.value('preference')!r}, neither 1 nor 2")
    better = int(row.value("preference"))
    chosen, rejected = (conversations.assistant(row.text(f"output_{n}")) for n in (better, 3 - better))
    return {"prompt": alpaca_instructions.prompt(row), "chosen": chosen, "rejected": rejected}
