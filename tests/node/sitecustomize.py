"""What the tests on Slurm want of every Python: a file system that shows a file late, a note of torch's threads, and a
cluster that is asked often.

$PREFDAG_LATE names files that the login node, where no job runs, sees $PREFDAG_LATE_SECONDS after they were written;
$PREFDAG_THREADS the file where a stage notes its threads as it ends; $PREFDAG_REST the seconds that the login node's
Snakemake rests at most between two looks at its jobs, where it would rest ten more after each look in vain.
"""

import asyncio
import atexit
import os
import sys
import time
from pathlib import Path

LATE, THREADS = os.environ.get("PREFDAG_LATE"), os.environ.get("PREFDAG_THREADS")
SECONDS, REST = float(os.environ.get("PREFDAG_LATE_SECONDS", "0")), float(os.environ.get("PREFDAG_REST", "inf"))
ON_LOGIN_NODE = "SLURM_JOB_ID" not in os.environ


def seen_late(look):
    """A look at a file that is new to this node: there is none."""

    def late(path, *arguments, **options):
        found = look(path, *arguments, **options)
        new = isinstance(path, (str, os.PathLike)) and Path(path).name == LATE
        if new and time.time() - found.st_ctime < SECONDS:
            with open("was_late", "a") as file:
                print(look.__name__, file=file)
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return found

    return late


def note_threads():
    if "torch" in sys.modules:
        with open(THREADS, "a") as file:
            print(Path(sys.argv[0]).stem, sys.modules["torch"].get_num_threads(), file=file)


def shorter(sleep):
    return lambda seconds, *more: sleep(min(seconds, REST), *more)


if ON_LOGIN_NODE:
    asyncio.sleep = shorter(asyncio.sleep)
if LATE and ON_LOGIN_NODE:
    os.stat, os.lstat = seen_late(os.stat), seen_late(os.lstat)
if THREADS:
    atexit.register(note_threads)
