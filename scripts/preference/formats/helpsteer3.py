"""HelpSteer 3's preferences: a conversation, and a strength from -3 (response1 is much better) to 3 (response2 is)."""

from preference.tasks.columns import CHAT, NUMBER, TEXT, Row

COLUMNS = {"context": CHAT, "response1": TEXT, "response2": TEXT, "overall_preference": NUMBER}


def example(row: Row) -> dict:
    return {"prompt": row.prompt("context"), **row.by_strength("response1", "response2", "overall_preference")}
