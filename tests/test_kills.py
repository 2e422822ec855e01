"""An experiment that is killed again and again ends as if it had not been: byte for byte, and no finished work is lost.

Needs `make demo` for the uninterrupted experiment that it is compared with (make test-kills). What each stage computes
is noted by journal/sitecustomize.py, so what a kill cost is counted and not guessed.
"""

import collections
import filecmp
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from miniature import heed_ctrl_c

from preference.files import records

pytestmark = pytest.mark.kills
ROOT = Path(__file__).parents[1]
RESULTS = "results/min_length"
MADE = (".csv", ".json", ".parquet", ".safetensors", ".svg", ".html", ".txt", ".yaml", ".jinja")
UNFINISHED = (".tmp", ".checkpoints", ".shards")
STAGES = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["stages"].values()
INTERVAL = max(flags.get("checkpoint_steps", 0) for flags in STAGES)
COMMAND = [sys.executable, "-m", "snakemake"]
UNLOCK = "--unlock"  # docs/recovery.md names it; test_workflow.py holds it to that


class Project:
    """A copy of the project, without vLLM's environment, in which one command is called again and again."""

    def __init__(self, folder: Path):
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in tracked.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.folder, self.results = folder, folder / RESULTS
        self.finished, self.again = set(), []  # jobs whose end was noticed; those of them that were run again
        self.delivered = collections.Counter()
        self.journal, self.session = folder / "journal.jsonl", 0
        self.journal.touch()
        self.begins = {}  # session -> where its lines in the journal begin

    def call(self, *arguments: str) -> subprocess.CompletedProcess:
        command, environment = [*COMMAND, *arguments], self.environment()
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)

    def environment(self) -> dict[str, str]:
        journal = {"JOURNAL": str(self.journal), "SESSION": str(self.session)}
        journal["PYTHONPATH"] = str(ROOT / "tests" / "journal")
        return {**os.environ, **journal, "XDG_CACHE_HOME": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"}

    def start(self) -> subprocess.Popen:
        self.session += 1
        self.begins[self.session] = self.journal.stat().st_size
        self.output = (self.folder / "said.txt").open("w")
        return subprocess.Popen(
            COMMAND,
            cwd=self.folder,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            start_new_session=True,  # a process group that can be killed as a whole
            preexec_fn=heed_ctrl_c,
        )

    def notes(self, session: int) -> list[dict]:
        """What the stages of one call did."""
        text = self.journal.read_bytes()[self.begins[session] : self.begins.get(session + 1)]
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]

    def end_of_session(self) -> str:
        """Read what was said: which jobs were done twice, which are finished now."""
        self.output.close()
        said = (self.folder / "said.txt").read_text()
        names = dict(re.findall(r"^Job (\d+): (.*)$", said, re.MULTILINE))
        self.again += [name for name in names.values() if name in self.finished]
        done = re.findall(r"^Finished jobid: (\d+)", said, re.MULTILINE)
        self.finished |= {names[number] for number in done if number in names}
        return said

    def to_the_end(self) -> None:
        assert self.start().wait() == 0, self.end_of_session()[-6000:]
        self.end_of_session()


def at_any_time(project, process, moments) -> None:
    time.sleep(moments.uniform(2, 12))


def as_a_stage_starts(project, process, moments) -> None:
    wait_for(("start",), moments.randint(1, 2), project, process)
    time.sleep(moments.uniform(0, 3))


def as_a_stage_works(project, process, moments) -> None:
    wait_for(("step", "part"), moments.randint(1, 15), project, process)
    time.sleep(moments.uniform(0, 1))


def as_a_stage_ends(project, process, moments) -> None:
    wait_for(("end",), moments.randint(1, 2), project, process)
    time.sleep(moments.uniform(0, 0.1))


