"""Where an artifact comes from: the tree back to the data, and exactly what has changed since."""

import json
import os
import shutil
from pathlib import Path

import pytest
from artifact_files import chain, made_by, pairs, rewards, write_model, write_rows

from preference.files import provenance, records
from preference.files.artifacts import write_json
from preference.inspection import lineage
from preference.running import code


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return chain(tmp_path)


def pairs_as_sft() -> list[dict]:
    return [{"prompt_id": row["prompt_id"], "prompt": row["prompt"], "response": row["chosen"]} for row in pairs()]


def verdict(path) -> str:
    return lineage.verdict(lineage.trace(path))


def test_the_tree_goes_back_to_the_data_and_shows_what_is_shared_once(made):
    lines = lineage.render(lineage.trace(made["pairs"]))
    text = "\n".join(lines)
    for name in ("pairs.parquet", "rewards.parquet", "responses.parquet", "sft/policy", "data/sft.parquet"):
        assert text.count(f"] {name} ") == 1, text
    shared = [line for line in lines if "data/prompts.parquet" in line]
    assert len(shared) == 2 and shared[1].endswith("(see above)") and shared[0].split("]")[0][-1] in shared[1]
    assert "by construct_pairs" in lines[0] and provenance.digest(made["pairs"])[:8] in lines[0]
    assert "seed=1" in lines[1]


def test_nothing_has_changed_where_nothing_has(made):
    assert verdict(made["pairs"]) == "6 artifacts: nothing has changed since"


def test_a_changed_input_is_told_and_only_where_it_was_read(made):
    write_rows(
        made["rewards"], "rewards", rewards({0: {"reward": 9.0}}), "score_responses", {"responses": made["responses"]}
    )
    assert verdict(made["pairs"]) == "6 artifacts: 1 input has changed since: rewards.parquet"
    assert "nothing has changed" in verdict(made["rewards"])
    line = next(line for line in lineage.render(lineage.trace(made["pairs"])) if "rewards.parquet" in line)
    assert "← has changed since (was " in line


def test_a_retrained_policy_is_a_changed_input(made):
    shutil.rmtree(made["policy"])
    write_model(made["policy"], weight=2.0)
    assert "1 input has changed since: sft/policy" in verdict(made["pairs"])


def test_bytes_count_and_neither_a_manifest_nor_a_time_stamp(made, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("{}\n")
    write_rows(made["sft"], "sft", pairs_as_sft(), "prepare_task", {"sft": data})
    shutil.rmtree(made["policy"])
    write_model(made["policy"], inputs={"data": made["sft"]})
    assert verdict(made["policy"]) == "3 artifacts: nothing has changed since"
    for file in (data, made["policy"] / "model.safetensors"):
        before, times = file.read_bytes(), file.stat()
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    said = verdict(made["responses"])
    assert said == "5 artifacts: 2 inputs have changed since: data.jsonl, sft/policy"


def test_an_edited_manifest_is_not_believed(made):
    manifest = made["policy"].with_name("policy.manifest.json")
    manifest.write_text(manifest.read_text().replace('"seed": 1', '"seed": 2'))
    assert "1 artifact has been damaged: sft/policy" in verdict(made["pairs"])
    assert "← policy.manifest.json is damaged" in "\n".join(lineage.render(lineage.trace(made["pairs"])))


def test_missing_inputs_are_told_and_a_deleted_folder_still_says_where_it_came_from(made):
    shutil.rmtree(made["policy"])
    made["prompts"].unlink()
    tree = lineage.trace(made["pairs"])
    assert lineage.verdict(tree).endswith("2 inputs have gone missing: data/prompts.parquet, sft/policy")
    assert "data/sft.parquet" in "\n".join(lineage.render(tree))


def test_changed_code_is_told_by_file(made):
    content = made_by("construct_pairs", {"rewards": made["rewards"]})
    content["code"]["preference/training/pairs.py"] = "0" * 16
    content["code"]["preference/gone.py"] = "1" * 16
    del content["code"]["preference/files/records.py"]
    records.write(made["pairs"], "pairs", pairs(), content)
    said = verdict(made["pairs"])
    names = "preference/files/records.py, preference/gone.py, preference/training/pairs.py"
    assert said == f"6 artifacts: 3 modules have changed since: {names}"
    text = "\n".join(lineage.render(lineage.trace(made["pairs"])))
    assert (
        "← code since: preference/files/records.py new, preference/gone.py gone, preference/training/pairs.py changed"
        in text
    )


def test_a_module_that_a_flag_named_is_no_change_until_it_changes(made):
    verifier = "preference/rewards/verifiers/min_length.py"
    content = {"stage": "score_responses", "code": code.record("score_responses.py", (verifier,))}
    assert lineage.code_changes(content) == {}
    content["code"][verifier] = "0"
    assert lineage.code_changes(content) == {verifier: "changed"}


def test_a_stages_name_cannot_lead_out_of_the_scripts(made):
    records.write(made["pairs"], "pairs", pairs(), {"stage": "../tests/conftest", "code": {"x.py": "0"}})
    assert "1 module has changed since: ../tests/conftest.py" in verdict(made["pairs"])


def test_paths_are_relative_to_the_folder_of_the_run_wherever_one_looks_from(tmp_path, monkeypatch):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run.mkdir()
    monkeypatch.chdir(run)
    write_rows(Path("results/rewards.parquet"), "rewards", rewards(), "score_responses")
    content = made_by("construct_pairs", {"rewards": "results/rewards.parquet"})
    records.write("results/pairs.parquet", "pairs", pairs(), content)
    for folder in (run, run / "results", elsewhere):
        monkeypatch.chdir(folder)
        assert "2 artifacts: nothing has changed" in verdict(run / "results" / "pairs.parquet")
    # an experiment of the same names in the current folder is not the one that was read
    write_rows(elsewhere / "results" / "rewards.parquet", "rewards", rewards({1: {"reward": 7.0}}), "score_responses")
    assert "nothing has changed" in verdict(run / "results" / "pairs.parquet")


def test_an_input_of_several_files_is_several_inputs(made, tmp_path):
    read = [{"path": str(made[name]), "sha256": provenance.digest(made[name])} for name in ("rewards", "pairs")]
    content = {"kind": "table", "stage": "summarize_run", "inputs": {"evaluations": read}}
    (tmp_path / "metrics.csv").write_text("round,mean\n0,1.0\n")
    write_json(tmp_path / "metrics.csv.manifest.json", content)
    assert [edge.name for edge in lineage.trace(tmp_path / "metrics.csv").edges] == ["evaluations"] * 2
    assert verdict(tmp_path / "metrics.csv").startswith("7 artifacts: nothing")


def test_what_nothing_is_known_of_is_said(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps([1]))
    assert "nothing says what made it" in verdict(tmp_path / "c.json")
