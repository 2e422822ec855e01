"""Which preferences a reward model learns from, and whose labels are wrong: a subset of the pairs, and label noise.

Every pair draws for itself, by its texts: a larger subset holds every smaller one, more noise keeps the labels wrong
that less noise made wrong, and neither hangs on the other.
"""

from preference.files import conversations
from preference.running.stage import InputError
from preference.seeds import uniform


def subset(rows: list[dict], num_pairs: int | None, seed: int, path: str) -> list[dict]:
    """`num_pairs` rows of kind "pairs" drawn at random, in the order of the file; all where no number is given.

    Raises:
        InputError: there are fewer.
    """
    if num_pairs is None:
        return rows
    if num_pairs > len(rows):
        raise InputError(f"--num_pairs {num_pairs}: {path} has only {len(rows)} pairs")
    drawn = sorted(range(len(rows)), key=lambda i: _draw("num_pairs", rows[i], seed))
    return [rows[i] for i in sorted(drawn[:num_pairs])]


def noised(rows: list[dict], label_noise: float, seed: int) -> tuple[list[dict], int]:
    """Rows of kind "pairs", each with its chosen and rejected response swapped with probability `label_noise`.

    Returns:
        The rows in their order, and how many of them are swapped.
    """
    wrong = [_draw("label_noise", row, seed) < label_noise for row in rows]
    return [_swapped(row) if swap else row for row, swap in zip(rows, wrong, strict=True)], sum(wrong)


def _draw(use: str, row: dict, seed: int) -> float:
    # By the responses too: a prompt of given preferences may have many pairs.
    sides = (conversations.key(conversations.as_response(row[side])) for side in ("chosen", "rejected"))
    return uniform(seed, use, row["prompt_id"], *sides)


def _swapped(row: dict) -> dict:
    sides = {"chosen": "rejected", "rejected": "chosen"}
    names = {name: name.partition("_") for name in row}
    return {sides.get(side, side) + rest + last: row[name] for name, (side, rest, last) in names.items()}
