"""Flags of a stage: what is typed becomes a dataclass, and what is wrong becomes one line."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from preference import stage
from preference.stage import flag

SCRIPTS = sorted((Path(__file__).parents[1] / "scripts").glob("*.py"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    beta: float = flag("strength")
    rounds: int = flag("how many", 3)
    names: tuple[str, ...] = flag("several", ())
    keep: bool = flag("keep them", False)
    model: str | None = flag("a folder", None)
    pairing: str = flag("rule", "best", ("best", "random"))


def test_flags_become_the_dataclass_with_its_types():
    found = stage.parse(Flags, ["--beta", "0.5", "--names", "a", "b", "--keep", "true", "--pairing", "random"])
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
        stage.parse(Flags, argv.split())
    message = capsys.readouterr().err
    assert stopped.value.code == 2 and line in message and message.count("\n") == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_explains_itself_and_each_flag(script):
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    opening = shown.stdout.split("\n\n")[1]
    assert re.search(r"\w+\.(parquet|json|csv|html)|\w+/", opening), "it opens with what it makes from what"
