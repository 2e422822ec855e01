"""Write what follows from declarations: the schemas of config files and the reference pages (`make generated`).

The declarations are the flags of the scripts, the keys in workflow/config/keys.py, the columns in
scripts/preference/files/ and the measures in scripts/preference/analysis/measures.py. This imports every script, torch
and all; planning reads the schemas that it wrote.
"""

import copy
import dataclasses
import importlib
import sys
from pathlib import Path

import pydantic
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from preference.analysis import measures
from preference.files import documents, evaluations, logs, schemas, tables
from preference.files.columns import Table
from preference.models import samplers
from preference.running import flags as declared
from preference.running import rules
from workflow import reference_pages
from workflow.config import keys as config_keys

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS, PAGES = ROOT / "workflow" / "schemas", ROOT / "docs" / "reference"
SOURCE = "the flags of scripts/ and the keys in workflow/config/keys.py"
COLUMNS = "the columns in scripts/preference/files/ and the measures in scripts/preference/analysis/measures.py"
HEAD = f"""# {{what}}. Closed everywhere: a misspelt key is an error before anything runs.
# Do not edit: `make generated` makes this file from {SOURCE}.
# `needs` are the flags of a stage that a config must set, `default` is what a key is without being set, `x-rules` are
# rules between flags (scripts/preference/running/rules.py).
"""
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def files() -> dict[Path, str]:
    """Return path -> content of every generated file."""
    config, lab = config_schema(), lab_schema()
    return {
        SCHEMAS / "config.schema.yaml": as_yaml(config, "The shape of a config file"),
        SCHEMAS / "bandit.schema.yaml": as_yaml(lab, "The shape of a lab file, config/bandit*.yaml"),
        PAGES / "config.md": reference_pages.config_page(mappings(config, lab), SOURCE),
        PAGES / "stages.md": reference_pages.stages_page(scripts(), SOURCE),
        PAGES / "files.md": reference_pages.files_page(
            tables_by_format(), documents.OTHERS, measures.MEASURES, COLUMNS
        ),
    }


def mappings(config: dict, lab: dict) -> dict[str, dict]:
    """Return the name of every mapping in a file -> its schema, in the order of the reference page."""
    names = ("Task", "Run", "Experiment", "Figure", "Shards", "Preferences", "Stages")
    own = {name: config["$defs"][name] for name in names}
    below = {model.__name__: _resolved(plain(model.model_json_schema()), {}) for model in config_keys.INLINED}
    stages = {stage: config["$defs"][stage] for stage in (*config_keys.STAGES, *config_keys.ASKED_FOR)}
    parts = ("LabExperiment", "settings", "Directions", "DirectionsFigure", "Point")
    of_lab = {name: lab["$defs"][name] for name in parts}
    return {"Config": config, **own, **below, **stages, "Lab": lab, **of_lab}


def tables_by_format() -> dict[str, list[Table]]:
    """Return the format of files -> the declared ones."""
    declared = [table for module in (tables, logs, evaluations, documents) for table in _tables(module)]
    of_format = {
        suffix: [table for table in declared if table.paths[0].endswith(suffix)] for suffix in (".csv", ".json")
    }
    return {
        "Parquet": list(schemas.TABLES.values()),
        "CSV": of_format[".csv"],
        "JSON": of_format[".json"],
        "Provenance": [documents.PROVENANCE],
    }


def _tables(module) -> list[Table]:
    return [table for table in vars(module).values() if isinstance(table, Table) and table.paths]


def scripts() -> dict[str, object]:
    """Return the name of every script -> its module."""
    return {path.stem: _module(path.stem) for path in sorted((ROOT / "scripts").glob("*.py"))}


def _module(stage: str):
    return importlib.import_module(stage)


def config_schema() -> dict:
    """Return the schema of a config file."""
    stages = (*config_keys.STAGES, *config_keys.ASKED_FOR)
    return _schema(config_keys.Config, {stage: stage_schema(stage) for stage in stages})


def lab_schema() -> dict:
    """Return the schema of a lab file."""
    keys = {name: _grid(part) for name, part in properties(_module("run_bandit").Flags).items()}
    return _schema(config_keys.Lab, {"settings": {"type": "object", "additionalProperties": False, "properties": keys}})


def stage_schema(stage: str) -> dict:
    """Return the schema of the flags of a stage that a config may set.

    How sampling is done stands last, except the engine: a key of the whole config, which says its default.
    """
    flags_class = _module(stage).Flags
    keys = properties(flags_class)
    if "engine" in keys:
        del keys["engine"]["default"]
        last = {field.name for field in dataclasses.fields(samplers.Engine)}
        keys = {"engine": keys["engine"], **{name: keys[name] for name in keys if name not in last}, **keys}
    required = {field.name for field in dataclasses.fields(flags_class) if field.default is dataclasses.MISSING}
    schema = {"type": "object", "additionalProperties": False}
    if needed := [name for name in keys if name in required]:
        schema["required" if stage in config_keys.ASKED_FOR else "needs"] = needed
    if found := rules.of(flags_class):
        schema["x-rules"] = [rules.written(rule) for rule in found]
    return {**schema, "properties": keys}


