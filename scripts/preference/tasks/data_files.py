"""Files of data on this machine: which ones a path stands for, and the rows in them.

A path is a file, a folder of files, a folder of `datasets.save_to_disk`, or a snapshot of a hub's data set;
`path:train` is one split of a folder. Standard library at import, for planning finds the files too.
"""

import codecs
import csv
import gzip
import io
import json
import os
import re
import zlib
from pathlib import Path

from preference.running.stage import InputError
from preference.tasks.sources import ENDING, KINDS, PICKLE, PICKLES

OF_LIBRARY = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # these hold no rows
SPLIT = re.compile(
    r"(^|[-_.])(train|training|validation|valid|val|dev|test|testing|eval|evaluation|held[-_]?out|holdout)"
    r"[-_]?(data|set|split|\d+)?([-_.]|$)",
    re.IGNORECASE,
)
OF_SPLIT = re.compile(r"-\d+-of-\d+")  # the hub calls a file of the split NAME NAME-00000-of-00002
SHARD = re.compile(r"[-_.]?\d+(-of-\d+)?(-[0-9a-f]{6,})?$")
NONE = f"is or holds no data file ({', '.join(KINDS)}, plain or with .gz or .zst)"


def files(name: str) -> list[Path]:
    """Return the files that hold the rows of a local source, without reading them.

    Raises:
        InputError: there are none, or the path must say which of them; the line names the path.
    """
    path, split = _located(name)
    if path.is_dir():
        return _of_folder(name.removesuffix(f":{split}"), split)
    if split is not None:
        raise InputError(f"{name}: {path} is a file, which has no splits; leave out :{split}")
    if path.suffix in PICKLES:
        raise InputError(f"{name}: {PICKLE}")
    if not ENDING.search(path.name):
        raise InputError(f"{name}: {NONE}")
    return [path]


def place(name: str) -> Path:
    """Return the file or the folder of a local source."""
    return _located(name)[0]


def read(name: str) -> list[dict]:
    """Return the rows of a local source; each row has the columns of all."""
    rows = [row for file in files(name) for row in read_file(file)]
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column) for column in columns} for row in rows] if columns else []


def read_file(file: Path) -> list[dict]:
    """Return the rows of one file.

    Raises:
        InputError: it cannot be read; the line names the file, and the line of a text file.
    """
    if file.suffix == ".arrow":
        return _read_arrow(file)
    ending = ENDING.search(file.name)
    assert ending, file
    return READERS[ending[1]](file, _content(file, ending[2]))


def holds_texts_only(file: Path) -> bool:
    """Return whether a file holds texts only, numbers being spelt out in them."""
    return bool(re.search(r"\.(csv|tsv)(\.gz|\.zst)?$", file.name))


def _located(name: str) -> tuple[Path, str | None]:
    """Return (path, split); a colon is part of the name of a file that exists."""
    head, _, split = name.rpartition(":")
    if not _exists(name, Path(name)) and head and _exists(name, Path(head)):
        return Path(head), split
    path = Path(name)
    if not _exists(name, path) and path.is_symlink():
        raise InputError(f"{name}: no such file or folder, it is a link to {os.readlink(path)}")
    if not _exists(name, path):
        raise InputError(f"{name}: no such file or folder")
    if not path.is_file() and not path.is_dir():  # reading a pipe would wait for ever
        raise InputError(f"{name}: is neither a file nor a folder")
    return path, None


