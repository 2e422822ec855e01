"""Slurm: what it offers, what a job asks of it, what is wrong with that, and its controller that may be away.

Problems are one line, before any job is queued. `docs/snakemake.md` says what `patches` changes of the executor.
"""

import ast
import functools
import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from workflow import patches, stages
from workflow.cluster import caches

PROFILE = "slurm/config.yaml"
GRES = re.compile(r"[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?")  # of a GPU, as the executor lets it pass
# A resource -> the partition's limit of it, and its unit.
LIMITS = {"_cores": ("cpus", "CPUs"), "mem_mb": ("memory_mb", "MB"), "runtime": ("minutes", "minutes")}

SECONDS = 600  # that a submission, or a job that begins on a node, waits for the controller
BETWEEN = 5

stopped = threading.Event()  # the run was interrupted: nothing is submitted any more
_given_up = threading.Event()  # it was waited for in vain: the next ones need not


class Partition(NamedTuple):
    """The most that a job of a partition may have; None: no limit."""

    minutes: int | None
    memory_mb: int
    cpus: int
    gres: dict[str, int]  # `gpu` and `gpu:a100` -> how many a node has


class Site:
    """What a profile says of its site: the partitions, what a GPU is called there, and who pays.

    Another type of cluster is another module with such a class (see `workflow.cluster`).
    """

    KEYS = ("slurm_partition", "gpu_partition", "gpu_gres", "slurm_account")

    def __init__(self, default_resources: dict, on_node: bool):
        """Prepare this process for the site; on a node, wait for the controller."""
        said = {key: _plain(default_resources[key].raw) for key in self.KEYS if key in default_resources}
        self.partitions = said.get("slurm_partition"), said.get("gpu_partition")
        self.gres, self.on_node = said.get("gpu_gres"), on_node
        self.has_gpus = self.gives_gpus = bool(self.gres)
        caches.keep_out_of_home(on_node)
        if on_node:
            wait_as_a_job_begins()

    def within(self, gpus: int, what: str, wanted: int) -> int:
        """Return what a job wants, or the most that its partition gives: the estimates are high, and a stage that is
        stopped goes on where it was. A node need not ask the cluster: only submitted jobs are limited."""
        names = self.partitions[bool(gpus)]
        limit = most(names, what) if names and not self.on_node else None
        return min(wanted, limit) if limit else wanted

    def resources(self, gpus) -> dict:
        """Return the resources by which the executor asks Slurm; `gpus` counts a job's GPUs by its wildcards."""

        def gres(wildcards):
            return f"{self.gres}:{gpus(wildcards)}" if gpus(wildcards) else None

        def slurm_partition(wildcards):
            return self.partitions[bool(gpus(wildcards))]

        asked: dict[str, object] = {"slurm_partition": slurm_partition, "gpu_partition": None, "gpu_gres": None}
        asked["attempt"] = lambda wildcards, attempt: attempt  # for efficiency.csv
        return asked | ({"gres": gres} if self.gres else {"gpu": lambda wildcards: gpus(wildcards) or None})

    def problem(self, dag, hub: dict[str, list[str]], fetched: str) -> str | None:
        """Return what is wrong with what the jobs of a run ask for: those that cannot start would fail one by one."""
        jobs = list(dag.needrun_jobs())
        asked = [(job.rule.name, dict(job.resources.items())) for job in jobs]
        groups = {dag.get_job_group(job) for job in jobs} - {None}
        together = [(f"the group {group.groupid}", dict(group.resources.items())) for group in groups]
        missing = unfetched(asked, hub, fetched)
        return problem(asked, together) or missing

    def begin(self) -> None:
        """Do what a run needs before it submits its first job."""
        patches.be_patient(sys.modules[__name__])

    def efficiency(self, folder: str) -> Path | None:
        """Write what the jobs of a folder took of what they asked for."""
        from workflow.cluster import efficiency  # which reads this module

        return efficiency.write(folder)


def _plain(raw: str) -> str:
    """Return a default resource as it is meant: the profile quotes it, as Snakemake takes it for Python."""
    try:
        return str(ast.literal_eval(raw))
    except (SyntaxError, ValueError):
        return raw


# What slurm/config.yaml calls.
def keep_cache_here() -> None:
    """Keep Snakemake's own cache, and that of every job, in the folder that all nodes see."""
    os.environ.setdefault("XDG_CACHE_HOME", str(Path(".snakemake/cache").resolve()))


def status_command() -> str:
    """Return sacct where there is accounting; where there is none it fails, and a run would wait for ever."""
    return "squeue" if _said("sacct", "--noheader", "--allocations", "--starttime", "now") is None else "sacct"


