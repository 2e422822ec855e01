"""Each published format is recognised by its columns and converted as it says; what is wrong is one line."""

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import PUBLISHED, chat, pair, said, sft, sharegpt, system

from preference import formats
from preference.files import conversations
from preference.running.stage import InputError
from preference.tasks import data_files, sources
from preference.tasks.sources import Source

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"


def converted(*rows, source=None):
    """(format, examples, bad rows) of rows that a file would hold, each with all columns."""
    columns = dict.fromkeys(name for row in rows for name in row)
    filled = [{name: row.get(name) for name in columns} for row in rows]
    nested = {name for name, kinds in formats._kinds_of_names().items() if "text" not in kinds}
    table = formats.Table(source or Source("here"), formats.columns.decoded(filled, nested))
    match = formats.recognise(table)
    return match, *formats.convert(match)


def without_nothing(example):
    return {key: value for key, value in example.items() if value is not None}


@pytest.mark.parametrize("case", PUBLISHED)
def test_a_published_row_is_recognised_and_becomes_its_example(case):
    name, row, example, unused = PUBLISHED[case]
    match, found, bad = converted(row)
    assert (match.name, bad, match.unused()) == (name, [], unused)
    assert without_nothing({"response": None, **found[0]}) == without_nothing(example)


def test_every_format_has_a_published_row_or_a_reason_to_be_refused():
    shown = {name for name, *_ in PUBLISHED.values()}
    refused = {name for name, module in formats.FORMATS.items() if hasattr(module, "REFUSED")}
    assert shown | refused == set(formats.FORMATS) and not shown & refused


@pytest.mark.parametrize("case", PUBLISHED)
def test_a_published_row_is_the_same_from_parquet(tmp_path, case):
    name, row, example, _ = PUBLISHED[case]
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    match = formats.recognise(formats.load(Source(f"{tmp_path}/a.parquet")))
    found, bad = formats.convert(match)
    assert (match.name, bad) == (name, [])
    assert without_nothing({"response": None, **found[0]}) == without_nothing(example)


def test_the_order_of_columns_does_not_change_the_format():
    for name, row, _, _ in PUBLISHED.values():
        assert converted(dict(reversed(row.items())))[0].name == name


def test_prompts_and_answers_are_canonical_messages():
    for _, row, _, _ in PUBLISHED.values():
        example = converted(row)[1][0]
        assert example["prompt"] == conversations.canonical(example["prompt"])


