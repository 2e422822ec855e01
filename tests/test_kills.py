"""An experiment that is killed again and again ends as if it had not been: byte for byte, and no finished work is lost.

Needs `make demo` for the uninterrupted experiment that it is compared with (make test-kills).
"""

import filecmp
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from preference import records

pytestmark = pytest.mark.kills
ROOT = Path(__file__).parents[1]
RESULTS = "results/min_length"
MADE = (".csv", ".json", ".parquet", ".safetensors", ".svg", ".html", ".txt", ".yaml", ".jinja")
KILLS = 20


class Project:
    """A copy of the project, without vLLM's environment, in which one command is called again and again."""

    def __init__(self, folder: Path):
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in tracked.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.folder, self.finished, self.again = folder, set(), []
        self.expected = defaultdict(set)  # log -> what an attempt must say that it goes on from
        self.heard = defaultdict(str)  # log -> what all attempts said; a new one starts a new log

    def start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"}
        self.output = (self.folder / "said.txt").open("w")
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a process group that can be killed as a whole
        )

    def unlock(self) -> None:
        """The one command that README names."""
        subprocess.run(
            [sys.executable, "-m", "snakemake", "--unlock"], cwd=self.folder, check=True, capture_output=True
        )

    def end_of_session(self) -> str:
        """Read what was said: which jobs were done twice, which are finished now, what each stage goes on from."""
        self.output.close()
        for log in (self.folder / "results").rglob("*.log"):
            self.heard[log] += log.read_text()
        said = (self.folder / "said.txt").read_text()
        names = dict(re.findall(r"^Job (\d+): (.*)$", said, re.MULTILINE))
        self.again += [name for name in names.values() if name in self.finished]
        done = re.findall(r"^Finished jobid: (\d+)", said, re.MULTILINE)
        self.finished |= {names[number] for number in done if number in names}
        return said

    def note_unfinished(self) -> None:
        """What a kill must not cost: the steps and the rows that were on the disk when it came."""
        for state in (self.folder / RESULTS).rglob("*.checkpoints/*/state.json"):
            output = state.parents[1].with_suffix("")
            self.expected[output.with_suffix(".log")].add(f"resumes at step {json.loads(state.read_text())['step']}")
        rows = defaultdict(int)
        for part in (self.folder / RESULTS).rglob("*.shards/*/*.json"):
            output = part.parents[1].with_suffix("")
            rows[output.with_suffix(".log"), part.name.split(".")[0]] += len(json.loads(part.read_text())["results"])
        for (log, name), count in rows.items():
            self.expected[log].add(f"{name}: {count} of")


def interrupt(project: Project, process: subprocess.Popen, number: signal.Signals, everyone: bool) -> None:
    """Send a signal to the whole process group, or to the workflow engine alone, and wait until nothing runs."""
    if everyone:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    process.wait(timeout=300)
    deadline = time.monotonic() + 30
    while is_alive(process.pid):
        assert time.monotonic() < deadline, "a process of the group lives on"
        time.sleep(0.1)
    project.note_unfinished()
    project.end_of_session()


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The uninterrupted experiment: that of `make demo` where transformers sampled it, else one made here."""
    made = ROOT / RESULTS
    table = made / "min_length" / "dpo_on_policy" / "seed1" / "round1" / "responses.parquet"
    if table.is_file() and records.metadata(table)["engine"] == "transformers":
        plan = subprocess.run(
            [sys.executable, "-m", "snakemake", "--dry-run"], cwd=ROOT, capture_output=True, text=True
        )
        if "Nothing to be done" in plan.stdout + plan.stderr:
            return made
    project = Project(tmp_path_factory.mktemp("whole"))
    assert project.start().wait() == 0, project.end_of_session()[-6000:]
    return project.folder / RESULTS


def go_on_to_the_end(project: Project) -> None:
    assert project.start().wait() == 0, project.end_of_session()[-6000:]
    project.end_of_session()


def check(project: Project, whole: Path) -> None:
    assert project.again == [], "a finished stage was run again"
    for log, lines in project.expected.items():
        for line in lines:
            assert line in project.heard[log], f"{log}: no attempt {line}"
    compared = 0
    for path in sorted(whole.rglob("*")):
        if path.suffix in MADE:
            assert filecmp.cmp(path, project.folder / RESULTS / path.relative_to(whole), shallow=False), path
            compared += 1
    assert compared > 100
    left = [p for p in (project.folder / RESULTS).rglob("*") if p.suffix in (".tmp", ".checkpoints", ".shards")]
    assert left == [], "what was unfinished is gone"


def report(project: Project, name: str, seconds: float) -> None:
    kept = sum(len(lines) for lines in project.expected.values())
    print(f"\n{name}: {KILLS} times, {seconds:.0f} s in all; {kept} unfinished states were found and gone on from")


def test_sigkill_of_everything_at_random_moments(whole, tmp_path):
    project, moments, start = Project(tmp_path), random.Random(0), time.monotonic()
    for _ in range(KILLS):
        process = project.start()
        time.sleep(moments.uniform(4, 24))
        assert process.poll() is None, "it ended before it was killed: " + project.end_of_session()[-3000:]
        interrupt(project, process, signal.SIGKILL, everyone=True)
        project.unlock()
    go_on_to_the_end(project)
    report(project, "SIGKILL", time.monotonic() - start)
    check(project, whole)


def test_sigterm_and_ctrl_c_at_random_moments(whole, tmp_path):
    """Ctrl-C and a shutdown reach every process of the group, `kill` the workflow engine alone; no lock is left."""
    project, moments, start = Project(tmp_path), random.Random(1), time.monotonic()
    ways = [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)]
    for turn in range(KILLS):
        process = project.start()
        time.sleep(moments.uniform(4, 24))
        if process.poll() is not None:  # it waits for running jobs where it alone is told to end, so it gets on faster
            break
        interrupt(project, process, *ways[turn % len(ways)])
    go_on_to_the_end(project)
    report(project, "SIGTERM and SIGINT", time.monotonic() - start)
    check(project, whole)
