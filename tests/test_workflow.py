"""The whole experiment in small, as a person runs it."""

import filecmp
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from miniature import ROOT, Workflow, write_data

from preference.files import evaluations, records

RECOVERY = (ROOT / "docs" / "recovery.md").read_text()
RESULTS = "results/miniature"
TASK = f"{RESULTS}/min_length"
KEPT = (".csv", ".json", ".parquet", ".safetensors", ".html", ".svg", ".png", ".txt")
COMMANDS = [  # the logs of these end with the command that remakes what is named like them, or what lies beside them
    *("min_length/seed1/sft/evaluation", "min_length/dpo_on_policy/seed1/round2/pairs"),
    *("min_length/dpo_on_policy/seed1/round2/responses", "min_length/dpo_on_policy/seed1/metrics"),
    *("tables/tables", "figures/rewards", "figures/margins", "figures/frontier", "report"),
]


def test_it_ends_with_tables_figures_and_a_report_and_says_where(finished):
    for name in ("tables/metrics.csv", "tables/final.csv", "figures/rewards.svg", "figures/margins.png", "report.html"):
        assert (finished.folder / RESULTS / name).stat().st_size > 0, name
    assert f"Report: {RESULTS}/report.html" in finished.said
    assert "dpo_on_policy" in finished.said.split("gold reward")[-1], "the main table is in the terminal"


def test_every_metric_of_an_evaluation_is_declared(finished):
    paths = sorted((finished.folder / RESULTS).rglob("evaluation.json"))
    kinds = {"evaluate_policy": evaluations.EVALUATION, "train_reward_model": evaluations.REWARD_MODEL}
    for content in (json.loads(path.read_text()) for path in paths):
        kinds[content["stage"]].check({"metrics": content["metrics"]})
    assert len(paths) > 4


@pytest.mark.workflow
def test_the_scheduler_wakes_for_what_happened_not_by_the_clock(tmp_path):
    workflow = Workflow(tmp_path)
    write_data(tmp_path)
    models = [f"{TASK}/seed{seed}/base/model" for seed in (1, 2)]  # one of them waits while the other is made
    said = workflow.call("--verbose", "--cores", "1", *models)
    assert all(f"initialize_model min_length, seed {seed}" in said for seed in (1, 2))
    looks = said.count("Resources before job selection")
    assert 0 < looks <= 6, f"{looks} looks at three jobs"


def test_a_damaged_table_is_one_line_at_the_end_of_a_run_that_did_well(copy):
    (copy.folder / RESULTS / "tables" / "final.txt").write_bytes(b"\xff")
    said = copy.call("--force", f"{RESULTS}/config.yaml")
    line = f"{RESULTS}/tables/final.txt: is damaged: final.txt is not what was written"
    assert line in said and "; make it again with: " in said and "Traceback" not in said, said


def test_a_jobs_words_begin_with_its_rule(finished):
    """Where stages share a job of a cluster, that is how `workflow/cluster/status.py` counts them."""
    log = max((finished.folder / ".snakemake" / "log").glob("*.log"), key=lambda path: path.stat().st_size).read_text()
    words = dict(re.findall(r"^Job (\d+): (\w+)", log, re.MULTILINE))
    rules = dict(re.findall(r"^Finished jobid: (\d+) \(Rule: (\w+)\)$", log, re.MULTILINE))
    assert len(words) > 50 and words == {job: rule for job, rule in rules.items() if rule != "all"}


def test_a_second_call_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.call()


def test_a_seed_made_twice_beside_another_or_alone_has_the_same_bytes(twins):
    finished, twin = twins
    made = [path for path in sorted((twin.folder / TASK).rglob("*")) if path.suffix in KEPT]
    for path in made:
        other = finished.folder / path.relative_to(twin.folder)
        assert filecmp.cmp(path, other, shallow=False), path.relative_to(twin.folder)
    assert len(made) > 40
    left = [path for path in twin.folder.rglob("*") if path.suffix in (".tmp", ".checkpoints", ".shards")]
    assert left == [], "a later stage has read it all"


