"""Formats of published data: one module a format, found by its name; a file's format is recognised by its columns.

A format's module has

* COLUMNS: the columns that it needs, each with the kinds of values that it takes; `a|b` is either name;
* ALSO: further columns that it uses if they exist (optional);
* ALONE: true if other columns of texts mean that it is another format (optional);
* WITHOUT: columns that mean that it is another format (optional);
* holds(rows): whether the values look like it, for formats that share their columns with others (optional);
* REFUSED: why data of this format is of no use, in the place of `example`;
* example(row): a row (see columns.Row) as a mapping with `prompt` and one of `response`; `chosen`, `rejected` and
  perhaps `chosen_reward`, `rejected_reward`; `answers`, a list of `response` and `given_reward`. A row that is one of
  several answers to its prompt has `response` and `given_reward`; `unpaired` says that a reward is 1 or 0, good or bad.
  `tools` and `fields` may stand beside these.

Prompts and answers are messages (see conversations). A system message, earlier turns and tools may stand in columns
beside those of any format. They become part of the conversation here.
"""

import dataclasses
import difflib
import importlib
import json
import pkgutil

from preference.files import conversations
from preference.files.conversations import Messages
from preference.running.stage import InputError
from preference.tasks import columns, data_files, hub_data
from preference.tasks.columns import CHAT, MESSAGES, SAMPLED, TEXT, Row, shown
from preference.tasks.sources import Source, is_local, parse_hub

FORMATS = {
    module.name: importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
}
CONTEXT = {  # columns beside those of a format
    "system|system_prompt|system_message": TEXT,
    "history": ("list", "texts", *MESSAGES),
    "tools": (*TEXT, *MESSAGES, "mappings", "texts", "dict"),
    "functions": ("mappings",),  # what tools were called at first
    "fields": (*TEXT, "dict"),
}


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a source, and the names by which formats know its columns."""

    source: Source
    rows: list[dict]

    @property
    def names(self) -> dict[str, str]:
        """Return name that a format may know -> column."""
        mapped = self.source.columns
        others = (name for name in self.rows[0] if name not in mapped and name not in mapped.values())
        return {name: name for name in others} | mapped

    def kinds(self) -> dict[str, str]:
        """Return each name with the kind of the column's values (see columns.kind)."""
        return {name: columns.kind([row[column] for row in self.rows]) for name, column in self.names.items()}


def known_columns() -> set[str]:
    """Return every name of a column that some format reads."""
    return set(_kinds_of_names())


def _kinds_of_names() -> dict[str, set[str]]:
    """Return each column that some format reads with all kinds of values that formats take there."""
    kinds: dict[str, set[str]] = {}
    every = [CONTEXT, *(wanted for module in FORMATS.values() for wanted in (module.COLUMNS, _also(module)))]
    for key, wanted in (item for each in every for item in each.items()):
        for name in key.split("|"):
            kinds.setdefault(name, set()).update(wanted)
    return kinds


def _also(module) -> dict:
    return getattr(module, "ALSO", {})


def check(source: Source) -> None:
    """Refuse what can be refused without reading: a path without data files, a source or a column that cannot be.

    Raises:
        InputError: the line names the source.
    """
    if unknown := [name for name in source.columns if name not in known_columns()]:
        near = difflib.get_close_matches(unknown[0], known_columns(), 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known_columns()))}"
        raise InputError(f"{source.name}: columns.{unknown[0]}: no format has this column; {hint}")
    if is_local(source.name):
        data_files.files(source.name)
    else:
        parse_hub(source.name)


def load(source: Source) -> Table:
    """Return the rows of a hub data set, a file or a folder of files.

    Raises:
        InputError: there is no such data, it cannot be read, or it is empty; the line names the source.
    """
    check(source)
    rows = data_files.read(source.name) if is_local(source.name) else hub_data.read(source.name)
    if not rows:
        raise InputError(f"{source.name}: has no rows")
    if missing := [name for name in (*source.columns.values(), *source.fields) if name not in rows[0]]:
        raise InputError(f"{source.name}: has no column '{missing[0]}'; it has {', '.join(rows[0])}")
    names, kinds = Table(source, rows).names, _kinds_of_names()
    if is_local(source.name) and data_files.holds_texts_only(data_files.files(source.name)[0]):
        numeric = {column for name, column in names.items() if {"float", "bool"} & kinds.get(name, set())}
        rows = [{name: _scalar(value) if name in numeric else value for name, value in row.items()} for row in rows]
    nested = {column for name, column in names.items() if name in kinds and "text" not in kinds[name]}
    nested |= {names[name] for name in ("history",) if name in names}  # JSON in a CSV file, a plain text in SHP
    return Table(source, columns.decoded(rows, nested))


