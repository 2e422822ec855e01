"""The columns of a table by what a reader does with them: conversations and texts to read, categories to count.

A column is a conversation by its type, whatever program wrote it and whatever its name is.
"""

import pyarrow as pa
import pyarrow.compute as pc

from preference.files import records, turns
from preference.files.turns import Turn

TEXTS = ("prompt", "tools", "response", "chosen", "rejected", "baseline_response", "reply", "swapped_reply", "fields")
QUESTIONS = TEXTS[:2]
CATEGORIES = ("finish_reason", "verdict", "end_token")  # how the names of columns end whose values are counted
KNOWN = {name for schema in records.SCHEMAS.values() for name in schema.names}
MOST_VALUES, LONGEST_VALUE = 20, 40  # of a column of another program that is counted rather than read


def is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_conversation(kind: pa.DataType) -> bool:
    """Say whether a type holds messages: a list of structs with a role and a content, or one such struct."""
    kind = kind.value_type if is_list(kind) else kind
    return pa.types.is_struct(kind) and turns.is_message([field.name for field in kind])


def is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def shown_type(kind: pa.DataType) -> str:
    """Return the name of a type, with the keys of the messages where it holds a conversation."""
    if not is_conversation(kind):
        return str(kind)
    names = [field.name for field in (kind.value_type if is_list(kind) else kind)]
    return f"{'messages' if is_list(kind) else 'message'} ({', '.join(names)})"


def strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of texts or of truth values as plain strings."""
    return column.cast(pa.large_string())


def readable(table: pa.Table) -> list[str]:
    """Return the columns that are read as text: conversations, texts, nested values.

    Those of this workflow stand in its order; others stand before the answers where the file has them there.
    """
    ours = [name for name in TEXTS if name in table.schema.names and _is_read(table, name)]
    counted = categories(table)
    others = [f.name for f in table.schema if f.name not in {*TEXTS, *KNOWN, *counted} and not is_number(f.type)]
    asked, answers = [name for name in ours if name in QUESTIONS], [name for name in ours if name not in QUESTIONS]
    place = min((table.schema.get_field_index(name) for name in answers), default=0)
    before = [name for name in others if table.schema.get_field_index(name) < place]
    return [*asked, *before, *answers, *(name for name in others if name not in before)]


def _is_read(table: pa.Table, name: str) -> bool:
    """Say whether a column of ours holds texts: `chosen` of a bandit is a truth value, and few prompts have tools."""
    column = table.column(name)
    if name in records.JSON_COLUMNS and column.null_count == len(column):
        return False
    return not (is_number(column.type) or pa.types.is_boolean(column.type))


def categories(table: pa.Table) -> list[str]:
    """Return the columns with few different values: those of ours by name, those of other programs by their values."""
    return [
        field.name
        for field in table.schema
        if field.name.endswith(CATEGORIES)
        or (field.name not in {*KNOWN, *TEXTS} and _has_few_values(field.type, table.column(field.name)))
    ]


def _has_few_values(kind: pa.DataType, column: pa.ChunkedArray) -> bool:
    if pa.types.is_boolean(kind):
        return True
    if not is_text(kind) or column.null_count == len(column):
        return False
    values = strings(column)
    if pc.max(pc.utf8_length(values)).as_py() > LONGEST_VALUE:
        return False
    return pc.count_distinct(values).as_py() <= min(MOST_VALUES, len(column) // 2)


def cells(table: pa.Table, name: str) -> list[list[Turn] | None]:
    """Return the turns of each row of a column; a nested value that is no conversation is one turn of JSON."""
    column = table.column(name)
    if is_text(column.type) or is_conversation(column.type):
        return [turns.read(name, value) for value in column.to_pylist()]
    return [None if value is None else [Turn("", turns.as_json(value))] for value in column.to_pylist()]


def is_measured(table: pa.Table, name: str) -> bool:
    """Say whether the length of a column's texts is worth a number."""
    kind = table.schema.field(name).type
    return name not in records.JSON_COLUMNS and (is_text(kind) or is_conversation(kind))