def _exists(name: str, path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


def _of_folder(folder: str, split: str | None) -> list[Path]:
    """Return the files of a folder, which messages call as the user does."""
    inside = sorted(path for path in Path(folder).iterdir() if not path.name.startswith("."))
    arrow = [path for path in inside if path.suffix == ".arrow"]
    if arrow and (Path(folder) / "state.json").is_file():  # of `datasets.save_to_disk`
        return arrow if split is None else _of_no_split(folder, split, "no splits")
    data = [path for path in inside if ENDING.search(path.name) and path.name not in OF_LIBRARY and path.is_file()]
    if data:
        return _of_one_kind(folder, _of_split(folder, data, split))
    return _of_inner_folder(folder, [path.name for path in inside if path.is_dir() and _holds_data(path)], split)


def _of_split(folder: str, data: list[Path], split: str | None) -> list[Path]:
    """Return the files of the split that was asked for; of the only one if none was."""
    groups: dict[str, list[Path]] = {}
    for path in data:
        groups.setdefault(SHARD.sub("", ENDING.sub("", path.name)), []).append(path)
    named = any(SPLIT.search(name) for name in groups) or any(OF_SPLIT.search(path.name) for path in data)
    if split is None and not named:
        return data  # pieces of one table, whatever they are called
    return groups[_chosen(folder, list(groups), split)]


def _of_inner_folder(folder: str, inner: list[str], split: str | None) -> list[Path]:
    """Return the files of a folder that holds folders: splits, configurations of a data set, or its `data`."""
    if not inner:
        raise InputError(f"{folder}: {NONE}")
    if len(inner) == 1 and split not in inner:
        return _of_folder(f"{folder}/{inner[0]}", split)
    if split in inner or all(SPLIT.search(name) for name in inner):
        return _of_folder(f"{folder}/{_chosen(folder, inner, split)}", None)
    if "data" in inner:
        return _of_folder(f"{folder}/data", split)
    raise InputError(f"{folder}: holds data in the folders {', '.join(inner)}; name one, as {folder}/{inner[0]}")


def _chosen(folder: str, names: list[str], split: str | None) -> str:
    if split is None and len(names) > 1:
        first = next((name for name in names if "train" in name.lower()), names[0])
        raise InputError(f"{folder}: holds the splits {', '.join(names)}; name one, as {folder}:{first}")
    if split is not None and split not in names:
        _of_no_split(folder, split, ", ".join(names))
    return split or names[0]


def _of_no_split(folder: str, split: str, names: str):
    raise InputError(f"{folder}: has no split {split}; it has {names}")


def _holds_data(folder: Path) -> bool:
    names = [path.name for path in folder.rglob("*") if not path.name.startswith(".")]
    return any((ENDING.search(name) or name.endswith(".arrow")) and name not in OF_LIBRARY for name in names)


def _of_one_kind(folder: str, data: list[Path]) -> list[Path]:
    kinds = sorted({ending[0] for path in data if (ending := ENDING.search(path.name))})
    if len(kinds) > 1:
        raise InputError(f"{folder}: holds both {' and '.join(kinds)}")
    return data


def _content(file: Path, packed: str | None) -> bytes:
    try:
        if packed == ".gz":
            return gzip.decompress(file.read_bytes())
        if packed == ".zst":
            return _unpacked(file)
        return file.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None


def _unpacked(file: Path) -> bytes:
    import pyarrow

    try:
        with file.open("rb") as packed, pyarrow.CompressedInputStream(packed, "zstd") as stream:
            return stream.read()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None


def _read_parquet(file: Path, content: bytes) -> list[dict]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read()
        return _rows(file, table)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None


def _read_arrow(file: Path) -> list[dict]:
    import pyarrow

    try:
        with file.open("rb") as content, pyarrow.ipc.open_stream(content) as stream:
            return _rows(file, stream.read_all())
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from None


def _rows(file: Path, table) -> list[dict]:
    names = table.schema.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{file}: the column '{twice[0]}' comes twice")
    return [as_row(row) for row in table.to_pylist()]


def as_row(row: dict) -> dict:
    """Return a row of a table with what its values were before they became columns."""
    return {name: _without_nulls(value) for name, value in row.items()}


def _without_nulls(value):
    """Return a value as it was before a table gave every mapping in a column the keys of all of them."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _read_lines(file: Path, content: bytes) -> list[dict]:
    """Read JSON lines; a blank line is no row."""
    lines = enumerate(content.removeprefix(codecs.BOM_UTF8).splitlines(), 1)
    rows = {number: _parsed(file, line, number) for number, line in lines if line.strip()}
    for number, row in rows.items():
        if not isinstance(row, dict):
            raise InputError(f"{file}: line {number}: is no mapping of columns to values")
    return list(rows.values())


def _read_list(file: Path, content: bytes) -> list[dict]:
    """Read a list of rows, an object that has one under `data`, one row, or JSON lines under another name."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip().startswith(b"{") and _goes_on(content):
        return _read_lines(file, content)
    rows = _parsed(file, content, 1) if content.strip() else []
    if isinstance(rows, dict):
        rows = rows["data"] if _is_table(rows.get("data")) else [rows]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: is no list of mappings of columns to values")
    return rows


def _goes_on(content: bytes) -> bool:
    """Return whether something follows the first JSON object, as in JSON lines."""
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return error.msg == "Extra data"
    except (ValueError, RecursionError):
        pass  # the reader says what is wrong
    return False


def _is_table(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _parsed(file: Path, content: bytes, line: int):
    """Return the value of a JSON text that begins in a line of a file. The readers of Arrow are no help here: they
    count the rows of a block, and a text that is nested without end makes them crash."""
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        wrong = f"line {line}: is not UTF-8 text"
    except json.JSONDecodeError as error:
        wrong = f"line {line + error.lineno - 1}: is not JSON at character {error.colno}: {error.msg}"
    except ValueError as error:  # a whole number of thousands of digits
        wrong = f"line {line}: {reason(error)}"
    except RecursionError:
        wrong = f"line {line}: is nested too deeply"
    raise InputError(f"{file}: {wrong}")


def _read_csv(file: Path, content: bytes, delimiter: str = ",") -> list[dict]:
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError:
        raise InputError(f"{file}: is not UTF-8 text") from None
    csv.field_size_limit(2**31 - 1)
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header, *rows = [(lines.line_num, cells) for cells in lines if cells] or [(1, [])]
    except csv.Error as error:
        raise InputError(f"{file}: line {lines.line_num}: is not CSV: {error}") from None
    names = header[1]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{file}: the column '{twice[0]}' comes twice")
    for number, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{file}: line {number}: has {len(cells)} cells, and the header has {len(names)}")
    # Files that were joined end to end repeat the header.
    return [dict(zip(names, cells, strict=True)) for _, cells in rows if cells != names]


def _read_tsv(file: Path, content: bytes) -> list[dict]:
    return _read_csv(file, content, "\t")


READERS = {
    "parquet": _read_parquet,
    "json": _read_list,
    "jsonl": _read_lines,
    "csv": _read_csv,
    "tsv": _read_tsv,
}


def reason(error: Exception) -> str:
    """Return the first line of an error of a library, or the name of its type."""
    cause = error.__cause__ or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
