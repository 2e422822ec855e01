"""Two artifacts of one kind: exactly the rows, columns and tensors that differ, wherever they stand in the file."""

import random
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from artifact_files import CALL, CHAT, made_by, pairs, rewards, write_model, write_rows

from preference.files import records
from preference.files.artifacts import write_json
from preference.inspection import comparison
from preference.inspection.comparison import compare
from preference.running.stage import InputError

KEYS = ("prompt_id", "sample_id")


def many(count: int) -> list[dict]:
    return [
        {"prompt_id": f"p{i // 2}", "sample_id": i % 2, "response": f"r{i}", "reward": float(i)} for i in range(count)
    ]


def portrait(*paths) -> str:
    return "\n".join(comparison.portrait(*paths)[0])


def test_exactly_the_changed_rows_are_found_though_the_rows_are_shuffled():
    rng = random.Random(0)
    a, b = many(200), many(200)
    changed = rng.sample(range(200), 7)
    for i in changed:
        b[i] = {**b[i], "reward": -1.0 - i}
    rng.shuffle(b)
    found = compare(a, b, KEYS)
    assert {(f"p{i // 2}", i % 2) for i in changed} == {key for key, _, _ in found.differing}
    assert found.equal == 193 and not found.only_a and not found.only_b
    assert all(comparison.differing(left, right) == ["reward"] for _, left, right in found.differing)


def test_rows_of_one_side_only_are_counted_apart():
    found = compare(many(4), many(6)[1:], KEYS)
    assert (found.only_a, found.only_b, found.equal) == ([("p0", 0)], [("p2", 0), ("p2", 1)], 3)


def test_several_rows_of_one_key_meet_their_equals_first():
    a = [{"prompt_id": "p", "chosen": text} for text in ("x", "y", "y", "z")]
    b = [{"prompt_id": "p", "chosen": text} for text in ("z", "new", "y", "x", "more")]
    found = compare(a, b, ("prompt_id",))
    assert found.equal == 3 and found.only_b == [("p",)] and len(found.differing) == 1


def test_nan_equals_nan_and_nothing_equals_nothing():
    nan = {"prompt_id": "p", "sample_id": 0, "reward": float("nan"), "gold_reward": None}
    assert compare([nan], [{**nan, "reward": float("nan")}], KEYS).equal == 1
    assert comparison.change("reward", {"reward": None}, {"reward": 1.0}) is None


def test_a_diff_says_counts_columns_the_largest_change_and_how_they_were_made(tmp_path):
    a = write_rows(tmp_path / "a.parquet", "rewards", rewards(), "score_responses")
    changed = rewards({1: {"response": "other", "reward": 9.0}, 2: {"reward": 2.5}})[::-1]
    content = {**made_by("score_responses"), "flags": {"seed": 2}}
    content["code"] = {**content["code"], "score_responses.py": "0"}
    records.write(tmp_path / "b.parquet", "rewards", changed, content)
    shown = portrait(a, tmp_path / "b.parquet")
    assert "2 equal, 2 differing, 0 only in A, 0 only in B" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["reward", "2"] in lines and ["response", "1"] in lines
    assert any(line[:4] == ["reward", "1", "9", "8"] for line in lines)
    assert "flags seed: 1 → 2" in shown and "code of score_responses.py" in shown
    assert "reward: 1 → 9" in shown and "│ other" in shown


def test_every_row_that_differs_is_named_with_those_that_differ_in_the_same_columns():
    a, b = many(200), many(202)[2:]
    for i in range(50):
        b[2 * i] = {**b[2 * i], "reward": -1.0}
    b[1] = {**b[1], "response": "other"}
    lines = comparison.rows(a, b, KEYS, 600)
    named = re.findall(r"(p\d+)\[([\d, ]+)\]", " ".join(lines))
    assert [(f"p{i}", "0") for i in range(1, 51)] == [found for found in named if found[1] == "0"]
    assert ("p0", "0, 1") in named and ("p100", "0, 1") in named and ("p1", "1") in named
    heads = [line for line in lines if line.endswith(", by prompt_id[sample_id]:")]
    assert heads == [
        f"{head}, by prompt_id[sample_id]:"
        for head in (
            "1 row of 1 prompt differing in response",
            "50 rows of 50 prompts differing in reward",
            "2 rows of 1 prompt only in A",
            "2 rows of 1 prompt only in B",
        )
    ]


@pytest.mark.parametrize("place", [0, 299, 300, 5000])
def test_an_example_shows_the_place_where_long_texts_differ(place):
    long = "same words " * 1000
    texts = [long[:place] + sign + long[place:] for sign in ("α", "ω")]
    a, b = ([{"prompt_id": "p", "sample_id": 0, "response": text}] for text in texts)
    shown = "\n".join(comparison.rows(a, b, KEYS, 600))
    assert shown.count("α") == 1 and shown.count("ω") == 1
    assert ("they are equal before" in shown) == (place >= 300)


