"""A prompt with a list of answers and a list of their scores."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks.columns import CHAT, TEXTS, Row, as_number, as_text

COLUMNS = {
    "prompt|instruction": CHAT,
    "responses|completions|answers|generations|all_generated_responses": TEXTS,
    "scores|rewards|ratings|all_rm_scores": ("list",),
}


def example(row: Row) -> dict:
    texts, scores = row.value("responses"), row.value("scores")
    if not isinstance(texts, list) or not isinstance(scores, list) or len(texts) != len(scores):
        raise InputError(f"{row.column('responses')} and {row.column('scores')} are no lists of one length")
    answers = [
        {
            "response": conversations.assistant(as_text(text, row.column("responses"))),
            "given_reward": as_number(score, row.column("scores")),
        }
        for text, score in zip(texts, scores, strict=True)
    ]
    return {"prompt": row.prompt("prompt"), "answers": answers}
