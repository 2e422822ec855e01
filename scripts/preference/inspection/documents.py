"""Text artifacts as lines: evaluation.json, manifests, CSV tables, training logs, benchmarks, figures, pages."""

import json
import re
import struct
from collections import Counter
from itertools import zip_longest
from pathlib import Path

import numpy as np

from preference.files import turns
from preference.inspection import artifacts, samples, terminal
from preference.running.stage import InputError

LAST = 20
ABOVE = ("kind", "stage", "rows_in", "rows_out", "path", "seal")  # said in the heading, or of no use to a reader
CURVES = ("loss", "accuracy", "margin", "chosen_rewards", "rejected_rewards", "gradient_norm")


def read_json(path: Path) -> dict:
    """A JSON mapping; damage is an InputError that says where, and how to make the file anew."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}){artifacts.remake(path)}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no mapping, so no stage wrote it")
    return content


def metrics(path: Path) -> list[str]:
    """An evaluation's metrics with their intervals."""
    content = read_json(path)
    rows = [["metric", "mean", "low", "high", "n"]]
    for name, metric in artifacts.part(content, "metrics").items():
        cells = metric if isinstance(metric, dict) else {}
        rows.append([name, *(_cell(cells.get(key)) for key in rows[0][1:])])
    facts = [f"{key}={value}" for key, value in content.items() if isinstance(value, int | float | str)]
    facts = [fact for fact in facts if fact.split("=")[0] not in ABOVE]
    return [*terminal.folded("  facts:", facts), *terminal.aligned(rows)]


def _cell(value) -> str:
    return terminal.number(value) if isinstance(value, int | float) else "–" if value is None else str(value)


def manifest(path: Path) -> list[str]:
    """What made the files, and their digests."""
    content = read_json(path)
    described = path.with_name(path.name.removesuffix(".manifest.json"))
    lines = [f"  describes {described}" + ("" if described.exists() else ", which is not there")]
    lines += [f"  {content.get('kind', 'nothing')} by {content.get('stage', 'no stage')}"]
    files = artifacts.part(content, "files")
    lines += terminal.aligned([["file", "sha256"], *([name, str(sha)[:16]] for name, sha in files.items())])
    told = ("files", "code", "older_code", "inputs", "flags", "dropped", *ABOVE)
    return lines + mapping({key: value for key, value in content.items() if key not in told})


def mapping(content: dict, indent: str = "  ") -> list[str]:
    """Keys and values of any mapping, a level per indent."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *mapping(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {terminal.one_line(str(value), 200)}")
    return lines


def read_table(path: Path):
    """A CSV or TSV file as a data frame; damage is an InputError."""
    import pandas as pd  # half a second, which tables of Parquet need not wait for

    try:
        # a run may be called 'NA': only an empty cell is missing
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: damaged ({error}){artifacts.remake(path)}") from None


def table(path: Path) -> list[str]:
    """Columns, summaries of the numeric ones, the values of the others, and the first rows."""
    frame = read_table(path)
    numeric = frame.select_dtypes("number")
    lines = [f"{terminal.counted(len(frame), 'row')}, {terminal.counted(frame.shape[1], 'column')}"]
    for name in frame.columns.difference(numeric.columns, sort=False):
        found = list(map(str, frame[name].dropna().unique()))
        more = [f"… {len(found):,} values"] if len(found) > 20 else []
        lines += terminal.folded(f"  {name}:", [*found[:20], *more])
    rows = [["column", "n", "mean", "median", "5 %", "95 %", "lowest", "highest"]]
    for name in numeric.columns:
        finite = numeric[name].to_numpy(dtype=float)
        if len(finite := finite[np.isfinite(finite)]):
            cells = *terminal.statistics(finite).values(), finite.min(), finite.max()
            rows.append([str(name), *map(terminal.number, cells)])
    return [*lines, *(["", *_as_wide_as_there_is_room(rows)] if len(rows) > 1 else []), *first_rows(frame)]


def _as_wide_as_there_is_room(rows: list[list[str]]) -> list[str]:
    """Summaries of columns, without the percentiles and then without the median where the terminal is narrow."""
    for left_out in ((), ("5 %", "95 %"), ("5 %", "95 %", "median")):
        kept = [i for i, name in enumerate(rows[0]) if name not in left_out]
        lines = terminal.aligned([[row[i] for i in kept] for row in rows])
        if max(map(len, lines)) <= terminal.width():
            break
    return lines


def first_rows(frame, most: int = 5) -> list[str]:
    """The first rows with the columns for which the terminal has room."""
    shown = [[str(name), *(_cell(_plain(value)) for value in frame[name].head(most))] for name in frame.columns]
    while shown and sum(max(map(len, column)) + 2 for column in shown) > terminal.width():
        shown.pop()
    left = frame.shape[1] - len(shown)
    more = f" (and {terminal.counted(left, 'column')} more)" if left else ""
    rows = [list(row) for row in zip(*shown, strict=True)]
    return ["", f"the first rows{more}:", *terminal.aligned(rows)] if len(rows) > 1 else []


def _plain(value):
    """The Python value of a numpy one, which is no int and prints otherwise."""
    return value.item() if isinstance(value, np.generic) else value


def training(path: Path) -> list[str]:
    """The curves of a training."""
    frame = read_table(path)
    lines = [f"{terminal.counted(len(frame), 'step')}, columns: {', '.join(map(str, frame.columns))}"]
    if missing := [name for name in ("step", "loss") if name not in frame.select_dtypes("number")]:
        raise InputError(f"{path}: damaged: column '{missing[0]}' holds what is no number{artifacts.remake(path)}")
    for name in CURVES:
        if name in frame.select_dtypes("number"):
            lines += ["", *terminal.curve(name, frame["step"], frame[name])]
    return lines


def benchmark(path: Path) -> list[str]:
    """What each attempt took, an attempt per column."""
    rows = [line.split("\t") for line in _lines(path)]
    return terminal.aligned([list(row) for row in zip_longest(*rows, fillvalue="")]) or ["  it is empty"]


def data(path: Path) -> list[str]:
    """How many rows a file of data has, which columns, and the first rows."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else _json_lines(path)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error})") from None
    if odd := next((row for row in rows if not isinstance(row, dict)), None):
        raise InputError(f"{path}: holds {terminal.one_line(json.dumps(odd))}, which is no row of columns and values")
    counts = Counter(name for row in rows for name in row)
    table = [["column", "rows that have it"], *([name, f"{count:,}"] for name, count in counts.items())]
    return [f"{len(rows):,} rows, {terminal.counted(len(counts), 'column')}", *terminal.aligned(table), *examples(rows)]


