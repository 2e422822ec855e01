"""Which two responses are compared, and which prompts are dropped and counted."""

import random

import pytest

from preference.files import conversations
from preference.running.stage import InputError
from preference.training import pairs


def sample(sample_id, reward, response=None, prompt_id="p", finish_reason="stop"):
    response = response if response is not None else f"answer {sample_id}"
    return {
        "prompt_id": prompt_id,
        "sample_id": sample_id,
        "prompt": conversations.user(prompt_id),
        "response": conversations.assistant(response),
        "response_ids": [sample_id],
        "finish_reason": finish_reason,
        "num_tokens": 1,
        "reward": reward,
    }


def choose(rewards, pairing, min_margin=0.0, seed=0):
    pair = pairs.choose_pair([sample(i, r) for i, r in enumerate(rewards)], pairing, min_margin, random.Random(seed))
    return pair and tuple(s["reward"] for s in pair)


def test_best_vs_worst_takes_the_extremes():
    assert choose([1.0, 5.0, -2.0, 3.0], "best_vs_worst") == (5.0, -2.0)


def test_best_vs_random_always_has_the_best_and_sometimes_each_other():
    found = {choose([1.0, 5.0, -2.0, 3.0], "best_vs_random", seed=seed) for seed in range(50)}
    assert found == {(5.0, 1.0), (5.0, -2.0), (5.0, 3.0)}


def test_random_pairing_puts_the_better_one_first():
    found = {choose([1.0, 2.0, 3.0], "random", seed=seed) for seed in range(50)}
    assert found == {(2.0, 1.0), (3.0, 1.0), (3.0, 2.0)}


def test_closest_above_margin_takes_the_smallest_margin_that_is_large_enough():
    rewards = [0.0, 1.0, 1.4, 3.0]
    assert choose(rewards, "closest_above_margin", 0.5) == (1.0, 0.0)
    assert choose(rewards, "closest_above_margin", 1.5) == (3.0, 1.4)
    assert choose(rewards, "closest_above_margin", 4.0) is None


@pytest.mark.parametrize("pairing", pairs.PAIRINGS)
def test_no_pairing_makes_a_pair_of_a_tie(pairing):
    assert choose([2.0, 2.0, 2.0], pairing) is None


@pytest.mark.parametrize("pairing", pairs.PAIRINGS)
def test_a_pair_never_has_less_than_the_margin_nor_the_worse_one_first(pairing):
    rng = random.Random(3)
    for _ in range(200):
        rewards = [rng.choice([0.0, 0.5, 1.0, 2.0]) for _ in range(4)]
        pair = choose(rewards, pairing, 1.0, seed=rng.random())
        assert pair is None or pair[0] - pair[1] >= 1.0


def test_dropped_prompts_are_counted_by_reason():
    samples = [
        *[sample(i, float(i), prompt_id="good") for i in range(2)],
        *[sample(i, 1.0, prompt_id="tie") for i in range(2)],
        *[sample(i, float(i), response="same", prompt_id="identical") for i in range(2)],
        sample(0, 1.0, prompt_id="cut"),
        sample(1, 2.0, prompt_id="cut", finish_reason="length"),
    ]
    rows, dropped = pairs.construct(samples, "best_vs_worst", 0.0, "drop", random.Random(0))
    assert [row["prompt_id"] for row in rows] == ["good"]
    assert dropped == {
        "tie or margin below min_margin": 1,
        "identical responses": 1,
        "fewer than two finished responses": 1,
    }


def test_truncated_responses_are_kept_when_asked_for_and_carry_their_finish_reason():
    samples = [sample(0, 1.0), sample(1, 2.0, finish_reason="length")]
    (row,), dropped = pairs.construct(samples, "best_vs_worst", 0.0, "keep", random.Random(0))
    assert (row["chosen_finish_reason"], row["rejected_finish_reason"], sum(dropped.values())) == ("length", "stop", 0)


def test_pairs_do_not_depend_on_the_order_of_the_samples():
    samples = [sample(i, float(i % 3), prompt_id=p) for p in ("a", "b") for i in range(6)]
    shuffled = random.Random(1).sample(samples, len(samples))
    by_prompt = [
        {row["prompt_id"]: row for row in pairs.construct(rows, "best_vs_worst", 0.0, "keep", random.Random(0))[0]}
        for rows in (samples, shuffled)
    ]
    assert by_prompt[0] == by_prompt[1]


def test_windows_of_offline_rounds_follow_each_other_and_start_over():
    rows = [{"n": n} for n in range(5)]
    assert [r["n"] for r in pairs.window(rows, 1, 2)] == [0, 1]
    assert [r["n"] for r in pairs.window(rows, 3, 2)] == [4, 0]
    assert pairs.window(rows, 2, None) == rows
    with pytest.raises(InputError, match="--num_pairs 6: there are only 5"):
        pairs.window(rows, 1, 6)


def test_history_names_the_rounds_before():
    assert [list(pairs.earlier_rounds("none", number)) for number in (1, 4)] == [[], []]
    assert [list(pairs.earlier_rounds("all", number)) for number in (1, 2, 4)] == [[], [1], [1, 2, 3]]
    assert [list(pairs.earlier_rounds("2", number)) for number in (1, 2, 3, 5)] == [[], [1], [1, 2], [3, 4]]


@pytest.mark.parametrize("history", ["0", "-1", "1.5", "two", ""])
def test_another_history_is_refused(history):
    with pytest.raises(InputError, match=f"--history {history}: must be none, all, or how many"):
        pairs.earlier_rounds(history, 3)


def test_a_pair_is_repeated_where_prompt_and_both_responses_are_equal():
    def pair(prompt_id, chosen, rejected):
        sides = {"chosen": conversations.assistant(chosen), "rejected": conversations.assistant(rejected)}
        return {"prompt_id": prompt_id, **sides}

    earlier = [pair("p", "a", "b"), pair("p", "b", "a"), pair("q", "a", "b"), pair("p", "a", "c")]
    assert pairs.not_repeated(earlier, [pair("p", "a", "b")]) == earlier[1:]
    assert pairs.not_repeated(earlier, []) == earlier
