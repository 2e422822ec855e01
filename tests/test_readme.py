"""The pages show only what exists: commands that CI runs or that plan, files, flags, links, and the stages drawn."""

import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import Calls

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
CI = [line.strip().removeprefix("step ") for line in (ROOT / ".ci" / "run").read_text().splitlines()]
README, INDEX = ROOT / "README.md", ROOT / "docs" / "index.md"
PAGES = {
    path: path.read_text()
    for path in (README, ROOT / "CONTRIBUTING.md", ROOT / "config" / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
}
PLACEHOLDER = re.compile(r"\b[A-Z]{4,}\b|[<~]|\.\.\.")  # FILE, <experiment>, ~/mine.yaml
TESTED_ELSEWHERE = {"--unlock"}  # by test_workflow.py
BUILT = {"envs/core.sif"}  # by a site
FOLDERS = "config|docs|envs|scripts|slurm|tests|workflow"


def shown(program: str) -> list[str]:
    """Return the commands of a program on the pages, from blocks and from running text, without comments."""
    return sorted({command for text in PAGES.values() for command in commands(text) if command.startswith(program)})


def commands(text: str) -> Iterator[str]:
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL):
        yield from (shlex.join(shlex.split(line, comments=True)) for line in block.replace("\\\n", " ").splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def links(page: Path) -> list[tuple[Path, str]]:
    """Return (file, anchor) of every relative link and image of a page."""
    found = re.findall(r"\]\(((?!https?:)[^)#]*)#?([^)]*)\)", PAGES[page])
    return [((page.parent / target).resolve() if target else page, anchor) for target, anchor in found]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_front_page_is_short():
    assert len(PAGES[README].splitlines()) <= 120


def test_the_two_commands_are_what_ci_runs():
    block = re.search(r"```bash\n(.*?)```", PAGES[README], flags=re.DOTALL).group(1).split("\n")
    commands = [line for line in block if line]
    assert commands == ["make demo", "make test"]
    assert set(commands) <= set(CI)


def test_the_picture_shows_stages_that_exist():
    (picture,) = re.findall(r"```mermaid\n(.*?)```", PAGES[README], flags=re.DOTALL)
    stages = re.findall(r"\b(?:prepare|train|generate|score|construct|compute|evaluate)_\w+", picture)
    assert len(stages) > 6 and all((ROOT / "scripts" / f"{stage}.py").is_file() for stage in stages)


@pytest.mark.parametrize("command", shown("make why"))
def test_every_question_that_is_shown_is_asked_in_ci(command):
    assert command in CI


@pytest.mark.parametrize("target", sorted({command.split()[1] for command in shown("make ")}))
def test_every_make_target_that_is_named_exists(target):
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target, anchor in links(page):
        assert target.exists(), f"{name(page)}: {target}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {name(target)}#{anchor}"


def test_every_page_can_be_reached_from_the_index():
    reached, new = set(), {INDEX}
    while new:
        reached |= new
        new = {target for page in new for target, _ in links(page) if target in PAGES} - reached
    assert set(PAGES) == reached


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_is_named_exists(page):
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*\w)`", PAGES[page]):
        assert path in BUILT or (ROOT / path).exists(), f"{name(page)}: {path}"


def test_the_tree_shows_files_that_exist():
    (tree,) = re.findall(r"```\n(.*?)```", (ROOT / "docs" / "tree.md").read_text(), flags=re.DOTALL)
    above = [ROOT]
    for indent, path in re.findall(r"^( *)([\w./-]+)", tree, flags=re.MULTILINE):
        above[len(indent) // 2 + 1 :] = [above[len(indent) // 2] / path]
        assert above[-1].exists(), path


@pytest.mark.parametrize("command", shown("python scripts/"))
def test_every_flag_of_a_stage_that_is_shown_exists(command):
    _, script, *arguments = shlex.split(command)
    if PLACEHOLDER.search(script):
        return
    flags = {field.name for field in dataclasses.fields(importlib.import_module(Path(script).stem).Flags)} | {"help"}
    assert {word[2:] for word in arguments if word.startswith("--")} <= flags


@pytest.mark.workflow
def test_every_call_of_snakemake_that_is_shown_plans(tmp_path):
    """Where the call says what is to be made; each plans as it is typed, in a folder with the same configs."""
    for folder in ("config", "slurm"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "data").mkdir()
    for data in ("instructions", "preferences", "eval_instructions", "eval_preferences"):  # of config/files.yaml
        (tmp_path / "data" / f"{data}.parquet").touch()
    typed = [shlex.split(call)[1:] for call in shown("snakemake") if not PLACEHOLDER.search(call)]
    typed = [words for words in typed if not TESTED_ELSEWHERE.intersection(words)]
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with Calls() as calls:
        arguments = [["-s", str(ROOT / "Snakefile"), "--dry-run", *words] for words in typed]
        answers = [calls.submit(calls.call, each, tmp_path, environment) for each in arguments]
        for words, answer in zip(typed, answers, strict=True):
            status, said = answer.result()
            assert status == 0, f"snakemake {shlex.join(words)}\n{said[-2000:]}"
    assert len(typed) > 8
