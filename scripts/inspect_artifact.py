"""Look inside an artifact: any *.parquet, evaluation.json, metrics.csv, policy/, log or figure -> text, or page.html.

It says what the file is, what made it and what it holds, with distributions and rows; --lineage says where it comes
from and what has changed since; --diff compares it with another of its kind; --html makes a page that searches, sorts
and filters its rows; --tokens renders the first row with a model's chat template. Nothing but that page is ever
written, nothing is unpickled, and no code is executed but a chat template, in its sandbox.
"""

import io
import os
import signal
import sys
from pathlib import Path
from typing import cast

from pydantic.dataclasses import dataclass

from preference.files.artifacts import atomic
from preference.files.untrusted import visible
from preference.inspection import (
    artifacts,
    comparison,
    documents,
    lineage,
    samples,
    terminal,
    tokens,
    transcripts,
    unfinished,
    weights,
)
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Index, Seed
from preference.running.stage import InputError


@dataclass(frozen=True)
class Flags:
    path: str = flag("table, evaluation, manifest, log, figure or model folder to look into", form="operand")
    lineage: bool = flag("print the tree of stages that made it, and what has changed since", False, form="switch")
    diff: str | None = flag("another artifact of the same kind, to compare with", None)
    html: str | None = flag("page.html to write: its rows, to search, sort and filter in a browser", None)
    tokens: str | None = flag("model folder to show the first row's tokens with; else the policy that sampled it", None)
    num_rows: Index = flag("rows to show at random; 0 shows none, and no extreme ones either", 3)
    seed: Seed = flag("seed of the rows shown at random", 0)
    max_characters: Count = flag("longest part of a text to show", 600, unit="characters")


def main(flags: Flags) -> None:
    try:
        look(flags)
    except InputError as error:
        raise InputError(visible(str(error))) from None  # it may quote the damaged file
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None


def look(flags: Flags) -> None:
    path = named(flags.path)
    if [flags.lineage, flags.diff is not None, flags.html is not None].count(True) > 1:
        raise InputError("--lineage, --diff, --html: give at most one")
    if flags.tokens is not None and artifacts.kind(path) not in artifacts.TABLES:
        raise InputError(f"--tokens: {path} is {artifacts.kind(path)}; give a table with conversations")
    if flags.lineage:
        show_lineage(path, flags)
    elif flags.diff is not None:
        show_difference(path, named(flags.diff), flags)
    elif flags.html is not None:
        write_page(path, Path(flags.html))
    else:
        show(path, flags)


def named(path: str) -> Path:
    """The path, with a name where it has none: a manifest lies beside '.' too."""
    return Path(path if Path(path).name.strip(".") else os.path.abspath(path))


def show(path: Path, flags: Flags) -> None:
    """What the artifact is and holds; of a damaged one, what can be known, and then the error."""
    kind = artifacts.kind(path)
    terminal.show(artifacts.heading(path, kind))
    lines, wrong = portrait(path, kind, flags)
    terminal.show(lines)
    complain_of(path, kind, wrong)
    if kind in artifacts.TABLES and (flags.num_rows or flags.tokens):
        sys.stdout.flush()  # a tokenizer takes seconds to load
        terminal.show(tokens.portrait(path, kind, flags.tokens))


def complain_of(path: Path, kind: str, wrong: list[str]) -> None:
    """Complain of an artifact that no stage would read."""
    if (broken := artifacts.broken(path, kind)) and not wrong:
        wrong = [broken]
    complain([line if line.startswith(f"{path}: ") else f"{path}: {line}" for line in wrong])


def complain(wrong: list[str]) -> None:
    """Damage ends the program with an error, after everything that could be shown."""
    if wrong:
        raise InputError(wrong[0] + (f" (and {len(wrong) - 1} more, see above)" if wrong[1:] else ""))


def portrait(path: Path, kind: str, flags: Flags) -> tuple[list[str], list[str]]:
    """(lines to print, what is wrong with the artifact)."""
    if kind in artifacts.TABLES:
        return samples.portrait(path, kind, flags.num_rows, flags.seed, flags.max_characters)
    if kind in ("model", "weights"):
        return weights.portrait(path)
    return PORTRAITS[kind](path), []


PORTRAITS = {
    "metrics": documents.metrics,
    "manifest": documents.manifest,
    "json": lambda path: documents.mapping(documents.read_json(path)),
    "training": documents.training,
    "table": documents.table,
    "benchmark": documents.benchmark,
    "log": transcripts.portrait,
    "figure": documents.figure,
    "page": documents.page,
    "text": documents.text,
    "config": documents.text,
    "data": documents.data,
    "folder": documents.folder,
    "checkpoints": unfinished.checkpoints,
    "state": unfinished.state,
    "shards": unfinished.shards,
    "part": unfinished.part,
}


def show_lineage(path: Path, flags: Flags) -> None:
    kind = artifacts.kind(path)
    tree = lineage.trace(path)
    terminal.show([*lineage.render(tree), "", lineage.verdict(tree)])
    _, wrong = portrait(path, kind, flags)  # no digest of the artifact itself is recorded by what it was made from
    complain_of(path, kind, wrong)


def show_difference(a: Path, b: Path, flags: Flags) -> None:
    lines, wrong = comparison.portrait(a, b, flags.max_characters)
    terminal.show(lines)
    complain(wrong)


def write_page(path: Path, output: Path) -> None:
    from preference.inspection import browser  # a tenth of a second, for its templates

    browser.check_place(output)
    page = browser.render(path, artifacts.kind(path))
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    terminal.show([f"{output}: {terminal.size(len(page.encode()))}, opens in any browser, offline"])


if __name__ == "__main__":
    # `| head` closes the pipe early, and a terminal's encoding may lack the blocks: neither is worth a traceback
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    cast(io.TextIOWrapper, sys.stdout).reconfigure(errors="replace")
    stage.run(main, Flags)
