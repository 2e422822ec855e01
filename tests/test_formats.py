"""Each published format is recognised by its columns and converted as it says; what is wrong is one line."""

import importlib.util
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preference import formats
from preference.stage import InputError

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"


def converted(*rows):
    """(format, rows) of rows that a file would hold."""
    columns = {name: formats._kind(list(rows), name) for name in rows[0]}
    name = formats.recognise(columns, "here")
    return name, formats.convert(list(rows), name, "here")


def pair(prompt, chosen, rejected, chosen_reward=None, rejected_reward=None):
    rewards = {"chosen_reward": chosen_reward, "rejected_reward": rejected_reward}
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | rewards


def chat(*turns):
    roles = ["user", "assistant"] * len(turns)
    return [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]


def test_alpaca_instructions_join_instruction_and_input_by_a_newline():
    name, rows = converted(
        {"instruction": "Add.", "input": "1 2", "output": "3"}, {"instruction": "Say hi.", "input": "", "output": ""}
    )
    assert name == "alpaca_instructions"
    assert rows == [{"prompt": "Add.\n1 2", "response": "3"}, {"prompt": "Say hi.", "response": ""}]


def test_alpaca_preference_1_means_that_output_1_won():
    row = {"instruction": "Q", "input": None, "output_1": "one", "output_2": "two"}
    name, rows = converted(row | {"preference": 1, "source": "x"}, row | {"preference": 2, "source": "x"})
    assert name == "alpaca_preferences"
    assert rows == [pair("Q", "one", "two"), pair("Q", "two", "one")]


def test_relabelled_rows_lose_their_prompt_tags_and_eos():
    prompt = "<|prompter|> Say hi.\nnow<|endoftext|><|assistant|>"
    row = {"prompt": prompt, "y_w": f"{prompt}Hi.<|endoftext|>", "y_l": f"{prompt}Go <b>.<|endoftext|>"}
    scores = {"y_w_score": -1.0, "y_l_score": -2, "output": "not this"}
    assert converted(row) == ("relabelled", [pair("Say hi.\nnow", "Hi.", "Go <b>.")])
    assert converted(row | scores) == ("relabelled", [pair("Say hi.\nnow", "Hi.", "Go <b>.", -1.0, -2.0)])


def test_ultrafeedback_of_one_turn_has_the_users_text_as_its_prompt_and_its_scores_as_rewards():
    row = {"prompt": "Q", "chosen": chat("Q", "good"), "rejected": chat("Q", "")}
    assert converted(row) == ("ultrafeedback", [pair("Q", "good", "")])
    scored = row | {"score_chosen": 9.0, "score_rejected": 4.5}
    assert converted(scored)[1] == [pair("Q", "good", "", 9.0, 4.5)]


def test_ultrafeedback_of_several_turns_has_a_transcript_as_its_prompt():
    row = {"chosen": chat("a", "b", "c", "good"), "rejected": chat("a", "b", "c", "bad")}
    assert converted(row)[1] == [pair("Human: a\n\nAssistant: b\n\nHuman: c", "good", "bad")]
    system = {"role": "system", "content": "s"}
    row = {"chosen": [system, *chat("a", "good")], "rejected": [system, *chat("a", "bad")]}
    assert converted(row)[1] == [pair("System: s\n\nHuman: a", "good", "bad")]


def test_hh_of_one_turn_has_the_bare_text_of_the_human_as_its_prompt():
    start = "\n\nHuman: Hi there?\n\nAssistant:"
    row = {"chosen": f"{start} I am well.", "rejected": f"{start} I am\n\nnot."}
    assert converted(row) == ("hh", [pair("Hi there?", "I am well.", "I am\n\nnot.")])


def test_hh_of_several_turns_compares_the_last_and_equals_ultrafeedbacks_transcript():
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    row = {"chosen": f"{start} good", "rejected": f"{start} "}
    assert converted(row)[1] == [pair("Human: a\n\nAssistant: b\n\nHuman: c", "good", "")]


def test_hh_transcripts_that_part_early_are_compared_where_they_part():
    row = {
        "chosen": "\n\nHuman: a\n\nAssistant: yes\n\nHuman: b\n\nAssistant: c",
        "rejected": "\n\nHuman: a\n\nAssistant: no",
    }
    assert converted(row)[1] == [pair("a", "yes", "no")]


