"""Rewards by hand: verifiers, functions of the user's own, sums of several, and what is refused."""

import dataclasses
import json
import re

import pytest

from preference import rewards
from preference.files import conversations
from preference.rewards import functions, specs, verifiers
from preference.running.shards import Shards
from preference.running.stage import InputError

RESPONSES = ["", "Ein größeres Haus!", "don't a_b  42\n"]


def row(response: str, num_tokens: int = 1, sample_id: int = 0, **fields) -> dict:
    return {
        **{"prompt_id": "p", "sample_id": sample_id, "prompt": conversations.user("How many?"), "fields": fields},
        **{"response": conversations.assistant(response), "num_tokens": num_tokens, "given_reward": None},
    }


ROWS = [row(text, number) for text, number in zip(RESPONSES, (0, 5, 9), strict=True)]


def scored(flags: rewards.Flags, rows: list[dict], folder, shard=None, size: int = 2) -> list[dict]:
    with Shards(str(folder / "rewards"), {}, size, shard) as shards:
        return rewards.score(flags, rows, shards, rewards.Reading(4, 64))


def gold(folder, rows, name, **flags):
    return [row["gold_reward"] for row in scored(rewards.Flags(gold_reward=name, **flags), rows, folder)]


@pytest.mark.parametrize(
    "flags, found",
    [
        ({"name": "min_length"}, [0, -5, -9]),
        ({"name": "max_length"}, [0, 5, 9]),
        ({"name": "mode_length", "target_length": 6}, [-6, -1, -3]),
        ({"name": "max_length", "length_unit": "characters"}, [0, 18, 14]),
        ({"name": "max_length", "length_unit": "words"}, [0, 3, 4]),  # don, t, a_b, 42
        ({"name": "mode_length", "target_length": 3, "length_unit": "words"}, [-3, 0, -1]),
    ],
)
def test_gold_rewards_by_hand(tmp_path, flags, found):
    assert repr(gold(tmp_path, ROWS, **flags)) == repr([float(reward) for reward in found]), "no -0.0 either"


def test_a_length_as_far_below_the_target_as_another_above_is_as_good(tmp_path):
    rows = [row("", number) for number in range(21)]
    found = gold(tmp_path, rows, "mode_length", target_length=10)
    assert found == found[::-1] and max(found) == found[10] == 0 and sorted(found[:11]) == found[:11]


