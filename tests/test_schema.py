"""Schemas, command lines and reference pages are made from one declaration of each flag and key."""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest
import yaml

from preference.running import flags as declared
from preference.running import ranges, rules
from workflow import generate
from workflow.config import keys as config_keys
from workflow.config import runs, validation

ROOT = Path(__file__).parents[1]

SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
STAGES = sorted(config_keys.STAGES)
ASKED_FOR = list(config_keys.ASKED_FOR)  # by a task's preferences alone: elsewhere nothing would come of its flags
LAB = yaml.safe_load((ROOT / "workflow" / "schemas" / "bandit.schema.yaml").read_text())
SCHEMAS = {stage: (SCHEMA, SCHEMA["$defs"][stage]["properties"]) for stage in (*STAGES, *ASKED_FOR)}
SCHEMAS["run_bandit"] = (LAB, LAB["$defs"]["settings"]["properties"])
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))

# Flags that the workflow fills in: files, what the path says, what the task says.
FILES = {"data", "base_model", "policy", "reference", "prompts", "pairs", "eval_pairs", "responses", "rewards"}
FILES |= {"preferences", "reward_model", "baseline", "trained_on", "sft", "eval_prompts", "eval_preferences"}
FILES |= {"samples", "judge", "template", "answers", "earlier"}
DERIVED = {"seed", "round", "shard", "gold_reward", "target_length", "length_unit"}
DERIVED |= {"generator", "baseline_generator", "dataset"}
DERIVED |= {"given", "judged_by", "endpoint", "key_variable"}  # what a task and a run say of rewards and judges
DERIVED |= set(runs.CHAT)  # keys of a task


def flags_of(script: str):
    return importlib.import_module(script).Flags


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    return generate.files()


@pytest.mark.parametrize("name", ["config.schema.yaml", "bandit.schema.yaml", "config.md", "stages.md", "files.md"])
def test_what_is_generated_is_up_to_date(generated, name):
    (path,) = (path for path in generated if path.name == name)
    assert path.read_text(encoding="utf-8") == generated[path], "run `make generated`"


def test_planning_imports_neither_pydantic_nor_torch():
    imports = "import sys; from workflow.config import lab_validation, validation"
    program = f"{imports}; print({{'pydantic', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


# Declarations.


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_is_described_and_every_number_has_a_range(script):
    kinds = declared.types_of(flags_of(script))
    for field in dataclasses.fields(flags_of(script)):
        assert field.metadata["description"].strip(), field.name
        is_number = declared.value_type(kinds[field.name]) in (int, float)
        assert is_number == (ranges.of(kinds[field.name]) is not None), field.name


def test_a_name_means_one_range_in_every_script():
    found = {}
    for script in SCRIPTS:
        for name, kind in declared.types_of(flags_of(script)).items():
            if interval := ranges.of(kind):
                found.setdefault(name, {}).setdefault((interval, declared.value_type(kind)), []).append(script)
    assert {name: list(scripts.values()) for name, scripts in found.items() if len(scripts) > 1} == {}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_default_is_a_value_that_may_be_given(script):
    kinds = declared.types_of(flags_of(script))
    for field in dataclasses.fields(flags_of(script)):
        if field.default not in (dataclasses.MISSING, None):
            adapter = pydantic.TypeAdapter(kinds[field.name])
            assert adapter.validate_python(field.default, strict=True) == field.default
            choices = field.metadata["choices"]
            assert choices is None or field.default in choices


@pytest.mark.parametrize("schema", [SCHEMA, LAB], ids=["config", "lab"])
def test_every_key_is_described(schema):
    def undescribed(part, path):
        if isinstance(part, dict):
            keys = part.get("properties", {}) if isinstance(part.get("properties"), dict) else {}
            yield from (
                f"{path}.{key}"
                for key, value in keys.items()
                if "description" not in value and value.keys() != {"$ref"} and value.keys() != {"not"}
            )
            for key, value in part.items():
                yield from undescribed(value, f"{path}.{key}")

    assert list(undescribed(schema, "")) == []


