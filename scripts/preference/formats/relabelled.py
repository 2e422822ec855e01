"""The paper's relabelled sets: y_w and y_l hold the rendered prompt, the answer and EOS in one text."""

from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks import dialogues
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {"prompt": TEXT, "y_w": TEXT, "y_l": TEXT}
ALSO = {"y_w_score": NUMBER, "y_l_score": NUMBER}
TAGS, ASSISTANT = {"<|prompter|>": "user", "<|assistant|>": "assistant", "<|system|>": "system"}, "<|assistant|>"
EOS = "<|endoftext|>"


def example(row: Row) -> dict:
    if "<|prompter|>" not in row.text("prompt"):
        raise InputError(f"{row.column('prompt')} has no <|prompter|>")
    prompt = dialogues.of_tags(row.text("prompt"), TAGS, EOS, row.column("prompt"))
    return {
        "prompt": dialogues.without_open_turn(prompt),
        "chosen": conversations.assistant(_answer(row, "y_w")),
        "rejected": conversations.assistant(_answer(row, "y_l")),
        "chosen_reward": row.number("y_w_score"),
        "rejected_reward": row.number("y_l_score"),
    }


def _answer(row: Row, name: str) -> str:
    """Return what follows the rendered prompt, or the last tag of the assistant."""
    text, prompt = row.text(name), row.text("prompt")
    if prompt.endswith(ASSISTANT) and text.startswith(prompt):
        return text.removeprefix(prompt).split(EOS)[0].strip()
    _, tag, answer = text.rpartition(ASSISTANT)
    if not tag:
        raise InputError(f"{row.column(name)} has no {ASSISTANT}")
    return answer.split(EOS)[0].strip()
