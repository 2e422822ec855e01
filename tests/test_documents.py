"""Text artifacts: metrics, CSV, logs and figures are shown as they are, and damage is one line."""

import json

import pytest

from preference.inspection import documents, transcripts
from preference.running.stage import InputError

LOG = """a line before any command
$ python scripts/train_dpo.py --beta 0.1
step 0: policy and reference differ by at most 0.00e+00 nats
Traceback (most recent call last):
  File "train_dpo.py", line 3, in main
ValueError: \x1b[31mno
$ python scripts/train_dpo.py --beta 0.1
step 0: policy and reference differ by at most 0.00e+00 nats
  train_dpo                2 steps on 16 pairs, loss 0.693 -> 0.600
"""


def test_a_log_is_its_attempts_its_last_command_and_its_errors(tmp_path):
    (tmp_path / "policy.log").write_text(LOG)
    lines = transcripts.portrait(tmp_path / "policy.log")
    assert lines[0] == "  3 attempts"
    assert lines[2].startswith("    2: 5 lines, error: ValueError: ␛[31mno") and lines[3] == "    3: 3 lines, no error"
    assert "python scripts/train_dpo.py --beta 0.1" in lines
    assert "loss 0.693 -> 0.600" in lines[-1]


def test_a_one_line_error_of_a_stage_is_an_error_and_an_empty_log_is_said(tmp_path):
    assert transcripts.errors(["$ x.py: y", "scripts/construct_pairs.py: rewards.parquet: no such file"])[0].endswith(
        "file"
    )
    assert not transcripts.errors(["error of 0.1 nats", "  train_sft    3 steps"])
    (tmp_path / "a.log").write_text("")
    assert transcripts.portrait(tmp_path / "a.log") == ["  the log is empty"]


def test_metrics_are_a_table_of_means_and_intervals(tmp_path):
    metrics = {"reward": {"mean": 1.5, "low": 1.0, "high": 2.0, "n": 8}, "odd": None}
    (tmp_path / "evaluation.json").write_text(json.dumps({"kind": "evaluation", "num_prompts": 8, "metrics": metrics}))
    lines = [line.split() for line in documents.metrics(tmp_path / "evaluation.json")]
    assert ["reward", "1.5", "1", "2", "8"] in lines and ["odd", "–", "–", "–", "–"] in lines


def test_a_csv_is_summarized_by_column(tmp_path):
    (tmp_path / "metrics.csv").write_text("run,round,mean\nNA,0,1.0\nNA,1,\ndpo,2,3.0\n")
    lines = [line.split() for line in documents.table(tmp_path / "metrics.csv")]
    assert ["run:", "NA", "dpo"] in lines
    assert ["mean", "2", "2", "2", "1.1", "2.9", "1", "3"] in lines
    assert lines[-1] == ["dpo", "2", "3"]


@pytest.mark.parametrize("columns, shown", [(66, 8), (60, 6), (45, 5)])
def test_the_summary_of_a_csv_keeps_to_the_terminals_width(tmp_path, monkeypatch, columns, shown):
    monkeypatch.setenv("COLUMNS", str(columns))
    (tmp_path / "metrics.csv").write_text("run,gold_win_rate_low\ndpo,-123.4567\nsft,-234.5678\n")
    lines = documents.table(tmp_path / "metrics.csv")
    head = next(line for line in lines if "column " in line and "mean" in line)
    assert len(head.replace(" %", "%").split()) == shown and max(map(len, lines)) <= columns


def test_a_training_log_is_its_curves(tmp_path):
    (tmp_path / "training.csv").write_text("step,loss,accuracy\n1,3.0,0.5\n2,2.0,0.5\n3,1.0,1.0\n")
    text = "\n".join(documents.training(tmp_path / "training.csv"))
    assert "loss   first 3 · last 1" in text and "accuracy   first 0.5 · last 1" in text


@pytest.mark.parametrize(
    "name, content, show",
    [
        ("evaluation.json", '{"metrics": ', documents.metrics),
        ("evaluation.json", "[1]", documents.metrics),
        ("evaluation.json", "[" * 100000, documents.metrics),
        ("metrics.csv", "", documents.table),
        ("metrics.csv", 'a,b\n1,2\n"3,4', documents.table),
        ("training.csv", "step,loss\n1,oops\n", documents.training),
        ("figure.svg", "<svg width='3'", documents.figure),
        ("figure.png", "GIF89a", documents.figure),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, name, content, show):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name):
        show(tmp_path / name)


def test_messages_of_data_are_shown_with_who_speaks(tmp_path):
    row = {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "a\x1b[2J"}], "n": [1]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    lines = documents.data(tmp_path / "a.jsonl")
    start = lines.index("  messages")
    assert lines[start + 1 : start + 5] == ["    system", "    │ Be short.", "    user", "    │ a␛[2J"]
    assert lines[start + 5 :] == ["  n", "    │ [1]"]
