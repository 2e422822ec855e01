"""AlpacaEval's annotations: `preference` runs from 1 (output_1 is better) to 2 (output_2 is), 1.5 or 0 is a tie.

An output's score is the annotator's probability that it is the better one.
"""

from preference.files import conversations
from preference.formats import alpaca_instructions
from preference.running.stage import InputError
from preference.tasks.columns import NUMBER, TEXT, Row

COLUMNS = {
    **{"instruction": TEXT, "output_1": TEXT, "output_2": TEXT, "preference": NUMBER},
    **{"generator_1": TEXT, "generator_2": TEXT},
}
ALSO = {"input": TEXT}


def example(row: Row) -> dict:
    preference = row.number("preference")
    if preference is None or not (preference == 0 or 1 <= preference <= 2):
        raise InputError(f"{row.column('preference')} is {preference}; it must be from 1 to 2, or 0 for a tie")
    second = preference - 1 if preference else 0.5
    answers = [(1 - second, "output_1"), (second, "output_2")]
    (high, better), (low, worse) = sorted(answers, key=lambda answer: -answer[0])
    return {
        "prompt": alpaca_instructions.prompt(row),
        "chosen": conversations.assistant(row.text(better)),
        "rejected": conversations.assistant(row.text(worse)),
        "chosen_reward": high,
        "rejected_reward": low,
    }
