"""A reward model's pairs: subsets are nested, noise swaps whole rows, and neither hangs on order or on the other."""

import pytest

from preference.running.stage import InputError
from preference.tasks import labels

ROWS = [
    {
        **{"prompt_id": f"p{i // 2}", "prompt": f"prompt {i // 2}", "chosen": f"good {i}", "rejected": f"bad {i}"},
        **{"chosen_reward": float(i), "rejected_reward": -1.0, "chosen_tokens": [i], "rejected_tokens": None},
        **{"chosen_finish_reason": "stop", "rejected_finish_reason": "length"},
    }
    for i in range(400)
]


def subset(number, rows=ROWS, seed=1):
    return labels.subset(rows, number, seed, "pairs.parquet")


def test_a_swapped_pair_by_hand():
    assert labels.noised(ROWS[3:4], 1.0, 1) == (
        [
            {
                **{"prompt_id": "p1", "prompt": "prompt 1", "rejected": "good 3", "chosen": "bad 3"},
                **{"rejected_reward": 3.0, "chosen_reward": -1.0, "rejected_tokens": [3], "chosen_tokens": None},
                **{"rejected_finish_reason": "stop", "chosen_finish_reason": "length"},
            }
        ],
        1,
    )


def test_without_noise_and_without_a_number_all_rows_are_as_they_were():
    assert subset(None) == ROWS and labels.noised(ROWS, 0.0, 1) == (ROWS, 0)


def test_a_subset_keeps_the_files_order_and_holds_every_smaller_one():
    found = [[ROWS.index(row) for row in subset(number)] for number in (1, 50, 51, 400)]
    assert [len(some) for some in found] == [1, 50, 51, 400]
    assert all(some == sorted(some) for some in found)
    assert all(set(few) < set(more) for few, more in zip(found, found[1:], strict=False))
    assert found[1] != list(range(50)), "it is drawn, and not the file's beginning"


def test_more_noise_keeps_the_labels_wrong_that_less_made_wrong():
    wrong = [set() for _ in range(3)]
    for held, noise in zip(wrong, (0.1, 0.3, 1.0), strict=True):
        rows, number = labels.noised(ROWS, noise, 1)
        held.update(i for i, row in enumerate(rows) if row != ROWS[i])
        assert len(held) == number
    assert wrong[0] < wrong[1] < wrong[2] == set(range(400))
    assert 20 < len(wrong[0]) < 60 and 85 < len(wrong[1]) < 155  # of 400; more than three standard errors


def test_pairs_of_one_prompt_draw_apart():
    rows, _ = labels.noised(ROWS, 0.5, 1)
    swapped = [row != before for row, before in zip(rows, ROWS, strict=True)]
    assert any(a != b for a, b in zip(swapped[::2], swapped[1::2], strict=True))


def test_draws_hang_on_the_seed_and_not_on_the_order_or_on_each_other():
    reverse = ROWS[::-1]
    assert subset(50, reverse) == subset(50)[::-1] and subset(50, seed=2) != subset(50)
    assert labels.noised(reverse, 0.3, 1)[0] == labels.noised(ROWS, 0.3, 1)[0][::-1]
    assert labels.noised(ROWS, 0.3, 2) != labels.noised(ROWS, 0.3, 1)
    of_all = {row["prompt"] + row["chosen"] for row in labels.noised(ROWS, 0.3, 1)[0]}
    assert {row["prompt"] + row["chosen"] for row in labels.noised(subset(50), 0.3, 1)[0]} < of_all
    shares = [len([row for row in labels.noised(subset(200, seed=s), 0.5, s)[0] if row not in ROWS]) for s in range(9)]
    assert 850 < sum(shares) < 950, "those that the subset takes are noised no more and no less than others"


def test_more_pairs_than_there_are_are_refused():
    with pytest.raises(InputError, match="^--num_pairs 401: pairs.parquet has only 400 pairs$"):
        subset(401)


def test_messages_draw_as_the_plain_texts_that_stand_for_them_and_a_tool_call_for_itself():
    def spelled(row, side):
        return row | {side: [{"role": "assistant", "content": row[side]}]}

    messages = [spelled(spelled(row, "chosen"), "rejected") for row in ROWS]
    drawn = [[row["chosen_tokens"] for row in subset(50, rows)] for rows in (ROWS, messages)]
    assert drawn[0] == drawn[1]
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = [row | {"chosen": [row["chosen"][0] | {"tool_calls": [call]}]} for row in messages]
    assert [row["chosen_tokens"] for row in subset(50, called)] != drawn[0]
