"""RewardBench 2: a prompt with lists of right and of wrong answers, which score 1 and 0."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks.columns import CHAT, TEXTS, Row, as_text

COLUMNS = {"prompt": CHAT, "chosen": TEXTS, "rejected": TEXTS}


def example(row: Row) -> dict:
    if row.value("chosen") == []:
        raise InputError(f"{row.column('chosen')} is empty, so no answer is right")
    answers = [*_answers(row, "chosen", 1.0), *_answers(row, "rejected", 0.0)]
    return {"prompt": row.prompt("prompt"), "answers": answers}


def _answers(row: Row, name: str, score: float) -> list[dict]:
    if not isinstance(row.value(name), list):
        raise InputError(f"{row.column(name)} is not a list of texts")
    texts = [as_text(text, row.column(name)) for text in row.value(name)]
    return [{"response": conversations.assistant(text), "given_reward": score} for text in texts]