def test_trl_rows_and_our_own_pairs_are_taken_as_they_are():
    row = {"prompt": "Q", "chosen": "good", "rejected": None}
    assert converted(row | {"rejected": "bad"}) == ("trl", [pair("Q", "good", "bad")])
    own = row | {"rejected": "bad", "chosen_reward": 1.0, "rejected_reward": None, "prompt_id": "x"}
    assert converted(own) == ("trl", [pair("Q", "good", "bad", 1.0)])


def test_prompts_with_and_without_responses_are_ours():
    assert converted({"prompt": "Q", "response": "A"}) == ("sft", [{"prompt": "Q", "response": "A"}])
    assert converted({"prompt": "Q"}) == ("prompts", [{"prompt": "Q", "response": None}])
    assert converted({"prompt": "Q", "response": None})[0] == "prompts"


def test_unknown_columns_are_named_with_the_source_and_the_known_formats():
    with pytest.raises(InputError) as error:
        converted({"question": "Q", "score": 3})
    assert str(error.value).startswith("here: unknown format with the columns question (text), score (int); known are ")
    assert all(name in str(error.value) for name in formats.FORMATS)


ALPACA = {"instruction": "Q", "input": "", "output_1": "a", "output_2": "b", "preference": 1}
CHAT = {"chosen": chat("Q", "a"), "rejected": chat("Q", "b")}
HH = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}
TAGGED = {"prompt": "<|prompter|>Q", "y_w": "<|assistant|>a", "y_l": "<|assistant|>b"}


@pytest.mark.parametrize(
    "good, wrong, line",
    [
        (ALPACA, {"preference": 0}, "column 'preference' is 0, neither 1 nor 2"),
        (ALPACA, {"preference": None}, "column 'preference' is None, neither 1 nor 2"),
        (ALPACA, {"output_2": 5}, "column 'output_2' is 5, not text"),
        (CHAT, {"chosen": "text"}, "column 'chosen' is not a list of messages"),
        (CHAT, {"rejected": chat("Q")}, "column 'rejected' does not end with a message of the assistant"),
        (CHAT, {"rejected": []}, "column 'rejected' does not end with a message of the assistant"),
        (CHAT, {"rejected": chat("R", "b")}, "columns 'chosen' and 'rejected' have different prompts"),
        (CHAT, {"chosen": [{"role": "tool", "content": ""}, *chat("Q", "a")]}, "has a message of 'tool'"),
        (CHAT | {"score_chosen": 1.0}, {"score_chosen": float("nan")}, "column 'score_chosen' is nan, not a finite"),
        (HH, {"rejected": "\n\nHuman: a"}, "column 'rejected' is no transcript of a Human turn and an Assistant turn"),
        (HH, {"chosen": "\n\nHuman: z\n\nAssistant: b"}, "columns 'chosen' and 'rejected' have different prompts"),
        (TAGGED, {"y_l": "b"}, "column 'y_l' has no <|assistant|>"),
        (TAGGED, {"prompt": "Q"}, "column 'prompt' has no <|prompter|>"),
    ],
)
def test_a_bad_row_is_named_by_source_number_and_column(good, wrong, line):
    with pytest.raises(InputError) as error:
        converted(good, good | wrong)
    assert str(error.value).startswith("here: row 1: ") and line in str(error.value)


@pytest.mark.parametrize(
    "source, parts",
    [
        ("a/b", ("a/b", None, None)),
        ("a/b:train", ("a/b", None, "train")),
        ("a-1/b.2@c_d", ("a-1/b.2", "c_d", None)),
        ("a/b@c:train[:90%]", ("a/b", "c", "train[:90%]")),
    ],
)
def test_a_hub_source_is_owner_name_config_and_split(source, parts):
    assert tuple(formats.parse_hub(source).values()) == parts


@pytest.mark.parametrize("source", ["name", "a/b/c", "a/b:", "a/b@", "a/b:x@y", "a b/c"])
def test_another_spelling_of_a_hub_source_is_refused(source):
    with pytest.raises(InputError, match="neither a path"):
        formats.parse_hub(source)


