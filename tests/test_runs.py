"""What the config asks for, as pure functions of a dict."""

import copy
import functools
import shlex
from pathlib import Path

import pytest
import yaml

from preference.tasks import sources
from workflow.config import lab_validation, labs, runs, validation

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def where(task="min_length", **others):
    return {"task": task, "seed": "1", **others}


def test_a_runs_options_win_over_the_tasks_and_those_over_the_stages(config):
    assert runs.options(config, "train_dpo", where(run="dpo_offline", round="1"))["beta"] == 0.1
    config["tasks"]["min_length"]["train_dpo"] = {"beta": 0.2}
    assert runs.options(config, "train_dpo", where(run="dpo_offline", round="1"))["beta"] == 0.2
    config["runs"]["dpo_offline"]["train_dpo"] = {"beta": 0.3}
    assert runs.options(config, "train_dpo", where(run="dpo_offline", round="1"))["beta"] == 0.3
    assert runs.options(config, "train_dpo", where(run="dpo_on_policy", round="1"))["beta"] == 0.2


NO_WINDOW = ("num_pairs", "construct_pairs", "runs.dpo_on_policy")  # it pairs its samples, all of them


def flags(config):
    """(stage, run) -> what counts of the flags, for every pair of them; no run: before the first round."""
    whole = runs.complete(config, validation.DEFAULTS, "transformers")
    places = [where(), *(where(run=run, round="2") for run in config["runs"])]
    return {
        (stage, place.get("run")): runs.canonical(runs.options(whole, stage, place))
        for stage in validation.DEFAULTS
        for place in places
    }


@pytest.mark.parametrize("stage", validation.DEFAULTS)
def test_every_key_changes_the_flags_of_its_stage_and_of_no_other(config, stage):
    before, run = flags(config), "dpo_on_policy"
    for key in validation.SCHEMA["$defs"][stage]["properties"]:
        for part in ("stages", "tasks.min_length", f"runs.{run}"):
            changed = copy.deepcopy(config)
            said = functools.reduce(dict.__getitem__, part.split("."), changed)
            said[stage] = {**said.get(stage, {}), key: "another"}
            found = {place for place, value in flags(changed).items() if value != before[place]}
            silent = key in runs.RUNTIME or (key, stage, part) == NO_WINDOW
            assert {name for name, _ in found} == (set() if silent else {stage}), (part, key)
            assert part != f"runs.{run}" or {place for _, place in found} <= {run}, (part, key)


def test_options_are_sorted_so_that_the_order_in_yaml_never_triggers_a_rerun(config):
    found = runs.options(config, "train_dpo", where(run="dpo_offline", round="1"))
    assert list(found) == sorted(found)


def test_seed_and_round_come_from_the_path(config):
    found = runs.options(config, "generate_responses", where(run="dpo_on_policy", round="2"))
    assert (found["seed"], found["round"], found["engine"]) == (1, 2, "auto")
    assert "seed" not in runs.options(config, "score_responses", where(run="dpo_on_policy", round="2"))


def test_preferences_are_sampled_on_every_prompt_and_as_round_0(config):
    found = runs.options(config, "generate_responses", where(split="preferences"))
    assert "num_prompts" not in found and found["round"] == 0
    config["tasks"]["min_length"]["preferences"] = {"generate_responses": {"temperature": 0.7}}
    assert runs.options(config, "generate_responses", where(split="preferences"))["temperature"] == 0.7
    on_policy = runs.options(config, "generate_responses", where(run="dpo_on_policy", round="1"))
    assert on_policy["temperature"] == 1.0 and "num_prompts" in on_policy


def test_what_a_stage_does_not_look_at_is_not_told_to_it(config):
    config["stages"]["construct_pairs"]["num_pairs"] = 100
    offline = runs.options(config, "construct_pairs", where(run="dpo_offline", round="1"))
    on_policy = runs.options(config, "construct_pairs", where(run="dpo_on_policy", round="1"))
    assert "num_pairs" in offline and not {"pairing", "min_margin", "truncated"} & set(offline)
    assert "num_pairs" not in on_policy and {"pairing", "min_margin", "truncated"} <= set(on_policy)
    config["runs"]["dpo_on_policy"]["reward"] = "gold"
    for place in (where(run="dpo_on_policy", round="1"), where(split="preferences")):
        assert runs.options(config, "score_responses", place) == {"gold_reward": "min_length", "length_unit": "tokens"}


