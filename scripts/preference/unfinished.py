"""Work that is not finished yet: a folder beside a declared output, for one process at a time.

It is `<output>.<what>/<digest of what is being made>/`, so a changed flag, input or line of code starts afresh, and it
is under a lock, so two jobs never work on one thing. It is removed once the output is on the disk.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
from pathlib import Path

from preference.stage import InputError


class Unfinished:
    """The folder of one piece of work; use as a context manager, which holds the lock."""

    what: str  # checkpoints, shards

    def __init__(self, output: str, made_by: dict):
        name = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
        self.root = Path(f"{output}.{self.what}")
        self.folder = self.root / name

    def __enter__(self):
        self._made = [folder for folder in self.root.parents if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder)
        if self._lock is None:
            who = (self.folder / "lock").read_text(encoding="utf-8").strip()
            raise InputError(f"{self.folder}: another process ({who}) is making this; wait for it or end it")
        return self

    def __exit__(self, *_):
        if self.folder.is_dir() and os.listdir(self.folder) == ["lock"]:  # nothing was finished: no trace of it
            shutil.rmtree(self.folder)
            self._leave()
            for folder in self._made:
                if not os.listdir(folder):
                    folder.rmdir()
        self._lock.close()

    def remove(self) -> None:
        """Drop the work, once the output is on the disk, and that of older attempts which nobody goes on with."""
        shutil.rmtree(self.folder)
        for other in self.root.iterdir():
            if other.is_dir() and (lock := _locked(other)):  # a file manager may leave files of its own
                shutil.rmtree(other)
                lock.close()
        self._leave()

    def _leave(self) -> None:
        if not os.listdir(self.root):
            self.root.rmdir()


def _locked(folder: Path):
    """The open lock file of a folder, which says who holds it; None where somebody else does."""
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
