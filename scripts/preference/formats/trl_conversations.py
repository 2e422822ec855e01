"""TRL's conversational preferences with an explicit prompt, and this workflow's own pairs."""

from preference.columns import MESSAGES, SCORES
from preference.formats.ultrafeedback import example  # noqa: F401

COLUMNS = {"prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES}
ALSO = SCORES