def _json_lines(path: Path) -> list:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return rows


def examples(rows: list, most: int = 3) -> list[str]:
    """The first rows, a value behind a bar."""
    lines = []
    for number, row in enumerate(rows[:most]):
        lines += ["", f"row {number}"]
        for name, value in (row if isinstance(row, dict) else {"": row}).items():
            lines += [f"  {terminal.one_line(name)}", *_said(name, value)]
    return lines


def _said(name: str, value) -> list[str]:
    if turns.is_conversation(value):
        return samples.said(turns.read(name, value) or [], 300)
    return terminal.quoted(value if isinstance(value, str) else turns.as_json(value), 300)


def folder(path: Path) -> list[str]:
    """What lies in a folder, by name; logs, benchmarks and manifests belong to what they lie beside."""
    rows = [["name", "kind", "made by", "size"]]
    for one in sorted(path.iterdir()):
        if one.name.startswith("."):
            continue
        try:
            found = artifacts.kind(one)
        except InputError:
            found = "–"
        if found not in ("log", "benchmark", "manifest"):
            size = terminal.size(one.stat().st_size) if one.is_file() else ""
            made_by = artifacts.made_by(one).get("stage", "")
            rows.append([one.name + "/" * one.is_dir(), found, str(made_by), size])
    return terminal.aligned(rows)


def text(path: Path) -> list[str]:
    """The first lines."""
    lines = _lines(path)
    more = len(lines) - LAST
    shown = [line for given in lines[:LAST] for line in terminal.quoted(given, 1000, "  ")]
    return shown + ([f"  … and {terminal.counted(more, 'line')} more"] if more > 0 else [])


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def figure(path: Path) -> list[str]:
    """How large a figure is; a PNG's size stands in its first 24 bytes, an SVG's in its first tag."""
    if path.suffix == ".png":
        begins = path.read_bytes()[:24]
        if len(begins) < 24 or begins[:8] != b"\x89PNG\r\n\x1a\n":
            raise InputError(f"{path}: damaged: it does not begin as a PNG does{artifacts.remake(path)}")
        return ["  {} × {} pixels".format(*struct.unpack(">II", begins[16:24]))]
    content = path.read_text(encoding="utf-8", errors="replace")
    tag = re.search(r"<svg\b[^>]*>", content)
    if tag is None or "</svg>" not in content:
        raise InputError(f"{path}: damaged: no complete <svg> in it{artifacts.remake(path)}")
    sides = [found[1] for name in ("width", "height") if (found := re.search(rf'\s{name}="([^"]*)"', tag[0]))]
    return [f"  {' × '.join(sides) or 'of no fixed size'}, {content.count('<path'):,} paths"]


def page(path: Path) -> list[str]:
    """The title and the headings of a page."""
    content = path.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"<(title|h1|h2)[^>]*>(.*?)</\1>", content, flags=re.DOTALL)
    return [f"  {tag}: {terminal.one_line(re.sub(r'<[^>]*>', '', inner), 100)}" for tag, inner in found]
