"""Changes that a person makes to a finished experiment: to the config, the code, the data or the results.

An edit is a function of a draft. It is made on copies, which are taken when they are first asked for; what is not
changed is read where it is, so that a plan costs little more than the planner.
"""

import ast
import copy
import json
import os
import shutil
import time
from functools import cached_property
from pathlib import Path

import miniature
import yaml
from snakemake.persistence.file import FilePersistence

from preference.files import provenance
from workflow.config import runs, validation

PARTS = ("Snakefile", "workflow", "scripts", "config", "envs", "profiles")
CACHES = shutil.ignore_patterns("__pycache__")


class Draft:
    """A finished workflow to change."""

    def __init__(self, finished: miniature.Workflow, notes: Path):
        self.finished, self.notes = finished, notes
        self.config = copy.deepcopy(finished.config)
        notes.mkdir()

    @cached_property
    def code(self) -> Path:
        (self.notes / "code").mkdir()
        for part in PARTS:
            source, target = miniature.ROOT / part, self.notes / "code" / part
            shutil.copytree(source, target, ignore=CACHES) if source.is_dir() else shutil.copy2(source, target)
        return self.notes / "code"

    @cached_property
    def folder(self) -> Path:
        return Path(shutil.copytree(self.finished.folder, self.notes / "copy", symlinks=True))

    def workflow(self) -> miniature.Workflow:
        made = vars(self)  # cached properties that were asked for
        folder, code = made.get("folder", self.finished.folder), made.get("code", miniature.ROOT)
        return miniature.Workflow(folder, self.config, code, self.notes)


def both(*edits):
    def edit(draft):
        for each in edits:
            each(draft)

    return edit


def option(path: str, value):
    """Set a key of the config, named with dots; None takes it away."""

    def edit(draft):
        *parents, last = path.split(".")
        part = draft.config
        for key in parents:
            part = part.setdefault(key, {})
        part.pop(last, None) if value is None else part.update({last: value})

    return edit


def swapped(stage: str, one: str, other: str):
    """Exchange two flags' values."""

    def edit(draft):
        flags = draft.config["stages"][stage]
        assert flags[one] != flags[other]
        flags[one], flags[other] = flags[other], flags[one]

    return edit


def in_text(old: str, new: str):
    """Write the same config otherwise: its file, comments and all, with other words."""

    def edit(draft):
        text = miniature.MINIATURE.read_text()
        assert old in text
        draft.config = text.replace(old, new)
        assert yaml.safe_load(draft.config) == draft.finished.config

    return edit


def defaults_written_out(draft):
    """Say all that the config leaves unsaid: every flag, every axis of a run, the role of the data, the gold reward's
    unit, the engine."""
    config = draft.config
    for stage, flags in validation.DEFAULTS.items():
        config["stages"][stage] = {**flags, **config["stages"].get(stage, {})}
    for name, run in config["runs"].items():
        config["runs"][name] = {"tasks": list(config["tasks"]), **runs.UNSAID, **run}
    for task in config["tasks"].values():
        task["data"] = {"sft": task["data"]}
        task["gold_reward"] = {"unit": "tokens", "name": task["gold_reward"]}


def keys_reversed(draft):
    """Turn the order of all keys round, but for the runs', whose order is that of the tables."""
    draft.config = _reversed(draft.config) | {"runs": {k: _reversed(v) for k, v in draft.config["runs"].items()}}


