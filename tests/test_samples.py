"""A table's portrait: measures and extremes are those of the rows, and damage is named while the rest is shown."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from artifact_files import CHAT, HOSTILE, TOOLS, pairs, rewards, table, write_older, write_rows

from preference.files.untrusted import visible
from preference.inspection import columns, samples
from preference.running.stage import InputError


def test_measures_are_numbers_the_margin_and_lengths():
    found = samples.measures(table(pairs(), "pairs"))
    assert found["margin"].tolist() == [1.0, 1.0] and found["chosen_reward"].tolist() == [1.0, 3.0]
    assert found["chosen_tokens"].tolist() == [3.0, 5.0]  # as sampled
    assert found["rejected_characters"].tolist() == [len(row["rejected"]) for row in pairs()]  # no tokens are known
    assert "sample_id" not in samples.measures(table(rewards(), "rewards"))


def test_a_margin_without_rewards_is_not_a_number():
    rows = [{**row, "chosen_reward": None} for row in pairs()[:1]] + pairs()[1:]
    margin = samples.measures(table(rows, "pairs"))["margin"]
    assert np.isnan(margin[0]) and margin[1] == 1.0
    assert any("1 empty" in line for line in samples.distributions(table(rows, "pairs")) if line.startswith("margin"))


def test_extremes_are_found_and_one_row_is_shown_once():
    found = samples.extremes(table(rewards(), "rewards"))
    assert found == {
        3: ["highest reward", "lowest gold reward", "longest"],
        0: ["lowest reward", "highest gold reward"],
    }
    assert samples.extremes(table(pairs(), "pairs"))[0] == ["largest margin", "smallest margin"]


def test_rows_at_random_follow_the_seed():
    assert samples.drawn(3, 100, 0) == samples.drawn(3, 100, 0) != samples.drawn(3, 100, 1)
    assert samples.drawn(5, 2, 0) == [0, 1]


def test_shares_of_finish_reasons_are_counted():
    lines = [line.split() for line in samples.distributions(table(rewards(), "rewards"))]
    assert ["stop", "3", "75.0", "%", "█" * 30] in lines and ["length", "1", "25.0", "%", "█" * 10] in lines


def test_a_judgement_is_shown_with_both_answers_both_replies_and_the_shares_of_each_verdict():
    row = {**dict.fromkeys(("prompt_id", "prompt", "response"), "p"), "sample_id": 0, "baseline_response": "other"}
    row |= {"verdict": "first", "swapped_verdict": None, "reply": "A", "swapped_reply": "hm", "preference": 0.5}
    found = table([row, row | {"verdict": "tie"}], "judgements")
    lines = [line.split() for line in samples.distributions(found)]
    assert ["first", "1", "50.0", "%", "█" * 20] in lines and ["None", "2", "100.0", "%", "█" * 40] in lines
    shown = "\n".join(samples.rows(found, {0: "at random"}, 80))
    assert "verdict first" in shown and all(text in shown for text in ("│ other", "│ A", "│ hm"))


def test_departures_from_the_schema_are_named():
    rows = table([{**row, "reward": float("nan")} for row in rewards()], "rewards")
    assert samples.check(rows, "rewards", []) == ["column 'reward' is NaN or infinite in 4 rows"]
    assert "has no column 'gold_reward'" in samples.check(rows.drop_columns("gold_reward"), "rewards", [])
    empty = rows.slice(0, 0)
    assert samples.check(empty, "rewards", []) == ["has no rows"]
    place = rows.schema.get_field_index("sample_id")
    other = rows.set_column(place, "sample_id", rows.column("sample_id").cast(pa.int64()))
    assert "column 'sample_id' is int64, not int32" in samples.check(other, "rewards", [])


def test_a_damaged_column_is_named_and_the_others_are_read(tmp_path):
    path = write_rows(tmp_path / "rewards.parquet", "rewards", rewards(), "score_responses")
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunks = (group.column(i) for i in range(group.num_columns))
    chunk = next(chunk for chunk in chunks if chunk.path_in_schema == "response.list.element.content")
    content = bytearray(path.read_bytes())
    content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 3] ^= 255
    path.write_bytes(content)
    found, damaged = samples.load(path)
    assert len(damaged) == 1 and "column 'response' is damaged" in damaged[0]
    assert found.num_rows == 4 and "reward" in found.schema.names and "response" not in found.schema.names


@pytest.mark.parametrize(
    "damage, said",
    [("truncated", "cut off after"), ("emptied", "empty"), ("foreign", "not Parquet"), ("footer", "footer")],
)
def test_a_file_that_does_not_open_says_how_it_is_damaged(tmp_path, damage, said):
    path = write_rows(tmp_path / "rewards.parquet", "rewards", rewards(), "score_responses")
    whole = path.read_bytes()
    footer = whole[:-8] + b"\xff\xff\xff\x7f" + whole[-4:]
    path.write_bytes({"truncated": whole[:900], "emptied": b"", "foreign": b"a,b\n1,2\n" * 9, "footer": footer}[damage])
    (tmp_path / "rewards.log").write_text(f"$ python scripts/score_responses.py --output {path}\n")
    with pytest.raises(InputError, match=said) as stopped:
        samples.load(path)
    assert f"make it again with: python scripts/score_responses.py --output {path}" in str(stopped.value)


# ---- conversations

FOREIGN = {  # a column of each type that other programs store conversations as, and what is shown of it
    "ultrafeedback": ("chosen", [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}]),
    "sharegpt": ("conversations", [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "so"}]),
    "one message": ("rejected", {"from": "gpt", "value": "so"}),
    "lists of a struct": ("turns", {"from": ["human", "gpt"], "value": ["why?", "so"]}),
    "any name": ("a column", [{"content": "so", "role": "critic", "score": 2}]),
    "parts": ("messages", [{"role": "user", "content": [{"type": "text", "text": "so"}]}]),
}
SHOWN = {
    "ultrafeedback": ["user", "│ why?", "assistant", "│ so"],
    "sharegpt": ["human", "│ why?", "gpt", "│ so"],
    "one message": ["gpt", "│ so"],
    "lists of a struct": ["human", "│ why?", "gpt", "│ so"],
    "any name": ["critic · score 2", "│ so"],
    "parts": ["user", "│ so"],
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("as_large", [False, True])
def test_a_conversation_is_known_by_its_type_whatever_program_wrote_it(kind, as_large):
    name, value = FOREIGN[kind]
    found = pa.table({name: [value]})
    if as_large and pa.types.is_list(found.schema.field(0).type):
        found = found.cast(pa.schema([(name, pa.large_list(found.schema.field(0).type.value_type))]))
    lines = [line.strip() for line in samples.rows(found, {0: "at random"}, 80)]
    assert lines[lines.index(name) + 1 :] == SHOWN[kind]
    assert samples.measures(found)[f"{name}_characters"].tolist() == [len("why?so" if len(SHOWN[kind]) > 2 else "so")]
    assert "messages (" in " ".join(samples.schema(found)) or "message (" in " ".join(samples.schema(found))


def chats() -> list[dict]:
    """A prompt of five messages with tools, and a plain one."""
    first, second = (row | {"tools": None, "fields": None} for row in pairs())
    return [first | {"prompt": CHAT, "tools": TOOLS, "fields": {"answer": "noon"}}, second]


def test_a_prompt_of_several_messages_is_shown_with_roles_and_a_plain_one_as_its_text(tmp_path):
    path = write_rows(tmp_path / "pairs.parquet", "pairs", chats(), "construct_pairs")
    lines, wrong = samples.portrait(path, "pairs", 2, 0, 600)
    assert wrong == []
    said = [line.strip() for line in lines]
    first = said.index("prompt")
    assert said[first + 1 : first + 9] == [
        *("system", "│ Be short.", "user", "│ What time is it?", "assistant calls clock · c1", '│ {"zone": "UTC"}'),
        *("tool · clock · c1", "│ 12:00"),
    ]
    second = said.index("prompt", first + 1)
    assert said[second + 1 : second + 3] == [f"│ {visible(chats()[1]['prompt'])}", "chosen"]
    assert any(line.startswith("tools") for line in said) and '│ {"answer": "noon"}' in said


def test_characters_are_those_of_all_messages_and_messages_are_counted(tmp_path):
    path = write_rows(tmp_path / "pairs.parquet", "pairs", chats(), "construct_pairs")
    found = samples.measures(samples.load(path)[0])
    texts = sum(len(message["content"]) for message in CHAT) + len('{"zone": "UTC"}')
    assert found["prompt_characters"].tolist() == [texts, len(chats()[1]["prompt"])]
    assert found["prompt_messages"].tolist() == [5, 1]
    assert "tools_characters" not in found and "rejected_messages" not in found


def test_no_text_can_pass_for_a_line_that_says_who_speaks():
    forged = [
        {"role": "user", "content": "hi\nassistant\n    system\n"},
        {"role": f"user\n\n{HOSTILE}", "content": "x"},
    ]
    lines = samples.rows(pa.table({"messages": [forged]}), {0: "at random"}, 80)
    assert [line for line in lines if line.strip() in ("assistant", "system")] == []
    assert sum(not line.lstrip().startswith("│") for line in lines[2:]) == 3, "the column and two labels"


def test_of_a_long_conversation_the_first_and_the_last_messages_are_shown():
    turns = [{"role": "user" if i % 2 else "assistant", "content": f"turn {i}"} for i in range(50)]
    shown = "\n".join(samples.rows(pa.table({"messages": [turns]}), {0: "at random"}, 80))
    assert [f"│ turn {i}\n" in shown + "\n" for i in (0, 1, 2, 39, 40, 49)] == [True, True, False, False, True, True]
    assert "… 38 messages between, which --html shows" in shown


def test_parts_of_a_reward_are_measured_and_must_be_finite(tmp_path):
    rows = [row | {"reward_length": 0.5 * i} for i, row in enumerate(rewards())]
    path = write_rows(tmp_path / "rewards.parquet", "rewards", rows, "score_responses")
    found = samples.load(path)[0]
    assert samples.check(found, "rewards", []) == []
    assert samples.measures(found)["reward_length"].tolist() == [0.0, 0.5, 1.0, 1.5]
    place = found.schema.get_field_index("reward_length")
    odd = found.set_column(place, "reward_length", pa.array([0.0, np.nan, 1.0, 1.0]))
    assert samples.check(odd, "rewards", []) == ["column 'reward_length' is NaN or infinite in 1 row"]


@pytest.mark.parametrize("kind, rows", [("pairs", pairs()), ("rewards", rewards())])
def test_a_table_of_an_older_version_is_shown_and_one_line_says_so(tmp_path, kind, rows):
    path = write_older(tmp_path / f"{kind}.parquet", kind, rows)
    lines, wrong = samples.portrait(path, kind, 9, 0, 80)
    assert wrong == [] and sum("of an older version of this workflow" in line for line in lines) == 1
    assert any("│ the longest answer of all of them" in line for line in lines)
    assert any("(prompt, tools, fields, " in line for line in lines), "the columns that differ are named"
    column = "chosen" if kind == "pairs" else "response"
    assert f"has no column '{column}'" in samples.check(samples.load(path)[0].drop_columns(column), kind, [])


def test_columns_of_other_programs_are_texts_categories_or_json():
    rows = {
        "instruction": [f"question {i}" for i in range(6)],
        "source": ["flan", "flan", "sharegpt"] * 2,
        "good": [True, False] * 3,
        "completions": [[{"response": "a", "score": 2}]] * 6,
        "id": [2**63 - 1 - i for i in range(6)],
    }
    found = pa.table(rows)
    lines = [line.split() for line in samples.distributions(found)]
    assert ["flan", "4", "66.7", "%", "█" * 27] in lines and ["true", "3", "50.0", "%", "█" * 20] in lines
    shown = "\n".join(samples.rows(found, {1: "at random"}, 80))
    assert "│ question 1" in shown and '│ [{"response": "a", "score": 2}]' in shown
    assert "· source flan · good false" in shown


def test_a_question_of_another_program_stands_before_the_answers():
    found = pa.table({"instruction": ["q"], "chosen": ["a"], "rejected": ["b"], "notes": ["n"], "prompt": ["p"]})
    assert columns.readable(found) == ["prompt", "instruction", "chosen", "rejected", "notes"]
