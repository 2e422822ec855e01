"""What the tests on Slurm want of every Python: a file system that shows a file late, and a note of torch's threads.

$PREFDAG_LATE names files that the login node, where no job runs, sees eight seconds after they were written;
$PREFDAG_THREADS the file where a stage notes its threads as it ends.
"""

import atexit
import os
import sys
import time
from pathlib import Path

LATE, THREADS = os.environ.get("PREFDAG_LATE"), os.environ.get("PREFDAG_THREADS")
SECONDS = 8


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


if LATE and "SLURM_JOB_ID" not in os.environ:
    os.stat, os.lstat = seen_late(os.stat), seen_late(os.lstat)
if THREADS:
    atexit.register(note_threads)
