"""TRL's language modeling: whole texts, in which nothing says where an answer begins."""

from preference.tasks.columns import TEXT

COLUMNS = {"text": TEXT}
REFUSED = (
    "whole texts do not say where a prompt ends and its answer begins; use columns prompt and response, or messages"
)
