"""Nectar: a prompt and answers with a rank, 1 being the best; an answer's score is minus its rank."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks.columns import CHAT, MAPPINGS, Row, as_number, as_text, mappings

COLUMNS = {"prompt": CHAT, "answers": MAPPINGS}


def example(row: Row) -> dict:
    answers = [_answer(each, row.column("answers")) for each in mappings(row, "answers")]
    return {"prompt": row.prompt("prompt"), "answers": answers}


def _answer(given: dict, column: str) -> dict:
    rank = as_number(given.get("rank"), f"{column}: rank")
    if rank is None:
        raise InputError(f"{column} has an answer without a rank")
    return {
        "response": conversations.assistant(as_text(given.get("answer"), f"{column}: answer")),
        "given_reward": -rank,
    }
