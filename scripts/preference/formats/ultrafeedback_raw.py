"""UltraFeedback as it was collected: an instruction and completions, with an overall or a fine-grained score."""

from preference.files import conversations
from preference.tasks.columns import MAPPINGS, TEXT, Row, as_number, as_text, mappings

COLUMNS = {"instruction": TEXT, "completions": MAPPINGS}


def example(row: Row) -> dict:
    completions, column = mappings(row, "completions"), row.column("completions")
    # Their scales differ, so one of the two counts for all answers to a prompt.
    has_overall = any(each.get("overall_score") is not None for each in completions)
    score = "overall_score" if has_overall else "fine-grained_score"
    answers = [_answer(each, score, column) for each in completions]
    return {"prompt": conversations.user(row.text("instruction")), "answers": answers}


def _answer(completion: dict, score: str, column: str) -> dict:
    response = conversations.assistant(as_text(completion.get("response"), f"{column}: response"))
    return {"response": response, "given_reward": as_number(completion.get(score), f"{column}: {score}")}
