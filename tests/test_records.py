"""Tables: what is written can be read, what is damaged or foreign is named, and nothing half-written stays."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preference import records
from preference.stage import InputError

ROWS = [{"prompt_id": records.prompt_id(p), "prompt": p, "response": p.upper()} for p in ("one", "two", "three")]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "sft.parquet"
    records.write(path, "sft", ROWS, {"stage": "test", "rows_out": 3})
    return path


def test_a_table_comes_back_as_it_was_written_with_what_made_it(table):
    assert records.read(table, "sft") == ROWS
    assert records.metadata(table) == {"kind": "sft", "stage": "test", "rows_out": 3}


def test_equal_rows_give_equal_bytes(table, tmp_path):
    records.write(tmp_path / "again.parquet", "sft", ROWS, {"stage": "test", "rows_out": 3})
    assert (tmp_path / "again.parquet").read_bytes() == table.read_bytes()


def test_a_wider_table_serves_as_a_narrower_kind(table):
    assert [row["prompt"] for row in records.read(table, "prompts")] == ["one", "two", "three"]


def test_a_missing_column_is_named(table):
    with pytest.raises(InputError, match="sft.parquet: has no column 'chosen', so it is not a table of pairs"):
        records.read(table, "pairs")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.parquet: no such file"):
        records.read(tmp_path / "none.parquet", "sft")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_damage_is_found_before_a_row_is_used(table, damage):
    content = bytearray(table.read_bytes())
    if damage == "flipped":
        content[len(content) // 4] ^= 1
    table.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "emptied": b""}[damage])
    with pytest.raises(InputError, match="sft.parquet: damaged or not Parquet"):
        records.read(table, "sft")


def test_an_empty_table_is_refused(tmp_path):
    records.write(tmp_path / "empty.parquet", "sft", [], {})
    with pytest.raises(InputError, match="empty.parquet: has no rows"):
        records.read(tmp_path / "empty.parquet", "sft")


def reward_row(reward):
    return {
        "prompt_id": "p",
        "sample_id": 0,
        "prompt": "a",
        "response": "b",
        "response_ids": [1],
        "finish_reason": "stop",
        "num_tokens": 1,
        "reward": reward,
        "gold_reward": None,
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_nan_or_infinite_reward_is_ever_written(tmp_path, value):
    with pytest.raises(AssertionError, match="row 1: column 'reward' is"):
        records.write(tmp_path / "rewards.parquet", "rewards", [reward_row(1.0), reward_row(value)], {})
    assert list(tmp_path.iterdir()) == []


def test_a_nan_reward_in_a_file_is_named_by_row(tmp_path):
    path = tmp_path / "rewards.parquet"
    rows = [reward_row(1.0), reward_row(math.nan)]
    pq.write_table(pa.Table.from_pylist(rows, schema=records.SCHEMAS["rewards"]), path)
    with pytest.raises(InputError, match="rewards.parquet: row 1: column 'reward' is nan"):
        records.read(path, "rewards")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    records.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        records.write_json(path, {"a": math.nan})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"] and records.read_json(path) == {"a": 1}


def test_shared_prompts_of_training_and_evaluation_are_found():
    with pytest.raises(InputError, match="a: 1 prompts are also in b"):
        records.check_disjoint("a", ROWS[:2], "b", ROWS[1:])
    records.check_disjoint("a", ROWS[:1], "b", ROWS[1:])


def test_a_prompt_has_one_name_whatever_file_it_is_in():
    assert records.prompt_id("héllo") == records.prompt_id("héllo") != records.prompt_id("hello")
    assert len(records.prompt_id("")) == 16
