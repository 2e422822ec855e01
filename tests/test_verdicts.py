"""What a judge is asked and what its reply says: the swap, the ties, and text that would rather decide by itself."""

import itertools
import re

import pytest

from preference.judges import verdicts
from preference.judges.verdicts import FIRST, SECOND, TIE
from preference.running.stage import InputError


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("A", FIRST),
        (" B.\n", SECOND),
        ("tie", TIE),
        ("Tie.", TIE),
        ("TIE", TIE),
        ("[[B]]", SECOND),
        ("**A**", FIRST),
        ("_B_", SECOND),
        ("Answer B is better than answer A.", SECOND),
        ("Answer: A", FIRST),
        ("A, not B", FIRST),
        ("It is a tie, for A and B are alike", TIE),
        ("A is better.", FIRST),
        ("A tie.", TIE),
        ("A better answer is B", SECOND),
        ("", None),
        ("a", None),  # the article
        ("Both are fine", None),
        ("ABBA", None),
        ("B2", None),
        ("necktie", None),
        ("tied", None),
        ("C", None),
        ("АВ", None),  # Cyrillic
    ],
)
def test_the_first_letter_of_its_own_is_the_verdict(reply, said):
    assert verdicts.verdict(reply) == said


def test_only_what_wins_in_both_places_wins_and_only_what_loses_in_both_loses():
    said = {pair: verdicts.preference(*pair) for pair in itertools.product((FIRST, SECOND, TIE, None), repeat=2)}
    assert said.pop((FIRST, SECOND)) == 1.0 and said.pop((SECOND, FIRST)) == 0.0
    assert set(said.values()) == {0.5} and len(said) == 14


def test_two_answers_that_change_their_parts_change_the_outcome():
    """Where the baseline is judged against the policy, the verdicts of the two orders trade places."""
    for pair in itertools.product((FIRST, SECOND, TIE, None), repeat=2):
        assert verdicts.preference(*pair) == 1 - verdicts.preference(*reversed(pair))


def test_each_text_stands_in_its_place_and_brings_no_other_along():
    asked = verdicts.question("{prompt}|{first}|{second}|{prompt}", "a {second}", "{first} {prompt}", "\\1 {0}")
    assert asked == "a {second}|{first} {prompt}|\\1 {0}|a {second}"


def test_our_template_shows_every_part_once_and_its_end_last():
    asked = verdicts.question(verdicts.TEMPLATE, "PROMPT", "ONE", "TWO")
    assert [asked.count(text) for text in ("PROMPT", "ONE", "TWO", "{")] == [1, 1, 1, 0]
    assert asked.index("PROMPT") < asked.index("ONE") < asked.index("TWO") < asked.index("Which answer")


def judged(*said) -> list[dict]:
    return [{"verdict": a, "swapped_verdict": b, "preference": verdicts.preference(a, b)} for a, b in said]


def test_counts_by_hand():
    rows = judged((FIRST, SECOND), (SECOND, FIRST), (FIRST, FIRST), (None, SECOND), (TIE, None))
    assert verdicts.counts(rows) == {
        **{"wins": 1, "ties": 3, "losses": 1, "verdicts": 10, "unparsed": 2},
        "position_bias": 4 / 7,
    }
    assert verdicts.counts(judged((None, TIE)))["position_bias"] is None


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"{prompt} {first}", "has no {second}; a judge is shown {prompt}, {first} and {second}"),
        (b"", "has no {prompt}"),
        (b"\xff{prompt}", "is not UTF-8 text"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_template_that_hides_something_is_refused(tmp_path, content, line):
    path = tmp_path / "template.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"template.txt: {re.escape(line)}"):
        verdicts.read_template(str(path))


def test_a_template_is_read_as_it_is(tmp_path):
    (tmp_path / "t").write_text("Ü {first} {second} {prompt} {other}")
    assert verdicts.read_template(str(tmp_path / "t")) == "Ü {first} {second} {prompt} {other}"