@pytest.mark.parametrize(
    "row, line",
    [
        ({"text": "a whole text"}, "here: format language_modeling: whole texts do not say where a prompt ends"),
        (
            {"prompt": "q", "completions": ["a"], "labels": [True]},
            "here: format stepwise_supervision: labels of single",
        ),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_the_reason(row, line):
    with pytest.raises(InputError, match=line):
        converted(row)


def test_a_text_beside_known_columns_is_no_reason_to_refuse_them():
    assert converted({"prompt": "q", "text": "q a"})[0].name == "prompts"
    assert converted({"messages": chat("q", "a"), "text": "q a"})[0].name == "messages"


def test_two_texts_beside_a_third_have_no_implicit_prompt():
    with pytest.raises(
        InputError, match="unknown format with the columns query .text., chosen .text., rejected .text."
    ):
        converted({"query": "q", "chosen": "The one", "rejected": "The other"})


def test_nulls_in_a_column_do_not_change_its_format():
    rows = [{"messages": None, "tools": None}, {"messages": chat("q", "a"), "tools": "[]"}, {"messages": []}]
    match, found, bad = converted(*rows)
    assert match.name == "messages" and [example["response"] for example in found] == [said("a")]
    assert [number for number, _ in bad] == [0, 2]


def test_prompts_with_and_without_responses_are_ours():
    assert converted({"prompt": "Q", "response": None})[0].name == "prompts"
    assert converted({"prompt": "Q", "response": "A"})[0].name == "sft"


def test_a_tool_message_stays_one_and_a_call_keeps_its_arguments():
    turn = [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}]
    result = [{"role": "tool", "content": "12:00", "tool_call_id": "c"}]
    row = {side: [*chat("q"), *turn, *result, *said(text)] for side, text in (("chosen", "a"), ("rejected", "b"))}
    prompt = converted(row)[1][0]["prompt"]
    assert [message["role"] for message in prompt] == ["user", "assistant", "tool"]
    assert prompt[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}


CALL = {"name": "f", "arguments": {"x": 1}}


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "parameters": {"x": 1}}]},
        {"role": "assistant", "content": None, "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"role": "tool_call", "content": json.dumps(CALL)},
        {"from": "function_call", "value": json.dumps([CALL])},
    ],
)
def test_a_call_is_one_by_every_published_spelling(turn):
    result = {"role": "function", "name": "f", "content": "1"}
    example = converted({"messages": [*chat("q"), turn, result, *said("a")]})[1][0]
    called = {"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    assert example["prompt"][1] == {"role": "assistant", "content": "", "tool_calls": [called]}
    assert example["prompt"][2] == result | {"role": "tool"} and example["response"] == said("a")
    assert converted({"messages": [*chat("q"), turn]})[1][0]["response"] == example["prompt"][1:2]


def test_calls_of_a_tool_that_differ_by_their_names_alone_are_not_where_conversations_part():
    def call(name):
        return [{"role": "assistant", "content": "", "tool_calls": [{"id": name, "function": {"name": "f"}}]}]

    sides = {name: [*chat("q"), *call(name), {"role": "tool", "content": "1"}, *said(name)] for name in "ab"}
    example = converted({"chosen": sides["a"], "rejected": sides["b"]})[1][0]
    assert example["chosen"] == said("a") and len(example["prompt"]) == 3


def test_a_null_that_a_table_fills_in_is_no_argument_of_a_tool(tmp_path):
    calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "g", "arguments": {"y": "z"}}}]
    messages = [*chat("q"), {"role": "assistant", "content": None, "tool_calls": calls}]
    pq.write_table(pa.Table.from_pylist([{"messages": messages}]), tmp_path / "a.parquet")
    found, _ = formats.convert(formats.recognise(formats.load(Source(f"{tmp_path}/a.parquet"))))
    arguments = [call["function"]["arguments"] for call in found[0]["response"][0]["tool_calls"]]
    assert arguments == ['{"x": 1}', '{"y": "z"}']


def test_a_system_message_of_the_conversation_counts_before_the_column():
    row = {"system": "of the column", "messages": system("of the conversation", "q", "a")}
    assert converted(row)[1][0]["prompt"] == system("of the conversation", "q")


@pytest.mark.parametrize(
    "prompt, chosen, whole",
    [
        (system("s", "q"), chat("q", "a"), system("s", "q")),
        (system("s"), chat("q", "a"), system("s", "q")),
        (chat("x", "y"), chat("q", "a"), chat("x", "y", "q")),
        (chat("x", "y", "q"), said("a"), chat("x", "y", "q")),
        (chat("q "), chat("q", "a"), chat("q")),
        (chat("q"), system("s", "q", "a"), system("s", "q")),
        (chat("other"), chat("q", "a"), None),
    ],
)
def test_answers_go_on_from_the_prompt_or_repeat_it(prompt, chosen, whole):
    row = {"prompt": prompt, "chosen": chosen, "rejected": [*chosen[:-1], *said("b")]}
    _, found, bad = converted(row)
    assert [example["prompt"] for example in found] == ([] if whole is None else [whole])
    assert [reason for _, reason in bad] == ([] if whole else ["column 'chosen' asks something else than the prompt"])


def test_a_prompt_that_quotes_a_transcript_is_a_text():
    text = "Human: is this a transcript?\n\nAssistant: who knows\n\nDiscuss."
    assert converted({"prompt": text, "response": "a"})[1][0]["prompt"] == chat(text)


@pytest.mark.parametrize(
    "text, prompt",
    [
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c", chat("a", "b", "c")),
        ("Human: a\r\n\r\nAssistant: b\r\n\r\nHuman: c\r\n\r\nAssistant: ", chat("a", "b", "c")),
        ("\n\nHuman: a", chat("a")),
        ("Human: nature", chat("Human: nature")),
    ],
)
def test_a_prompt_that_is_a_transcript_is_its_turns(text, prompt):
    assert converted({"prompt": text, "response": "d"})[1][0]["prompt"] == prompt


