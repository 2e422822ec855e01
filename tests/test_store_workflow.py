"""Nothing is computed twice: an earlier value of a flag, a second experiment, an edit without effect, another clone."""

import filecmp
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import miniature
import pytest
from edits import PARTS

from workflow import stages

pytestmark = pytest.mark.workflow

SEED = "results/miniature/min_length/seed1"
MADE_ANEW = {"prepare_task", "write_config", "render_report"}  # of another experiment: no entry, or its name is read


def small(folder: Path, code: Path = miniature.ROOT) -> miniature.Workflow:
    """The miniature with one seed and one round, in a folder of its own."""
    folder.mkdir()
    workflow = miniature.Workflow(folder, code=code)
    workflow.config["seeds"] = [1]
    for run in workflow.config["runs"].values():
        run["rounds"] = 1
    miniature.write_data(folder)
    return workflow


def clone(folder: Path) -> Path:
    """The code, to edit."""
    folder.mkdir()
    for part in PARTS:
        source = miniature.ROOT / part
        copied = shutil.copytree if source.is_dir() else shutil.copy2
        copied(source, folder / part)
    return folder


def ran(workflow: miniature.Workflow, *arguments: str) -> tuple[set[str], set[str]]:
    """Call the workflow: the scripts of which a job was computed, and those of which one was restored."""
    said = workflow.call(*arguments)
    restored = Counter(re.findall(r"^  (\w+) +restored from", said, flags=re.MULTILINE))
    rules = (job.split()[0] for job in miniature.jobs(said))
    computed = Counter(stages.OF_RULE[rule].script for rule in rules if rule in stages.OF_RULE) - restored
    return set(computed), set(restored)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def made(folder):
    """A finished experiment, and a copy of its results as they were."""
    workflow = small(folder / "first", clone(folder / "code"))
    workflow.call()
    shutil.copytree(workflow.folder / "results/miniature", folder / "as_made")
    return workflow


def check_as_made(made: miniature.Workflow) -> None:
    """All that was made has the bytes that it had; logs and times are no results."""
    before = made.folder.with_name("as_made")
    files = {path.relative_to(before) for path in before.rglob("*") if path.is_file()}
    results = {file for file in files if file.suffix not in (".log", ".tsv") and not file.name.startswith(".")}
    assert len(results) > 50
    _, different, missing = filecmp.cmpfiles(before, made.folder / "results/miniature", results, shallow=False)
    assert (different, missing) == ([], [])


def test_an_earlier_value_of_a_flag_trains_nothing(made):
    dpo = made.config["stages"]["train_dpo"]
    dpo["beta"] = 0.3
    computed, restored = ran(made)
    assert "train_dpo" in computed and restored == set()
    dpo["beta"] = 0.1
    computed, restored = ran(made)
    assert computed == set() and {"train_dpo", "evaluate_policy", "render_report"} <= restored
    check_as_made(made)
    assert made.plan() == set()


def test_an_edit_that_changes_no_result_runs_its_stage_alone(made):
    script = made.code / "scripts" / "train_sft.py"
    text = script.read_text()
    script.write_text(text.replace("    rows = records.read(", "    nothing = 0\n    rows = records.read(", 1))
    assert script.read_text() != text
    computed, restored = ran(made)
    assert computed == {"train_sft"}
    assert {"train_reward_model", "generate_responses", "train_dpo", "summarize_run", "render_report"} <= restored
    check_as_made(made)
    assert made.plan() == set()
    script.write_text(text)
    computed, restored = ran(made)
    assert computed == set() and "train_sft" in restored, "the entry of the code before is there, too"
    check_as_made(made)


def test_a_second_experiment_shares_what_it_has_in_common(made):
    first = dict(made.config)
    made.config["experiment"] = "second"
    computed, restored = ran(made)
    assert computed == MADE_ANEW and {"train_sft", "train_dpo", "generate_responses"} <= restored
    one, two = (
        made.folder / f"results/{name}/min_length/seed1/sft/policy/model.safetensors"
        for name in ("miniature", "second")
    )
    assert one.samefile(two), "the weights take room twice"
    made.config = first
    assert made.plan() == set(), "the first experiment is as it was"


def test_a_deleted_result_is_restored(made):
    shutil.rmtree(made.folder / SEED / "sft/policy")
    (made.folder / SEED / "sft/training.csv").unlink()
    computed, restored = ran(made, f"{SEED}/sft/training.csv")
    assert restored == {"train_sft"} and computed == set()
    check_as_made(made)


def test_what_is_forced_is_computed(made):
    computed, restored = ran(made, "--forcerun", "train_sft", "--until", "train_sft")
    assert computed == {"train_sft"} and restored == set()
    check_as_made(made)


