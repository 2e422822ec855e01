"""The built-in data: distinct prompts, answers of every length, and more than one answer to a prompt."""

import random
from statistics import fmean, quantiles

import pytest

from preference.running.stage import InputError
from preference.tasks import instructions


@pytest.fixture(scope="module")
def rows():
    return instructions.generate(3960, random.Random(0))


def words(row):
    return len(row["response"].split())


def test_prompts_are_distinct_and_nothing_is_empty_or_has_stray_spaces(rows):
    assert len({row["prompt"] for row in rows}) == len(rows) == 3960
    for text in (row[key] for row in rows for key in ("prompt", "response")):
        assert text and text == " ".join(text.split())


def test_equal_seeds_give_equal_rows_and_other_seeds_others():
    first, again, other = (instructions.generate(50, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_answers_run_from_one_word_to_about_fifty_with_a_mean_near_twenty(rows):
    lengths = [words(row) for row in rows]
    assert min(lengths) == 1 and 40 <= max(lengths) <= 55 and 15 < fmean(lengths) < 25
    low, *_, high = quantiles(lengths, n=10)
    assert low <= 4 and high >= 30


def test_the_same_prompt_gets_terse_and_chatty_answers():
    rng, spread = random.Random(0), []
    for prompts, answer in instructions.KINDS.values():
        _, slots = next(iter(prompts()))
        answers = [instructions._answered(answer, slots, rng) for _ in range(40)]
        assert len(set(answers)) > 5
        lengths = [len(text.split()) for text in answers]
        spread.append(max(lengths) - min(lengths))
    assert min(spread) >= 10


def test_kinds_come_in_equal_shares_while_they_last():
    kind_of = {prompt: kind for kind, (prompts, _) in instructions.KINDS.items() for prompt, _ in prompts()}
    rows = instructions.generate(900, random.Random(0))
    counts = {kind: sum(kind_of[row["prompt"]] == kind for row in rows) for kind in instructions.KINDS}
    assert set(counts.values()) == {100}


def test_the_vocabulary_is_small(rows):
    text = " ".join(row[key] for row in rows for key in ("prompt", "response"))
    assert len({word.strip(".,:?!").lower() for word in text.split()}) < 400


def test_at_least_six_thousand_prompts_exist_and_one_more_than_exist_is_refused_with_their_number():
    available = sum(len(list(prompts())) for prompts, _ in instructions.KINDS.values())
    assert available >= 6000
    assert len({row["prompt"] for row in instructions.generate(available, random.Random(0))}) == available
    with pytest.raises(InputError, match=f"there are {available}"):
        instructions.generate(available + 1, random.Random(0))


def test_answers_are_right():
    rng = random.Random(0)
    assert instructions._count_answer(rng, False, 3, 6, 1) == "3, 4, 5 and 6."
    assert instructions._count_answer(rng, False, 4, 3, -1) == "4 and 3."
    assert instructions._spell_answer(rng, False, "box") == "b o x."
    assert instructions._repeat_answer(rng, False, "red hat", 2) == "Red hat, red hat."
    assert instructions._compare_answer(rng, False, 9, 4) == "9."
    assert instructions._fact_answer(rng, True, "bee", "short") == "The bee eats honey."