def test_one_text_that_begins_as_a_transcript_does_not_change_the_format():
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b"}] * 3
    match, found, bad = converted(*rows, {"prompt": "Human: nature", "chosen": "a", "rejected": "b"})
    assert (match.name, bad) == ("trl", []) and found[3]["prompt"] == chat("Human: nature")


def test_an_answer_that_repeats_the_prompt_does_not_ask_twice():
    assert converted({"prompt": chat("q"), "completion": chat("q", "a")})[1][0]["prompt"] == chat("q")


def test_a_prompt_that_is_json_of_other_things_is_a_text():
    assert converted({"prompt": '[{"a": 1}]', "response": "b"})[1][0]["prompt"] == chat('[{"a": 1}]')


def test_columns_are_mapped_and_fields_kept_by_the_names_of_the_data():
    source = Source("here", columns={"prompt": "question", "response": "reply"}, fields=("answer", "reply"))
    match, found, _ = converted({"question": "q", "reply": "a", "answer": 4, "prompt": "other"}, source=source)
    assert match.name == "sft" and match.unused() == ["prompt"]
    assert found[0] == {**sft("q", "a"), "tools": None, "fields": {"answer": 4, "reply": "a"}}


def test_a_format_that_would_leave_a_mapped_column_out_is_not_taken():
    row = {"messages": chat("other", "other"), "q": "q", "a": "a"}
    assert converted(row)[0].name == "messages"
    assert converted(row, source=Source("here", columns={"prompt": "q", "response": "a"}))[1][0]["prompt"] == chat("q")


def test_an_error_names_a_mapped_column_as_the_data_do():
    source = Source("here", columns={"prompt": "question", "response": "reply"})
    _, _, bad = converted({"question": "q", "reply": "a"}, {"question": 5, "reply": "a"}, source=source)
    assert bad == [(1, "column 'question' is 5, not text")]


@pytest.mark.parametrize(
    "source, line",
    [
        ({"columns": {"promt": "x"}}, "columns.promt: no format has this column; did you mean prompt?"),
        ({"columns": {"prompt": "x"}}, "has no column 'x'; it has prompt, response"),
        ({"fields": ("x",)}, "has no column 'x'; it has prompt, response"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path, source, line):
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "response": "r"}')
    with pytest.raises(InputError) as error:
        formats.load(Source(f"{tmp_path}/a.jsonl", **source))
    assert str(error.value).startswith(f"{tmp_path}/a.jsonl: {line}")


def test_unknown_columns_are_named_with_the_source_the_known_formats_and_how_to_map_them():
    with pytest.raises(InputError) as error:
        converted({"query": "Q", "score": 3})
    assert str(error.value).startswith("here: unknown format with the columns query (text), score (int); known are")
    assert str(error.value).endswith("as in columns: {prompt: question, response: reply}")
    assert all(name in str(error.value) for name in formats.FORMATS)


def test_a_column_of_another_kind_is_named():
    with pytest.raises(InputError) as error:
        converted({"prompt": 1, "response": "r"})
    assert str(error.value) == "here: column 'prompt' holds int, and format sft has text or messages there"


ALPACA = {"instruction": "Q", "input": "", "output_1": "a", "output_2": "b", "preference": 1}
EVAL = {"instruction": "Q", "output_1": "a", "output_2": "b", "generator_1": "m", "generator_2": "n", "preference": 1.5}
CHAT = {"chosen": chat("Q", "a"), "rejected": chat("Q", "b")}
HH = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}
TAGGED = {"prompt": "<|prompter|>Q", "y_w": "<|assistant|>a", "y_l": "<|assistant|>b"}
HISTORY = {"instruction": "Q", "output": "a", "history": [["a", "b"]]}
TOOLS = {"prompt": "Q", "response": "a", "tools": "[]"}
RAW = {"instruction": "Q", "completions": [{"response": "a", "overall_score": 1}]}
NECTAR = {"prompt": "Q", "answers": [{"answer": "a", "rank": 1}]}
RIGHT = {"prompt": "Q", "chosen": ["a"], "rejected": ["b"]}
ARENA = {"prompt": '["Q"]', "response_a": '["a"]', "response_b": '["b"]', "winner_model_a": 1, "winner_model_b": 0}