def test_equal_files_and_equal_rows_are_said(tmp_path):
    a = write_rows(tmp_path / "a.parquet", "pairs", pairs(), "construct_pairs")
    b = Path(shutil.copy(a, tmp_path / "b.parquet"))
    assert "equal, byte by byte" in portrait(a, b) and "made with the same flags, code and inputs" in portrait(a, b)
    records.write(b, "pairs", pairs()[::-1], {})
    assert "2 equal, 0 differing, 0 only in A" in portrait(a, b) and "only A says what made it" in portrait(a, b)


def test_models_differ_by_files_and_tensors(tmp_path):
    a, b = write_model(tmp_path / "a"), write_model(tmp_path / "b", weight=1.25)
    lines = [line.split() for line in portrait(a, b).splitlines()]
    assert ["model.safetensors", "differs"] in lines and ["files:", "4", "equal"] in lines
    assert ["a.weight", "0.25"] in lines and ["tensors:", "1", "equal,", "1", "differing"] in lines


def test_csv_and_metrics_meet_by_their_names(tmp_path):
    for name, rows in (("a", "dpo,1,2.0\nsft,0,1.0\n"), ("b", "sft,0,1.0\ndpo,1,2.5\n")):
        (tmp_path / f"{name}.csv").write_text("run,round,mean\n" + rows)
        metrics = {"reward": {"mean": float(len(rows)), "low": 0, "high": 1, "n": 3}, name: {"mean": 1.0}}
        write_json(tmp_path / f"{name}.json", {"metrics": metrics})
    assert "1 equal, 1 differing" in portrait(tmp_path / "a.csv", tmp_path / "b.csv")
    assert "1 equal, 0 differing, 1 only in A, 1 only in B" in portrait(tmp_path / "a.json", tmp_path / "b.json")


def test_different_kinds_are_refused(tmp_path):
    a = write_rows(tmp_path / "a.parquet", "pairs", pairs(), "construct_pairs")
    b = write_rows(tmp_path / "b.parquet", "rewards", rewards(), "score_responses")
    with pytest.raises(InputError, match="a.parquet is pairs, .*b.parquet is rewards: only artifacts of one kind"):
        comparison.portrait(a, b)


def with_prompt(messages: list[dict]) -> list[dict]:
    return [{**row, "prompt": messages} if i == 0 else row for i, row in enumerate(rewards())]


def test_a_diff_shows_the_first_message_that_differs_and_counts_the_others(tmp_path):
    changed = [*CHAT[:1], {"role": "user", "content": "What day is it?"}, *CHAT[2:4], {"role": "user", "content": "!"}]
    a = write_rows(tmp_path / "a.parquet", "rewards", with_prompt(CHAT), "score_responses")
    b = write_rows(tmp_path / "b.parquet", "rewards", with_prompt(changed), "score_responses")
    lines = [line.strip() for line in portrait(a, b).splitlines()]
    assert ["prompt", "1"] in [line.split() for line in lines] and "3 equal, 1 differing" in " ".join(lines)
    start = lines.index("prompt in A, message 2, user")
    assert lines[start + 1 : start + 5] == [
        *("│ What time is it?", "prompt in B, message 2, user", "│ What day is it?", "and 1 message more of prompt"),
    ]


def test_a_tool_call_differs_from_the_text_that_spells_it(tmp_path):
    called = [{"role": "assistant", "content": "", "tool_calls": [CALL]}]
    a = write_rows(tmp_path / "a.parquet", "rewards", rewards({0: {"response": called}}), "score_responses")
    spelled = CALL["function"]["arguments"]
    b = write_rows(tmp_path / "b.parquet", "rewards", rewards({0: {"response": spelled}}), "score_responses")
    shown = portrait(a, b)
    assert "3 equal, 1 differing" in shown and "response in A, message 1, assistant calls clock · c1" in shown


def test_a_message_that_only_one_side_has_is_shown(tmp_path):
    a = write_rows(tmp_path / "a.parquet", "rewards", with_prompt(CHAT), "score_responses")
    b = write_rows(tmp_path / "b.parquet", "rewards", with_prompt(CHAT[:2]), "score_responses")
    shown = portrait(a, b)
    assert "prompt in B, message 3, no message" in shown and "and 2 messages more of prompt" in shown


def test_conversations_are_compared_by_what_is_said_however_the_file_spells_it(tmp_path):
    spelled = [{"role": "user", "content": "why?"}], [{"content": "why?", "role": "user", "name": None}]
    for name, messages in zip("ab", spelled, strict=True):
        pq.write_table(pa.table({"prompt_id": ["p"], "prompt": [messages]}), tmp_path / f"{name}.parquet")
    assert "1 equal, 0 differing" in portrait(tmp_path / "a.parquet", tmp_path / "b.parquet")
