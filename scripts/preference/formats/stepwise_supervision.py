"""TRL's stepwise supervision: labels of the steps of an answer."""

from preference.tasks.columns import CHAT, TEXTS

COLUMNS = {"prompt": CHAT, "completions": TEXTS, "labels": ("list",)}
REFUSED = "labels of single steps say nothing of a whole answer; use prompt, completion and label"
