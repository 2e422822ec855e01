"""The learning rate of each step, by hand on a few numbers and then as properties."""

import itertools

import pytest

from preference.training.schedules import SCHEDULES, multiplier, warmup_steps

CASES = [
    (total, warmup, schedule)
    for total, schedule in itertools.product((1, 2, 3, 10, 97), SCHEDULES)
    for warmup in range(total + 1)
]


def rates(total, warmup, schedule):
    return [multiplier(step, total, warmup, schedule) for step in range(1, total + 1)]


def test_by_hand():
    assert rates(5, 2, "constant") == [0.5, 1, 1, 1, 1]
    assert rates(4, 0, "linear") == [1, 0.75, 0.5, 0.25]
    assert rates(6, 2, "linear") == [0.5, 1, 1, 0.75, 0.5, 0.25]
    assert rates(2, 0, "cosine") == pytest.approx([1, 0.5])
    assert rates(6, 2, "cosine") == pytest.approx([0.5, 1, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2])


def test_no_step_has_the_rate_zero_and_none_more_than_the_peak():
    assert all(0 < rate <= 1 for case in CASES for rate in rates(*case))


def test_step_i_of_n_that_warm_up_has_i_nths_and_the_step_after_them_the_peak():
    for total, warmup, schedule in CASES:
        found = rates(total, warmup, schedule)
        assert found[:warmup] == [step / warmup for step in range(1, warmup + 1)]
        assert found[warmup : warmup + 1] in ([], [1.0])


def test_after_the_warm_up_a_decay_falls_with_every_step_and_a_constant_stays():
    for total, warmup, schedule in CASES:
        after = rates(total, warmup, schedule)[warmup:]
        falls = [one > other for one, other in itertools.pairwise(after)]
        assert not any(falls) if schedule == "constant" else all(falls)


def test_a_training_of_one_step_has_the_peak_whatever_its_warm_up():
    assert {rate for case in CASES if case[0] == 1 for rate in rates(*case)} == {1.0}


@pytest.mark.parametrize(
    ("ratio", "total", "steps"), [(0, 9, 0), (0.1, 1, 1), (0.1, 10, 1), (0.1, 11, 2), (0.07, 100, 7), (1, 5, 5)]
)
def test_the_share_of_steps_that_warm_up_is_rounded_up(ratio, total, steps):
    assert warmup_steps(ratio, total) == steps
