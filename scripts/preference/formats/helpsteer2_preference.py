"""HelpSteer 2's preferences: a strength from -3 (response_1 is much better) to 3 (response_2 is)."""

from preference.formats import helpsteer2
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {"prompt": TEXT, "response_1": TEXT, "response_2": TEXT, "preference_strength": NUMBER}


def example(row: Row) -> dict:
    return {"prompt": helpsteer2.prompt(row), **row.by_strength("response_1", "response_2", "preference_strength")}
