"""A stage's log as lines of text: the attempts, the command that is ready to paste, the last lines, the errors."""

import re
from pathlib import Path

from preference.files.untrusted import visible
from preference.inspection import terminal

# 'Error', not 'error': progress lines speak of errors of 0.000
ERROR = re.compile(
    r"\b\w*(Error|Exception|Interrupt)\b(:|$)|^Traceback |\S+\.py: |\b(Killed|Segmentation fault|Aborted)\b"
)
LAST = 10


def attempts(text: str) -> list[list[str]]:
    """The lines of each attempt, its command first; lines before the first command are an attempt without one."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("$ ") or not found:
            found.append([])
        found[-1].append(line)
    return found


def errors(lines: list[str]) -> list[str]:
    """The lines that name an error; a traceback's frames are left out."""
    return [line for line in lines if not line.startswith("$ ") and ERROR.search(line)]


def portrait(path: Path) -> list[str]:
    """Everything that is shown of a log."""
    found = attempts(path.read_text(encoding="utf-8", errors="replace"))
    if not found:
        return ["  the log is empty"]
    lines = [f"  {terminal.counted(len(found), 'attempt')}"]
    for index, attempt in enumerate(found, start=1):
        wrong = errors(attempt)
        said = f"error: {terminal.one_line(wrong[-1], 200)}" if wrong else "no error"
        lines.append(f"    {index}: {terminal.counted(len(attempt), 'line')}, {said}")
    if found[-1][0].startswith("$ "):
        # not wrapped: a line break would be pasted too
        lines += ["", "the last command, ready to paste:", visible(found[-1][0][2:])]
    rest = [line for line in found[-1] if not line.startswith("$ ")]
    return lines + ["", "its last lines:", *_quoted(rest[-LAST:])]


def _quoted(lines: list[str]) -> list[str]:
    return [line for text in lines for line in terminal.quoted(text, 1000, "  ")] or ["  it said nothing"]
