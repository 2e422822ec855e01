"""A Parquet table as lines of text: schema, distributions, a few rows drawn at random, and the most extreme ones."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from preference.files import records, turns
from preference.files.turns import Turn
from preference.inspection import artifacts, columns, terminal
from preference.running.stage import InputError

EXTREMES = {  # column: what its highest and its lowest row are called; None where that end says nothing
    "reward": ("highest reward", "lowest reward"),
    "gold_reward": ("highest gold reward", "lowest gold reward"),
    "margin": ("largest margin", "smallest margin"),
    "kl": ("farthest from the reference", None),
}
LENGTHS = ("num_tokens", "chosen_tokens", "chosen_characters", "response_characters", "prompt_characters")
MOST_TURNS, FIRST_TURNS = 12, 2  # of a conversation that are shown, and how many of them are its first


def load(path: Path) -> tuple[pa.Table, list[str]]:
    """Every column that can be read, and what is damaged, a line each.

    Raises:
        InputError: nothing can be read: the footer, which says where the columns are, is gone.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: {_damage(path, error)}{artifacts.remake(path)}") from None
    found, damaged = {}, []
    for field in file.schema_arrow:
        try:
            found[field.name] = file.read(columns=[field.name]).column(0)
        except (pa.ArrowException, OSError, ValueError, IndexError) as error:
            damaged.append(f"column '{field.name}' is damaged: {terminal.one_line(str(error), 90)}")
    return pa.table(found), damaged


def _damage(path: Path, error: Exception) -> str:
    """What is wrong with a file that does not open, in the user's words where the bytes tell."""
    with path.open("rb") as file:
        begins = file.read(4)
        file.seek(max(0, path.stat().st_size - 4))
        ends = file.read(4)
    if not begins:
        return "damaged: the file is empty"
    if begins != b"PAR1":
        return "not Parquet: it does not begin as a Parquet file does"
    if ends != b"PAR1":
        return f"damaged: cut off after {path.stat().st_size:,} bytes, so the footer with schema and counts is gone"
    return f"damaged: its footer cannot be read ({terminal.one_line(str(error), 80)})"


def check(table: pa.Table, kind: str, damaged: list[str]) -> list[str]:
    """How a table departs from the schema of its kind: columns missing, of another type, with forbidden values."""
    departing = departures(table, kind)
    missing = [line for name, line in departing.items() if not any(f"'{name}'" in known for known in damaged)]
    values = [line for field in _expected(table, kind) if field.name not in departing for line in _values(table, field)]
    return [*damaged, *missing, *values, *(["has no rows"] if table.num_rows == 0 and not damaged else [])]


def departures(table: pa.Table, kind: str) -> dict[str, str]:
    """Name -> what is wrong with a column that a kind has and a table lacks, or has as another type."""
    found = {}
    for field in _expected(table, kind):
        if field.name not in table.schema.names:
            found[field.name] = f"has no column '{field.name}'"
        elif (type_ := table.column(field.name).type) not in records.types_of(field):
            found[field.name] = f"column '{field.name}' is {type_}, not {field.type}"
    return found


def _expected(table: pa.Table, kind: str) -> list[pa.Field]:
    """The columns that a table of a kind must have, and the parts of its rewards, which it may have."""
    schema = records.SCHEMAS.get(kind, pa.schema([]))
    parts = [name for name in table.schema.names if name.startswith(records.REWARD_PART)]
    return [*schema, *(pa.field(name, pa.float64()) for name in parts if "gold_reward" in schema.names)]


def _values(table: pa.Table, field: pa.Field) -> list[str]:
    column = table.column(field.name)
    if not field.nullable and column.null_count:
        return [f"column '{field.name}' has {terminal.counted(column.null_count, 'empty value')}"]
    if pa.types.is_floating(field.type) and (odd := _not_finite(column)):
        return [f"column '{field.name}' is NaN or infinite in {terminal.counted(odd, 'row')}"]
    return []


def _not_finite(column: pa.ChunkedArray) -> int:
    return len(column) - column.null_count - (pc.sum(pc.is_finite(column)).as_py() or 0)


def schema(table: pa.Table) -> list[str]:
    """Columns, their types, and how many of their values are empty."""
    rows = [["column", "type", "empty"]]
    rows += [
        [field.name, columns.shown_type(field.type), f"{table.column(field.name).null_count:,}"]
        for field in table.schema
    ]
    return [f"{table.num_rows:,} rows, {terminal.counted(len(table.schema), 'column')}", *terminal.aligned(rows)]


def measures(table: pa.Table) -> dict[str, np.ndarray]:
    """What can be counted of each row: numeric columns, the margin of pairs, and how long each text is.

    A text is counted in tokens (with EOS, as sampled) where the table has them, else in characters, as the name says.
    The length of a conversation is that of all its messages; messages are counted if a row has several.
    """
    found = {}
    for field in table.schema:
        if columns.is_number(field.type) and field.name != "sample_id":
            found[field.name] = _floats(table.column(field.name))
    if {"chosen_reward", "rejected_reward"} <= found.keys():
        found["margin"] = found["chosen_reward"] - found["rejected_reward"]
    has_tokens = "num_tokens" in found
    for name in columns.readable(table):
        tokens = f"{name}_tokens"
        if tokens in table.schema.names and table.column(tokens).null_count < table.num_rows:
            found[tokens] = _floats(pc.list_value_length(table.column(tokens)))
        elif columns.is_measured(table, name):
            found |= _lengths(table, name, not has_tokens)
    return found