def test_an_experiment_of_finished_runs_and_its_claims_are_tables_a_figure_and_a_part_of_the_report(copy):
    figure = {"kind": "curves", "metric": ["gold_reward", "kl"], "x": "queries", "panels": "task", "lines": "run"}
    axes = {"run": ["pref_ft_offline", "dpo_on_policy"]}
    copy.config["experiments"] = {"methods": {"title": "Methods", "axes": axes, "figure": figure}}
    gain = {"experiment": "methods", "value": "final kl", "of": "min_length.dpo_on_policy"}
    claim = {"id": "moves", "claim": "DPO leaves SFT.", "source": "us", "statistic": gain, "passes": {"above": -9}}
    copy.config["claims"] = [claim]
    said = copy.call("miniature_methods")
    made = copy.folder / RESULTS
    curves = (made / "tables" / "curves_methods.csv").read_text()
    # 16 prompts of 2 samples a round, in 2 steps of 8 pairs, or as many as are left; 12 preferences, in 2 steps
    assert "min_length,dpo_on_policy,4,64,kl," in curves and "min_length,pref_ft_offline,4,48,kl," in curves
    assert (made / "figures" / "methods.svg").is_file() and not (made / "tables" / "claims.csv").exists()
    said = copy.call()
    assert "1 claims: 1 holds" in said and "DPO leaves SFT." in (made / "report.html").read_text()


def test_a_lock_that_a_kill_left_is_cleared_by_the_command_in_the_docs(tmp_path):
    (unlock,) = re.findall(r"cannot be locked: .*?`snakemake (--unlock)`", RECOVERY, re.DOTALL)
    workflow, target = Workflow(tmp_path), f"{RESULTS}/config.yaml"
    write_data(tmp_path)
    command = [sys.executable, "-m", "snakemake", *workflow.typed(target)]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob(".snakemake/locks/*")) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert "Directory cannot be locked" in workflow.fail(target)
    workflow.call(unlock)
    assert "1 of 1 steps (100%) done" in workflow.call(target)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_in_a_stages_log_remakes_its_artifact_to_the_byte(finished, name):
    log = finished.folder / RESULTS / f"{name}.log"
    command = [line[2:] for line in log.read_text().splitlines() if line.startswith("$ ")][-1]
    outputs = [p for p in log.parent.glob("*" if log.stem == "tables" else f"{log.stem}.*") if p.suffix in KEPT]
    before = {path: path.read_bytes() for path in outputs}
    for path in outputs:
        path.unlink()
    subprocess.run(shlex.split(command), cwd=finished.folder, check=True, capture_output=True)
    assert outputs and {path: path.read_bytes() for path in outputs} == before


def test_rows_are_accounted_for_from_samples_to_pairs(finished):
    folder = finished.folder / TASK / "dpo_on_policy" / "seed1" / "round1"
    samples, rewards = (
        records.read(folder / "responses.parquet", "responses"),
        records.read(folder / "rewards.parquet", "rewards"),
    )
    made_by = records.metadata(folder / "pairs.parquet")
    assert len(samples) == len(rewards) == made_by["rows_in"] == 32
    assert made_by["rows_out"] + sum(made_by["dropped"].values()) == 16
    assert {row["prompt_id"] for row in rewards} == {row["prompt_id"] for row in samples}
    assert made_by["stage"] == "construct_pairs" and made_by["inputs"]["rewards"]["sha256"]


def test_each_round_starts_from_the_last_ones_policy_and_takes_other_prompts(finished):
    folder = finished.folder / TASK / "dpo_on_policy" / "seed1"
    prompts = [
        {row["prompt_id"] for row in records.read(folder / f"round{n}" / "responses.parquet", "responses")}
        for n in (1, 2)
    ]
    assert not prompts[0] & prompts[1]
    made_by = records.metadata(folder / "round2" / "policy")
    assert made_by["inputs"]["policy"]["path"].endswith("round1/policy")


