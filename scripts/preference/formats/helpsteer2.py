"""HelpSteer and HelpSteer 2: a row for each answer to a prompt, with scores; `helpfulness` counts.

A prompt of several turns has a tag before each turn but the first.
"""

import re

from preference.files import conversations
from preference.tasks import dialogues
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {"prompt": TEXT, "response": TEXT, "helpfulness": NUMBER}
ROLES = {"User": "user", "Assistant": "assistant", "System": "system"}


def example(row: Row) -> dict:
    response = conversations.assistant(row.text("response"))
    return {"prompt": prompt(row), "response": response, "given_reward": row.number("helpfulness")}


def prompt(row: Row) -> conversations.Messages:
    """Return the turns of a prompt."""
    first, *others = re.split(r"\n?<extra_id_1>", row.text("prompt"))
    parts = [each.partition("\n") for each in others]
    later = [{"role": ROLES.get(name.strip(), "user"), "content": text.strip("\n")} for name, _, text in parts]
    return dialogues.without_open_turn(conversations.user(first) + later)
