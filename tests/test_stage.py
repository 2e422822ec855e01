"""Flags of a stage: what is typed becomes a dataclass, and what is wrong becomes one line."""

import dataclasses
import importlib
import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from preference.running import command_line, stage
from preference.running.flags import flag

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    beta: float = flag("strength")
    rounds: int = flag("how many", 3)
    names: tuple[str, ...] = flag("several", ())
    keep: bool = flag("keep them", False)
    model: str | None = flag("a folder", None)
    pairing: str = flag("rule", "best", ("best", "random"))


def test_flags_become_the_dataclass_with_its_types():
    found = command_line.parse(Flags, ["--beta", "0.5", "--names", "a", "b", "--keep", "true", "--pairing", "random"])
    assert found == Flags(beta=0.5, rounds=3, names=("a", "b"), keep=True, model=None, pairing="random")


@pytest.mark.parametrize(
    "argv, line",
    [
        ("", "the following arguments are required: --beta"),
        ("--beta x", "argument --beta: invalid float value: 'x'"),
        ("--beta 1 --bta 2", "unrecognized arguments: --bta 2"),
        ("--beta 1 --round 2", "unrecognized arguments: --round 2"),
        ("--beta 1 --keep yes", "argument --keep: 'yes' is neither true nor false"),
        ("--beta 1 --pairing worst", "argument --pairing: invalid choice: 'worst'"),
    ],
)
def test_a_wrong_flag_gives_one_line_and_exit_2(capsys, argv, line):
    with pytest.raises(SystemExit) as stopped:
        command_line.parse(Flags, argv.split())
    message = capsys.readouterr().err
    assert stopped.value.code == 2 and line in message and message.count("\n") == 1


@dataclasses.dataclass(frozen=True)
class Reader:
    path: str = flag("file to read", form="operand")
    quiet: bool = flag("say nothing", False, form="switch")


def test_an_operand_has_a_place_and_a_switch_no_value(capsys):
    assert command_line.parse(Reader, ["a"]) == Reader("a") and command_line.parse(Reader, ["--quiet", "a"]) == Reader(
        "a", quiet=True
    )
    with pytest.raises(SystemExit):
        command_line.parse(Reader, [])
    assert "the following arguments are required: PATH" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_explains_itself_and_each_flag(capsys, script):
    module = importlib.import_module(script.stem)
    with pytest.raises(SystemExit) as stopped:
        command_line.parse(module.Flags, ["--help"], module.__doc__)
    shown = capsys.readouterr().out
    names = [
        f.name.upper() if f.metadata["form"] == "operand" else f"--{f.name}" for f in dataclasses.fields(module.Flags)
    ]
    assert stopped.value.code == 0 and all(name in shown for name in names)
    opening = shown.split("\n\n")[1]
    assert re.search(r"\w+\.(parquet|json|csv|html|yaml)|\w+/", opening), "it opens with what it makes from what"


def test_a_stage_by_hand_prints_its_command_and_one_line_for_what_the_user_did_wrong(tmp_path):
    typed = [str(ROOT / "scripts" / "construct_pairs.py"), "--rewards", str(tmp_path / "none"), "--seed", "1"]
    typed += ["--output", str(tmp_path / "pairs.parquet")]
    said = subprocess.run([sys.executable, *typed], capture_output=True, text=True)
    assert said.stdout == f"$ {shlex.join([sys.executable, *typed])}\n" and said.returncode == 1
    assert said.stderr == f"{typed[0]}: {tmp_path / 'none'}: no such file\n"


@pytest.mark.parametrize(
    "text, line",
    [
        ("a  b\n c", "a  b c"),
        ("\x1b[2J \u202e \ud800", r"\x1b[2J \u202e \ud800"),
        ("at https://me:secret@host/a and http://token@host", "at https://***@host/a and http://***@host"),
        ("hf://datasets/owner/name@refs%2Fconvert", "hf://datasets/owner/name@refs%2Fconvert"),
        ("é – ␛ 漢字", "é – ␛ 漢字"),
    ],
)
def test_what_is_shown_is_one_line_that_moves_no_cursor_and_tells_no_password(text, line):
    assert stage.one_line(text) == line


def test_even_what_nobody_foresaw_tells_no_password(capsys, monkeypatch, caplog):
    def main(flags):
        logging.getLogger("a library").warning("asks %s", "https://me:secret@host")
        raise RuntimeError("cannot connect to https://me:secret@host")

    monkeypatch.setattr(sys, "argv", ["x.py", "https://me:secret@host"])
    with pytest.raises(SystemExit) as stopped:
        stage.run(main, Reader)
    said = str(stopped.value.code) + capsys.readouterr().out + caplog.text
    assert "asks https://***@host" in said
    assert "secret" not in said and "RuntimeError: cannot connect to https://***@host" in said


def test_not_enough_memory_is_one_line(monkeypatch):
    def main(flags):
        torch.empty(2**50, dtype=torch.uint8)

    monkeypatch.setattr(sys, "argv", ["x.py", "a"])
    with pytest.raises(SystemExit) as stopped:
        stage.run(main, Reader)
    asked = "tried to allocate 1125899906842624 bytes"
    assert stopped.value.code == f"x.py: not enough memory ({asked}); make batches, sequences or the model smaller"