# What a config may set.


@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_stages_keys_are_its_scripts_flags(stage):
    flags = {f.name for f in dataclasses.fields(flags_of(stage))}
    files = FILES - ({"baseline"} if stage.startswith("train_") else set())  # to a training that is a number
    files = set() if stage == "run_bandit" else files  # a cell reads none
    settable = {name for name in flags - files - DERIVED if not name.endswith("output")}
    keys = set(SCHEMAS[stage][1]) - {"seed"}
    assert keys == settable


@pytest.mark.parametrize("stage", [*STAGES, *ASKED_FOR])
def test_a_stage_needs_the_flags_that_have_no_default(stage):
    settable = set(SCHEMA["$defs"][stage]["properties"])
    without = {field.name for field in dataclasses.fields(flags_of(stage)) if field.default is dataclasses.MISSING}
    key = "required" if stage in ASKED_FOR else "needs"
    assert set(SCHEMA["$defs"][stage].get(key, [])) == without & settable


@pytest.mark.parametrize("stage", [*STAGES, *ASKED_FOR])
def test_a_script_does_the_same_without_a_flag_as_with_the_schemas_default(stage):
    fields = dataclasses.fields(flags_of(stage))
    settable = set(SCHEMA["$defs"][stage]["properties"]) - {"engine"}  # the config's own key says it for every stage
    defaults = {field.name: field.default for field in fields if field.default not in (dataclasses.MISSING, None)}
    assert validation.DEFAULTS.get(stage, {}) == {name: value for name, value in defaults.items() if name in settable}


@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_closed_choice_in_a_script_is_the_same_choice_in_the_schema(stage):
    for field in dataclasses.fields(flags_of(stage)):
        key = SCHEMAS[stage][1].get(field.name, {})
        if "enum" in key:
            assert tuple(key["enum"]) == field.metadata["choices"], field.name


def test_what_a_gold_reward_may_be_is_what_the_library_knows():
    from preference import rewards

    keys = SCHEMA["$defs"]["Task"]["properties"]["gold_reward"]["then"]["properties"]
    assert keys["name"]["enum"] == list(rewards.GOLD_REWARDS)
    assert keys["unit"]["enum"] == list(rewards.UNITS) and set(keys) == set(runs.GOLD_REWARD)
    fields = {field.name: field for field in dataclasses.fields(rewards.Flags)}
    assert runs.gold_reward_of({"gold_reward": "min_length"})["unit"] == fields["length_unit"].default
    target = validation.Validator(keys["target"])
    for number in NUMBERS:
        assert target.is_valid(number) == is_valid(rewards.Flags, "target_length", number)


def test_an_algorithm_of_a_config_is_one_that_the_workflow_runs():
    keys = SCHEMA["$defs"]["Run"]["properties"]
    assert set(keys["algorithm"]["enum"]) == set(runs.ALGORITHMS)
    assert {key: keys[key]["default"] for key in runs.UNSAID} == runs.UNSAID


def test_a_stage_that_is_asked_for_can_be_set_in_a_tasks_preferences_only():
    settable = {name: set(SCHEMA["$defs"][name]["properties"]) & set(ASKED_FOR) for name in ("Task", "Run", "Stages")}
    assert settable == {"Task": set(), "Run": set(), "Stages": set()}
    assert set(ASKED_FOR) <= set(SCHEMA["$defs"]["Preferences"]["properties"])


def test_every_stage_can_be_set_for_a_task_and_those_of_a_round_for_a_run():
    assert set(STAGES) <= set(SCHEMA["$defs"]["Task"]["properties"])
    per_run = set(STAGES) - {"prepare_task", "initialize_model", "train_sft", "train_reward_model"}
    assert per_run <= set(SCHEMA["$defs"]["Run"]["properties"])