def test_history_is_told_to_the_later_rounds_of_runs_that_sample(config):
    config["stages"]["construct_pairs"]["history"] = 2
    asked = {number: where(run="dpo_on_policy", round=str(number)) for number in (1, 2)}
    assert runs.options(config, "construct_pairs", asked[2])["history"] == 2 and runs.uses_history(config, asked[2])
    for place in (asked[1], where(run="dpo_offline", round="2"), where(split="preferences")):
        assert "history" not in runs.options(config, "construct_pairs", place) and not runs.uses_history(config, place)
    config["stages"]["construct_pairs"]["history"] = "none"
    assert not runs.uses_history(config, asked[2])


@pytest.mark.parametrize("history, rounds", [("none", [1, 1, 1]), (1, [1, 2, 2]), (9, [1, 2, 3]), ("all", [1, 2, 3])])
def test_a_round_learns_from_the_pairs_of_so_many_rounds(config, history, rounds):
    config["stages"]["construct_pairs"]["history"] = history
    places = [where(run="dpo_on_policy", round=str(number)) for number in (1, 2, 3)]
    assert [runs.rounds_of_pairs(config, place) for place in places] == rounds


def test_preferences_are_pairs_of_no_round(config):
    assert "round" not in runs.options(config, "construct_pairs", where(split="preferences"))
    assert runs.options(config, "construct_pairs", where(run="dpo_offline", round="1"))["round"] == 1


JUDGES = [("score_responses", {}), ("score_responses", {"run": "dpo_on_policy"}), ("evaluate_policy", {})]


@pytest.mark.parametrize("stage, place", JUDGES)
def test_a_gold_reward_is_told_to_every_stage_that_judges_responses(config, stage, place):
    def told(said):
        config["tasks"]["min_length"]["gold_reward"] = said
        found = runs.options(config, stage, where(**place))
        return {key: found[key] for key in ("gold_reward", "target_length", "length_unit") if key in found}

    assert told("max_length") == {"gold_reward": "max_length", "length_unit": "tokens"}
    mode = {"gold_reward": "mode_length", "target_length": 20, "length_unit": "words"}
    assert told({"name": "mode_length", "target": 20, "unit": "words"}) == mode
    del config["tasks"]["min_length"]["gold_reward"]
    assert not set(mode) & set(runs.options(config, stage, where(**place)))


def test_a_gold_reward_by_name_is_the_same_as_one_with_all_said(config):
    short = runs.complete(config, validation.DEFAULTS, "transformers")
    config["tasks"]["min_length"]["gold_reward"] = {"name": "min_length", "unit": "tokens"}
    assert runs.complete(config, validation.DEFAULTS, "transformers") == short
    del config["tasks"]["min_length"]["gold_reward"]
    assert "gold_reward" not in runs.complete(config, validation.DEFAULTS, "transformers")["tasks"]["min_length"]


def test_a_skew_is_its_tasks_alone_and_changes_no_other_stages_flags(config):
    before = flags(config)
    config["tasks"]["other"] = copy.deepcopy(config["tasks"]["min_length"])
    config["tasks"]["min_length"]["preferences"] = {"skew_responses": {"mean_length": 6.0}}
    assert [runs.is_skewed(task) for task in config["tasks"].values()] == [True, False]
    assert runs.options(config, "skew_responses", where(split="preferences")) == {"mean_length": 6.0, "seed": 1}
    assert flags(config) == before


def test_what_is_equal_is_equal_as_text_and_runtime_flags_do_not_count():
    one = {"b": [1.0, 0.5], "a": {"y": True, "x": 2, "checkpoint_steps": 5}}
    other = {"a": {"x": 2.0, "y": True}, "b": [1, 0.50]}
    assert repr(runs.canonical(one)) == repr(runs.canonical(other)) == "{'a': {'x': 2, 'y': True}, 'b': [1, 0.5]}"