def _scalar(text: str):
    """Return the number or the truth value that a text spells, None for an empty one, and any other text as it is."""
    words = {"": None, "true": True, "false": False}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    try:
        return float(text)
    except ValueError:
        return text  # the error of its row shows it


class Match:
    """A format as a file has it: which column of the file is which column of the format."""

    def __init__(self, name: str, table: Table, kinds: dict[str, str]):
        self.name, self.module, self.table, self.kinds = name, FORMATS[name], table, kinds
        self.needed = {key: _named(kinds, key, wanted) for key, wanted in self.module.COLUMNS.items()}
        self.also = {key: _present(kinds, key) for key in _also(self.module)}  # a wrong kind is an error of its row
        own = {*self.needed.values(), *self.also.values()}
        context = {key: _named(kinds, key, wanted) for key, wanted in CONTEXT.items()}
        self.context = {key: name for key, name in context.items() if name not in own}

    def names(self) -> set[str]:
        """Return the names of the columns that become part of an example."""
        return {name for part in (self.needed, self.also, self.context) for name in part.values() if name}

    def fits(self) -> bool:
        """Return whether the file has all that the format needs, and the format uses all that the source maps."""
        if not all(self.needed.values()) or not self.table.source.columns.keys() <= self.names():
            return False
        if getattr(self.module, "ALONE", False) and self._has_others():
            return False
        if any(self.kinds.get(name, "null") != "null" for name in getattr(self.module, "WITHOUT", ())):
            return False
        holds = getattr(self.module, "holds", None)
        return holds is None or holds([self.row(values) for values in self.table.rows[:SAMPLED]])

    def _has_others(self) -> bool:
        return any(self.kinds[name] in CHAT for name in self.kinds.keys() - self.names())

    def rank(self) -> tuple:
        """Return what orders the formats that fit: first those that need most, look at values, use most."""
        refused, looks = hasattr(self.module, "REFUSED"), hasattr(self.module, "holds")
        return (-len(self.needed), refused, not looks, -len(self.names()), self.name)

    def row(self, values: dict) -> Row:
        """Return a row by the format's own names for its columns."""
        return self._row(values, {**self.needed, **self.also})

    def context_row(self, values: dict) -> Row:
        """Return the part of a row that stands beside the format's own columns."""
        return self._row(values, self.context)

    def _row(self, values: dict, part: dict[str, str | None]) -> Row:
        places = {key.split("|")[0]: self.table.names[name] for key, name in part.items() if name}
        return Row({name: values[column] for name, column in places.items()}, places)

    def unused(self) -> list[str]:
        """Return the columns of the file that hold something of which nothing becomes part of an example."""
        used = {self.table.names[name] for name in self.names()} | set(self.table.source.fields)
        empty = {self.table.names[name] for name, kind in self.kinds.items() if kind == "null"}
        return [column for column in self.table.rows[0] if column not in used | empty]


def _named(kinds: dict[str, str], key: str, wanted: tuple[str, ...]) -> str | None:
    """Return the name, of `a|b` the first, that a file has with values of the right kind; None if it has none."""
    return next((name for name in key.split("|") if kinds.get(name) in wanted), None)


def _present(kinds: dict[str, str], key: str) -> str | None:
    """Return the name, of `a|b` the first, that a file has with values of any kind; None if it has none."""
    return next((name for name in key.split("|") if kinds.get(name, "null") != "null"), None)