def wait_for(what: tuple[str, ...], count: int, project, process) -> None:
    """Wait until so many of these were noted, but not for long: near the end there may be fewer."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if sum(note["what"] in what for note in project.notes(project.session)) >= count:
            return
        time.sleep(0.02)


MOMENTS = (at_any_time, as_a_stage_starts, as_a_stage_works, as_a_stage_ends)


def interrupt(project: Project, process, number: signal.Signals, everyone: bool) -> None:
    """Send a signal to the whole process group, or to the workflow engine alone, and wait until nothing runs."""
    assert process.poll() is None, "it ended before it was told to: " + project.end_of_session()[-3000:]
    if everyone:
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    assert process.wait(timeout=300) != 0, "it had ended by itself"
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while is_alive(process.pid):
        assert time.monotonic() < deadline, "a process of the group lives on"
        time.sleep(0.05)
    project.delivered[number.name, everyone] += 1
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
        plan = subprocess.run([*COMMAND, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        if "Nothing to be done" in plan.stdout + plan.stderr:
            return made
    project = Project(tmp_path_factory.mktemp("whole"))
    project.to_the_end()
    return project.results


def check(project: Project, whole: Path) -> None:
    """Compare with the uninterrupted experiment, and count what was computed again."""
    check_what_was_computed_again(project)
    assert project.again == [], "a finished stage was run again"
    made, expected = (
        {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in MADE}
        for folder in (project.results, whole)
    )
    assert made == expected and len(made) > 100
    assert [p for p in sorted(made) if not filecmp.cmp(whole / p, project.results / p, shallow=False)] == []
    left = [path for path in project.results.rglob("*") if path.suffix in UNFINISHED]
    assert left == [], "what was unfinished is gone"


def check_what_was_computed_again(project: Project) -> None:
    """A kill may cost each stage that it hits an interval of steps or one part, and one that had ended nothing."""
    before, ended, hits = collections.defaultdict(list), set(), collections.Counter()
    sessions = [project.notes(number) for number in range(1, project.session + 1)]
    works = {note["output"] for notes in sessions for note in notes if note["what"] in ("step", "part")}
    for notes, next_notes in itertools.zip_longest(sessions, sessions[1:], fillvalue=[]):
        started, ends = (of(notes, what) & works for what in ("start", "end"))
        at_work = of(notes, "step") | of(notes, "part")
        for output in at_work:
            computed = [(note["what"], note["unit"]) for note in notes if note["output"] == output and note["unit"]]
            again = [unit for unit in computed if unit in before[output]]
            hits["units computed again"] += len(again)
            allowed = 0 if output in ended else INTERVAL if computed[0][0] == "step" else 1
            assert len(again) <= allowed, f"{output}: {again} computed again"
            before[output] += computed
        ended |= ends
        hits["in start-up"] += len(started - ends - at_work)
        hits["at work"] += len(at_work - ends)
        hits["ended and not noticed"] += len(ends & of(next_notes, "start"))
    print(f"delivered {dict(project.delivered)}; stages were hit {dict(hits)}")
    assert hits["in start-up"] and hits["at work"], "the kills met neither kind of moment"


def of(notes: list[dict], what: str) -> set[str]:
    """The outputs of the stages that did such a thing."""
    return {note["output"] for note in notes if note["what"] == what}


def kill(project: Project, times: int) -> None:
    """SIGKILL to every process, again and again; each time the lock is cleared as docs/recovery.md says."""
    moments = random.Random(0)
    for turn in range(times):
        process = project.start()
        MOMENTS[turn % len(MOMENTS)](project, process, moments)
        interrupt(project, process, signal.SIGKILL, everyone=True)
        if turn == 1:  # killed as a stage started, so the lock is there
            refused = project.call()
            assert refused.returncode != 0 and "Directory cannot be locked" in refused.stdout + refused.stderr
        unlocked = project.call(UNLOCK)
        assert unlocked.returncode == 0, unlocked.stderr


def stop(project: Project, times: int) -> None:
    """Ctrl-C and a shutdown reach every process of the group, `kill` the workflow engine alone; no lock is left."""
    moments = random.Random(1)
    ways = [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)]
    for turn in range(times):
        process = project.start()
        MOMENTS[turn % len(MOMENTS)](project, process, moments)
        interrupt(project, process, *ways[turn % len(ways)])


@pytest.mark.parametrize(("interrupted", "times"), [(kill, 20), (stop, 12)], ids=["SIGKILL", "SIGTERM and Ctrl-C"])
def test_an_experiment_that_is_interrupted_ends_as_if_it_had_not_been(whole, tmp_path, interrupted, times):
    project, start = Project(tmp_path), time.monotonic()
    interrupted(project, times)
    project.to_the_end()
    print(f"\n{interrupted.__name__}: {time.monotonic() - start:.0f} s in all")
    assert sum(project.delivered.values()) == times
    check(project, whole)
