"""The schemas' stages, and what a lab says of a cell, and the scripts' flags say the same."""

import dataclasses
import importlib
from pathlib import Path

import pytest
import yaml

from preference.running import limits
from workflow.config import runs, validation

ROOT = Path(__file__).parents[1]

SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
STAGES = sorted(set(SCHEMA["$defs"]["stages"]["properties"]))
ASKED_FOR = ["skew_responses"]  # by a task's preferences alone: elsewhere nothing would come of its flags
LAB = yaml.safe_load((ROOT / "workflow" / "schemas" / "bandit.schema.yaml").read_text())
SCHEMAS = {stage: (SCHEMA, SCHEMA["$defs"][stage]["properties"]) for stage in (*STAGES, *ASKED_FOR)}
SCHEMAS["run_bandit"] = (LAB, LAB["$defs"]["settings"]["properties"])

# Flags that the workflow fills in: files, what the path says, what the task says.
FILES = {"data", "base_model", "policy", "reference", "prompts", "pairs", "eval_pairs", "responses", "rewards"}
FILES |= {"preferences", "reward_model", "baseline", "trained_on", "sft", "eval_prompts", "eval_preferences"}
FILES |= {"samples", "judge", "template", "answers", "earlier"}
DERIVED = {"seed", "round", "shard", "gold_reward", "target_length", "length_unit"}
DERIVED |= {"generator", "baseline_generator", "dataset"}
DERIVED |= {"given", "judged_by", "endpoint", "key_variable"}  # what a task and a run say of rewards and judges
DERIVED |= set(runs.CHAT)  # keys of a task


@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_stages_keys_are_its_scripts_flags(stage):
    flags = {f.name for f in dataclasses.fields(importlib.import_module(stage).Flags)}
    files = FILES - ({"baseline"} if stage.startswith("train_") else set())  # to a training that is a number
    files = set() if stage == "run_bandit" else files  # a cell reads none
    settable = {name for name in flags - files - DERIVED if not name.endswith("output")}
    keys = set(SCHEMAS[stage][1]) - {"seed"}
    assert keys == settable


@pytest.mark.parametrize("stage", [*STAGES, *ASKED_FOR])
def test_a_stage_needs_the_flags_that_have_no_default(stage):
    fields = dataclasses.fields(importlib.import_module(stage).Flags)
    settable = set(SCHEMA["$defs"][stage]["properties"])
    without = {field.name for field in fields if field.default is dataclasses.MISSING}
    said = "required" if stage in ASKED_FOR else "needs"
    assert set(SCHEMA["$defs"][stage].get(said, [])) == without & settable


@pytest.mark.parametrize("stage", [*STAGES, *ASKED_FOR])
def test_a_script_does_the_same_without_a_flag_as_with_the_schemas_default(stage):
    fields = dataclasses.fields(importlib.import_module(stage).Flags)
    settable = set(SCHEMA["$defs"][stage]["properties"]) - {"engine"}  # the config's own key says it for every stage
    defaults = {field.name: field.default for field in fields if field.default not in (dataclasses.MISSING, None)}
    assert validation.DEFAULTS.get(stage, {}) == {name: value for name, value in defaults.items() if name in settable}


@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_closed_choice_in_a_script_is_the_same_choice_in_the_schema(stage):
    for field in dataclasses.fields(importlib.import_module(stage).Flags):
        key = SCHEMAS[stage][1].get(field.name, {})
        if "enum" in key:
            assert tuple(key["enum"]) == field.metadata["choices"], field.name


def test_what_a_gold_reward_may_be_is_what_the_library_knows():
    from preference import rewards

    mapping = SCHEMA["$defs"]["gold_reward"]["then"]["properties"]
    assert SCHEMA["$defs"]["reward_of_length"]["enum"] == list(rewards.GOLD_REWARDS)
    assert mapping["unit"]["enum"] == list(rewards.UNITS) and set(mapping) == set(runs.GOLD_REWARD)
    fields = {field.name: field for field in dataclasses.fields(rewards.Flags)}
    assert runs.gold_reward_of({"gold_reward": "min_length"})["unit"] == fields["length_unit"].default
    target = validation.Validator({"$defs": SCHEMA["$defs"], **mapping["target"]})
    for number in NUMBERS:
        assert target.is_valid(number) == (isinstance(number, int) and limits.LIMITS["target_length"][0](number))


def test_a_stage_that_is_asked_for_can_be_set_in_a_tasks_preferences_only():
    parts = {"task": SCHEMA["$defs"]["task"], "run": SCHEMA["$defs"]["run"], "stages": SCHEMA["$defs"]["stages"]}
    settable = {name: set(part["properties"]) & set(ASKED_FOR) for name, part in parts.items()}
    assert settable == {"task": set(), "run": set(), "stages": set()}
    assert set(ASKED_FOR) <= set(SCHEMA["$defs"]["task"]["properties"]["preferences"]["properties"])


def test_every_stage_can_be_set_for_a_task_and_those_of_a_round_for_a_run():
    settable = set(SCHEMA["$defs"]["task"]["properties"])
    assert set(STAGES) <= settable
    per_run = set(STAGES) - {"prepare_task", "initialize_model", "train_sft", "train_reward_model"}
    assert per_run <= set(SCHEMA["$defs"]["run"]["properties"])


HELD_BY_CELLS = {"reward": (lambda value: 1 <= value <= 9, "")}  # which policy has which is a fault of the cell
NUMBERS = [-1, 0, 1, 2, 259, 260, 10**4, 10**4 + 1, 10**9, 10**9 + 1, 2**32 - 1, 2**32]
NUMBERS += [-0.5, 0.0, 1e-9, 0.4, 0.5, 0.9, 1.0, 1.1, 1e9]


@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_script_and_the_config_set_the_same_limits_to_a_number(stage):
    whole, properties = SCHEMAS[stage]
    for field in dataclasses.fields(importlib.import_module(stage).Flags):
        part = properties.get(field.name)
        if part is None or {"enum", "anyOf"} & set(part) or part.get("type") in ("string", "boolean"):
            continue
        schema, many = validation.Validator({"$defs": whole["$defs"], **part}), "tuple" in str(field.type)
        holds, _ = HELD_BY_CELLS.get(field.name) or limits.LIMITS[field.name]
        for number in NUMBERS:
            if "int" not in str(field.type) or isinstance(number, int):
                assert schema.is_valid([number] if many else number) == holds(number), (field.name, number)


@pytest.mark.parametrize("flag", ["learning_rate", "beta"])
def test_a_grid_of_one_point_may_be_a_number(flag):
    schema = validation.Validator({"$defs": LAB["$defs"], **SCHEMAS["run_bandit"][1][flag]})
    assert schema.is_valid(0.1) and schema.is_valid([0.1, 1]) and not schema.is_valid(0.0) and not schema.is_valid([])