def test_a_judge_is_asked_by_the_workflow_and_what_it_says_ends_in_a_table_and_the_report(copy):
    shutil.copytree(copy.folder / TASK / "seed1" / "base" / "model", copy.folder / "judge")
    (copy.folder / "question.txt").write_text("{prompt}: {first} or {second}?")
    copy.config["tasks"]["min_length"]["judge"] = {"model": "judge", "template": "question.txt"}
    copy.call()
    rows = (copy.folder / RESULTS / "tables" / "judgements.csv").read_text().splitlines()
    assert [row.split(",")[:4] for row in rows[1:]] == [
        ["min_length", run, "2", "16"] for run in ("pref_ft_offline", "dpo_on_policy")
    ]
    folder = copy.folder / TASK / "dpo_on_policy" / "seed2" / "round2"
    judgements = records.read(folder / "judgements.parquet", "judgements")
    samples = records.read(folder / "evaluation.parquet", "evaluation")
    baseline = records.read(copy.folder / TASK / "seed2" / "sft" / "evaluation.parquet", "evaluation")
    assert [row["response"] for row in judgements] == [row["response"] for row in samples]
    assert [row["baseline_response"] for row in judgements] == [row["response"] for row in baseline]
    outputs = json.loads((folder / "model_outputs.json").read_text())
    assert {row["generator"] for row in outputs} == {"min_length_dpo_on_policy_seed2"}
    assert "What a judge says" in (copy.folder / RESULTS / "report.html").read_text()
    assert "Nothing to be done" in copy.call()
    (copy.folder / "question.txt").write_text("{prompt}: {second} or {first}?")
    assert {job.split(" ")[0] for job in copy.plan()} == {"judge_responses", "summarize_judgements", "render_report"}


def test_step_0_agreement_is_checked_and_printed(finished):
    log = (finished.folder / TASK / "dpo_on_policy" / "seed1" / "round1" / "policy.log").read_text()
    assert "step 0: policy and reference differ by at most" in log
    later = (finished.folder / TASK / "dpo_on_policy" / "seed1" / "round2" / "policy.log").read_text()
    assert "step 0: the policy has moved away from the reference" in later


def test_pairs_open_in_trl_as_they_are(finished, tmp_path):
    trl = pytest.importorskip("trl", reason="TRL is in envs/dev.txt")
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = finished.folder / TASK / "dpo_on_policy" / "seed1" / "round1" / "pairs.parquet"
    data = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    policy = finished.folder / TASK / "seed1" / "sft" / "policy"
    arguments = trl.DPOConfig(str(tmp_path), max_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no")
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(policy),
        args=arguments,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    assert trainer.train().training_loss == pytest.approx(0.693, abs=0.01)


def test_a_wrong_config_is_one_line_before_any_job_and_writes_nothing(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.config["stages"]["train_dpo"]["betta"] = 0.1
    said = workflow.fail()
    assert not (tmp_path / "results").exists() and "Traceback" not in said
    lines = [line for line in said.splitlines() if "experiment.yaml" in line]
    assert lines[-1].endswith("experiment.yaml: stages.train_dpo.betta: unknown key; did you mean beta?"), said


def test_a_stage_that_fails_says_why_in_one_line_and_leaves_what_was_there(finished, tmp_path):
    rewards = finished.folder / TASK / "dpo_on_policy" / "seed1" / "round1" / "rewards.parquet"
    rows = [{**row, "reward": 1.0} for row in records.read(rewards, "rewards")]
    records.write(tmp_path / "equal.parquet", "rewards", rows, {})
    command = [sys.executable, ROOT / "scripts" / "construct_pairs.py", "--rewards", tmp_path / "equal.parquet"]
    said = subprocess.run(
        [*command, "--output", tmp_path / "pairs.parquet", "--seed", "1"], capture_output=True, text=True
    )
    assert said.returncode == 1 and said.stderr.count("\n") == 1
    assert "no pair is left of 32 rows" in said.stderr and not (tmp_path / "pairs.parquet").exists()
