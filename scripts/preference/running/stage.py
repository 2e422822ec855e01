"""A stage as a command-line program: its one-line errors, its log and its progress.

A script declares its flags (see flags), writes `main(flags)`, and ends with
`if __name__ == "__main__": stage.run(main, Flags)`. Standard output is the stage's log; what a person should see
while it runs (progress, warnings, the one-line error) goes to standard error.
"""

import dataclasses
import errno
import itertools
import logging
import os
import re
import shlex
import signal
import sys
import time
import traceback

from preference.running import command_line, flags, leftovers, packages, paths, rules, texts


class InputError(Exception):
    """What the user did wrong: one line that names the file and the key, row or flag."""


def run(main, flags_class) -> None:
    """Parse the command line, print it ready to paste, run `main`, and turn what the user can mend into one line.

    Exits 2 for a wrong flag, and 1 for an InputError or where a file cannot be written.
    """
    logging.setLogRecordFactory(_Discreet)
    # Ctrl-C ends a stage as SIGTERM does, at once: what it will resume from is on the disk already.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    values = command_line.values(flags_class, sys.argv[1:], description=sys.modules[main.__module__].__doc__)
    try:
        typed = without_passwords(shlex.join([sys.executable, *sys.argv]))
        print("$", typed.encode(errors="backslashreplace").decode(), flush=True)  # it may not be UTF-8
        given = checked(flags_class, values)
        main(given)
        if any(map(flags.is_output, dataclasses.fields(given))):  # else it only looks
            from preference.running import store  # reads artifacts, whose errors are defined here

            store.keep_outputs(sys.argv)
            leftovers.remove(paths.inputs(given))
    except InputError as error:
        sys.exit(f"{sys.argv[0]}: {one_line(str(error))}")
    except Exception as error:
        reason = _of_a_file(error) or _of_memory(error)
        sys.exit(f"{sys.argv[0]}: {one_line(reason)}" if reason else without_passwords(traceback.format_exc()))


def checked(flags_class, values: dict):
    """Make the dataclass of flags from their values.

    Raises:
        InputError: a flag or a combination of flags is wrong, a package is missing, or an output is in the way.
    """
    between = (f"--{name}: {reason}" for name, reason in rules.problems(rules.of(flags_class), values))
    found = (texts.problems(values), flags.problems(flags_class, values), between, packages.problems(values))
    if wrong := next(itertools.chain(*found), None):
        raise InputError(wrong)
    given = flags_class(**values)
    if wrong := next(paths.problems(given), None):
        raise InputError(wrong)
    return given


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NO_ENTRY = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR)


def _of_a_file(error: Exception) -> str | None:
    """Why a file could not be read or written, where that is what went wrong: a full disk, a forbidden folder.

    Libraries in other languages put the number into the text: "... (os error 28)".
    """
    stated = re.search(r"os error (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(stated[1]) if stated else None)
    written = getattr(error, "__notes__", [])  # what `artifacts.atomic` was about to write
    if number not in NO_ROOM + NO_ENTRY and not (written and number == errno.ENOENT):
        return None
    where = [*written, getattr(error, "filename", None) or "a file"][0]
    if not written and number in NO_ENTRY:
        return f"{where}: cannot be read or written: {os.strerror(number)}"
    kept = "nothing half-written was kept, the same command goes on from here"
    return f"{where}: cannot be written: {os.strerror(number)}; {kept}"


def _of_memory(error: Exception) -> str | None:
    """That there was not enough memory, where that is what went wrong, on the machine or on its GPU."""
    if not isinstance(error, MemoryError) and not re.search("out of memory|can't allocate memory", str(error)):
        return None
    asked = re.search(r"tried to allocate [\d.]+ \w+", str(error), re.IGNORECASE)
    return f"not enough memory{f' ({asked[0].lower()})' if asked else ''}; make batches, sequences or the model smaller"


def one_line(text: str) -> str:
    """A text as one line that is safe to show: without control characters, and `without_passwords`."""
    text = re.sub(r"\s*[\r\n]+\s*", " ", without_passwords(text.strip()))
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def without_passwords(text: str) -> str:
    """A text in which no address says who asks: https://***@host."""
    return re.sub(r"://[^\s/]*@", "://***@", text)


class _Discreet(logging.LogRecord):
    """What a library logs; the hub's client names the whole address of a mirror, password and all."""

    def getMessage(self) -> str:
        return without_passwords(super().getMessage())


class Progress:
    """A progress bar as whole lines, to the log and to the terminal.

    Several stages run side by side and share one terminal and Slurm's logs have no cursor, so a bar is a line that is
    printed anew every few seconds, not a line that is overwritten.
    """

    def __init__(self, total: int, unit: str, seconds: float = 5.0):
        self.total, self.unit, self.seconds = total, unit, seconds
        self.done, self.start, self.printed = 0, time.monotonic(), time.monotonic()
        self.skipped = 0  # done by an earlier attempt

    def skip(self, done: int) -> None:
        """Count what an earlier attempt has done, in no time."""
        self.done += done
        self.skipped += done

    def update(self, done: int = 1, note: str = "") -> None:
        self.done += done
        now = time.monotonic()
        if now - self.printed >= self.seconds:
            self.printed = now
            say(self._bar(now - self.start) + f"  {note}")

    def _bar(self, elapsed: float) -> str:
        filled = 20 * self.done // max(self.total, 1)
        left = elapsed * (self.total - self.done) / max(self.done - self.skipped, 1)
        bar = "█" * filled + "░" * (20 - filled)
        return f"{bar} {self.done:>5}/{self.total} {self.unit}  {elapsed:.0f}s, {left:.0f}s left"


def say(line: str) -> None:
    """Print a line to the terminal (standard error), where the workflow also copies it into the log."""
    name = sys.argv[0].rsplit("/", 1)[-1].removesuffix(".py")
    print(f"  {name:<24} {line}".rstrip(), file=sys.stderr, flush=True)
