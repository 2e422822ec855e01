"""Derived forms of HH: the transcript so far is a column of its own, and the answers go on from it or repeat it."""

from preference.tasks import dialogues
from preference.tasks.columns import SCORES, TEXT, Row

COLUMNS = {"prompt": TEXT, "chosen": TEXT, "rejected": TEXT}
ALSO = {"response": TEXT, **SCORES}  # the chosen one once more


def holds(rows: list[Row]) -> bool:
    return dialogues.are_transcripts([row.value("prompt") for row in rows])


def example(row: Row) -> dict:
    chosen, rejected = (dialogues.of_transcript(_whole(row, name), row.column(name)) for name in ("chosen", "rejected"))
    return {**dialogues.pair(chosen, rejected, (row.column("chosen"), row.column("rejected"))), **row.scores()}


def _whole(row: Row, name: str) -> str:
    """Return the transcript with one of its answers."""
    prompt, answer = row.text("prompt").strip(), row.text(name).strip()
    if answer.startswith(prompt):
        return answer
    prompt = prompt.removesuffix("Assistant:").rstrip()
    return f"{prompt}\n\nAssistant: {answer.removeprefix('Assistant:').strip()}"
