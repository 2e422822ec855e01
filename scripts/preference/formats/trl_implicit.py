"""TRL's preferences with an implicit prompt: two texts, whose prompt is what they share at their beginning.

Other texts beside them would rather be the prompt, so a file that has some is of another format.
"""

import os

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks import dialogues
from preference.tasks.columns import TEXT, Row

COLUMNS = {"chosen": TEXT, "rejected": TEXT}
ALONE = True


def holds(rows: list[Row]) -> bool:
    return not dialogues.are_transcripts([row.value("chosen") for row in rows])


def example(row: Row) -> dict:
    chosen, rejected = row.text("chosen"), row.text("rejected")
    shared = os.path.commonprefix([chosen, rejected])
    end = max((at + 1 for at, letter in enumerate(shared) if letter.isspace()), default=0)  # no half of a word
    if not shared[:end].strip():
        raise InputError("columns 'chosen' and 'rejected' have different prompts: they share no first word")
    return {
        "prompt": conversations.user(shared[:end].rstrip()),
        "chosen": conversations.assistant(chosen[end:]),
        "rejected": conversations.assistant(rejected[end:]),
    }