def test_flags_are_quoted_for_the_shell_and_come_back_as_they_were():
    typed = runs.as_flags({"model": "a b; touch x", "keep": True, "names": ["p", "q r"], "rate": 5e-7})
    assert shlex.split(typed) == ["--model", "a b; touch x", "--keep", "true", "--names", "p", "q r", "--rate", "5e-07"]


def test_every_cell_of_the_experiment_is_listed_once(config):
    config["seeds"] = [1, 2]
    config["tasks"]["other"] = config["tasks"]["min_length"]
    config["runs"]["dpo_offline"]["tasks"] = ["other"]
    found = runs.cells(config)
    assert len(found) == len(set(found)) == 2 * (3 * 2 + 1)
    assert ("min_length", "dpo_offline", 1) not in found and ("other", "dpo_offline", 2) in found


def test_a_source_as_a_text_a_mapping_or_a_list_is_the_same_if_it_says_the_same(config):
    def completed(data):
        config["tasks"]["min_length"]["data"] = data
        return runs.complete(config, validation.DEFAULTS, "transformers")

    plain = completed("a.jsonl")
    for data in ({"sft": "a.jsonl"}, {"sft": ["a.jsonl"]}, {"sft": {"source": "a.jsonl", "weight": 1.0}}):
        assert completed(data) == plain
    assert completed({"sft": {"source": "a.jsonl", "weight": 0.5}}) != plain
    assert runs.complete(plain, validation.DEFAULTS, "transformers") == plain


def test_sources_are_typed_as_they_are_named(config):
    config["tasks"]["min_length"]["data"] = {"sft": "a b.jsonl"}
    chosen = runs.options(config, "prepare_task", where())
    assert "--sft 'a b.jsonl'" in runs.as_flags(chosen)
    config["tasks"]["min_length"]["data"] = {"sft": ["a.jsonl", {"source": "lab/b", "split": "train"}]}
    typed = shlex.split(runs.as_flags(runs.options(config, "prepare_task", where())))
    assert typed[typed.index("--sft") + 1 :] == ["a.jsonl", '{"source": "lab/b", "split": "train"}']


def test_the_hubs_data_are_known_by_name_and_split_wherever_they_are_named(config):
    data = {"sft": ["a.jsonl", {"source": "lab/b", "split": "train", "weight": 0.5}], "preferences": "lab/c:test"}
    config["tasks"]["min_length"]["data"] = data
    assert runs.hub_data(config) == ["lab/b:train", "lab/c:test"]


@pytest.mark.parametrize("source", ["./a", "/a/b.parquet", "a/b.jsonl", "../x", "data.json", "b.csv", "b.tsv.gz"])
def test_paths_are_files(source):
    assert sources.is_local(source)


@pytest.mark.parametrize("source", ["built_in", "owner/name", "owner/name:train", "owner/name@config:test"])
def test_hub_ids_and_the_built_in_data_are_not(source):
    assert not sources.is_local(source)


def test_the_shipped_configs_are_valid():
    experiments = set((ROOT / "config").glob("*.yaml")) - set(labs.files(ROOT / "config").values())
    for path in sorted(experiments):
        wrong = [p for p in validation.problems(yaml.safe_load(path.read_text())) if "no such file" not in p]
        assert wrong == [], path


def test_a_value_that_looks_like_a_flag_is_the_value_of_its_flag():
    assert runs.as_flags({"pad_token": "--output", "seed": 1}) == "--pad_token=--output --seed 1"


def test_the_shipped_labs_are_valid():
    assert lab_validation.asked_for(list(labs.files(ROOT / "config")), ROOT / "config")[1] == []


def test_a_lab_is_no_experiment_and_none_is_called_like_one(config):
    line = "lab: this file is a lab, which is no --configfile; its name is a target: snakemake bandit"
    assert validation.problems({"lab": "bandit"}) == [line]
    config["experiment"] = "bandit_length"
    line = "experiment: bandit_length is the name of a lab; only those begin with bandit"
    assert validation.problems(config) == [line]