def recognise(table: Table) -> Match:
    """Return the most specific format whose columns are all there with the right kinds of values.

    Raises:
        InputError: it is none of them, or one that is of no use; the line names the source.
    """
    kinds = table.kinds()
    matches = sorted((Match(name, table, kinds) for name in FORMATS), key=Match.rank)
    match = next((match for match in matches if match.fits()), None)
    if match is None:
        raise InputError(f"{table.source.name}: {_no_format(kinds, matches)}")
    if hasattr(match.module, "REFUSED"):
        raise InputError(f"{table.source.name}: format {match.name}: {match.module.REFUSED}")
    return match


def _no_format(kinds: dict[str, str], matches: list[Match]) -> str:
    """Return why no format fits: a column holds values of another kind, or the columns are others."""
    for match in () if any(all(match.needed.values()) for match in matches) else matches:
        present = {key: next((name for name in key.split("|") if name in kinds), "") for key in match.needed}
        wrong = [key for key, name in match.needed.items() if name is None]
        if wrong and all(present.values()):
            name, wanted = present[wrong[0]], " or ".join(match.module.COLUMNS[wrong[0]])
            return f"column '{name}' holds {kinds[name]}, and format {match.name} has {wanted} there"
    found = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    known = "; ".join(f"{name} ({', '.join(module.COLUMNS)})" for name, module in FORMATS.items())
    hint = "map other columns in the config, as in columns: {prompt: question, response: reply}"
    return f"unknown format with the columns {found}; known are {known}; {hint}"


def convert(match: Match) -> tuple[list[dict], list[tuple[int, str]]]:
    """Return the examples in a file's rows, and (number from 0, reason) of each row that holds none."""
    examples, bad = [], []
    for number, values in enumerate(match.table.rows):
        try:
            examples.append(_example(match, values))
        except InputError as error:
            bad.append((number, str(error)))
    return examples, bad


def _example(match: Match, values: dict) -> dict:
    example, context = match.module.example(match.row(values)), match.context_row(values)
    prompt = _with_context(example["prompt"], context)
    conversations.check_prompt(prompt)
    kept = {name: _json(values[name], f"column '{name}'") for name in match.table.source.fields}
    fields = {**_fields(context), **example.get("fields", {}), **kept}
    tools = _tools(example.get("tools") or context.value("tools"), context.column("tools"))
    return {**example, "prompt": prompt, "tools": tools or context.value("functions"), "fields": fields or None}


def _with_context(prompt: Messages, context: Row) -> Messages:
    """Return a prompt with the system message and the earlier turns of its row; its own system message counts first."""
    has_system = bool(prompt) and prompt[0]["role"] == "system"
    system, turns = (prompt[:1], prompt[1:]) if has_system else ([], prompt)
    if not system and context.text("system").strip():
        system = [{"role": "system", "content": context.text("system")}]
    return system + _history(context) + turns


def _history(context: Row) -> Messages:
    """Return the earlier turns: messages, or pairs of a question and its answer."""
    history = context.value("history") or []
    if all(isinstance(turn, dict) for turn in history):
        return context.messages("history") if history else []
    turns = []
    for each in history:
        if not isinstance(each, list) or len(each) != 2:
            raise InputError(f"{context.column('history')} is not a list of pairs of a question and its answer")
        question, answer = (columns.as_text(text, context.column("history")) for text in each)
        turns += conversations.user(question) + conversations.assistant(answer)
    return turns


def _tools(value, where: str) -> list | None:
    """Return descriptions of tools: a list of mappings, or JSON of one, as a whole or one by one."""
    tools = _json_of_text(value, where)
    tools = [tools] if isinstance(tools, dict) else tools or []
    tools = [_json_of_text(tool, where) for tool in tools] if isinstance(tools, list) else tools
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InputError(f"{where} is {shown(tools)}, not a list of tools")
    return tools or None


def _fields(context: Row) -> dict:
    """Return what one of this workflow's own tables keeps for rewards."""
    value = context.value("fields")
    is_json = isinstance(value, str) and value.startswith("{")
    return _json_of_text(value, context.column("fields")) if is_json else value if isinstance(value, dict) else {}


def _json_of_text(value, where: str):
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise InputError(f"{where} is {shown(value)}, not JSON") from None


def _json(value, where: str):
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise InputError(f"{where} is {shown(value)}, which JSON cannot hold") from None
