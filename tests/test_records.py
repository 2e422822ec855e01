"""Tables: what is written can be read, what is damaged or foreign is named, and nothing half-written stays."""

import math

import pyarrow.parquet as pq
import pytest

from preference.files import records
from preference.running.stage import InputError

ROWS = [{"prompt_id": records.prompt_id(p), "prompt": p, "response": p.upper()} for p in ("one", "two", "three")]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "sft.parquet"
    records.write(path, "sft", ROWS, {"stage": "test", "rows_out": 3})
    return path


def test_a_table_comes_back_as_it_was_written_with_what_made_it(table):
    assert records.read(table, "sft") == [
        {
            **{"prompt_id": row["prompt_id"], "tools": None, "fields": None},
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "response": [{"role": "assistant", "content": row["response"]}],
        }
        for row in ROWS
    ]
    assert records.metadata(table) == {"kind": "sft", "stage": "test", "rows_out": 3, "path": str(table)}


def test_equal_rows_give_equal_bytes(table):
    before = table.read_bytes()
    records.write(table, "sft", ROWS, {"stage": "test", "rows_out": 3})
    assert table.read_bytes() == before


def test_a_wider_table_serves_as_a_narrower_kind(table):
    found = [row["prompt"] for row in records.read(table, "prompts")]
    assert found == [[{"role": "user", "content": text}] for text in ("one", "two", "three")]


def test_a_missing_column_is_named(table):
    with pytest.raises(InputError, match="sft.parquet: has no column 'chosen', so it is not a table of pairs"):
        records.read(table, "pairs")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.parquet: no such file"):
        records.read(tmp_path / "none.parquet", "sft")


def rewritten(change):
    """Damage by another program: the table is valid Parquet, and keeps even its metadata."""

    def damage(path):
        found = pq.read_table(path)
        pq.write_table(change(found).replace_schema_metadata(found.schema.metadata), path)

    return damage


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("prompt,response"),
    "a row dropped": rewritten(lambda found: found.slice(1)),
    "a column missing": rewritten(lambda found: found.drop_columns("response")),
    "rewritten as it was": rewritten(lambda found: found),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_before_a_row_is_used(table, damage):
    DAMAGES[damage](table)
    with pytest.raises(InputError, match="sft.parquet: is damaged"):
        records.read(table, "sft")


def test_a_flip_of_any_byte_is_found(table):
    content = table.read_bytes()
    for position in range(len(content)):
        table.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(InputError, match="sft.parquet: is damaged"):
            records.read(table, "sft")


def test_a_table_of_another_place_is_refused(table, tmp_path):
    (tmp_path / "run").mkdir()
    other = table.rename(tmp_path / "run" / "sft.parquet")
    with pytest.raises(InputError, match="run/sft.parquet: is another artifact: no .sft.parquet.origin.json beside it"):
        records.read(other, "sft")
    (tmp_path / ".sft.parquet.origin.json").rename(tmp_path / "run" / ".sft.parquet.origin.json")
    with pytest.raises(InputError, match=f"run/sft.parquet: is another artifact: it was made as {table}"):
        records.read(other, "sft")


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


def test_a_prompt_has_one_name_whatever_file_it_is_in():
    assert records.prompt_id("héllo") == records.prompt_id("héllo") != records.prompt_id("hello")
    assert len(records.prompt_id("")) == 16


CALL = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "reasoning_content": "Look.", "tool_calls": [CALL]},
    {"role": "tool", "content": "12:00", "name": "clock", "tool_call_id": "c1"},
]


def test_messages_that_use_tools_come_back_key_by_key_beside_plain_ones(tmp_path):
    tools, fields = [{"type": "function", "function": {"name": "clock"}}], {"answer": "noon", "scores": [1, 2.5]}
    rows = [ROWS[0], {"prompt_id": "b", "prompt": CHAT, "response": "noon", "tools": tools, "fields": fields}]
    records.write(tmp_path / "sft.parquet", "sft", rows, {})
    plain, full = records.read(tmp_path / "sft.parquet", "sft")
    assert plain["prompt"] == [{"role": "user", "content": "one"}] and plain["tools"] is None
    assert (full["prompt"], full["tools"], full["fields"]) == (CHAT, tools, fields)
    assert pq.read_schema(tmp_path / "sft.parquet").field("prompt").type == records.FULL_MESSAGES
    assert pq.read_schema(tmp_path / "sft.parquet").field("response").type == records.MESSAGES


def test_parts_of_a_reward_are_columns_of_their_own_and_as_finite_as_it_is(tmp_path):
    path = tmp_path / "rewards.parquet"
    records.write(path, "rewards", [reward_row(1.0) | {"reward_length": 0.25}, reward_row(2.0)], {})
    assert pq.read_table(path).column("reward_length").to_pylist() == [0.25, None]
    with pytest.raises(AssertionError, match="column 'reward_length' is nan"):
        records.write(path, "rewards", [reward_row(1.0) | {"reward_length": math.nan}], {})