@pytest.mark.parametrize(
    "changed, line",
    [
        ({"gold_reward": None}, "--reward_model, --gold_reward: give at least one"),
        ({"target_length": None}, "--gold_reward mode_length: needs --target_length"),
        ({"gold_reward": "min_length"}, "--target_length 3: only --gold_reward mode_length has a target"),
        ({"gold_reward": None, "reward_model": "m"}, "--target_length 3: only --gold_reward mode_length has a target"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(changed, line):
    good = rewards.Flags(gold_reward="mode_length", target_length=3)
    rewards.check(good)
    with pytest.raises(InputError) as refused:
        rewards.check(dataclasses.replace(good, **changed))
    assert str(refused.value) == line


def verified(name: str, one: dict, **options) -> float:
    return verifiers.make(name, options)(one)


@pytest.mark.parametrize(
    "response, answer, reward",
    [
        ("so it is\n#### 72", "72", 1),
        ("#### 71\n#### 72", "72", 1),  # the last one counts
        ("####\n\n  72  \nand more", "72", 1),
        ("#### 72 ", "48 + 24 = 72\n#### 72", 1),  # the answer as GSM8K writes it
        ("#### 72.", "72", 0),
        ("72", "72", 0),
        ("#### ", "72", 0),
        ("", "72", 0),
        ("#### 72", 72, 1),
        ("#### a", "a\nb", 0),
        ("#### a b", "a  b", 0),
    ],
)
def test_an_exact_answer_is_the_line_after_the_last_marker(response, answer, reward):
    assert verified("exact_answer", row(response, answer=answer)) == reward


def test_the_marker_and_the_field_of_an_exact_answer_can_be_chosen():
    one = row("Final answer: Paris", capital="Paris", answer="no")
    assert verified("exact_answer", one, marker="answer:", field="capital") == 1
    assert verified("exact_answer", one, marker="answer:") == 0


@pytest.mark.parametrize(
    "text, number",
    [
        ("It is 72.", 72),
        ("1 + 1 = 2", 2),
        ("$1,234,567.50 in all", 1234567.5),
        ("from -3 to −4", -4),
        ("5-3", 3),
        ("6.02e23", 6.02e23),
        (".5", 0.5),
        ("one, 1,2", 2),
        ("12,34", 34),
        ("1,2345", 2345),
        ("72kg", 72),
        ("x2", None),
        ("none", None),
        ("", None),
        ("7 or 1e999", 7),  # which is no finite number
    ],
)
def test_the_last_number_of_a_text(text, number):
    from preference.rewards.verifiers.number import last_number

    assert last_number(text) == number


def test_numbers_are_compared_as_numbers_within_the_tolerance():
    assert verified("number", row("It is 72.0", answer="72")) == 1
    assert verified("number", row("It is 72.1", answer=72)) == 0
    assert verified("number", row("It is 72.1", answer=72), tolerance=0.2) == 1
    assert verified("number", row("no idea", answer=72)) == 0
    with pytest.raises(InputError, match="prompt_id p: field 'answer' is 'many', without a number"):
        verified("number", row("72", answer="many"))


def test_a_regular_expression_is_searched_for_in_the_text():
    assert [verified("regex", row(text), pattern=r"\bno\b") for text in ("oh no!", "nope")] == [1, 0]
    assert [verified("regex", row(text), pattern=r"\A\d+\Z") for text in ("12", "12 ")] == [1, 0]


@pytest.mark.parametrize(
    "text, kind, reward",
    [
        ('{"a": [1, null]}', "any", 1),
        (" [1]\n", "array", 1),
        ("42", "any", 1),
        ("42", "object", 0),
        ("[1]", "object", 0),
        ("{}", "object", 1),
        ("{'a': 1}", "any", 0),
        ("NaN", "any", 0),
        ("```json\n{}\n```", "any", 0),
        ("", "any", 0),
        ("[" * 100_000, "any", 0),
    ],
)
def test_json_is_the_whole_response_or_it_is_none(text, kind, reward):
    assert verified("json", row(text), type=kind) == reward


def test_a_field_that_the_data_lacks_is_named_with_those_that_it_has():
    with pytest.raises(InputError, match="prompt_id p: its data has no field 'answer'; it has solution, url"):
        verified("exact_answer", row("x", url="", solution=""))
    with pytest.raises(InputError, match="has no field 'answer'; it has no fields"):
        verified("number", row("x"))


@pytest.mark.parametrize(
    "name, options, line",
    [
        ("regex", {}, "regex needs pattern, a text"),
        ("regex", {"pattern": "("}, "regex: pattern: '(' is not a regular expression: missing ), unterminated"),
        ("number", {"tolerance": "0"}, "number: tolerance is '0', not a number"),
        ("number", {"tolerance": -1}, "number: tolerance: -1 must be at least 0"),
        ("mode_length", {"target": True}, "mode_length: target is True, not a whole number"),
        ("mode_length", {"target": 0}, "mode_length: target: 0 must be from 1 to 1000000000"),
        ("min_length", {"unit": "lines"}, "min_length: unit: 'lines' is not one of tokens, characters, words"),
        ("json", {"type": "list"}, "json: type: 'list' is not one of any, object, array"),
        ("exact_answer", {"marker": " "}, "exact_answer: marker: is empty"),
    ],
)
def test_an_option_of_a_verifier_that_cannot_be_used_is_refused(name, options, line):
    with pytest.raises(InputError, match=re.escape(line)):
        verifiers.make(name, options)


def test_every_module_of_the_package_is_a_verifier_that_says_what_it_reads():
    import importlib

    for name in verifiers.names():
        module = importlib.import_module(f"preference.rewards.verifiers.{name}")
        assert dataclasses.is_dataclass(module.Reward) and module.__doc__, name


# Specs.


@pytest.mark.parametrize(
    "value, line",
    [
        ("jsn", "--x: 'jsn' is not one of exact_answer, json"),
        ({"name": "jsn"}, "--x.name: 'jsn' is not one of exact_answer, json"),
        ("jsn", "did you mean json?"),
        ({"weight": 2}, "--x.name: is missing; a reward has one of model, python, name"),
        ({"name": "json", "model": "m"}, "--x: has both model and name"),
        ({"name": "json", "kind": "any"}, "--x.kind: unknown key; known are name, type, weight, as"),
        ({"name": "min_length", "units": "words"}, "--x.units: unknown key; did you mean unit?"),
        ({"model": "m", "wieght": 1}, "--x.wieght: unknown key; did you mean weight?"),
        ({"name": "json", "weight": "2"}, "--x.weight: '2' is not a finite number"),
        ({"name": "json", "weight": float("nan")}, "--x.weight: nan is not a finite number"),
        ({"name": "json", "weight": True}, "--x.weight: True is not a finite number"),
        ({"name": "json", "as": "A b"}, "--x.as: 'A b' is not a name"),
        ([{"name": "json", "as": "a"}, {"name": "regex", "pattern": "", "as": "a"}], "--x.as: 'a' names two rewards"),
        ({"model": 3}, "--x.model: 3 is not a text"),
        ("{not json", "--x: {not json is not JSON"),
        (3, "--x: 3 is not a reward; write a mapping with one of model, python, name"),
        ([], "--x: is empty; name at least one reward"),
    ],
)
def test_a_spec_that_is_not_one_is_refused_by_its_key(value, line):
    with pytest.raises(InputError, match=re.escape(line)):
        specs.parse(value, "--x", "name")


def test_parts_have_different_names_whatever_they_are_made_of():
    given = [{"model": "a/Reward-Model@v1"}, {"model": "trained"}, {"python": "x/f.py:score"}, "json", "json"]
    given += [{"name": "json", "as": "valid"}, {"model": "/models/7b"}]
    parts = specs.parse([{"name": each} if each == "json" else each for each in given], "--x", "model")
    names = ["reward_model", "learned", "score", "json", "json_2", "valid", "reward_7b"]
    assert [part.name for part in parts] == names
    files = [["a/Reward-Model@v1"], ["trained"], ["x/f.py"], [], [], [], ["/models/7b"]]
    assert [part.files() for part in parts] == files


def test_several_rewards_are_summed_with_their_weights_and_kept_unweighted(tmp_path):
    mixed = ({"name": "max_length", "unit": "words", "weight": 0.5}, {"name": "regex", "pattern": "a", "weight": -2})
    flags = rewards.Flags(reward_model=tuple(map(json.dumps, mixed)), gold_reward="min_length")
    rewards.check(flags)
    found = scored(flags, ROWS, tmp_path)
    assert [each["reward_max_length"] for each in found] == [0, 3, 4]
    assert [each["reward_regex"] for each in found] == [0, 1, 1]
    assert [each["reward"] for each in found] == [0, 1.5 - 2, 2 - 2]
    assert [each["gold_reward"] for each in found] == [0, -5, -9]


def test_a_mixed_gold_reward_has_columns_of_its_own_and_is_the_reward_without_another(tmp_path):
    flags = rewards.Flags(gold_reward=("json", '{"name": "max_length", "weight": 0.1}'))
    found = scored(flags, [row("42", 3)], tmp_path)
    assert found == [{"reward": 1.3, "gold_reward": 1.3, "reward_gold_json": 1.0, "reward_gold_max_length": 3.0}]


def test_one_reward_with_a_weight_keeps_its_own_value_and_one_without_has_no_second_column(tmp_path):
    weighted = rewards.Flags(reward_model='{"name": "max_length", "weight": 2}')
    assert scored(weighted, [row("", 3)], tmp_path) == [{"reward": 6, "gold_reward": None, "reward_max_length": 3}]
    assert scored(rewards.Flags(gold_reward="max_length"), [row("", 3)], tmp_path) == [{"reward": 3, "gold_reward": 3}]


def test_the_datas_own_scores_are_the_reward_where_they_are_asked_for(tmp_path):
    rows = [row("a", 2) | {"given_reward": 0.25}]
    assert scored(rewards.Flags(given=True), rows, tmp_path) == [{"reward": 0.25, "gold_reward": None}]
    found = scored(rewards.Flags(given=True, gold_reward="max_length"), rows, tmp_path)
    assert found == [{"reward": 0.25, "gold_reward": 2}]
    with pytest.raises(InputError, match="--given: the data's own scores are the reward"):
        rewards.check(rewards.Flags(given=True, reward_model="m"))


# Functions of the user's own.

FUNCTION = """\
import math
SEEN = []

def score(messages, response, fields):
    SEEN.append(response)
    messages.append("changed")
    return len(messages[0]["content"]) + len(response) + fields.get("bonus", 0)

def odd(messages, response, fields):
    return {"a": math.inf, "b": "one", "c": None, "d": True}.get(response) if response else 1 / len(response)

half = lambda messages, response, fields: 0.5
number = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(FUNCTION)
    return f"{tmp_path}/own.py"


def python(file: str, name: str) -> rewards.Flags:
    return rewards.Flags(reward_model=json.dumps({"python": f"{file}:{name}"}))


def test_a_function_reads_the_prompt_the_response_and_the_fields(file, tmp_path):
    rows = [row("ab"), row("abc", bonus=10)]
    assert [each["reward"] for each in scored(python(file, "score"), rows, tmp_path)] == [9 + 2, 9 + 3 + 10]
    assert rows[0]["prompt"] == conversations.user("How many?"), "what it changes is its own copy"
    assert scored(python(file, "half"), rows, tmp_path / "half")[0]["reward"] == 0.5
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_truth_value_is_a_number(file):
    assert functions.load(f"{file}:odd")(row("d")) == 1.0


@pytest.mark.parametrize(
    "response, line",
    [
        ("", "ZeroDivisionError: division by zero (line 10)"),
        ("a", "returned inf; a reward is a finite number"),
        ("b", "returned 'one'; a reward is a finite number"),
        ("c", "returned None; a reward is a finite number"),
    ],
)
def test_a_function_that_fails_is_named_with_the_row(file, response, line):
    with pytest.raises(InputError) as refused:
        functions.load(f"{file}:odd")(row(response, sample_id=3))
    assert str(refused.value) == f"{file}: odd: prompt_id p, sample_id 3: {line}"


@pytest.mark.parametrize(
    "content, subject, line",
    [
        ("def f(): pass", "own.py:g", "own.py: has no function 'g'; it defines f"),
        ("", "own.py:g", "own.py: has no function 'g'; it defines no function"),
        ("def f(:", "own.py:f", "own.py, line 1: is not Python: "),
        ("f = 1", "own.py:f", "own.py: 'f' is int, not a function"),
        ("f = 1 / 0", "own.py:f", "own.py: fails as it is run: ZeroDivisionError: division by zero (line 1)"),
        ("import no_such_package as f", "own.py:f", "own.py: fails as it is run: ModuleNotFoundError"),
        ("", "own.py", "own.py: is not file.py:function, such as rewards.py:score"),
        ("", "other.py:f", "other.py: cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_has_no_such_function_is_refused(tmp_path, monkeypatch, content, subject, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(content)
    with pytest.raises(InputError, match=re.escape(line)):
        functions.load(subject)


def test_the_check_of_a_function_runs_nothing(tmp_path):
    (tmp_path / "own.py").write_text("open('ran', 'w')\ndef f(messages, response, fields): return 1\n")
    functions.check(f"{tmp_path}/own.py:f")
    assert not (tmp_path / "ran").exists()


def test_what_a_function_returned_before_a_failure_is_not_asked_for_again(tmp_path):
    (tmp_path / "own.py").write_text(
        "from pathlib import Path\nLOG = Path(__file__).with_name('calls')\n"
        "def f(messages, response, fields):\n"
        "    with LOG.open('a') as log: log.write(response + '\\n')\n"
        "    return 1 / (response != 'e' or Path(__file__).with_name('mended').exists())\n"
    )
    rows, flags = [row(text) for text in "abcdef"], python(f"{tmp_path}/own.py", "f")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        scored(flags, rows, tmp_path)
    (tmp_path / "mended").touch()
    assert len(scored(flags, rows, tmp_path)) == 6
    assert (tmp_path / "calls").read_text().split() == [*"abcde", *"ef"]


def test_jobs_that_share_the_rows_give_the_same_rewards(file, tmp_path):
    rows, flags = [row("a" * number) for number in range(7)], python(file, "score")
    whole = scored(flags, rows, tmp_path / "whole")
    parts = [scored(flags, rows, tmp_path / "parts", f"{number}-of-3") for number in (1, 2, 3)]
    assert sum(parts, []) == whole


def test_what_a_reward_is_made_of_is_recorded_by_its_files_and_its_spec(file):
    flags = rewards.Flags(reward_model=json.dumps({"python": f"{file}:score"}), gold_reward=("json", "min_length"))
    assert rewards.inputs(flags) == {"reward_files": (file,)}
    assert rewards.members(flags) == [f"preference/rewards/verifiers/{name}.py" for name in ("json", "min_length")]
