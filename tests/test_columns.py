"""Every column of every file is declared once, with a description; every measure is one row."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from preference.analysis import measures
from preference.files import documents, evaluations, logs, records, schemas, summaries, tables
from preference.files.columns import Column, Table

ROOT = Path(__file__).parents[1]
MODULES = (logs, tables, evaluations, documents)
OTHERS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": table
    for module in MODULES
    for name, table in vars(module).items()
    if isinstance(table, Table)
}
DECLARED = schemas.TABLES | OTHERS
RULES = "".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
WITHOUT_RULE = {"bad_rows.csv", "efficiency.csv", "{artifact}.manifest.json", ".{artifact}.origin.json"}


def all_columns(columns) -> list[Column]:
    return [each for column in columns for each in (column, *all_columns(column.keys))]


@pytest.mark.parametrize("name", DECLARED)
def test_every_column_has_a_description_and_a_name_of_its_own(name):
    table = DECLARED[name]
    columns = all_columns((*table.columns, *table.families))
    assert table.description.strip() and all(column.description.strip() for column in columns)
    assert len(set(table.names)) == len(table.names)


@pytest.mark.parametrize("name", [name for name, table in DECLARED.items() if table.paths])
def test_a_declared_path_is_one_that_a_rule_makes(name):
    names = {Path(path).name for path in DECLARED[name].paths} - WITHOUT_RULE
    text = RULES.replace("{{", "{").replace("}}", "}").replace("{part}", "{experiment}").replace("{table}", "")
    for file in names:
        stem = file.removesuffix(".parquet")
        assert re.search(rf'/{re.escape(file)}"', text) or f'/{stem}")' in text or f'"{stem}"' in text, file


def test_a_column_that_is_not_declared_is_not_written(tmp_path):
    rows = pd.DataFrame({"round": [0], "luck": [1.0]})
    with pytest.raises(AssertionError, match="luck: not declared"):
        summaries.write_csv(tmp_path / "metrics.csv", tables.RUN, rows, {})
    assert not any(tmp_path.iterdir())


def test_a_key_below_a_key_is_checked_as_well():
    evaluations.EVALUATION.check({"num_prompts": 1, "metrics": {"kl": {}}})
    with pytest.raises(AssertionError, match="luck: not declared"):
        evaluations.EVALUATION.check({"metrics": {"luck": {}}})


def test_only_axes_that_are_named_may_be_columns():
    tables.CURVES.check(["method", *tables.CURVES.names], axes=["method"])
    with pytest.raises(AssertionError, match="method: not declared"):
        tables.CURVES.check(["method", *tables.CURVES.names])


def test_a_description_is_not_in_the_file(tmp_path):
    row = {"prompt_id": "a", "prompt": "p", "response": "r"}
    records.write(tmp_path / "sft.parquet", "sft", [row], {})
    for field in pq.read_schema(tmp_path / "sft.parquet"):
        assert {key for key in field.metadata or {} if not key.startswith(b"PARQUET:")} == set()


def test_the_measures_of_bandits_are_rows_of_the_table_in_the_order_of_their_columns():
    assert [measure.column for measure in measures.of(measures.BANDITS)] == list(logs.HISTORY.values())


def test_bandits_and_language_models_call_a_measure_the_same():
    shared = measures.OF_BANDITS.keys() & measures.OF_MODELS.keys()
    assert shared and all(measures.OF_BANDITS[name] == measures.OF_MODELS[name] for name in shared)


@pytest.mark.parametrize("kind", [measures.BANDITS, measures.MODELS, measures.REWARD_MODELS])
def test_a_name_and_a_place_belong_to_one_measure(kind):
    rows = measures.of(kind)
    names = Counter(row.column.name for row in rows) + Counter(row.called for row in rows if row.called)
    places = Counter(place for row in rows for place in row.places.items())
    assert set(names.values()) == {1} and set(places.values()) <= {1}
    assert all(row.short and row.places.keys() <= measures.PLACES.keys() for row in rows if row.places)


def test_the_samples_of_an_evaluation_have_what_final_csv_has_the_means_of():
    added = {"finished"}  # from the finish reason
    assert {*measures.SAMPLED.values()} - added <= {*schemas.SCHEMAS["evaluation"].names}
