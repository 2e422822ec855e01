"""A row for each answer to a prompt, with one score, as this workflow's own answers.parquet has it."""

from preference.tasks import dialogues
from preference.tasks.columns import CHAT, NUMBER, Row

COLUMNS = {"prompt|question": CHAT, "response|answer": CHAT, "given_reward|reward|score|rating": NUMBER}


def example(row: Row) -> dict:
    answer = dialogues.answered(row.whole("prompt", "response"), row.column("response"))
    return {**answer, "given_reward": row.number("given_reward")}
