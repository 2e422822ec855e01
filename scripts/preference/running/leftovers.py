"""What lies beside an output until a later stage has read it: states of a training, parts of a long work.

A stage cannot know that its end was noticed: a run that is killed just then deletes the output and makes it again, in
seconds as long as this is there. That a later stage has made something of the output shows that it was noticed.
"""

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

KINDS = ("checkpoints", "shards")  # <output>.<kind>/<digest of what is being made>/


def lock(folder: Path):
    """The open lock file of a folder, which says who holds it; None where somebody else does.

    Raises:
        OSError: the file system has no locks.
    """
    file = (folder / "lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def remove(artifacts: Iterable[Path | str]) -> None:
    """Remove what lies beside artifacts, but for what a process works on and for folders that are not of this kind."""
    for root in (Path(f"{artifact}.{kind}") for artifact in artifacts for kind in KINDS):
        with contextlib.suppress(OSError):  # nothing is there, or another reader removes it; else it costs room only
            for name in os.listdir(root):
                _remove(root / name)
            root.rmdir()


def _remove(folder: Path) -> None:
    if (folder / "lock").is_file() and (held := lock(folder)):
        shutil.rmtree(folder, ignore_errors=True)
        held.close()