def test_another_clone_uses_a_shared_store_and_two_at_once_do_not_get_in_each_others_way(made, folder):
    shared = str(folder / "shared")
    workflows = [small(folder / name) for name in ("two", "three")]
    for workflow in workflows:
        workflow.config["store"] = shared
    targets = [f"{SEED}/sft/policy.manifest.json", f"{SEED}/reward_model/model.manifest.json"]
    processes = [workflow.start(*targets) for workflow in workflows]
    assert [process.communicate()[0] and process.returncode for process in processes] == [0, 0]
    assert not (workflows[0].folder / "results/.store").exists()
    fourth = small(folder / "four")
    fourth.config["store"] = shared
    computed, restored = ran(fourth, *targets)
    assert {"initialize_model", "train_sft", "train_reward_model"} <= restored and computed == {"prepare_task"}
    for workflow in (*workflows, fourth):
        one, two = (each.folder / SEED / "reward_model/model.manifest.json" for each in (made, workflow))
        assert one.read_bytes() == two.read_bytes()


def test_without_a_store_nothing_is_kept_and_nothing_reruns_for_it(made, folder):
    made.config["store"] = False
    assert made.plan() == set()
    del made.config["store"]
    alone = small(folder / "alone")
    target = f"{SEED}/base/model.manifest.json"
    said = alone.call(target, "--printshellcmds", "--config", "store=off")
    assert "run_once.py" not in said and not (alone.folder / "results/.store").exists()


REFUSALS = {
    "is of a newer version, 2; this one reads up to 1": lambda store: (
        store.mkdir(),
        (store / "version").write_text("2"),
    ),
    "is no store: it holds other files": lambda store: (store.mkdir(), (store / "notes.txt").write_text("")),
    "is a file, where the store must be a folder": lambda store: store.write_text(""),
}


@pytest.mark.parametrize("line", REFUSALS)
def test_a_store_that_cannot_be_used_is_one_line_before_any_job(tmp_path, line):
    workflow = small(tmp_path / "work")
    REFUSALS[line](tmp_path / "kept")
    workflow.config["store"] = str(tmp_path / "kept")
    said = workflow.fail()
    advice = "name another store with --config store=FOLDER, or do without with store=off"
    assert f"{tmp_path / 'kept'}: {line}; {advice}" in said and "Traceback" not in said
    assert miniature.jobs(said) == set() or "Finished jobid" not in said
    assert not (workflow.folder / "results/miniature").exists()


def test_a_store_that_cannot_be_written_to_is_one_line_before_any_job(tmp_path):
    workflow = small(tmp_path / "work")
    workflow.config["store"] = "kept"
    typed = " ".join([sys.executable, "-m", "snakemake", *workflow.typed()])
    script = f"cd {workflow.folder}; mkdir kept; mount -t tmpfs -o ro none kept; {typed}; echo rc=$?"
    own = ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run([*own, "bash", "-c", script], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert "kept: cannot be written to; name another store" in said and "rc=1" in said, said[-3000:]
    assert "Finished jobid" not in said and "Traceback" not in said


def test_what_no_config_needs_is_freed_and_nothing_else(made):
    """After the tests above the store holds beta 0.3, code that was edited, and a second experiment."""

    def store(*arguments):
        command = [sys.executable, str(made.code / "workflow" / "store.py"), *arguments]
        return made.run(command).communicate()[0]

    made.typed()
    names = {path for path in (made.folder / "results").rglob("*") if ".store" not in path.parts}
    first = store("show")
    assert re.search(r"^train_dpo +2 ", first, flags=re.MULTILINE), first
    (made.folder / "broken.yaml").write_text("experiment: [")
    assert "broken.yaml: cannot be planned, so nothing was removed" in store("prune", "experiment.yaml", "broken.yaml")
    assert store("show") == first
    said = store("prune", "experiment.yaml")
    assert re.search(r"results/.store: \d+ of \d+ entries removed, which no config needs; [\d.]+ [kM]B freed", said), (
        said
    )
    assert re.search(r"^train_dpo +1 ", store("show"), flags=re.MULTILINE)
    assert {path for path in (made.folder / "results").rglob("*") if ".store" not in path.parts} == names
    check_as_made(made)
    shutil.rmtree(made.folder / SEED)
    models = [f"{SEED}/{model}.manifest.json" for model in ("sft/policy", "reward_model/model")]
    computed, restored = ran(made, *models)
    assert computed == set() and {"initialize_model", "train_sft", "train_reward_model"} <= restored
