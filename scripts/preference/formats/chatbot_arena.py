"""Chatbot Arena: two conversations and a `winner`, model_a, model_b, a tie, or both_bad, which is a tie as well."""

from preference.running.stage import InputError
from preference.tasks import dialogues
from preference.tasks.columns import MESSAGES, TEXT, Row

COLUMNS = {"conversation_a": MESSAGES, "conversation_b": MESSAGES, "winner": TEXT}
WINNERS = ("model_a", "model_b")
TIES = ("tie", "tie (bothbad)", "both_bad")


def example(row: Row) -> dict:
    winner = row.text("winner")
    if winner not in (*WINNERS, *TIES):
        raise InputError(f"{row.column('winner')} is {winner!r}, none of {', '.join((*WINNERS, *TIES))}")
    names = ("conversation_b", "conversation_a") if winner == "model_b" else ("conversation_a", "conversation_b")
    scores = (1.0, 0.0) if winner in WINNERS else (0.5, 0.5)
    chosen, rejected = (row.messages(name) for name in names)
    pair = dialogues.pair(chosen, rejected, tuple(map(row.column, names)))
    return {**pair, "chosen_reward": scores[0], "rejected_reward": scores[1]}
