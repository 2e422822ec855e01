"""How far the last run in a folder is, stage by stage, and where the logs of what runs and of what failed are.

    python workflow/cluster/status.py [FOLDER]

It reads what Snakemake wrote down of the run, and asks Slurm which of its jobs still wait.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

STATES = ("to do", "queued", "running", "done", "failed")
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED"}


def main(folder: str = ".") -> int:
    for log in sorted(Path(folder, ".snakemake", "log").glob("*.snakemake.log"), reverse=True):
        run = Run(log.read_text(encoding="utf-8", errors="replace"))
        if run.state:  # what was refused, or had nothing to do, is no run
            break
    else:
        print(f"{folder}: no run of Snakemake has been here (no .snakemake/log)", file=sys.stderr)
        return 1
    print(run.table(waiting(set(run.slurm.values()))))
    for state in ("running", "failed"):
        if files := run.files(state):
            print(f"\n{state}:", *(f"  {words}: {where}" for words, where in files), sep="\n")
    print(f"\nall of it: {log}")
    return 0


class Run:
    """What a log of Snakemake says of each job: its rule, words and state, its job in Slurm and the log of that."""

    def __init__(self, log: str):
        self.totals: Counter[str] = Counter()
        self.state: dict[str, str] = {}
        self.rules: dict[str, str] = {}
        self.words: dict[str, str] = {}
        self.slurm: dict[str, str] = {}
        self.logs: dict[str, str] = {}
        self._groups: list[tuple[str, list[str]]] = []  # (name, members) of those that were not submitted yet
        self._failing, self._rule = False, ""  # whether the lines that follow speak of a job that failed, and of which
        for line in log.splitlines():
            for pattern, read in READERS:
                if found := pattern.match(line):
                    read(self, *found.groups())
                    break
        self.totals.pop("total", None)

    def _counts(self, rule: str, count: str) -> None:
        self.totals[rule] = int(count)

    def _group(self, name: str) -> None:
        self._groups.append((name, []))

    def _begins(self, indent: str, job: str, words: str, rule: str) -> None:
        """A job that is about to run, of a group where the line is indented. Its words begin with its rule, whose name
        another workflow may prefix."""
        self._failing, self.state[job], self.words[job] = False, "running", words
        self.rules[job] = rule
        if indent and self._groups:
            self._groups[-1][1].append(job)

    def _submitted(self, job: str, slurm: str, log: str) -> None:
        group, rule = re.search(r"/group_([^/]+)/[^/]+$", log), re.search(r"/rule_(\w+)/([^/]+/)?\d+\.log$", log)
        if rule:
            self.rules[job] = rule[1]
        for each in self._members(group[1]) if group else [job]:
            self.slurm[each], self.logs[each], self.state[each] = slurm, log, "running"

    def _members(self, name: str) -> list[str]:
        """Those of a group, whose log's folder is named after it and the rules in it."""
        fitting = [group for group in self._groups if name.startswith(f"{group[0]}_")]
        found: tuple[str, list[str]] = max(fitting, key=lambda group: len(group[0]), default=("", []))
        self._groups = [group for group in self._groups if group is not found]
        return found[1]

    def _ends(self, job: str, rule: str) -> None:
        self.rules[job], self.state[job] = rule, "done"

    def _fails(self, rule: str) -> None:
        self._failing, self._rule = True, rule

    def _numbered(self, job: str) -> None:
        if self._failing:
            self.rules[job], self.state[job] = self._rule, "failed"

    def table(self, waiting: set[str]) -> str:
        """A line per rule: how many of its jobs are in which state."""
        for job, slurm in self.slurm.items():
            if slurm in waiting and self.state[job] == "running":
                self.state[job] = "queued"
        counts: dict[str, Counter[str]] = {rule: Counter() for rule in self.totals}
        for job, state in self.state.items():
            counts.setdefault(self.rules[job], Counter())[state] += 1
        rows: list[tuple[str, ...]] = [("", *STATES)]
        for rule, states in counts.items():
            left = max(self.totals[rule] - states.total(), 0)
            rows.append((rule, *(str(states[state] or "") for state in STATES)))
            rows[-1] = (rule, str(left or ""), *rows[-1][2:])
        width = max(len(row[0]) for row in rows)
        return "\n".join(f"{row[0]:<{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows)

    def files(self, state: str) -> list[tuple[str, str]]:
        return [
            (self.words.get(job, self.rules[job]), self.logs.get(job, "see the log below"))
            for job, its in self.state.items()
            if its == state
        ]


READERS = (
    (re.compile(r"^(\w+) +(\d+)$"), Run._counts),
    (re.compile(r"^.* Group job (\w+) \(jobs in"), Run._group),
    (re.compile(r"^( *)Job (\d+): ((\w+).*)$"), Run._begins),
    (re.compile(r"^Job (\S+) has been submitted with SLURM jobid (\d+) \(log: (.+)\)\.$"), Run._submitted),
    (re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)$"), Run._ends),
    (re.compile(r"^ *Error in rule (\w+):$"), Run._fails),
    (re.compile(r"^ +jobid: (\d+)$"), Run._numbered),
)


def waiting(jobs: set[str]) -> set[str]:
    """Those of the jobs that Slurm has not started; none where there is no Slurm to ask."""
    if not jobs:
        return set()
    try:
        done = subprocess.run(["squeue", "--noheader", "--format=%i|%T"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    lines = [line.partition("|") for line in done.stdout.splitlines()]
    return {job for job, _, state in lines if state.strip() in WAITING} & jobs


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
