"""Looking inside: every kind of artifact is shown, nothing of a model's text reaches the terminal or the page raw."""

import base64
import dataclasses
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.figure
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from artifact_files import CHAT, HOSTILE, TOOLS, chain, made_by, pairs, rewards, write_older, write_rows

import inspect_artifact
from preference.files import provenance, records
from preference.files.artifacts import write_json, write_text
from preference.inspection import artifacts
from preference.running import code, command_line, stage
from preference.running.checkpoints import Checkpoints
from preference.running.shards import Shards
from preference.running.stage import InputError

ROOT = Path(__file__).parents[1]
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
VALUES = {"string": "text \x1b[2J", "int32": 3, "int64": 3, "double": 0.5, "bool": True, "list<item: int32>": [1, 2]}
VALUES[str(records.MESSAGES)] = VALUES["string"]


def look(capsys, path, *flags) -> str:
    values = command_line.values(inspect_artifact.Flags, [str(path), *map(str, flags)])
    inspect_artifact.main(stage.checked(inspect_artifact.Flags, values))
    return capsys.readouterr().out


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return chain(tmp_path)


@pytest.mark.parametrize("kind", records.SCHEMAS)
def test_every_kind_of_table_is_shown(tmp_path, capsys, kind):
    rows = [{field.name: VALUES[str(field.type)] for field in records.SCHEMAS[kind]} for _ in range(7)]
    records.write(
        tmp_path / "any.parquet", kind, rows, made_by("prepare_task", rows_in=9, rows_out=7, dropped={"ties": 2})
    )
    shown = look(capsys, tmp_path / "any.parquet")
    assert f"any.parquet: {kind}, made by prepare_task" in shown and artifacts.HOLDS[kind] in shown
    assert (
        "9 rows in, 7 rows out, dropped: 2 ties" in shown and f"7 rows, {len(records.SCHEMAS[kind])} columns" in shown
    )
    assert shown.count("at random") == 3 and not RAW.search(shown)
    assert ("│ text ␛[2J" in shown) == (kind not in ("history", "tuning"))  # tables of numbers


def test_a_table_without_metadata_is_known_by_its_columns(made, capsys):
    table = pq.read_table(made["pairs"]).replace_schema_metadata(None)
    pq.write_table(table, "other.parquet")
    assert "other.parquet: pairs, nothing says what made it" in look(capsys, "other.parquet")
    pq.write_table(table.select(["chosen_reward"]), "foreign.parquet")
    assert "chosen_reward   n 2 · mean 2" in look(capsys, "foreign.parquet")


