"""UltraFeedback as it was collected: an instruction and completions with an overall_score."""

from preference import conversations
from preference.columns import MAPPINGS, TEXT, Row, as_number, as_text, mappings

COLUMNS = {"instruction": TEXT, "completions": MAPPINGS}


def example(row: Row) -> dict:
    answers = [_answer(each, row.column("completions")) for each in mappings(row, "completions")]
    return {"prompt": conversations.user(row.text("instruction")), "answers": answers}


def _answer(completion: dict, column: str) -> dict:
    response = conversations.assistant(as_text(completion.get("response"), f"{column}: response"))
    score = completion.get("overall_score", completion.get("fine-grained_score"))
    return {"response": response, "given_reward": as_number(score, f"{column}: overall_score")}