def quoted(name) -> str:
    """Return a name as Snakemake, which runs it as Python, leaves it: the account 2023-45 would be 1978."""
    return repr(str(name))


def cores(partition: str) -> int:
    """Return the CPUs of one job at most, no more than a node has: Slurm would let the job wait for ever."""
    cpus = _said("sinfo", "--noheader", "--format=%c", f"--partition={partition}") or ""
    return min(8, max((int(each.rstrip("+")) for each in cpus.split()), default=8))


def problem(asked: list[tuple[str, dict]], together: list[tuple[str, dict]]) -> str | None:
    """The first of the problems, or None.

    Args:
        asked: (rule, resources) of every job.
        together: (group, resources) of the jobs that share one.
    """
    if shutil.which("sinfo") is None:
        return "there is no Slurm here (no `sinfo`): `--profile slurm` is for a cluster's login node"
    offered = partitions()
    if not offered:
        return "Slurm's controller does not answer (`sinfo`)"
    return (
        _of_partitions(asked, offered)
        or _of_limits(asked)
        or _of_limits(_shortened(together), f"; lower cores, mem_mb or group-components in {PROFILE}")
        or _of_gpus(asked, offered)
        or _of_accounts(asked)
    )


def _of_partitions(asked: list[tuple[str, dict]], offered: dict[str, Partition]) -> str | None:
    for names, rules in _by(asked, "slurm_partition").items():
        for name in names.split(","):
            if name not in offered:
                return f"{PROFILE}: {_some(rules)}: no partition '{name}' here; there are {_listed(offered)}"
    return None


def keep_within(job) -> dict[str, int]:
    """Return what a group of jobs must ask for less of, so that it asks for no more than its partition gives.

    Slurm would refuse it, or let it wait for ever. What a group asks for is a sum of high guesses, doubled at each
    attempt.
    """
    lowered = {}
    for name, (what, unit) in LIMITS.items() if job.is_group() else ():
        limit, wanted = most(str(job.resources.get("slurm_partition")), what), job.resources.get(name, 0)
        if limit and wanted > limit:
            lowered[name] = limit
            lower = f"lower group-components in {PROFILE} if that is too little"
            print(f"the group {job.groupid} would ask for {wanted} {unit} and gets {limit}; {lower}", file=sys.stderr)
    return lowered


