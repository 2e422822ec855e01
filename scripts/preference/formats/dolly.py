"""Instructions of Dolly and distilabel: an instruction, perhaps its context, and a response or a generation."""

from preference.files import conversations
from preference.tasks.columns import TEXT, Row

COLUMNS = {"instruction": TEXT, "response|generation": TEXT}
ALSO = {"context|input": TEXT}
WITHOUT = ("prompt", "messages", "conversations", "conversation")


def example(row: Row) -> dict:
    parts = [row.text("instruction"), row.text("context")]
    prompt = "\n".join(part for part in parts if part.strip())
    return {"prompt": conversations.user(prompt), "response": conversations.assistant(row.text("response"))}
