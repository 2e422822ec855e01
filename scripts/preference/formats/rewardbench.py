"""RewardBench: a prompt with an answer that a reward should prefer to the other."""

from preference.columns import CHAT, TEXT
from preference.formats.trl import example  # noqa: F401

COLUMNS = {"prompt": CHAT, "chosen": TEXT, "rejected": TEXT, "chosen_model": TEXT, "rejected_model": TEXT}
