"""What each stage took of what it asked for: benchmark files -> tables/efficiency.csv, and what to ask for next time.

The benchmark files say both where Snakemake writes them extended, as the cluster's profile has it.
"""

import ast
import csv
import math
from collections import defaultdict
from pathlib import Path
from statistics import median

from preference.files import artifacts, logs
from workflow.cluster import slurm

UNMEASURED = ("NA", "-")  # of a job that ended before it was looked at


def write(results: Path | str) -> Path | None:
    """Write the table of an experiment, a row per rule in the order of the time that it took; None where nothing says
    what was asked for."""
    rows = table(results)
    path = Path(results) / "tables" / "efficiency.csv"
    if not rows:
        return None
    with artifacts.atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, logs.EFFICIENCY.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def table(results: Path | str) -> list[dict]:
    jobs = defaultdict(list)
    for path in sorted(Path(results).rglob("*.benchmark.tsv")):
        for job in () if _was_restored(path) else _jobs(path):
            jobs[job["rule"]].append(job)
    rows = [_row(rule, of_rule) for rule, of_rule in jobs.items()]
    return sorted(rows, key=lambda row: (-row["jobs"] * row["minutes_median"], row["stage"]))


def _was_restored(path: Path) -> bool:
    """Say whether a job took its outputs from the store, so that what it took says nothing of its stage."""
    log = path.with_name(path.name.replace(".benchmark.tsv", ".log"))
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return any(line.startswith("restored from ") for line in lines[-2:])


def _jobs(path: Path) -> list[dict]:
    """The rows of a benchmark file that say what was asked for; a damaged one costs no more than its row here."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [job for row in rows if (job := _job(row))]


def _job(row: dict) -> dict | None:
    try:
        numbers = {name: float(row[name]) if row[name] not in UNMEASURED else 0.0 for name in ("max_rss", "cpu_time")}
        return {
            "rule": row["rule_name"],
            "s": float(row["s"]),
            **numbers,
            "asked": _submitted(dict(ast.literal_eval(row["resources"]))),
        }
    except (KeyError, TypeError, ValueError, SyntaxError):
        return None


def _submitted(asked: dict) -> dict:
    """What was asked for, which is no more than the partition gives; on its node a job does not know that."""
    for name in ("runtime", "mem_mb"):
        limit = slurm.most(str(asked.get("slurm_partition")), slurm.LIMITS[name][0])
        asked[name] = min(asked.get(name, 0), limit or math.inf)
    return asked


def _row(rule: str, jobs: list[dict]) -> dict:
    asked = [job["asked"] for job in jobs]
    minutes = [job["s"] / 60 for job in jobs]
    memory = max(job["max_rss"] for job in jobs)
    # What a job took before it was stopped, and tried again with more, is not told.
    again = [each for each in asked if each.get("attempt", 1) > 1]
    minutes_needed, memory_needed = (max((each[name] for each in again), default=0) for name in ("runtime", "mem_mb"))
    return {
        "stage": rule,
        "jobs": len(jobs),
        "minutes_median": round(median(minutes), 2),
        "minutes_max": round(max(minutes), 2),
        "minutes_asked": max(each["runtime"] for each in asked),
        "memory_mb_max": round(memory),
        "memory_mb_asked": max(each["mem_mb"] for each in asked),
        "cpus_used_max": round(max(job["cpu_time"] / max(job["s"], 0.01) for job in jobs), 1),
        "cpus_asked": max(each.get("_cores", 1) for each in asked),
        "gres_asked": max(each.get("gres", "") for each in asked),
        # What varies from job to job, and what a slower node takes, on top of the most that was seen.
        "suggested_minutes": max(math.ceil(2 * max(minutes)) + 5, minutes_needed),
        "suggested_memory_mb": max(100 * math.ceil(max(1.5 * memory, 500) / 100), memory_needed),
    }
