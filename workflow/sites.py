"""What a cluster offers, and what is wrong with what the jobs of a run ask of it: a line, before any job is queued."""

import functools
import getpass
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import caches

PROFILE = "slurm/config.yaml"
# Rules that may read models or data of the hub, by how their names begin.
FROM_HUB = ("prepare_", "train_", "generate_", "collect_", "skew_", "score_", "compute_", "evaluate_")
FROM_HUB += ("judge_responses", "diagnose_geometry")
GRES = re.compile(r"[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?")  # of a GPU, as the executor lets it pass
# A resource -> the partition's limit of it, and its unit.
LIMITS = {"_cores": ("cpus", "CPUs"), "mem_mb": ("memory_mb", "MB"), "runtime": ("minutes", "minutes")}


class Partition(NamedTuple):
    """The most that a job of a partition may have; None: no limit."""

    minutes: int | None
    memory_mb: int
    cpus: int
    gres: dict[str, int]  # `gpu` and `gpu:a100` -> how many a node has


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


def keep_within(job) -> None:
    """Let what shares a job ask for no more than its partition gives, which Slurm would refuse, or let wait for ever.
    What it asks for is a sum of high guesses, doubled at each attempt."""
    for name, (what, unit) in LIMITS.items() if job.is_group() else ():
        limit, wanted = most(str(job.resources.get("slurm_partition")), what), job.resources.get(name, 0)
        if limit and wanted > limit:
            job._resources[name] = limit
            lower = f"lower group-components in {PROFILE} if that is too little"
            print(f"the group {job.groupid} would ask for {wanted} {unit} and gets {limit}; {lower}", file=sys.stderr)


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
    if not any(rule.startswith(FROM_HUB) for rule, _ in asked):
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