FOREIGN = {  # rows as other programs write them, and what must be said of them
    "ultrafeedback": (
        {"prompt": "why?", "chosen": [{"role": "user", "content": "why?"}, {"role": "assistant", "content": HOSTILE}]},
        "chosen_messages   n 3",
    ),
    "trl": ({"prompt": CHAT[:2], "completion": [{"role": "assistant", "content": "noon"}]}, "    system"),
    "sharegpt": ({"conversations": [{"from": "human", "value": HOSTILE}, {"from": "gpt", "value": "a"}]}, "    human"),
    "one message a side": ({"chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}, "gpt"),
    "hostile names": (
        {HOSTILE: [{"role": HOSTILE, "content": HOSTILE}], "\u202e": ["\x1b[2J"]},
        "messages (role, content)",
    ),
    "tools": ({"tools": '[{"name": "clock"}]', "messages": CHAT}, "assistant calls clock · c1"),
    "no text at all": ({"input_ids": [1, 2, 3], "score": 0.5}, "score   n 3"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_parquet_of_another_program_is_shown_and_said_to_be_none_of_ours(tmp_path, capsys, name):
    row, wanted = FOREIGN[name]
    pq.write_table(pa.Table.from_pylist([row] * 3), tmp_path / "a.parquet")
    shown = look(capsys, tmp_path / "a.parquet")
    assert "foreign, nothing says what made it" in shown and wanted in shown and not RAW.search(shown)
    assert shown.count("not made by this workflow: it has no seal") == 1
    look(capsys, tmp_path / "a.parquet", "--html", tmp_path / "a.html")
    assert "<script>document" not in (tmp_path / "a.html").read_text()
    look(capsys, tmp_path / "a.parquet", "--diff", tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist([row] * 4), tmp_path / "b.parquet")
    shown = look(capsys, tmp_path / "a.parquet", "--diff", tmp_path / "b.parquet")
    assert "3 equal, 0 differing, 0 only in A, 1 only in B" in shown and not RAW.search(shown)


def test_a_table_of_an_older_version_is_opened_and_one_line_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_older(Path("pairs.parquet"), "pairs", pairs())
    shown = look(capsys, path)
    assert "pairs.parquet: pairs, made by construct_pairs" in shown and "not made by this workflow" not in shown
    assert shown.count("its columns are of an older version of this workflow") == 1 and "│ a longer answer" in shown
    look(capsys, path, "--html", "page.html")
    assert '"a longer answer"' in Path("page.html").read_text()
    write_rows(Path("new.parquet"), "pairs", pairs(), "construct_pairs")
    assert "2 rows that differ" not in look(capsys, path, "--diff", "new.parquet")


def test_a_message_of_a_prompt_is_no_line_of_ours(made, capsys):
    rows = [{**row, "prompt": CHAT, "tools": TOOLS} for row in pairs()]
    write_rows(Path("chat.parquet"), "pairs", rows, "construct_pairs")
    shown = look(capsys, "chat.parquet")
    assert not RAW.search(shown) and "    tool · clock · c1\n    │ 12:00\n" in shown
    assert "    user\n    │ And there?\n    │ ␛]0;pwned␇" in shown


# ---- the first row as its model reads it


def write_samples(policy: str, **flags) -> Path:
    """responses.parquet of a real policy, and rewards.parquet that a stage made of it."""
    from preference.models import chat

    prompt = [{"role": "user", "content": "say hi"}]
    row = {"prompt_id": "p", "prompt": prompt, "response": "hi there", "sample_id": 0, "finish_reason": "stop"}
    row |= {"response_ids": chat.load(policy).encode(prompt, "hi there")[1], "num_tokens": 2}
    told = made_by("generate_responses", {"policy": policy})
    records.write("responses.parquet", "responses", [row], told | {"flags": {"seed": 1, **flags}})
    told = made_by("score_responses", {"responses": "responses.parquet"})
    records.write("rewards.parquet", "rewards", [row | {"reward": 1.0}], told)
    return Path("rewards.parquet")


def tokens(text: str) -> list[str]:
    return re.findall(r"'[^']*'\(\d+\)", text)


def test_the_first_row_is_shown_as_the_policy_that_sampled_it_reads_it(tiny_policy, tmp_path, capsys, monkeypatch):
    from preference.models import chat

    monkeypatch.chdir(tmp_path)
    policy = shutil.copytree(tiny_policy, "policy")
    shown = look(capsys, write_samples(policy)).split("row 0 as policy reads it:")[1]
    prompt, response = shown.split("response, ")
    read_by = chat.load(policy)
    ids = read_by.encode([{"role": "user", "content": "say hi"}], "hi there")
    assert [re.findall(r"\d+", token)[-1] for token in tokens(prompt)] == [str(i) for i in ids[0]]
    assert "mask 0: '<|prompter|>'" in prompt and "mask 1: 'hi'" in response and "'<|assistant|>'" in tokens(prompt)[-1]
    assert response.splitlines()[-1].strip() == f"end: {read_by.end_token}({read_by.end_id})"
    assert "row 0" not in look(capsys, "rewards.parquet", "--num_rows", 0)


def test_the_template_that_the_samples_were_drawn_with_is_the_one_shown(tiny_policy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    policy = shutil.copytree(tiny_policy, "policy")
    turn = "[{{ m['content'] }}]{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    asked = "{% if add_generation_prompt %}:{% endif %}"
    Path("own.jinja").write_text("{% for m in messages %}" + turn + "{% endfor %}" + asked)
    shown = look(capsys, write_samples(policy, chat_template="own.jinja"))
    assert "mask 0: '['" in shown and "<|prompter|>" not in shown.split("row 0 as")[1]


def test_any_table_can_be_read_with_a_model_that_is_named(tiny_policy, tmp_path, capsys):
    rows = {
        "sharegpt": {"conversations": [{"from": "human", "value": "say hi"}, {"from": "gpt", "value": "hi there"}]},
        "trl": {"prompt": CHAT[:2], "chosen": [{"role": "assistant", "content": "hi there"}]},
        "ultrafeedback": {"prompt": "say hi", "chosen": [*CHAT[1:2], {"role": "assistant", "content": "hi there"}]},
        "texts": {"prompt": "say hi", "completion": "hi there"},
        "prompts": {"prompt": "say hi"},
    }
    for name, row in rows.items():
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
        shown = look(capsys, tmp_path / f"{name}.parquet", "--tokens", tiny_policy)
        shown = shown.split(f"row 0 as {tiny_policy} reads it:")[1]
        assert ("'hi'" in shown.split("response, ")[1]) == (name != "prompts") and not RAW.search(shown)
        assert ("end: <|endoftext|>(0)" in shown) == (name != "prompts")


def test_ids_of_another_tokenizer_are_not_read_as_this_ones(tiny_policy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_samples(tiny_policy)
    assert "not the ids in the table" not in look(capsys, path, "--tokens", tiny_policy)
    row = records.read(path, "rewards")[0]
    records.write(path, "rewards", [row | {"response_ids": [5, 6, 0]}], {})
    shown = look(capsys, path, "--tokens", tiny_policy)
    assert "these are not the ids in the table" in shown and "mask 1: 'hi'" in shown


@pytest.mark.parametrize(
    "path, flags, said",
    [
        ("pairs.parquet", ["--tokens", "none"], "none: "),
        ("metrics.parquet", ["--tokens", "TINY"], "metrics.parquet: row 0 has no prompt, so it has no tokens to show"),
        ("odd.parquet", ["--tokens", "TINY"], "row 0, column 'messages', message 0: role is 'critic'"),
        ("sft/policy", ["--tokens", "TINY"], "--tokens: sft/policy is model; give a table with conversations"),
    ],
)
def test_tokens_that_cannot_be_shown_are_one_line(made, tiny_policy, capsys, path, flags, said):
    pq.write_table(pa.table({"reward": [1.0]}), "metrics.parquet")
    pq.write_table(pa.table({"messages": [[{"role": "critic", "content": "a"}]]}), "odd.parquet")
    with pytest.raises(InputError, match=said) as stopped:
        look(capsys, path, *[tiny_policy if flag == "TINY" else flag for flag in flags])
    assert "\n" not in str(stopped.value)


def test_a_policy_that_is_gone_or_broken_hides_nothing_else(made, capsys):
    shown = look(capsys, made["rewards"])  # its policy's tokenizer is none that loads
    assert "tokens of row 0 cannot be shown with sft/policy:" in shown and "reward   n 4" in shown
    shutil.rmtree(made["policy"])
    assert "row 0 cannot" not in look(capsys, made["rewards"])


def test_an_artifact_that_a_stage_would_refuse_is_shown_and_then_refused(made, capsys, tmp_path):
    whole = made["pairs"].read_bytes()
    moved = tmp_path / "elsewhere" / "pairs.parquet"
    moved.parent.mkdir()
    moved.write_bytes(whole)
    for path, line in (
        (moved, "is another artifact: no .pairs.parquet.origin.json beside it"),
        (made["pairs"], "is damaged"),
    ):
        if path == made["pairs"]:
            path.write_bytes(whole.replace(b'"stage": "construct_pairs"', b'"stage": "construct_pearl"'))
        with pytest.raises(InputError, match=line):
            look(capsys, path)
        assert "2 rows" in capsys.readouterr().out


def write_others(folder: Path) -> dict[str, str]:
    """Every artifact that is no table, and what must be said of it."""
    (folder / "training.csv").write_text("step,loss\n1,2.0\n2,1.0\n")
    (folder / "metrics.csv").write_text("run,round,mean\ndpo,1,2.0\n")
    (folder / "pairs.log").write_text("$ python a.py\nok\n$ python a.py --seed 2\n\x1b[31mdone\n")
    (folder / "pairs.benchmark.tsv").write_text("s\th:m:s\tmax_rss\n9.16\t0:00:09\t463.63\n")
    (folder / "final.txt").write_text("a line\n")
    (folder / "report.html").write_text("<title>t \x1b[2J</title><h1>What came out</h1>")
    (folder / "config.yaml").write_text("experiment: a\n")
    (folder / "data.jsonl").write_text('{"prompt": "p", "messages": [1]}\n\n{"prompt": "q"}\n')
    (folder / "list.json").write_text('[{"prompt": "\\u001b[2J"}]')
    write_json(folder / "evaluation.json", {"stage": "evaluate_policy", "metrics": {"reward": {"mean": 1.5}}})
    for suffix in ("svg", "png"):
        matplotlib.figure.Figure(figsize=(3, 2)).savefig(folder / f"figure.{suffix}", dpi=100)
    return {
        "training.csv": "loss   first 2 · last 1",
        "metrics.csv": "run: dpo",
        "pairs.log": "python a.py --seed 2",
        "pairs.benchmark.tsv": "9.16",
        "final.txt": "│ a line",
        "report.html": "h1: What came out",
        "config.yaml": "config, ",
        "data.jsonl": "2 rows, 2 columns",
        "list.json": "│ ␛[2J",
        "data": "sft.parquet      sft      prepare_task",
        "evaluation.json": "made by evaluate_policy",
        "figure.svg": "216pt × 144pt",
        "figure.png": "300 × 200 pixels",
        "sft/policy": "17 parameters in 2 tensors",
        "sft/policy.manifest.json": "model by train_sft",
        "sft/policy/model.safetensors": "a.weight",
        "sft/policy/tokenizer.json": "json, of policy, made by train_sft",
    }


def write_unfinished() -> dict[str, str]:
    """What killed stages go on from, and what must be said of it."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    with Checkpoints("policy", {"stage": "train_dpo"}) as states:
        states.save(7, model, optimizer, [{"step": 6, "loss": 0.75}, {"step": 7, "loss": 0.5}])
    with Shards("responses.parquet", {"stage": "generate_responses"}, size=2) as parts:
        parts.map("responses", list(range(5)), lambda part, _: [{"response": f"{HOSTILE} {i}"} for i in part])
    state, part = states.folder / "state.json", parts.folder / "responses.2.json"
    return {
        "policy.checkpoints": "step 7, tensors in step7.safetensors",
        str(states.folder): "loss   first 0.75 · last 0.5",
        str(state): "state, ",
        "responses.parquet.shards": "of responses.parquet, which is there already",
        str(parts.folder): "responses      3        5",
        str(part): "2 results",
    }


def test_every_other_artifact_is_shown_and_nothing_is_written(made, capsys, tmp_path):
    wanted = write_others(tmp_path) | write_unfinished()
    before = provenance.contents(tmp_path)
    for name, said in wanted.items():
        shown = look(capsys, name)
        assert said in shown and shown.startswith(f"{name}: ") and not RAW.search(shown)
    look(capsys, made["pairs"], "--lineage"), look(capsys, "metrics.csv", "--diff", "metrics.csv")
    assert provenance.contents(tmp_path) == before


def test_counts_and_distributions_are_those_of_the_rows(made, capsys):
    shown = look(capsys, made["rewards"])
    assert "reward   n 4 · mean 1.5 · median 1.5 · 5 % 0.15 · 95 % 2.85" in shown
    assert "num_tokens   n 4 · mean 2.5" in shown
    assert "highest reward, lowest gold reward, longest · row 3" in shown
    assert "margin   n 2 · mean 1 " in look(capsys, made["pairs"])
    assert "2 rows out, dropped: 3 ties" in look(capsys, made["pairs"])


def test_a_model_folder_may_be_the_current_one(made, capsys, monkeypatch):
    monkeypatch.chdir(made["policy"])
    assert "policy: model, made by train_sft" in look(capsys, ".")


def test_rows_can_be_chosen_and_cut(made, capsys):
    assert "at random" not in look(capsys, made["rewards"], "--num_rows", 0)
    assert "characters more" in look(capsys, made["rewards"], "--max_characters", 4)


def test_nothing_of_a_models_text_reaches_the_terminal_raw(made, capsys):
    shown = look(capsys, made["rewards"], "--num_rows", 9) + look(capsys, made["pairs"], "--num_rows", 9)
    write_rows(Path("b.parquet"), "rewards", rewards({2: {"response": HOSTILE + "!"}}), "score_responses")
    shown += look(capsys, made["rewards"], "--diff", "b.parquet")
    assert not RAW.search(shown) and shown.count("␛]0;pwned␇␛[31m") >= 4 and "⟨U+202E⟩" in shown


def test_lineage_ends_in_a_verdict(made, capsys):
    assert look(capsys, made["pairs"], "--lineage").splitlines()[-1] == "6 artifacts: nothing has changed since"


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def test_a_damaged_artifact_is_shown_as_far_as_it_is_known_and_then_refused(made, capsys):
    damaged(made["policy"] / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors: damaged"):
        look(capsys, made["policy"])
    shown = capsys.readouterr().out
    assert "GPTNeoXForCausalLM" in shown and "model.safetensors has changed since the manifest was written" in shown
    damaged(made["rewards"])
    with pytest.raises(InputError, match="rewards.parquet: damaged: cut off after"):
        look(capsys, made["rewards"])
    assert "rewards.parquet: rewards, nothing says what made it" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, said",
    [
        (["none.parquet"], "none.parquet: no such file or folder"),
        (["empty"], "empty: a folder, but not a model"),
        (["bad.jsonl"], "bad.jsonl: damaged .line 2: .*char.*$"),
        (["odd.json"], "odd.json: is damaged, or no stage"),
        (["own.csv"], r"own.csv: damaged \(No columns to parse from file\)$"),
        (["own.safetensors"], "^own.safetensors: damaged: its header cannot be read"),
        (["pipe.csv"], "pipe.csv: neither a file nor a folder"),
        (["unknown.xyz"], "of no kind that can be shown"),
        (["pairs.parquet", "--diff", "none"], "none: no such file"),
        (["pairs.parquet", "--diff", "rewards.parquet"], "only artifacts of one kind"),
        (["pairs.parquet", "--lineage", "--html", "a.html"], "give at most one"),
        (["pairs.parquet", "--html", "rewards.parquet"], "a name that ends in .html"),
        (["sft/policy", "--html", "a.html"], "not of model"),
        (["pairs.parquet", "--num_rows", "-1"], "at least 0"),
        (["none\x1b[2J"], r"none␛\[2J: no such file"),
    ],
)
def test_what_is_wrong_is_one_line(made, capsys, flags, said):
    Path("unknown.xyz").write_text("")
    Path("bad.jsonl").write_text('{}\n{"a": \n')
    os.mkfifo("pipe.csv")
    Path("odd.json").write_text('{"step": [], "tensors": "", "log": 5}')
    Path("own.csv").write_text("")
    Path("own.safetensors").write_text("nothing")
    Path("empty").mkdir()
    with pytest.raises(InputError, match=said) as stopped:
        look(capsys, *flags)
    assert "\n" not in str(stopped.value) and not RAW.search(str(stopped.value))


@pytest.mark.parametrize("name", ["report.html", "data.html", "folder.html", "dangling.html", "sft/policy/new.html"])
def test_a_page_is_written_over_an_older_page_and_over_nothing_else(made, capsys, tmp_path, name):
    write_text("report.html", "<title>of the experiment</title>", {"stage": "render_report"})
    Path("data.html").write_text("<p>whatever the user keeps here</p>")
    Path("folder.html").mkdir()
    Path("dangling.html").symlink_to("nowhere")
    before = provenance.contents(tmp_path)
    with pytest.raises(InputError, match=f"--html {name}: ") as stopped:
        look(capsys, made["pairs"], "--html", name)
    assert "\n" not in str(stopped.value) and provenance.contents(tmp_path) == before
    for _ in range(2):
        look(capsys, made["pairs"], "--html", "page.html")


def test_as_it_is_typed_it_starts_fast_and_survives_a_closed_pipe(made):
    script = shlex.quote(str(ROOT / "scripts" / "inspect_artifact.py"))
    command = f"{sys.executable} {script} pairs.parquet | head -1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert ended.stderr == "" and ended.stdout.startswith("$ ")


def test_no_stage_depends_on_the_inspection():
    scripts = {path.name for path in (ROOT / "scripts").glob("*.py")} - {"inspect_artifact.py"}
    assert not [s for s in scripts if any("inspection/" in file for file in code.record(s))]


def test_the_commands_in_the_docs_show_what_they_promise(finished, capsys, tmp_path, monkeypatch):
    (tmp_path / "results").symlink_to(finished.folder / "results")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "inspect.md").read_text()
    page = page.replace("results/min_length/", "results/miniature/").replace("round3", "round2")
    typed = [line.split() for line in page.splitlines() if line.startswith("python scripts/inspect_artifact.py ")]
    shown = ["\n".join(look(capsys, *words[2:]).splitlines()) for words in typed]
    promised = ["margin   n ", r"instructions\.jsonl .*\n(.*\n)*.* nothing has changed since", "opens in any browser"]
    for said, wanted in zip(shown, [*promised, r" [1-9]\d* differing, 0 only in A, 0 only in B"], strict=True):
        assert re.search(wanted, said)


# ---- the page, without a browser


class Elements(HTMLParser):
    """Tags in order, and the text of each script and style."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.texts, self.policy = [], {}, ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.current = f"{tag} {attrs.get('type', '')}".strip()
        if attrs.get("http-equiv") == "Content-Security-Policy":
            self.policy = attrs["content"]

    def handle_data(self, text):
        if self.tags[-1:] and self.tags[-1] in ("script", "style"):
            self.texts.setdefault(self.current, "")
            self.texts[self.current] += text

    def handle_endtag(self, tag):
        self.tags.append("/" + tag)


@pytest.fixture
def page(made, capsys) -> str:
    look(capsys, made["pairs"], "--html", "page.html")
    return Path("page.html").read_text()


def test_the_page_holds_no_markup_of_the_data(page):
    elements = Elements(page)
    assert elements.tags.count("script") == 2 and "img" not in elements.tags
    assert "<script>document" not in page and "\\u003cscript\\u003edocument" in page
    assert "<" not in elements.texts["script application/json"]


def test_the_pages_data_are_the_rows(page):
    data = json.loads(Elements(page).texts["script application/json"])
    assert data["columns"]["chosen"] == [row["chosen"] for row in pairs()] and data["rows"] == 2
    assert data["columns"]["margin"] == [1, 1] and "margin" in data["numbers"]
    assert data["labels"] == ["chosen_finish_reason", "rejected_finish_reason"]


def test_the_pages_data_of_a_conversation_are_its_turns(made, capsys):
    row = {"prompt_id": "p", "prompt": CHAT[:3], "chosen": "a", "rejected": "b"}
    records.write("chat.parquet", "pairs", [row], {})
    look(capsys, "chat.parquet", "--html", "chat.html")
    data = json.loads(Elements(Path("chat.html").read_text()).texts["script application/json"])
    said = [["system", "Be short."], ["user", "What time is it?"], ["assistant calls clock · c1", '{"zone": "UTC"}']]
    assert data["columns"]["prompt"] == [said] and data["columns"]["chosen"] == ["a"]
    assert data["columns"]["prompt_messages"] == [3] and data["texts"] == ["prompt", "chosen", "rejected"]


def test_the_pages_policy_allows_its_own_script_and_style_and_nothing_else(page):
    elements = Elements(page)
    digests = {
        tag: base64.b64encode(hashlib.sha256(elements.texts[tag].encode()).digest()).decode()
        for tag in ("script", "style")
    }
    assert elements.policy == (
        f"default-src 'none'; script-src 'sha256-{digests['script']}'; style-src 'sha256-{digests['style']}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r'\b(src|href)="|@import|url\(|https?://', page)


def test_the_pages_script_never_makes_markup_from_a_string():
    script = (ROOT / "scripts" / "preference" / "inspection" / "browser.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|setAttribute", script)


def test_equal_tables_give_equal_pages(page, made, capsys):
    look(capsys, made["pairs"], "--html", "again.html")
    assert Path("again.html").read_text() == page


def test_numbers_that_json_has_not_are_empty_in_the_page(made, capsys):
    rows = [{**row, "chosen_reward": None} for row in pairs()]
    records.write("odd.parquet", "pairs", rows, {})
    look(capsys, "odd.parquet", "--html", "odd.html")
    data = json.loads(Elements(Path("odd.html").read_text()).texts["script application/json"])
    assert data["columns"]["margin"] == [None, None] and "margin" not in data["numbers"]


def test_flags_are_frozen():
    assert dataclasses.fields(inspect_artifact.Flags)[0].metadata["form"] == "operand"
