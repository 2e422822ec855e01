"""Declarations of what files contain: columns of tables and keys of JSON files, each with a description and a unit.

`schemas` declares the Parquet tables, `tables` and `logs` the CSV files, `evaluations` and `documents` the JSON files.
The reference page docs/reference/files.md is made from them. A description changes no file, so a new one makes nothing
stale (see `source_text`).

Standard library only: the workflow reads names of columns while it plans.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import KW_ONLY, dataclass

ENDS = ("_low", "_high")  # follow the name of a mean in the columns of its 95 % interval


@dataclass(frozen=True)
class Column:
    """A column of a table, or a key of a JSON file."""

    name: str  # may contain `{measure}`, which stands for each of `measures`
    kind: object  # str, int, float, bool, list or dict; or a type of pyarrow
    description: str
    unit: str | None = None
    _: KW_ONLY
    optional: bool = False  # its values may be empty; a key may be absent
    has_interval: bool = False  # two more columns have the ends of its 95 % interval
    measures: tuple[str, ...] = ()
    keys: tuple["Column", ...] = ()  # of a mapping: what it may have

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that this declares."""
        names = [self.name.replace("{measure}", measure) for measure in self.measures] or [self.name]
        ends = ("", *ENDS) if self.has_interval else ("",)
        return tuple(f"{name}{end}" for name in names for end in ends)


@dataclass(frozen=True)
class Table:
    """The columns of a kind of table, or the keys of a kind of JSON file, and what it contains."""

    columns: tuple[Column, ...]
    description: str
    paths: tuple[str, ...] = ()  # patterns; below results/<experiment>/ unless they begin with results/
    families: tuple[Column, ...] = ()  # columns whose names come from the config, with a pattern as their name

    @property
    def names(self) -> list[str]:
        return [name for column in self.columns for name in column.names]

    def check(self, content: Iterable[str], axes: Iterable[str] = ()) -> None:
        """Raise an AssertionError if a column, or a key of a mapping, is not declared.

        Args:
            content: the names of the columns of a table, or the content of a JSON file.
            axes: more columns, which the config names.
        """
        _check(self.columns, content, {*axes})


def _check(columns: tuple[Column, ...], content: Iterable[str], more: Set[str] = frozenset()) -> None:
    unknown = sorted({*content} - {name for column in columns for name in column.names} - more)
    assert not unknown, f"{', '.join(unknown)}: not declared; give it a description where its table is declared"
    for column in columns:
        if column.keys and isinstance(content, Mapping) and column.name in content:
            _check(column.keys, content[column.name])
