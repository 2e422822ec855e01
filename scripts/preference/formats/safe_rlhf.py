"""PKU-SafeRLHF: two responses to a prompt, and the number of the better one."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {"prompt": TEXT, "response_0": TEXT, "response_1": TEXT, "better_response_id": NUMBER}


def example(row: Row) -> dict:
    better = row.value("better_response_id")
    if better not in (0, 1):
        raise InputError(f"{row.column('better_response_id')} is {better!r}, neither 0 nor 1")
    chosen, rejected = (conversations.assistant(row.text(f"response_{n:.0f}")) for n in (better, 1 - better))
    return {"prompt": conversations.user(row.text("prompt")), "chosen": chosen, "rejected": rejected}
