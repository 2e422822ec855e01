"""Pairs of conversations: UltraFeedback-binarized, Skywork, Capybara's and Tulu's preferences, TRL's implicit prompt.

The two are equal up to an answer of the assistant, and their prompt is what they share.
"""

from preference import dialogues
from preference.columns import CHAT, MESSAGES, SCORES, Row

COLUMNS = {"chosen": MESSAGES, "rejected": MESSAGES}
ALSO = {"prompt": CHAT, **SCORES}


def example(row: Row) -> dict:
    chosen, rejected = row.messages("chosen"), row.messages("rejected")
    if "prompt" in row and all(messages and messages[0]["role"] == "assistant" for messages in (chosen, rejected)):
        chosen, rejected = (row.prompt("prompt") + messages for messages in (chosen, rejected))
    return {**dialogues.pair(chosen, rejected, (row.column("chosen"), row.column("rejected"))), **row.scores()}
