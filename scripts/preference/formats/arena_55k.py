"""Chatbot Arena's 55k: prompts and two lists of answers as JSON texts, and a column for each possible winner."""

import json

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks import dialogues
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {
    **{"prompt": TEXT, "response_a": TEXT, "response_b": TEXT},
    **{"winner_model_a": NUMBER, "winner_model_b": NUMBER},
}
ALSO = {"winner_tie": NUMBER}


def example(row: Row) -> dict:
    score = row.label("winner_model_a") - row.label("winner_model_b")
    names = ("response_b", "response_a") if score < 0 else ("response_a", "response_b")
    chosen, rejected = (_conversation(row, name) for name in names)
    pair = dialogues.pair(chosen, rejected, tuple(map(row.column, names)))
    return {**pair, "chosen_reward": abs(score), "rejected_reward": 0.0}


def _conversation(row: Row, name: str) -> conversations.Messages:
    questions, answers = _texts(row, "prompt"), _texts(row, name)
    if len(questions) != len(answers):
        raise InputError(f"{row.column(name)} has {len(answers)} answers to {len(questions)} prompts")
    turns = zip(questions, answers, strict=True)
    return [message for q, a in turns for message in conversations.user(q) + conversations.assistant(a)]


def _texts(row: Row, name: str) -> list[str]:
    try:
        texts = json.loads(row.text(name))
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not all(text is None or isinstance(text, str) for text in texts):
        raise InputError(f"{row.column(name)} is not JSON of a list of texts")
    return [text or "" for text in texts]
