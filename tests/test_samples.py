"""A table's portrait: measures and extremes are those of the rows, and damage is named while the rest is shown."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from artifact_files import pairs, rewards, table, write_rows

from preference.inspection import samples
from preference.stage import InputError


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