def _lengths(table: pa.Table, name: str, characters: bool) -> dict[str, np.ndarray]:
    column = table.column(name)
    if columns.is_text(column.type):
        return {f"{name}_characters": _floats(pc.utf8_length(columns.strings(column)))} if characters else {}
    cells = columns.cells(table, name)
    found = {f"{name}_characters": np.array([turns.length(cell) for cell in cells], dtype=float)} if characters else {}
    if any(cell and len(cell) > 1 for cell in cells):
        found[f"{name}_messages"] = np.array([None if cell is None else len(cell) for cell in cells], dtype=float)
    return found


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64(), safe=False).to_numpy()  # other programs count to more than a float can tell apart


def distributions(table: pa.Table, known: dict[str, np.ndarray] | None = None) -> list[str]:
    """A histogram per measure, and the shares of each finish reason, verdict, and other category."""
    lines = []
    for name, values in (known or measures(table)).items():
        if np.isfinite(values).any():
            lines += ["", *terminal.histogram(name, values)]
    for name in columns.categories(table):
        lines += ["", *_shares(name, table.column(name))]
    return lines


def _shares(name: str, column: pa.ChunkedArray) -> list[str]:
    counts = {str(pair["values"]): pair["counts"] for pair in columns.strings(column).value_counts().to_pylist()}
    rows = [
        [value, f"{count:,}", f"{100 * count / len(column):.1f} %", "█" * round(40 * count / len(column))]
        for value, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    return [f"{name}   n {len(column):,}", *terminal.aligned([["value", "rows", "share", ""], *rows])]


def drawn(count: int, total: int, seed: int) -> list[int]:
    """Indices of rows drawn at random, in file order."""
    return sorted(random.Random(seed).sample(range(total), min(count, total)))


def extremes(table: pa.Table, known: dict[str, np.ndarray] | None = None) -> dict[int, list[str]]:
    """Row index -> what it is the most extreme of; of several rows alike, the first."""
    found: dict[int, list[str]] = {}
    known = {name: values for name, values in (known or measures(table)).items() if np.isfinite(values).any()}
    for name, (highest, lowest) in EXTREMES.items():
        if name in known and highest:
            found.setdefault(int(np.nanargmax(known[name])), []).append(highest)
        if name in known and lowest:
            found.setdefault(int(np.nanargmin(known[name])), []).append(lowest)
    if length := next((name for name in LENGTHS if name in known), None):
        longest = "longest" + ("" if length == "num_tokens" else f" {length.split('_')[0]}")
        found.setdefault(int(np.nanargmax(known[length])), []).append(longest)
    return found


def rows(table: pa.Table, titles: dict[int, str], most: int, known: dict[str, np.ndarray] | None = None) -> list[str]:
    """Rows in full: their numbers on one line, then each text behind a bar, at most `most` characters of it."""
    lines = []
    values, texts, counted = known or measures(table), columns.readable(table), columns.categories(table)
    for index, title in titles.items():
        one = table.slice(index, 1)
        facts = [title, f"row {index:,}"]
        facts += [f"{key} {one.column(key)[0]}" for key in ("prompt_id", "sample_id") if key in table.schema.names]
        facts += [
            f"{name} {terminal.number(values[name][index])}" for name in values if np.isfinite(values[name][index])
        ]
        facts += [f"{name} {value}" for name in counted if (value := columns.strings(one.column(name))[0].as_py())]
        lines += ["", *terminal.folded(facts[0], [f"· {fact}" for fact in facts[1:]])]
        for name in texts:
            if (cell := columns.cells(one, name)[0]) is not None:
                lines += [f"  {terminal.one_line(name)}", *said(cell, most)]
    return lines


def said(cell: list[Turn], most: int) -> list[str]:
    """The turns of a conversation, each behind a bar below who speaks; of a long one the first and the last."""
    left = len(cell) - MOST_TURNS
    shown = cell if left <= 0 else [*cell[:FIRST_TURNS], None, *cell[FIRST_TURNS - MOST_TURNS :]]
    lines = [] if cell else ["    no messages"]
    for turn in shown:
        if turn is None:
            lines.append(f"    … {terminal.counted(left, 'message')} between, which --html shows")
        else:
            lines += [f"    {terminal.one_line(turn.label)}"] if turn.label else []
            lines += terminal.quoted(turn.text, most)
    return lines


def portrait(path: Path, kind: str, num_rows: int, seed: int, most: int) -> tuple[list[str], list[str]]:
    """Everything that is shown of a table, and what is wrong with it."""
    table, damaged = load(path)
    # The seal matches, so the file is intact, and the schema has changed since it was written.
    older = departures(table, kind) if artifacts.is_whole(path) else {}
    wrong = [line for line in check(table, kind, damaged) if line not in older.values()]
    lines = [f"  {line}" for line in wrong]
    if older:
        told = f"its columns are of an older version of this workflow ({', '.join(older)}), so stages refuse it"
        lines.append(f"  {told}{artifacts.remake(path)}")
    lines += schema(table)
    if table.num_rows == 0:
        return lines, wrong
    known = measures(table)
    titles = {index: "at random" for index in drawn(num_rows, table.num_rows, seed)}
    lines += distributions(table, known) + rows(table, titles, most, known)
    if num_rows:
        found = {index: ", ".join(names) for index, names in extremes(table, known).items()}
        lines += rows(table, found, most, known)
    return lines, wrong
