"""The workflow as a person calls it: snakemake in a subprocess, in a folder of its own."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from preference.tasks import instructions

ROOT = Path(__file__).parents[1]
MINIATURE = ROOT / "tests" / "miniature.yaml"


class Workflow:
    """A folder with results, a config, the code that makes the one from the other, and what snakemake says of them."""

    def __init__(self, folder: Path, config: dict | str | None = None, code: Path = ROOT, notes: Path | None = None):
        self.folder, self.code = folder, code
        self.notes = notes or folder  # where the config is written
        self.config = config or yaml.safe_load(MINIATURE.read_text())

    def start(self, *arguments: str) -> subprocess.Popen:
        return self.run([sys.executable, "-m", "snakemake", *self.typed(*arguments)])

    def run(self, command: list) -> subprocess.Popen:
        """Start any program where this workflow is."""
        environment = {**os.environ, **self.environment()}
        pipe = subprocess.PIPE
        where = {"cwd": self.folder, "env": environment, "preexec_fn": heed_ctrl_c}
        return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, **where)

    def typed(self, *arguments: str) -> list[str]:
        """The command line after `snakemake`, for the config as it now is."""
        path = self.notes / "experiment.yaml"
        path.write_text(self.config if isinstance(self.config, str) else yaml.safe_dump(self.config, sort_keys=False))
        where = ["-s", str(self.code / "Snakefile"), "--directory", str(self.folder)]
        return [*where, *arguments, "--configfile", str(path)]

    def environment(self) -> dict[str, str]:
        return {"XDG_CACHE_HOME": str(self.notes / "cache"), "HF_HUB_OFFLINE": "1"}

    def call(self, *arguments: str) -> str:
        """What a successful call says."""
        process = self.start(*arguments)
        said, _ = process.communicate()
        assert process.returncode == 0, said[-6000:]
        return said

    def fail(self, *arguments: str) -> str:
        """What a call that must not succeed says."""
        process = self.start(*arguments)
        said, _ = process.communicate()
        assert process.returncode != 0, said[-6000:]
        return said

    def plan(self, calls=None) -> set[str]:
        """What would rerun, in the words of the rules' messages: `train_dpo min_length, run, seed 1, round 1`."""
        if calls is None:
            return jobs(self.call("--dry-run"))
        status, said = calls.call(self.typed("--dry-run"), self.folder, self.environment())
        assert status == 0, said[-6000:]
        return jobs(said)


def heed_ctrl_c() -> None:
    """As in a terminal: what a script starts in the background ignores Ctrl-C, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def jobs(said: str) -> set[str]:
    return set(re.findall(r"^Job \d+: (.*)$", said, flags=re.MULTILINE))


def write_data(folder: Path, seed: int = 0) -> None:
    """The data file that the miniature's config names."""
    rows = instructions.generate(304, random.Random(seed))
    (folder / "instructions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_twins(folder: Path) -> list[Workflow]:
    """The finished miniature, and its twin that makes seed 1 only, from nothing, side by side."""
    finished, twin = (Workflow(folder / name) for name in ("finished", "twin"))
    twin.config["seeds"] = [1]
    processes = []
    for workflow in (finished, twin):
        workflow.folder.mkdir(parents=True)
        write_data(workflow.folder)
        processes.append(workflow.start())
    for workflow, process in zip((finished, twin), processes, strict=True):
        workflow.said, _ = process.communicate()
        assert process.returncode == 0, workflow.said[-6000:]
    return [finished, twin]