def _shortened(together: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    return [(group, {**resources, "runtime": None}) for group, resources in together]


def _of_limits(asked: list[tuple[str, dict]], remedy: str = "") -> str | None:
    """What a job wants more of than any node of its partitions has, as `--set-resources` may say."""
    for name, (what, unit) in LIMITS.items():
        for (names, wanted), rules in _by(asked, "slurm_partition", name).items():
            limit = most(names, what)
            if limit is not None and wanted.isdigit() and int(wanted) > limit:
                asks = f"{_some(rules)}: asks for {wanted} {unit}"
                return f"{asks}, and the partition {names} gives {limit} at most{remedy}"
    return None


def _of_gpus(asked: list[tuple[str, dict]], offered: dict[str, Partition]) -> str | None:
    for (names, gres), rules in _by(asked, "slurm_partition", "gres").items():
        kind, _, count = gres.rpartition(":")
        if not GRES.fullmatch(kind):
            return f"{PROFILE}: gpu_gres: '{kind}' is more than letters, digits and _; say gpu, and which by constraint"
        has: dict[str, int] = {}
        for part in names.split(","):
            has |= {name: max(most, has.get(name, 0)) for name, most in offered[part].gres.items()}
        if has.get(kind, 0) < int(count):
            listed = ", ".join(f"{name}:{most}" for name, most in sorted(has.items())) or "none"
            return f"{PROFILE}: {_some(rules)}: no node of the partition {names} has '{gres}'; its GRES are {listed}"
    return None


def _of_accounts(asked: list[tuple[str, dict]]) -> str | None:
    yours = _accounts()
    for account, rules in _by(asked, "slurm_account").items():
        if yours and account.lower() not in yours:
            return f"{PROFILE}: {_some(rules)}: no account '{account}' of yours here; there are {_listed(yours)}"
    return None


def unfetched(asked: list[tuple[str, dict]], hub: dict[str, list[str]], fetched: str) -> str | None:
    """What jobs would look for in vain, as they ask the hub's cache only and it was not fetched into that."""
    if not any(stages.OF_RULE.get(rule, stages.OTHER).reads_hub for rule, _ in asked):
        return None
    there = json.loads(Path(fetched).read_text(encoding="utf-8")) if Path(fetched).is_file() else {}
    for kind, names in hub.items():
        for name in names:
            if name not in there.get(kind, {}) or not caches.holds(kind, name):
                again = " --forcerun fetch_hub" if there else ""  # which is made, if of another cache
                fetch = f"fetch it first: snakemake --profile slurm fetch{again}"
                return f"{name} comes from the hub; {fetch} (it is not in {caches.of_hub()})"
    return None


@functools.cache
def partitions() -> dict[str, Partition]:
    """Partition -> what it offers; nothing where there is no Slurm, or it does not answer."""
    said = _said("sinfo", "--all", "--Node", "--noheader", "--format=%R|%l|%m|%c|%G")
    return parsed(said or "")


def most(names: str, what: str) -> int | None:
    """The most that a job may have of what in any of the partitions, `short,long`; None where nothing limits it."""
    limits = [getattr(partitions()[name], what) for name in names.split(",") if name in partitions()]
    return max(limits, default=None) if None not in limits else None


def parsed(said: str) -> dict[str, Partition]:
    """What `sinfo` says, a line per partition and node: name|time limit|memory in MB|CPUs|generic resources."""
    found: dict[str, Partition] = {}
    for line in said.splitlines():
        name, limit, memory, cpus, generic = line.split("|")
        before = found.get(name, Partition(None, 0, 0, {}))
        gres = dict(before.gres)
        for kind, count in _gres(generic):
            gres[kind] = max(gres.get(kind, 0), count)
        found[name] = Partition(_minutes(limit), max(before.memory_mb, int(memory)), max(before.cpus, int(cpus)), gres)
    return found


def _gres(generic: str):
    """gpu:a100:4(S:0-1),gpu:v100:2 -> gpu 4, gpu:a100 4, gpu 2, gpu:v100 2."""
    for each in re.sub(r"\([^)]*\)", "", generic).split(","):
        name, _, rest = each.strip().partition(":")
        kind, _, count = rest.rpartition(":")
        if count.isdigit():
            yield name, int(count)
            if kind:
                yield f"{name}:{kind}", int(count)


def _minutes(limit: str) -> int | None:
    """[days-]hours:minutes:seconds, or minutes:seconds, in whole minutes; None where there is no limit."""
    if not (found := re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)):
        return None
    days, hours, minutes, _ = (int(number or 0) for number in found.groups())
    return (24 * days + hours) * 60 + minutes


def _by(asked: list[tuple[str, dict]], *names: str) -> dict:
    """What is asked -> the rules that ask for it, of the rules that ask for all of it."""
    found = defaultdict(set)
    for rule, resources in asked:
        values = [str(resources[name]) for name in names if resources.get(name)]
        if len(values) == len(names):
            found[values[0] if len(names) == 1 else tuple(values)].add(rule)
    return found


def _accounts() -> set[str]:
    """The accounts that this user may charge; none where the cluster keeps no accounts."""
    user = getpass.getuser()
    said = _said("sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account")
    return set((said or "").lower().split())


def _said(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _some(rules: set[str]) -> str:
    first, *others = sorted(rules)
    return f"{first} and {len(others)} more rules" if others else first


def _listed(names) -> str:
    return ", ".join(sorted(names))


# The controller, or its accounting, may be away for a while as a run goes on: what waits for it and does not fail.
def wait_for_controller() -> None:
    """Until the controller answers, for ten minutes at most."""
    end, said = time.monotonic() + SECONDS, False
    while shutil.which("scontrol") and not stopped.is_set():
        if _answers():
            return _given_up.clear()
        if _given_up.is_set() or time.monotonic() > end:
            return _given_up.set()
        if not said:
            print(f"Slurm's controller does not answer; waits for it for {SECONDS // 60} minutes", file=sys.stderr)
            said = True
        stopped.wait(BETWEEN)


def wait_as_a_job_begins() -> None:
    """Before a job makes its first step; what runs in that step need not wait."""
    if "SLURM_STEP_ID" not in os.environ:
        wait_for_controller()


def state_told(job: str, state: str) -> str:
    """A state in the executor's words: `CANCELLED by 1000` is CANCELLED, and so is what was preempted for good."""
    word = state.partition(" ")[0]
    return "CANCELLED" if word == "PREEMPTED" and _is_over(job) else word


def _is_over(job: str) -> bool:
    """Whether a preempted job has left the queue; one that starts again waits there under its number."""
    asked = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return set(done.stdout.split()) <= {"PREEMPTED"} if done.returncode == 0 else "Invalid job id" in done.stderr


def _answers() -> bool:
    try:
        return subprocess.run(["scontrol", "ping"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