def _reversed(value):
    return {key: _reversed(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


def runs_reversed(draft):
    draft.config["runs"] = dict(reversed(draft.config["runs"].items()))


def code(path: str, old: str, new: str):
    """Replace text in a file of the code."""

    def edit(draft):
        file = draft.code / path
        text = file.read_text()
        assert text.count(old) >= 1, f"{old} is not in {path}"
        file.write_text(text.replace(old, new))

    return edit


def statement(path: str):
    """Add a statement that an import executes to a file of the code."""
    return added(path, "assert True")


def unreached(path: str):
    """Add definitions that nothing uses to a file of the code, or make it."""
    return added(path, "EDITED = True\n\n\ndef edited():\n    return EDITED")


def added(path: str, text: str):
    """Add text to a file of the code, or make it."""

    def edit(draft):
        with (draft.code / path).open("a") as file:
            file.write(f"\n{text}\n")

    return edit


def in_function(path: str, name: str):
    """Add a statement to a function."""

    def edit(draft):
        file = draft.code / path
        lines = file.read_text().split("\n")
        function = next(node for node in ast.parse(file.read_text()).body if getattr(node, "name", "") == name)
        last = function.body[-1].lineno - 1
        indent = lines[last][: len(lines[last]) - len(lines[last].lstrip())]
        file.write_text("\n".join([*lines[:last], f"{indent}assert True", *lines[last:]]))

    return edit


def comments(pattern: str):
    """Add a comment and blank lines to every file of the code that matches."""

    def edit(draft):
        files = sorted(draft.code.glob(pattern))
        assert files, pattern
        for file in files:
            file.write_text(f"# A comment.\n\n{file.read_text()}\n\n# Another one.\n")

    return edit


def data(seed: int):
    """Write the data file anew."""
    return lambda draft: miniature.write_data(draft.folder, seed)


def preferences(name: str):
    """Write a file of preferences."""

    def edit(draft):
        rows = [{"prompt": f"Say {i}.", "chosen": "Yes.", "rejected": "No."} for i in range(64)]
        (draft.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    return edit


def own_base_model(draft):
    """Start from a model folder that is no result."""
    shutil.copytree(draft.folder / "results/miniature/min_length/seed1/base/model", draft.folder / "own model")
    draft.config["tasks"]["min_length"]["base_model"] = "own model"


def own_judge(draft):
    """Judge the task by a model folder that is no result."""
    shutil.copytree(draft.folder / "results/miniature/min_length/seed1/base/model", draft.folder / "judge")
    draft.config["tasks"]["min_length"]["judge"] = {"model": "judge"}


def resized(path: str, size: int):
    """Cut or fill a file of the folder with zeros, which take no room on the disk."""
    return lambda draft: os.truncate(draft.folder / path, size)


def with_vllm(draft):
    """Install what the workflow takes for vLLM."""
    (draft.code / ".venv-vllm/lib/python3.11/site-packages/vllm").mkdir(parents=True)


def without_vllm(draft):
    """Nothing beside the code, whatever there is beside the code under test."""
    assert not (draft.code / ".venv-vllm").exists()


def interrupted(*paths: str):
    """Mark results as Snakemake does those that it is making, and a kill leaves them."""

    def edit(draft):
        memory = FilePersistence(path=draft.folder / ".snakemake")
        for path in paths:
            memory._mark_incomplete(f"results/miniature/{path}", None)

    return edit


def touched(draft):
    """Give every file of the code, the data and the results a new time, the first that was made the last one."""
    code = [path for path in draft.code.rglob("*.*") if path.is_file()]
    made = [p for p in draft.folder.rglob("*") if p.is_file() and ".snakemake" not in p.relative_to(draft.folder).parts]
    newest_first = sorted(made, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    now = time.time()
    for number, file in enumerate([*code, *newest_first]):  # a file system's own clock is too coarse to tell them apart
        os.utime(file, (now + number / 1000, now + number / 1000))


def cloned(draft):
    """Another clone, other time stamps, the results and the engine's memory copied in."""
    assert draft.code
    draft.folder = shutil.copytree(draft.finished.folder, draft.notes / "clone", copy_function=shutil.copy)


def forgotten(draft):
    """The results copied without what the engine remembers of them, all with one time."""
    shutil.rmtree(draft.folder / ".snakemake")
    for file in (path for path in draft.folder.rglob("*") if path.is_file()):
        os.utime(file, (0, 0))


def emptied(draft):
    """A clone without results: the data file is all there is."""
    draft.folder = draft.notes / "empty"
    draft.folder.mkdir()
    miniature.write_data(draft.folder)


def deleted(*paths: str):
    """Delete files or folders of the results."""

    def edit(draft):
        for path in paths:
            target = draft.folder / "results" / "miniature" / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    return edit


def accepted(*paths: str):
    """Say with `snakemake --touch` that what is stale is as good as made: all of it, or these files of the results."""

    def edit(draft):
        before = contents(draft)
        draft.workflow().call("--touch", *(f"results/miniature/{path}" for path in paths))
        assert contents(draft) == before, "touch changes no file and makes none"

    return edit


def contents(draft) -> dict[str, str]:
    found = provenance.contents(draft.folder / "results")
    return {path: digest for path, digest in found.items() if not path.endswith(".log")}