@pytest.mark.parametrize(
    "good, wrong, line",
    [
        (ALPACA, {"preference": 0}, "column 'preference' is 0, neither 1 nor 2"),
        (ALPACA, {"preference": None}, "column 'preference' is None, neither 1 nor 2"),
        (ALPACA, {"output_2": 5}, "column 'output_2' is 5, not text"),
        (EVAL, {"preference": None}, "column 'preference' is None; it must be from 1 to 2, or 0 for a tie"),
        (EVAL, {"preference": 2.5}, "column 'preference' is 2.5; it must be from 1 to 2, or 0 for a tie"),
        (CHAT, {"chosen": "text"}, "column 'chosen' is not a list of messages"),
        (CHAT, {"rejected": chat("Q")}, "column 'rejected' does not end with a message of the assistant"),
        (CHAT, {"rejected": []}, "column 'rejected' does not end with a message of the assistant"),
        (CHAT, {"rejected": chat("R", "b")}, "columns 'chosen' and 'rejected' have different prompts"),
        (CHAT, {"chosen": [{"role": "judge", "content": ""}]}, "column 'chosen', message 0: role is 'judge'"),
        (CHAT | {"score_chosen": 1.0}, {"score_chosen": float("nan")}, "column 'score_chosen' is nan, not a finite"),
        (HH, {"rejected": "\n\nHuman: a"}, "column 'rejected' is no transcript of a Human turn and an Assistant turn"),
        (HH, {"chosen": "\n\nHuman: z\n\nAssistant: b"}, "columns 'chosen' and 'rejected' have different prompts"),
        (TAGGED, {"y_l": "b"}, "column 'y_l' has no <|assistant|>"),
        (TAGGED, {"prompt": "Q"}, "column 'prompt' has no <|prompter|>"),
        (HISTORY, {"history": [["a"]]}, "column 'history' is not a list of pairs of a question and its answer"),
        (TOOLS, {"tools": "clock"}, "column 'tools' is 'clock', not JSON"),
        (TOOLS, {"tools": "[3]"}, "column 'tools' is [3], not a list of tools"),
        (RAW, {"completions": []}, "column 'completions' is not a list of mappings"),
        (RAW, {"completions": [{"response": "a", "overall_score": "N/A"}]}, "overall_score is 'N/A', not a finite"),
        (NECTAR, {"answers": [{"answer": "a"}]}, "column 'answers' has an answer without a rank"),
        (RIGHT, {"chosen": []}, "column 'chosen' is empty, so no answer is right"),
        (ARENA, {"response_a": '["a", "b"]'}, "column 'response_a' has 2 answers to 1 prompts"),
        (ARENA, {"prompt": "Q"}, "column 'prompt' is not JSON of a list of texts"),
        ({"prompt": "Q", "completion": "a", "label": True}, {"label": 2}, "column 'label' is 2; it must be true or"),
        ({"prompt": "Q", "response": "a"}, {"prompt": said("a")}, "column 'response' does not begin with a message of"),
        ({"prompt": chat("Q")}, {"prompt": chat("Q", "a")}, "prompt: ends with a message of the assistant"),
        ({"messages": chat("Q", "a")}, {"messages": said("a")}, "column 'messages' does not begin with a message of"),
        ({"conversations": sharegpt("Q", "a")}, {"conversations": [{"value": "Q"}]}, "message 0: has no role"),
    ],
)
def test_a_bad_row_is_named_by_number_and_column(good, wrong, line):
    _, found, bad = converted(good, good | wrong)
    assert len(found) == 1 and [number for number, _ in bad] == [1]
    assert line in bad[0][1]


def test_answers_to_a_prompt_are_scored_on_one_scale():
    def row(*scores):
        names = ("overall_score", "fine-grained_score")
        return {"instruction": "q", "completions": [dict(zip(names, each, strict=True)) for each in scores]}

    _, found, _ = converted(row((8.0, 2.0), (None, 4.0)), row((None, 2.0), (None, 4.0)))
    assert [[each["given_reward"] for each in example["answers"]] for example in found] == [[8.0, None], [2.0, 4.0]]


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
    assert tuple(sources.parse_hub(source).values()) == parts


@pytest.mark.parametrize("source", ["name", "a/b/c", "a/b:", "a/b@", "a/b:x@y", "a b/c"])
def test_another_spelling_of_a_hub_source_is_refused(source):
    with pytest.raises(InputError, match="neither a path"):
        sources.parse_hub(source)