def properties(flags_class) -> dict[str, dict]:
    """Return flag -> its schema, of the flags that a config may set."""
    fields = [field for field in dataclasses.fields(flags_class) if field.metadata["config"]]
    return {field.name: flag_schema(flags_class, field) for field in fields if not declared.is_output(field)}


def flag_schema(flags_class, field: dataclasses.Field) -> dict:
    """Return the schema of one flag: its values, unit, default and description."""
    schema = plain(pydantic.TypeAdapter(flags_class).json_schema()["properties"][field.name])
    description, default = schema.pop("description"), schema.pop("default", None)
    if field.metadata["choices"]:
        schema = {"enum": list(field.metadata["choices"])}
    elif schema.get("type") == "string":
        schema["minLength"] = 1
    if field.metadata["unit"]:
        schema["x-unit"] = field.metadata["unit"]
    if default not in (None, []):
        schema["default"] = default
    return {"description": description, **schema}


def plain(schema):
    """Return pydantic's schema as the messages about a config want it.

    An optional key has no null and no default null, bounds are as they were declared, a choice has no type beside it
    (a wrong value would be reported twice), and a key that is no name is refused as such.
    """
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: plain(part) for key, part in schema.items() if not (key == "title" and isinstance(part, str))}
    kinds = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema = {**kinds[0], **schema}
    for bound in BOUNDS & schema.keys():
        schema[bound] = int(schema[bound]) if schema[bound] == int(schema[bound]) else schema[bound]
    if "patternProperties" in schema:
        ((pattern, values),) = schema.pop("patternProperties").items()
        schema |= {"propertyNames": {"type": "string", "pattern": pattern}, "additionalProperties": values}
    absent = {"default": None, "additionalProperties": True} | ({"type": "string"} if "enum" in schema else {})
    return {key: part for key, part in schema.items() if key not in absent or part != absent[key]}


def _grid(part: dict) -> dict:
    """Return the schema of a setting of a lab: lists name nothing twice, and a list of numbers may be one number."""
    if part.get("type") != "array":
        return part
    items, rest = part["items"], {key: value for key, value in part.items() if key not in ("type", "items")}
    kind = {**items, "type": ["number", "array"]} if items["type"] == "number" else {"type": "array"}
    return {**kind, "minItems": 1, "uniqueItems": True, "items": items, **rest}


def _schema(model, parts: dict[str, dict]) -> dict:
    """Return the schema of a file: keys of config/keys.py, and parts that come from flags."""
    keys = plain(model.model_json_schema())
    defs = {**keys.pop("$defs"), **parts}
    return _resolved({"$schema": "https://json-schema.org/draft/2020-12/schema", **keys, "$defs": defs}, parts)


def _resolved(schema, parts: dict[str, dict]):
    """Return a schema with the marks of config/keys.py replaced by what they stand for."""
    if isinstance(schema, list):
        return [_resolved(part, parts) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _resolved(part, parts) for key, part in schema.items()}
    if stages := schema.pop(config_keys.STAGE_KEYS, None):
        keys = {stage: {"$ref": f"#/$defs/{stage}"} for stage in stages}
        schema["properties"] = {**schema.get("properties", {}), **keys}
    if part := schema.pop(config_keys.PART, None):
        same = {key: parts[part][key] for key in ("additionalProperties", "properties")}
        schema |= same if "type" in schema else {"$ref": f"#/$defs/{part}"}
    if flag := schema.pop(config_keys.FLAG, None):
        stage, name = flag.split(".")
        flags_class = _module(stage).Flags
        field = next(field for field in dataclasses.fields(flags_class) if field.name == name)
        known = flag_schema(flags_class, field)
        wanted = known.keys() & {"description", "default"} if schema else known.keys()
        schema |= {key: known[key] for key in known if key in wanted}
    return schema


class _Dumper(yaml.SafeDumper):
    ANCHOR_TEMPLATE = "shared%d"


def as_yaml(schema: dict, what: str) -> str:
    """Return a schema as the text of its file, in which keys that several parts share are written once."""
    shared = _shared(copy.deepcopy(schema), {})
    text = yaml.dump(shared, Dumper=_Dumper, sort_keys=False, width=120, default_flow_style=None)
    return HEAD.format(what=what) + text


def _shared(schema, known: dict):
    if isinstance(schema, list):
        return [_shared(part, known) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _shared(part, known) for key, part in schema.items()}
    return known.setdefault(repr(schema), schema) if isinstance(schema.get("description"), str) else schema


if __name__ == "__main__":
    main()
