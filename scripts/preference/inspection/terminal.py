"""Text for a terminal: foreign text made harmless (see untrusted), aligned columns, small plots."""

import math
import re
import shutil
import textwrap

import numpy as np

from preference.files.untrusted import visible

BLOCKS = " ▁▂▃▄▅▆▇█"
NARROWEST = 16  # of a column of names that is cut where the terminal is narrow
MAX_WIDTH = 120  # longer lines of text are hard to read


def show(lines: list[str]) -> None:
    """Print lines; the one way from here to the terminal, so that no caller can forget what `visible` is for."""
    for line in lines:
        print(visible(line).replace("\n", "␊"))  # a line break in a file name or a flag is no line of ours


def width() -> int:
    """Columns to write in: the terminal's, or 100 where the output goes into a pipe."""
    return min(MAX_WIDTH, shutil.get_terminal_size((100, 24)).columns)


def one_line(text: str, most: int = 60) -> str:
    """The text without line breaks, cut to `most` characters."""
    text = visible(" ".join(text.split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def quoted(text: str, most: int, indent: str = "    ") -> list[str]:
    """Text wrapped behind a bar, so that a line of it cannot be taken for a line of ours; cut at `most` characters."""
    left = len(text) - most
    lines = []
    for paragraph in visible(text[:most]).expandtabs(4).split("\n"):
        lines += textwrap.wrap(paragraph, max(20, width() - len(indent) - 2), replace_whitespace=False) or [""]
    if left > 0:
        lines.append(f"… and {left:,} characters more")
    return [f"{indent}│ {line}" for line in lines]


def folded(head: str, words: list[str], indented: int = 0) -> list[str]:
    """Words after a head, on as many lines as they need; a word is never split.

    Args:
        indented: columns that the lines will be moved to the right.
    """
    lines, room = [head], max(40, width() - indented)
    for word in (one_line(word, 200) for word in words):
        if len(lines[-1]) + 1 + len(word) > room and lines[-1].strip():
            lines.append("    " + word)
        else:
            lines[-1] += " " + word
    return lines


def number(value: float | None) -> str:
    """Four significant digits, whole numbers in full; a dash for what is not there."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else str(value)
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes in the largest unit of which there is at least one."""
    unit = min(4, max(0, (max(count, 1).bit_length() - 1) // 10))
    return f"{count:,} bytes" if unit == 0 else f"{count / 1024**unit:.1f} {('', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def counted(count: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def aligned(rows: list[list[str]], indent: str = "  ") -> list[str]:
    """Columns as wide as their widest cell: the first one to the left, numbers to the right."""
    columns = max(map(len, rows), default=0)  # a damaged table may have rows that are too short
    rows = [[one_line(str(cell)) for cell in row] + [""] * (columns - len(row)) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(columns)]
    if (excess := len(indent) + sum(widths) + 2 * (columns - 1) - width()) > 0 and widths[0] - excess >= NARROWEST:
        widths[0] -= excess
        rows = [[_cut(row[0], widths[0]), *row[1:]] for row in rows]
    right = [i > 0 and all(_numeric(row[i]) for row in rows[1:]) for i in range(columns)]
    cells = ([c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)] for row in rows)
    return [(indent + "  ".join(row)).rstrip() for row in cells]


def _cut(text: str, most: int) -> str:
    """The text without its middle, where it is longer: names differ at their ends."""
    left = (most - 1) // 2
    return text if len(text) <= most else f"{text[:left]}…{text[left + 1 - most :]}"


def _numeric(cell: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[\d.,]+(e[-+]?\d+)?|–|nan|-?inf|", cell))


def statistics(values: np.ndarray) -> dict[str, float]:
    """n, mean, median and the 5th and 95th percentile of finite values."""
    low, median, high = np.percentile(values, (5, 50, 95))
    return {"n": len(values), "mean": float(values.mean()), "median": median, "5 %": low, "95 %": high}


def histogram(name: str, values, rows: int = 4) -> list[str]:
    """How values are distributed: a line of statistics, then bars over an axis. None and NaN are counted apart."""
    values = np.array([math.nan if value is None else value for value in values], dtype=float)
    finite = values[np.isfinite(values)]
    odd = [f"{len(values) - len(finite):,} empty or not finite"] if len(finite) < len(values) else []
    if not len(finite):
        return [f"{name}: " + "".join(odd or ["no values"])]
    facts = [f"{key} {number(value)}" for key, value in statistics(finite).items()]
    head = f"{name}   " + " · ".join(facts + odd)
    if finite.min() == finite.max():
        return [head, f"  all {number(finite[0])}"]
    counts, low, high = _counts(finite, width() - 12)
    most = int(counts.max())
    return [head, *_bars(counts / most, rows, f"{most:,}", "0"), _axis(low, high, len(counts))]


def _counts(values: np.ndarray, columns: int) -> tuple[np.ndarray, float, float]:
    """Counts per column of the plot and what the first and the last column stand for."""
    low, high = values.min(), values.max()
    bins = int(np.clip(2 * math.sqrt(len(values)), 10, columns))
    if (values == values.round()).all():
        # bars of equally many whole numbers: other edges would give some bars two numbers and some one
        step = math.ceil((high - low + 1) / bins)
        counts = np.bincount(((values - low) // step).astype(int))
    else:
        counts, _ = np.histogram(values, bins)
    return np.repeat(counts, max(1, min(6, columns // len(counts)))), low, high


def _bars(heights: np.ndarray, rows: int, top: str, bottom: str) -> list[str]:
    """Heights from 0 to 1 as columns of blocks; whatever is above 0 shows at least the thinnest."""
    eighths = np.where(heights > 0, np.clip(np.round(heights * rows * 8), 1, None), 0).astype(int)
    margin = max(len(top), len(bottom), 6)
    lines = []
    for row in reversed(range(rows)):
        label = top if row == rows - 1 else bottom if row == 0 else ""
        line = "".join(BLOCKS[level] for level in np.clip(eighths - 8 * row, 0, 8))
        lines.append(f"  {label:>{margin}} {'┤' if label else '│'}{line}".rstrip())
    return [*lines, f"  {'':>{margin}} └{'─' * len(heights)}"]


def _axis(low: float, high: float, columns: int, margin: int = 6) -> str:
    ends = number(low), number((low + high) / 2), number(high)
    if columns < sum(map(len, ends)) + 4:
        return f"  {'':>{margin}}  {ends[0]} … {ends[2]}"
    middle = ends[1].center(columns - len(ends[0]) - len(ends[2]))
    return f"  {'':>{margin}}  {ends[0]}{middle}{ends[2]}"


def curve(name: str, x, y, rows: int = 6) -> list[str]:
    """A series over its steps; where there are more steps than columns, a column is the mean of its steps."""
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(y) < 2 or y.min() == y.max():
        return [f"{name}   " + (f"{number(y[0])} at each of {len(y):,}" if len(y) else "no values")]
    head = f"{name}   first {number(y[0])} · last {number(y[-1])} · lowest {number(y.min())} at {number(x[y.argmin()])}"
    head += f" · highest {number(y.max())} at {number(x[y.argmax()])}"
    columns = min(len(y), width() - 14)
    means = np.array([part.mean() for part in np.array_split(y, columns)])
    low, high = means.min(), means.max()
    heights = (means - low) / (high - low) if high > low else np.ones(columns)
    # the lowest column stands on the axis with one eighth: an empty one would read as missing
    heights = np.repeat((heights * (rows * 8 - 1) + 1) / (rows * 8), max(1, min(8, (width() - 14) // columns)))
    margin = max(6, len(number(high)), len(number(low)))
    return [head, *_bars(heights, rows, number(high), number(low)), _axis(x[0], x[-1], len(heights), margin)]