def test_a_source_may_be_a_mapping_or_the_json_of_one():
    given = {"source": "./a", "split": "train", "columns": {"prompt": "q"}, "fields": ["x"], "weight": 0.5}
    wanted = Source("./a:train", {"prompt": "q"}, ("x",), 0.5)
    assert sources.parse(given) == sources.parse(json.dumps(given)) == wanted
    assert sources.parse("./a:train") == sources.parse({"source": "./a:train"}) == Source("./a:train")


@pytest.mark.parametrize(
    "entry, line",
    [
        ("{", "{: begins as a JSON object and is none"),
        ({"source": "./a", "colums": {}}, "unknown key colums; known are source, columns, fields, weight, split"),
        ({"columns": {"prompt": "q"}}, "source is missing"),
        ({"source": "./a", "columns": ["q"]}, "./a: columns is ['q']; write the data's names"),
        ({"source": "./a", "fields": "x"}, "./a: fields is 'x'; write a list of names"),
        ({"source": "./a", "weight": 2}, "./a: weight is 2; it must be more than 0 and at most 1"),
        ({"source": "./a", "weight": True}, "./a: weight is True; it must be more than 0"),
        ({"source": "a/b:x", "split": "x"}, "a/b:x: names a split already"),
        ({"source": "a/b", "split": 3}, "a/b: split is 3"),
    ],
)
def test_what_is_wrong_with_a_source_is_one_line(entry, line):
    with pytest.raises(InputError) as error:
        sources.parse(entry)
    assert line in str(error.value)


def test_a_source_is_named_once_in_a_role():
    with pytest.raises(InputError, match="a/b: is named twice"):
        sources.parse_all(["a/b", {"source": "a/b", "weight": 0.5}])


def test_a_path_is_told_from_a_hub_id():
    paths = ("./a", "/a", "..", "a.parquet", "b/a.jsonl", "a.json", "a.csv", "a.tsv.gz", "a.jsonl.zst", "a.json:x")
    for source in (*paths, "built_in", "a/b", "a/b:x", "a/b@c:x", "a", "a.gz", "a/b.csv2"):
        assert sources.is_local(source) == (source in paths), source


def test_planning_reads_no_heavy_library():
    code = (
        "import sys; from preference import formats; from preference.tasks import sources; "
        "formats.check(sources.parse('a/b:train')); "
        "assert not {'torch', 'datasets', 'transformers', 'pyarrow', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "scripts")


# Files and folders.

ROWS = [{"prompt": f"p{i}", "response": f"r{i}, and\nso on"} for i in range(4)]


def load(path):
    return formats.load(Source(str(path))).rows


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def separated(rows, delimiter=","):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


KINDS = {
    "parquet": parquet(ROWS),
    "json": json.dumps(ROWS).encode(),
    "jsonl": lines(ROWS),
    "csv": separated(ROWS),
    "tsv": separated(ROWS, "\t"),
}
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": lambda content: pa.compress(content, "zstd", asbytes=True)}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_kind_hold_the_same_rows_and_nothing_is_left_beside_them(tmp_path, kind, packed):
    path = tmp_path / f"a.{kind}{packed}"
    path.write_bytes(PACKED[packed](KINDS[kind]))
    assert load(path) == ROWS
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_json_and_folders_of_them_load_alike_and_leave_nothing_beside(tmp_path):
    rows = [{"prompt": f"p{i}", "response": f"r{i}"} for i in range(4)]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:2]), tmp_path / "data" / "1.parquet")
    pq.write_table(pa.Table.from_pylist(rows[2:]), tmp_path / "data" / "2.parquet")
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "object.json").write_text(json.dumps({"version": 1, "data": rows}, indent=1))
    (tmp_path / "repeated.csv").write_bytes(separated(rows[:2]) + separated(rows[2:]))
    before = sorted(tmp_path.rglob("*"))
    for name in ("data", "lines.jsonl", "list.json", "object.json", "repeated.csv"):
        table = formats.load(Source(str(tmp_path / name)))
        assert (table.kinds(), table.rows) == ({"prompt": "text", "response": "text"}, rows)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_csv_has_numbers_labels_messages_and_turns_where_formats_have_them_and_texts_elsewhere(tmp_path):
    messages = json.dumps(chat("q", "a"))
    (tmp_path / "h.csv").write_bytes(separated([{"prompt": "7", "response": "8", "helpfulness": "3"}]))
    (tmp_path / "l.csv").write_bytes(separated([{"prompt": "7", "completion": "8", "label": "False"}]))
    (tmp_path / "k.csv").write_bytes(separated([{"instruction": "7", "output": "8", "kto_tag": "TRUE"}]))
    assert load(tmp_path / "k.csv") == [{"instruction": "7", "output": "8", "kto_tag": True}]
    (tmp_path / "m.csv").write_bytes(separated([{"messages": messages}]))
    (tmp_path / "y.csv").write_bytes(separated([{"prompt": "q", "response": "a", "history": '[["b", "c"]]'}]))
    assert load(tmp_path / "y.csv")[0]["history"] == [["b", "c"]]
    assert load(tmp_path / "h.csv") == [{"prompt": "7", "response": "8", "helpfulness": 3.0}]
    assert load(tmp_path / "l.csv") == [{"prompt": "7", "completion": "8", "label": False}]
    assert load(tmp_path / "m.csv") == [{"messages": chat("q", "a")}]


