"""README shows only what is there: its commands are those that CI runs, its files exist, its picture is a run's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CI = (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_two_commands_are_what_ci_runs():
    block = re.search(r"```bash\n(.*?)```", README, flags=re.DOTALL).group(1).split("\n")
    commands = [line for line in block if line]
    assert commands == ["make demo", "make test"]
    assert set(commands) <= set(CI)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(make why[^`]*)`", README))))
def test_every_question_that_is_shown_is_asked_in_ci(command):
    assert command in CI


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)`", README))))
def test_every_make_target_that_is_named_exists(target):
    assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_every_link_leads_to_a_file(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:config|envs|scripts|workflow)/[\w./-]+\w)`", README))))
def test_every_file_that_is_named_exists(path):
    assert (ROOT / path).exists()