NUMBERS = [-1, 0, 1, 2, 9, 10, 259, 260, 10**4, 10**4 + 1, 10**9, 10**9 + 1, 2**32 - 1, 2**32]
NUMBERS += [-0.5, 0.0, 1e-9, 0.4, 0.5, 0.9, 1.0, 1.1, 1e9]


def is_valid(flags_class, name: str, number) -> bool:
    """Say whether a flag takes a number; text is read as the command line reads it."""
    try:
        pydantic.TypeAdapter(declared.types_of(flags_class)[name]).validate_python(number, strict=True)
    except pydantic.ValidationError:
        return False
    return True


@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_script_and_the_config_set_the_same_limits_to_a_number(stage):
    whole, properties = SCHEMAS[stage]
    for name, kind in declared.types_of(flags_of(stage)).items():
        if name not in properties or ranges.of(kind) is None:
            continue
        schema, many = validation.Validator({"$defs": whole["$defs"], **properties[name]}), declared.takes_several(kind)
        for number in NUMBERS:
            if declared.value_type(kind) is float or isinstance(number, int):
                given = (number,) if many else number
                assert schema.is_valid([number] if many else number) == is_valid(flags_of(stage), name, given), name


@pytest.mark.parametrize("flag", ["learning_rate", "beta"])
def test_a_grid_of_one_point_may_be_a_number(flag):
    schema = validation.Validator({"$defs": LAB["$defs"], **SCHEMAS["run_bandit"][1][flag]})
    assert schema.is_valid(0.1) and schema.is_valid([0.1, 1]) and not schema.is_valid(0.0) and not schema.is_valid([])


# Rules between flags.


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_rule_is_about_flags_of_its_script_and_is_in_the_schema(script):
    flags_class = flags_of(script)
    names = {field.name for field in dataclasses.fields(flags_class)}
    assert all({rule.flag, rule.other} <= names for rule in rules.of(flags_class))
    if script in (*STAGES, *ASKED_FOR):
        assert tuple(validation.RULES[script]) == rules.of(flags_class)
    else:
        assert rules.of(flags_class) == ()


READ = rules.ReadUnless("beta", "negative", "none")
MOST = rules.AtMostUnless("keep", 1, "negative", "none", "with negative {negative} only one is kept")
DIFFERENT = rules.Different("bad", "good", "nothing differs")
TOGETHER = rules.Together("one", "two", "{given} needs {missing}")


@pytest.mark.parametrize(
    "rule, chosen, problem",
    [
        (READ, {"beta": None, "negative": "none"}, None),
        (READ, {"beta": 1.0, "negative": "sum"}, None),
        (READ, {"beta": 1.0, "negative": "none"}, ("beta", "is not read: negative is none")),
        (READ, {"negative": "sum"}, ("beta", "is missing: negative is sum")),
        (MOST, {"keep": 2, "negative": "none"}, None),
        (MOST, {"keep": 1, "negative": "sum"}, None),
        (MOST, {"keep": 2, "negative": "sum"}, ("keep", "is 2: with negative sum only one is kept")),
        (DIFFERENT, {"good": "a", "bad": "b"}, None),
        (
            DIFFERENT,
            {"good": "a", "bad": "a"},
            ("bad", "is the same text as good, 'a', so that nothing differs"),
        ),
        (TOGETHER, {"one": None, "two": None}, None),
        (TOGETHER, {"one": 1, "two": 0}, None),
        (TOGETHER, {"one": 1}, ("two", "is missing: one needs two")),
        (TOGETHER, {"two": 1}, ("one", "is missing: two needs one")),
    ],
)
def test_a_rule_finds_what_breaks_it_and_is_the_same_when_read_from_a_schema(rule, chosen, problem):
    assert list(rules.problems(rules.read([rules.written(rule)]), chosen)) == ([problem] if problem else [])
    assert rules.read([rules.written(rule)]) == [rule] and rule.sentence()
