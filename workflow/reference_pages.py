"""Write the reference pages of config keys, of stages and of files as Markdown tables."""

import dataclasses
import inspect
from itertools import starmap
from pathlib import Path

import pyarrow as pa

from preference.analysis.measures import PLACES, Measure
from preference.files import schemas
from preference.files.columns import Column, Table
from preference.running import flags as declared
from preference.running import ranges, rules

CONFIG = """# Config keys

<!-- Made by `make generated` from {source}; do not edit. -->

Every key of a config file, `config/<name>.yaml`, and of a lab file, `config/bandit*.yaml`.
[config/README.md](../../config/README.md) explains how they work together.
"""
STAGES = """# Stages

<!-- Made by `make generated` from {source}; do not edit. -->

Every program in `scripts/`, with the files that it makes and its flags. The workflow calls them as you can by hand:
`python scripts/<stage>.py --flag value`. Flags in *italics* are not recorded and never make a result stale.
"""
FILES = """# Files

<!-- Made by `make generated` from {source}; do not edit. -->

The files that a run makes, and their columns or keys. A path begins at `results/<experiment>/` unless it begins with
`results/`. Names in braces come from the config; `{{split}}` is `preferences` or `eval_preferences`.
[Files of a run](../results.md) shows the same as a tree.

A column that *has an interval* comes with two more, `NAME_low` and `NAME_high`, the ends of its 95 % interval. Some
columns depend on the config: `training.csv` has those of its algorithm, and other tables those of the measures that
were taken.
"""
MEASURES = """
## Measures

Bandits have them in `history.parquet`, language models in `evaluation.json` and `metrics.csv`. The third column has the
name that claims and figures of cells give to a measure. The report's main table begins with the reward that judges the
runs of the task.

| measure | of | in claims and figures | unit | description | shown in |
| --- | --- | --- | --- | --- | --- |
"""
KINDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
KINDS |= {"array": "a list", "object": "a mapping"}
SEVERAL = {"a whole number": "whole numbers", "a number": "numbers", "text": "texts", "a name": "names"}
KEYS = "| key | values | default | what it says |\n| --- | --- | --- | --- |"
COLUMNS = "| {what} | type | unit | description |\n| --- | --- | --- | --- |"
TYPES: dict[object, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping"}
TYPES |= {schemas.MESSAGES: "messages", schemas.IDS: "whole numbers"}
TYPES |= dict.fromkeys((pa.int32(), pa.int64()), "whole number")
FLAGS = "| flag | values | default | what it says |\n| --- | --- | --- | --- |"


def config_page(parts: dict[str, dict], source: str) -> str:
    """Return the page of all config keys, name of a mapping -> its schema."""
    return CONFIG.format(source=source) + "".join(starmap(_section, parts.items()))


def _section(name: str, part: dict) -> str:
    heading = f"\n## {name}\n\n" + (f"{part['description']}\n\n" if "description" in part else "")
    required = [*part.get("required", []), *part.get("needs", [])]
    stages = [key for key, value in part["properties"].items() if value.keys() == {"$ref"}]
    rows = [_row(key, value, key in required) for key, value in part["properties"].items() if key not in stages]
    table = [KEYS, *rows] if rows else []
    if stages:
        table += ["" if rows else "", f"And the stages {', '.join(f'[`{stage}`](#{stage})' for stage in stages)}."]
    found = [f"* {rule.sentence()}" for rule in rules.read(part.get("x-rules", []))]
    return heading + "\n".join([*table, *(["", *found] if found else [])]).strip() + "\n"


def _row(key: str, value: dict, is_required: bool) -> str:
    default = _default(value["default"]) if "default" in value else "required" if is_required else ""
    return f"| `{key}` | {_values(value)} | {default} | {_cell(value['description'])} |"


def _values(value: dict) -> str:
    """Return the values that a key takes, in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "allowed" in value:
        return value["allowed"]
    if "oneOf" in value:
        return " or ".join(map(_values, value["oneOf"]))
    if "pattern" in value:
        return "a name, or a list of names" if isinstance(value["type"], list) else "a name"
    return _kinds(value)


def _kinds(value: dict) -> str:
    kinds = value.get("type", "object")
    words = " or ".join(KINDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    below = value.get("additionalProperties")
    if kinds == "array" and value.get("items"):
        one, *facts = _values(value["items"]).split(", ")
        words += f" of {', '.join([SEVERAL[one], *facts])}"
    if isinstance(below, dict) and "$ref" in below:
        words += f", each {_values(below)}"
    return ", ".join(filter(None, [words, value.get("x-unit"), _range(value)]))


def _range(value: dict) -> str | None:
    bounds = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    return ranges.words(ranges.Interval(**{name: value.get(bound) for name, bound in bounds.items()})) or None


def stages_page(scripts: dict[str, object], source: str) -> str:
    """Return the page of all scripts, name -> module, and their flags."""
    return STAGES.format(source=source) + "".join(_script(name, module) for name, module in scripts.items())


def _script(name: str, module) -> str:
    types = declared.types_of(module.Flags)
    rows = [_flag(field, types[field.name]) for field in dataclasses.fields(module.Flags)]
    found = [f"* {rule.sentence()}" for rule in rules.of(module.Flags)]
    lines = [f"\n## {name}\n", inspect.cleandoc(module.__doc__), "", FLAGS, *rows, *(["", *found] if found else [])]
    return "\n".join(lines) + "\n"


def _flag(field: dataclasses.Field, kind) -> str:
    told = field.metadata
    name = field.name.upper() if told["form"] == "operand" else f"--{field.name}"
    name = f"*`{name}`*" if told["runtime"] else f"`{name}`"
    default = "required" if field.default is dataclasses.MISSING else _default(field.default)
    return f"| {name} | {_of_type(field, kind)} | {default} | {_cell(told['description'])} |"


def _of_type(field: dataclasses.Field, kind) -> str:
    """Return the values that a flag takes, in words."""
    if field.metadata["choices"]:
        return ", ".join(f"`{choice}`" for choice in field.metadata["choices"])
    if field.metadata["form"] == "switch":
        return "no value"
    interval = ranges.of(kind)
    of_kind = declared.value_type(kind)
    words = {int: "a whole number", float: "a number", str: "text", bool: "`true`, `false`"}[of_kind]
    many = "one or more: " if declared.takes_several(kind) else ""
    facts = [field.metadata["unit"], ranges.words(interval) if interval else None]
    return ", ".join([many + words, *filter(None, facts)])


def files_page(formats: dict[str, list[Table]], others: dict[str, str], measures: tuple, source: str) -> str:
    """Return the page of all files: format -> its tables, path of any other file -> its description, all measures."""
    taken: set[str] = set()
    parts = [FILES.format(source=source)]
    for name, tables in formats.items():
        parts += [f"\n## {name}\n", *(_table(table, taken, is_json=name == "JSON") for table in tables)]
    rows = [f"| `{path}` | {_cell(description)} |" for path, description in others.items()]
    parts += ["\n## Other files\n\n| file | description |\n| --- | --- |\n", "\n".join(rows), "\n"]
    return "".join([*parts, MEASURES, "\n".join(map(_measure, measures)), "\n"])


def _table(table: Table, taken: set[str], is_json: bool) -> str:
    """Return the section of a table; `taken` are the headings of others."""
    rows = [row for column in (*table.columns, *table.families) for row in _columns(column, is_json)]
    lines = [_sentence(table.description), "", COLUMNS.format(what="key" if is_json else "column"), *rows]
    if table.paths:
        paths = [Path(path) for path in table.paths]
        names = dict.fromkeys(path.name if path.name not in taken else "/".join(path.parts[-2:]) for path in paths)
        taken.update(names)
        lines = [f"### {', '.join(names)}", "", lines[0], "", *(f"* `{path}`" for path in paths), *lines[1:]]
    return "\n".join(["", *lines, ""])


def _columns(column: Column, is_json: bool, above: str = "") -> list[str]:
    """Return the row of a column, or of a key and those below it."""
    absent = "may be absent" if is_json else "may be empty"
    facts = ["has an interval"] * column.has_interval + [absent] * column.optional
    kind = ", ".join([TYPES.get(column.kind, str(column.kind)), *facts])
    row = f"| `{above}{column.name}` | {kind} | {column.unit or ''} | {_cell(column.description)} |"
    return [row, *(below for key in column.keys for below in _columns(key, is_json, f"{above}{column.name}."))]


def _measure(measure: Measure) -> str:
    use = f"`{measure.name}`" if measure.title else ""
    column = measure.column
    places = ", ".join(words for place, words in PLACES.items() if place in measure.places)
    return f"| `{column.name}` | {measure.of} | {use} | {column.unit or ''} | {_cell(column.description)} | {places} |"


def _sentence(text: str) -> str:
    return _cell(f"{text[0].upper()}{text[1:]}.")


def _default(value) -> str:
    return "none" if value in (None, ()) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    """Return a text as a cell of a table shows it; what is between backticks shows as it is."""
    parts = text.replace("|", r"\|").split("`")
    return "`".join(part.replace("<", r"\<") if number % 2 == 0 else part for number, part in enumerate(parts))
