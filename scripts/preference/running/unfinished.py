"""Work that may be interrupted: a folder beside a declared output, for one process at a time.

It is `<output>.<what>/<digest of what is being made>/`, so a changed flag, input or line of code starts afresh, and it
is under a lock, so two jobs never work on one thing. It stays when the work is done: see `leftovers`.
"""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

from preference.running import leftovers
from preference.running.stage import InputError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of Lustre or NFS where they are mounted without


class Unfinished:
    """The folder of one piece of work; use as a context manager, which holds the lock."""

    what: str  # one of leftovers.KINDS

    def __init__(self, output: str, made_by: dict):
        name = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
        self.root = Path(f"{output}.{self.what}")
        self.folder = self.root / name

    def __enter__(self):
        self._made = [folder for folder in self.root.parents if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = leftovers.lock(self.folder)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise InputError(f"{self.folder}: this file system has no locks (flock); work on one that has") from None
        if self._lock is None:
            who = (self.folder / "lock").read_text(encoding="utf-8").strip()
            raise InputError(f"{self.folder}: another process ({who}) is making this; wait for it or end it")
        return self

    def __exit__(self, *_):
        if os.listdir(self.folder) == ["lock"]:  # nothing was finished: no trace of it
            shutil.rmtree(self.folder)
            for folder in (self.root, *self._made):
                if not os.listdir(folder):
                    folder.rmdir()
        self._lock.close()