@pytest.mark.parametrize(
    "name, content, line",
    [
        ("none.parquet", None, "no such file or folder"),
        ("junk.parquet", b"junk", "cannot be read: Parquet file size is 4 bytes"),
        ("pretty.json", b'{\n"prompt": "p",\n}', "line 3: is not JSON at character 1: Expecting property name"),
        ("junk.jsonl", b"not json", "line 1: is not JSON at character 1: Expecting value"),
        ("empty.jsonl", b"", "has no rows"),
        ("text.txt", b"x", "is or holds no data file (.parquet, .json, .jsonl, .csv, .tsv, plain or with .gz or .zst)"),
        ("junk.jsonl.gz", b"junk", "cannot be read: Not a gzipped file"),
        ("cut.jsonl.gz", gzip.compress(lines(ROWS))[:-9], "cannot be read: "),
        ("junk.jsonl.zst", b"junk", "cannot be read: "),
        ("empty.csv", b"", "has no rows"),
        ("header.csv", b"prompt,response\n", "has no rows"),
        ("cells.csv", b"prompt,response\np,r\np\n", "line 3: has 1 cells, and the header has 2"),
        ("quotes.csv", b'prompt,response\n"p" q,r\n', "line 2: is not CSV: "),
        ("twice.csv", b"prompt,prompt\np,r\n", "the column 'prompt' comes twice"),
        ("bytes.csv", b"prompt\n\xff\n", "is not UTF-8 text"),
        ("a.jsonl:train", None, "no such file or folder"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named(tmp_path, name, content, line):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: {line}")


def test_a_folder_of_two_kinds_of_files_is_refused(tmp_path):
    for name in ("a.json", "b.jsonl"):
        (tmp_path / name).write_text('[{"prompt": "x"}]')
    with pytest.raises(InputError, match=r"holds both .json and .jsonl"):
        load(tmp_path)


def fill(folder, **files):
    """Write a row, its name, into each file; `__` stands for a folder."""
    for name, kind in files.items():
        path = folder / f"{name.replace('__', '/')}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes({"jsonl": lines, "parquet": parquet}[kind]([{"prompt": name}]))


@pytest.mark.parametrize(
    "split, files",
    [
        ("train", {"train": "jsonl", "test": "jsonl"}),
        ("train_prefs", {"train_prefs": "jsonl", "test_prefs": "jsonl"}),
        ("train", {"train-00000-of-00001": "parquet", "validation-00000-of-00001": "parquet"}),
        ("train", {"data__train-00000-of-00001": "parquet", "data__test-00000-of-00001-ab12cd34": "parquet"}),
        ("train", {"train__a": "jsonl", "test__a": "jsonl"}),
        ("Train", {"Train": "jsonl", "Test": "jsonl"}),
        ("traindata", {"traindata": "jsonl", "testset": "jsonl"}),
        ("a", {"a": "jsonl", "held_out": "jsonl"}),
        ("filtered", {"filtered-00000-of-00001-ab12cd34": "parquet", "raw-00000-of-00001": "parquet"}),
    ],
)
def test_splits_of_a_folder_are_never_mixed(tmp_path, split, files):
    fill(tmp_path, **files)
    (tmp_path / "README.md").write_text("---\n---")
    with pytest.raises(InputError, match=f"holds the splits .*; name one, as .*:{split}$"):
        load(tmp_path)
    assert load(f"{tmp_path}:{split}") == [{"prompt": next(iter(files))}]
    with pytest.raises(InputError, match="has no split dev; it has "):
        load(f"{tmp_path}:dev")


def test_pieces_of_a_split_are_read_in_order_and_the_only_split_without_a_question(tmp_path):
    fill(tmp_path, **{f"data__train-0000{i}-of-00003": "parquet" for i in range(3)})
    (tmp_path / "dataset_infos.json").write_text("{}")
    assert [row["prompt"][-10:] for row in load(tmp_path)] == ["0-of-00003", "1-of-00003", "2-of-00003"]


def test_configurations_of_a_hubs_snapshot_are_asked_for(tmp_path):
    fill(tmp_path, main__train="jsonl", main__test="jsonl", socratic__train="jsonl")
    with pytest.raises(InputError, match=f"holds data in the folders main, socratic; name one, as {tmp_path}/main"):
        load(tmp_path)
    assert load(f"{tmp_path}/main:test") == [{"prompt": "main__test"}]


def test_a_file_has_no_splits(tmp_path):
    fill(tmp_path, a="jsonl")
    with pytest.raises(InputError, match="a.jsonl is a file, which has no splits; leave out :train"):
        load(f"{tmp_path}/a.jsonl:train")


def test_folders_that_the_datasets_library_saved_are_read_by_split(tmp_path):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list([{"messages": chat("q", "a")}, {"messages": chat("r", "b")}])
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "test": table.select([1])}).save_to_disk(tmp_path / "two")
    assert load(tmp_path / "one") == table.to_list() and load(f"{tmp_path}/two:train") == table.to_list()
    assert load(f"{tmp_path}/two:test") == [{"messages": chat("r", "b")}]
    with pytest.raises(InputError, match="holds the splits test, train"):
        load(tmp_path / "two")


def test_the_files_of_a_source_are_known_without_reading_them(tmp_path):
    fill(tmp_path, train="jsonl", test="jsonl")
    assert data_files.files(f"{tmp_path}:train") == [tmp_path / "train.jsonl"]
    assert data_files.place(f"{tmp_path}:train") == tmp_path


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
    match = formats.recognise(formats.load(Source(str(REAL / path))))
    found, bad = formats.convert(match)
    assert (match.name, len(found), bad) == (name, num_rows, [])


def test_real_alpaca_and_ultrafeedback_files_of_the_same_pairs_convert_to_the_same():
    if not REAL.is_dir():
        pytest.skip("the folder of real preference data is not beside this project")
    both = []
    for path in ("alpaca_preferences/test", "ultrafeedback_schema/test_prefs"):
        found, _ = formats.convert(formats.recognise(formats.load(Source(str(REAL / f"{path}.parquet")))))
        both.append(sorted(conversations.key([row["prompt"], row["chosen"], row["rejected"]]) for row in found))
    assert both[0] == both[1]


@pytest.mark.parametrize("name", ["a[0-9].jsonl", "a*.jsonl", "a?.jsonl", "a::b.jsonl", "{a}.jsonl", "-a.jsonl"])
def test_a_name_that_others_would_take_for_a_pattern_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a1.jsonl").write_text('{"prompt": "of another file"}\n')
    (tmp_path / name).write_text('{"prompt": "of this one"}\n')
    assert load(f"./{name}") == load(f"{tmp_path}/{name}") == [{"prompt": "of this one"}]


def test_a_mark_of_byte_order_and_blank_lines_are_no_rows_and_absent_columns_are_empty(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "p"}\n\n{"response": "r"}\r\n')
    table = formats.load(Source(str(tmp_path / "a.jsonl")))
    assert table.rows == [{"prompt": "p", "response": None}, {"prompt": None, "response": "r"}]
    assert table.kinds() == {"prompt": "text", "response": "text"}


def test_pairs_without_scores_have_none():
    example = converted({"prompt": "Q", "chosen": "good", "rejected": "bad", "prompt_id": "x"})[1][0]
    assert example == {**pair("Q", "good", "bad"), "tools": None, "fields": None}
