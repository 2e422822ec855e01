"""The workflow as a person calls it: snakemake in a subprocess, in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MINIATURE = ROOT / "tests" / "miniature.yaml"


class Workflow:
    """A folder with a config, and what snakemake says and does there."""

    def __init__(self, folder: Path, config: dict | None = None):
        self.folder = folder
        self.config = config or yaml.safe_load(MINIATURE.read_text())

    def start(self, *arguments: str) -> subprocess.Popen:
        path = self.folder / "experiment.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", self.folder]
        return subprocess.Popen(
            [*command, *arguments, "--configfile", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"},
        )

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

    def plan(self) -> set[str]:
        """What would rerun, in the words of the rules' messages: `train_dpo min_length, run, seed 1, round 1`."""
        return set(re.findall(r"^Job \d+: (.*)$", self.call("--dry-run"), flags=re.MULTILINE))
