"""Conversations as messages (UltraChat, Tulu): the last answer, and the turns before it as its prompt."""

from preference.tasks import dialogues
from preference.tasks.columns import CHAT, MESSAGES, Row

COLUMNS = {"messages": MESSAGES}
ALSO = {"prompt": CHAT}  # the first message once more


def example(row: Row) -> dict:
    return dialogues.answered(row.conversation("messages"), row.column("messages"))
