"""Run a stage, unless the store has what it would make: then put that in its place, without the stage's libraries.

    python workflow/run_once.py STORE STAGE [FILE ...] -- COMMAND

STORE is a folder. STAGE is a digest of the stage's flags and code. The FILEs are what it reads and no flag names.
COMMAND is the stage as one would type it.
"""

import shlex
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "scripts")  # this folder's names would hide others

from preference.running import stage, store  # noqa: E402


def main(argv: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end = argv.index("--")
    folder, digest, *files = argv[:end]
    words, kept = argv[end + 1 :], store.Store(folder)
    command = store.Command(words)
    sys.argv[0] = command.script  # what is said is said of the stage
    key = store.key(digest, command, files)
    if key and store.restore(kept, key, command):
        print("$", stage.without_passwords(shlex.join(words)))
        print(f"restored from {kept.entry(key)}")
    else:
        store.hand_over(kept, key, digest, words)


if __name__ == "__main__":
    main(sys.argv[1:])
