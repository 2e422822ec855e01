"""Anthropic's HH: two transcripts; what they share up to an Assistant turn is the prompt, and that turn is compared.

A few rows of the published data part before their last turn; the turns after it are left out, because their prompts
differ.
"""

from preference.tasks import dialogues
from preference.tasks.columns import TEXT, Row

COLUMNS = {"chosen": TEXT, "rejected": TEXT}


def holds(rows: list[Row]) -> bool:
    return dialogues.are_transcripts([row.value("chosen") for row in rows])


def example(row: Row) -> dict:
    columns = (row.column("chosen"), row.column("rejected"))
    chosen, rejected = (dialogues.of_transcript(row.text(name), row.column(name)) for name in ("chosen", "rejected"))
    return dialogues.pair(chosen, rejected, columns)