def test_the_scripts_and_the_workflow_agree_on_what_is_a_path():
    spec = importlib.util.spec_from_file_location("workflow_runs", ROOT / "workflow" / "runs.py")
    runs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runs)
    for source in ("./a", "/a", "..", "a.parquet", "b/a.jsonl", "a.json", "built_in", "a/b", "a/b:x", "a/b@c:x", "a"):
        assert formats.is_local(source) == runs.is_file(source), source


def test_parquet_json_and_folders_of_them_load_alike_and_leave_nothing_beside(tmp_path):
    rows = [{"prompt": f"p{i}", "response": f"r{i}"} for i in range(4)]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:2]), tmp_path / "data" / "1.parquet")
    pq.write_table(pa.Table.from_pylist(rows[2:]), tmp_path / "data" / "2.parquet")
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "list.json").write_text(json.dumps(rows))
    before = sorted(tmp_path.rglob("*"))
    for name in ("data", "lines.jsonl", "list.json"):
        assert formats.load(str(tmp_path / name)) == ({"prompt": "text", "response": "text"}, rows)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name, content, line",
    [
        ("none.parquet", None, "no such file or folder"),
        ("junk.parquet", "junk", "cannot be read: Parquet file size is 4 bytes"),
        ("junk.jsonl", "not json", "line 1: is not JSON at character 1: Expecting value"),
        ("empty.jsonl", "", "has no rows"),
        ("text.txt", "x", "is or holds no .parquet, .json or .jsonl file"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named(tmp_path, name, content, line):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as error:
        formats.load(str(tmp_path / name))
    assert str(error.value).startswith(f"{tmp_path / name}: {line}")


def test_a_folder_of_two_kinds_of_files_is_refused(tmp_path):
    for name in ("a.json", "b.jsonl"):
        (tmp_path / name).write_text('[{"prompt": "x"}]')
    with pytest.raises(InputError, match=r"holds both .json and .jsonl"):
        formats.load(str(tmp_path))


@pytest.mark.parametrize(
    "path, name, num_rows",
    [
        ("alpaca_instructions/test.parquet", "alpaca_instructions", 100),
        ("alpaca_preferences/test.parquet", "alpaca_preferences", 584),
        ("ultrafeedback_schema/test_prefs.parquet", "ultrafeedback", 584),
    ],
)
def test_real_data_is_recognised_and_every_row_converted(path, name, num_rows):
    if not REAL.is_dir():
        pytest.skip("the folder of real preference data is not beside this project")
    columns, rows = formats.load(str(REAL / path))
    assert formats.recognise(columns, path) == name
    assert len(formats.convert(rows, name, path)) == num_rows


def test_real_alpaca_and_ultrafeedback_files_of_the_same_pairs_convert_to_the_same():
    if not REAL.is_dir():
        pytest.skip("the folder of real preference data is not beside this project")
    both = []
    for path, name in (("alpaca_preferences/test", "alpaca_preferences"), ("ultrafeedback_schema/test_prefs", "")):
        _, rows = formats.load(str(REAL / f"{path}.parquet"))
        found = formats.convert(rows, name or "ultrafeedback", path)
        both.append(sorted((row["prompt"], row["chosen"], row["rejected"]) for row in found))
    assert both[0] == both[1]


@pytest.mark.parametrize("name", ["a[0-9].jsonl", "a*.jsonl", "a?.jsonl", "a::b.jsonl", "{a}.jsonl", "-a.jsonl"])
def test_a_name_that_others_would_take_for_a_pattern_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a1.jsonl").write_text('{"prompt": "of another file"}\n')
    (tmp_path / name).write_text('{"prompt": "of this one"}\n')
    assert formats.load(f"./{name}")[1] == formats.load(f"{tmp_path}/{name}")[1] == [{"prompt": "of this one"}]


def test_a_mark_of_byte_order_and_blank_lines_are_no_rows_and_absent_columns_are_empty(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "p"}\n\n{"response": "r"}\r\n')
    columns, rows = formats.load(str(tmp_path / "a.jsonl"))
    assert rows == [{"prompt": "p", "response": None}, {"prompt": None, "response": "r"}]
    assert columns == {"prompt": "text", "response": "text"}
