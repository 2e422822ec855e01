"""TRL's conversational preferences with an explicit prompt, and this workflow's own pairs."""

from preference.formats.ultrafeedback import example  # noqa: F401
from preference.tasks.columns import MESSAGES, SCORES

COLUMNS = {"prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES}
ALSO = SCORES
