"""RewardBench: a prompt with an answer that a reward should prefer to the other."""

from preference.formats.trl import example  # noqa: F401
from preference.tasks.columns import CHAT, TEXT

COLUMNS = {"prompt": CHAT, "chosen": TEXT, "rejected": TEXT, "chosen_model": TEXT, "rejected_model": TEXT}
