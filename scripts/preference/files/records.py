"""Tables on disk: one schema per kind, checked on write and on read.

A table carries in its Parquet metadata, under the key `prefdag`, its kind and what made it (see provenance.describe),
and under `prefdag.seal` the digest of its own bytes (see artifacts). Rows are joined by prompt_id, never by
position. Prompts and responses are lists of messages (see conversations); `tools` and `fields` are JSON in the file and
values in a row.
"""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preference.files import artifacts, conversations, origins
from preference.files.conversations import prompt_id  # noqa: F401  (a row's name belongs to its table)
from preference.files.schemas import (  # noqa: F401
    FINISH_REASONS,
    FULL_MESSAGES,
    JSON_COLUMNS,
    MESSAGE_COLUMNS,
    MESSAGES,
    REWARD_PART,
    SCHEMAS,
)
from preference.running.stage import InputError


def write(path: Path | str, kind: str, rows: list[dict], made_by: dict) -> None:
    """Write rows as a table of a kind, atomically; every key of a row must be a column of that kind.

    Raises:
        AssertionError: a row does not fit the schema, or a number is NaN or infinite. Nothing is written then.
    """
    rows = [_as_stored(row) for row in rows]
    schema = _schema_of(kind, rows)
    for row in rows:
        unknown = row.keys() - set(schema.names)
        assert not unknown, f"{path}: a table of {kind} has no columns {unknown}"
    table = pa.Table.from_pylist(rows, schema=schema)
    _check_values(table, path)
    told = json.dumps({"kind": kind, **origins.without(made_by)}, sort_keys=True)
    table = table.replace_schema_metadata({"prefdag": told, "prefdag.seal": artifacts.UNSEALED})
    with artifacts.atomic(path) as temporary:
        with temporary.open("wb") as file:  # by its name, `x:/y` would be an address
            pq.write_table(table, file, write_page_checksum=True)  # which column is damaged can be told then
        artifacts.seal(temporary)
        artifacts.write_origin(path, made_by, temporary)


def _as_stored(row: dict) -> dict:
    """Return a row with messages in the place of plain texts, and JSON in that of `tools` and `fields`."""
    stored = dict(row)
    for name, value in row.items():
        if isinstance(value, str) and name in MESSAGE_COLUMNS:
            stored[name] = (conversations.as_prompt if name == "prompt" else conversations.as_response)(value)
        elif name in JSON_COLUMNS and value is not None:
            stored[name] = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return stored


def _schema_of(kind: str, rows: list[dict]) -> pa.Schema:
    """Return the schema of a kind, with wider messages and with the parts of rewards where rows have them."""
    fields = []
    for field in SCHEMAS[kind]:
        if field.type == MESSAGES and any(_is_full(row.get(field.name)) for row in rows):
            field = field.with_type(FULL_MESSAGES)
        fields.append(field)
    known = set(SCHEMAS[kind].names)
    if "gold_reward" in known:
        parts = dict.fromkeys(name for row in rows for name in row if name.startswith(REWARD_PART))
        fields += [pa.field(name, pa.float64()) for name in parts if name not in known]
    return pa.schema(fields)


def _is_full(messages) -> bool:
    return any(len(message) > 2 for message in messages or ())


def _as_read(name: str, value):
    """Return a value of a row as the stages use it: messages without empty keys, JSON as what it holds."""
    if value is None:
        return None
    if name in JSON_COLUMNS:
        return json.loads(value)
    if name in MESSAGE_COLUMNS and isinstance(value, list):  # `chosen` of a bandit's table is a truth value
        return [conversations.without_empty(message) for message in value]
    return value


def read(path: Path | str, kind: str, may_be_empty: bool = False) -> list[dict]:
    """Read a table of a kind, or of one that has all its columns, as rows in file order.

    Raises:
        InputError: the file is missing, damaged, made for another path, of another kind, or empty where it must
            not be; the line names it.
    """
    artifacts.check(path)
    table = _open(path)
    artifacts.check_place(path, _made_by(table))
    for field in SCHEMAS[kind]:
        if field.name not in table.schema.names:
            raise InputError(f"{path}: has no column '{field.name}', so it is not a table of {kind}")
        found = table.schema.field(field.name).type
        if found not in types_of(field):
            raise InputError(f"{path}: column '{field.name}' is {found}, not {field.type}")
    if table.num_rows == 0 and not may_be_empty:
        raise InputError(f"{path}: has no rows")
    try:
        required = pa.schema([table.schema.field(field.name).with_nullable(field.nullable) for field in SCHEMAS[kind]])
        _check_values(table.select(SCHEMAS[kind].names).cast(required), path)
    except (AssertionError, ValueError) as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    return [{name: _as_read(name, value) for name, value in row.items()} for row in table.to_pylist()]


def types_of(field: pa.Field) -> tuple[pa.DataType, ...]:
    """Return the types that a column of a schema may have in a file: messages may be plain or full."""
    return (MESSAGES, FULL_MESSAGES) if field.type == MESSAGES else (field.type,)


def metadata(path: Path | str) -> dict:
    """Return what made an artifact of any sort: kind, path, stage, flags, code, inputs, versions, counts."""
    if Path(path).suffix != ".parquet":
        return artifacts.metadata(path)
    artifacts.check(path)
    return origins.joined(_made_by(_open(path)), origins.read(path))


def _made_by(table: pa.Table) -> dict:
    return json.loads((table.schema.metadata or {}).get(b"prefdag", b"{}"))


def _open(path: Path | str) -> pa.Table:
    try:
        with Path(path).open("rb") as file:
            return pq.ParquetFile(file).read()  # `read_table` imports what reads folders: 0.2 s of each stage
    except (pa.ArrowException, OSError, ValueError) as error:
        raise artifacts.damaged(path, f"is not Parquet ({str(error).splitlines()[0]})") from None


def _check_values(table: pa.Table, path: Path | str) -> None:
    for field in table.schema:
        column = table.column(field.name)
        if not field.nullable:
            assert column.null_count == 0, f"{path}: column '{field.name}' has {column.null_count} empty values"
        if pa.types.is_floating(field.type):
            for row, value in enumerate(column.to_pylist()):
                assert value is None or math.isfinite(value), f"{path}: row {row}: column '{field.name}' is {value}"
