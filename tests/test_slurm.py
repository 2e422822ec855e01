"""The workflow on a real Slurm of one node: the same tables as on one machine, whatever happens to jobs on the way.

Needs Debian's slurm-wlm and, for accounting, munge, slurmdbd and mariadb-server, and to be root (make test-slurm).
"""

import contextlib
import copy
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import miniature
import pytest
import snakemake_executor_plugin_slurm as executor
import yaml
import yte
from hub import Hub
from one_node_slurm import Slurm

from workflow import patches
from workflow.cluster import slurm

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).parents[1]
CHECKS = ("--slurm-init-seconds-before-status-checks", "5")  # a cluster is asked less often
COMPARED = ("*.csv", "*.json", "*.parquet", "*.txt", "*.safetensors", "*.svg", "*.html")
UNDECLARED = r"\.checkpoints/|\.shards/|/\.?\d+-of-\d+\."  # what is unfinished, and what is joined
UNTRACKED = ("efficiency.csv", "state.json")  # of the run, and not of what it made


class OnSlurm(miniature.Workflow):
    """A clone of the project whose command is `snakemake --profile slurm`."""

    def __init__(self, folder: Path, slurm: Slurm, config: dict, **more: str):
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in tracked.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        miniature.write_data(folder)
        super().__init__(folder, config, code=folder, notes=folder)
        self.slurm, self.profile = slurm, folder / "slurm" / "config.yaml"
        self.results, self.more = folder / "results" / config["experiment"], more  # of the environment

    def typed(self, *arguments: str) -> list[str]:
        (self.notes / "experiment.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        return [*arguments, "--profile", "slurm", *CHECKS, "--configfile", "experiment.yaml"]

    def environment(self) -> dict[str, str]:
        node = {"PYTHONPATH": str(ROOT / "tests" / "node"), "PREFDAG_REST": "5"}
        return {**super().environment(), **self.slurm.environment(), **node, **self.more}

    def edit(self, old: str, new: str) -> None:
        """Change a line of the profile, as a site would."""
        said = self.profile.read_text()
        assert old in said
        self.profile.write_text(said.replace(old, new, 1))

    def jobs(self, *states: str) -> list[dict[str, str]]:
        """The jobs of Slurm that are this workflow's."""
        return [job for job in self.slurm.jobs(*states) if job["folder"] == str(self.folder)]

    def wait_for_job(self, comment: str, state: str = "RUNNING", seconds: float = 240) -> dict[str, str]:
        """A job of a rule, once it is in a state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):  # the controller may be away
                for job in self.jobs(state):
                    if comment in job["comment"]:
                        return job
            time.sleep(0.3)
        raise AssertionError(f"no job of {comment} was {state} in {seconds:g} s")

    def process(self, script: str) -> int | None:
        """The process that runs a stage here."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # of what has ended meanwhile
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if f"scripts/{script}.py".encode() in words and Path(os.readlink(folder / "cwd")) == self.folder:
                    return int(folder.name)
        return None

    @contextlib.contextmanager
    def held(self, script: str, seconds: float = 120):
        """A training stands still once it has kept a state, as one on a node that does not get on."""
        end, process = time.monotonic() + seconds, None
        while process is None:
            assert time.monotonic() < end, f"no {script} kept a state in {seconds:g} s"
            time.sleep(0.1)
            if list(self.results.glob("*/seed1/sft/policy.checkpoints/*/state.json")):
                process = self.process(script)
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


def small() -> dict:
    """The miniature with one seed and one round: still every stage that it has."""
    config = copy.deepcopy(yaml.safe_load(miniature.MINIATURE.read_text()))
    config["seeds"] = [1]
    config["stages"]["train_sft"] |= {"epochs": 6, "checkpoint_steps": 10}  # long enough for something to happen to it
    for stage in ("generate_responses", "score_responses"):
        config["stages"][stage]["shard_size"] = 16
    for run in config["runs"].values():
        run["rounds"] = 1
    return config


def made(results: Path) -> dict[str, bytes]:
    files = [path for pattern in COMPARED for path in results.rglob(pattern) if path.is_file()]
    kept = [path for path in files if path.name not in UNTRACKED and not re.search(UNDECLARED, str(path))]
    return {str(path.relative_to(results)): path.read_bytes() for path in kept}


def same(results: Path, local: Path, but: tuple[str, ...] = ()) -> None:
    found, wanted = made(results), made(local)
    assert set(found) == set(wanted)
    assert [
        name for name in sorted(wanted) if found[name] != wanted[name] and not name.lstrip(".").startswith(but)
    ] == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cluster):
    """The experiment as a user runs it, while all of `happen` happens: the workflow, what it said, what the user saw on
    the way, and the results that one machine makes of the same experiment beside it."""
    shared = {"generate_responses": 2, "score_responses": 2}
    late = {"PREFDAG_LATE": "reference_logps.parquet", "PREFDAG_LATE_SECONDS": "20"}
    folder = tmp_path_factory.mktemp("finished")
    workflow = OnSlurm(folder, cluster, {**small(), "shards": shared}, **late, PREFDAG_THREADS=str(folder / "threads"))
    process = workflow.start("--set-resources", "train_pref_ft:mem_mb=attempt*450")  # more than the first time
    try:
        seen = happen(workflow, cluster)
        local = tmp_path_factory.mktemp("local")
        miniature.write_data(local)
        miniature.Workflow(local, small()).call("--quiet", "all")
        said, _ = process.communicate(timeout=600)
    finally:
        process.kill()
        cluster.recover()
    assert process.returncode == 0, said[-6000:]
    return workflow, said, seen, local / "results" / "miniature"


def happen(workflow: OnSlurm, cluster: Slurm) -> str:
    """A training is cancelled; while it is made again the controller is killed and started again, and the node is
    drained; a job is preempted. What a user sees in the beginning."""
    training = workflow.wait_for_job("train_sft")
    look = {"cwd": workflow.folder, "env": {"PATH": workflow.environment()["PATH"]}}
    seen = subprocess.run([sys.executable, "workflow/cluster/status.py"], capture_output=True, text=True, **look).stdout
    cluster.said("scancel", training["id"])
    workflow.wait_for_job("train_sft")
    with workflow.held("train_sft"):
        time.sleep(6)  # a controller writes down what it began within five seconds
        cluster.kill_controller()
        time.sleep(8)  # and its absence is noticed within five
        cluster.start_controller()
        node = cluster.wait_for("sinfo", "--noheader", "--format=%n", holds=bool).strip()
        cluster.said("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    workflow.wait_for_job("generate_preference_responses", "PENDING")
    cluster.said("scontrol", "update", f"NodeName={node}", "State=RESUME")
    workflow.wait_for_job("train_reward_model")
    urge(cluster, workflow.folder)
    workflow.wait_for_job("train_reward_model", "PENDING")
    time.sleep(5)  # what is preempted is given so long to end
    for job in workflow.jobs("PENDING"):  # and would rest for minutes
        if job["reason"] == "BeginTime":
            cluster.said("scontrol", "update", f"JobId={job['id']}", "StartTime=now")
    return seen


def urge(cluster: Slurm, folder: Path) -> None:
    """A job that takes the whole node from those that run."""
    cluster.said("sbatch", "--partition=urgent", "--cpus-per-task=4", f"--output={folder}/urgent", "--wrap=sleep 1")


def test_a_run_on_a_cluster_makes_what_one_machine_makes_byte_for_byte(finished):
    same(finished[0].results, finished[3], but=("config.yaml", "report.html"))  # they say how many jobs shared a stage


def test_stages_with_a_model_run_where_the_gpus_are_and_the_others_where_none_is(finished):
    jobs = finished[0].jobs()
    on_gpu = [job for job in jobs if job["partition"] == "gpu"]
    assert on_gpu and all(job["gres"] == "gres:gpu:1" for job in on_gpu)
    assert all(job["gres"] == "N/A" for job in jobs if job["partition"] == "cpu")
    stages = {re.match(r"rule_(\w+?)(_wildcards|$)", job["comment"])[1] for job in on_gpu}
    assert stages == {
        *("train_sft", "train_reward_model", "train_dpo", "train_pref_ft", "generate_responses", "score_responses"),
        *("generate_preference_responses", "compute_reference_logps", "evaluate_policy", "evaluate_sft_policy"),
    }


def test_stages_of_seconds_share_a_job(finished):
    jobs = [job["comment"] for job in finished[0].jobs() if job["partition"] == "cpu"]
    for group in ("start", "summarize", "conclude"):
        assert sum(f"rule_{group}_" in job for job in jobs) == 1
    assert sum("rule_label_preferences_" in job for job in jobs) == 2  # those to train on, and those held out


def test_a_rules_threads_are_the_jobs_cpus_and_torchs_threads(finished):
    noted = {line.split()[0]: line.split()[1] for line in (finished[0].folder / "threads").read_text().splitlines()}
    assert noted["train_sft"] == "2" and noted["train_dpo"] == "1"
    cpus = {stage: job["cpus"] for job in finished[0].jobs() for stage in noted if stage in job["comment"]}
    assert cpus["train_sft"] == "2" and cpus["train_dpo"] == "1"


def test_several_jobs_shared_sampling_and_scoring(finished):
    shards = sorted(path.name for path in finished[0].results.rglob("round1/responses/*.parquet"))
    assert shards == ["1-of-2.parquet", "2-of-2.parquet"]
    jobs = [job["comment"] for job in finished[0].jobs()]
    assert (
        sum("rule_generate_responses_" in job for job in jobs)
        == sum("rule_score_responses_" in job for job in jobs)
        == 2
    )


def test_what_each_stage_took_is_told_against_what_it_asked_for(finished):
    with (finished[0].results / "tables" / "efficiency.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    sft = rows["train_sft"]
    assert sft["gres_asked"] == "gpu:1" and sft["cpus_asked"] == "2" and int(sft["memory_mb_asked"]) >= 3000
    assert 0 < float(sft["minutes_max"]) < 10 and 100 < int(sft["memory_mb_max"]) < 3000
    assert int(sft["suggested_memory_mb"]) >= int(sft["memory_mb_max"])
    assert rows["construct_pairs"]["gres_asked"] == ""
    assert "efficiency.csv" in finished[1]


def test_the_state_of_a_run_can_be_looked_at_while_it_goes_on(finished):
    lines = finished[2].splitlines()
    assert lines[0].split() == ["to", "do", "queued", "running", "done", "failed"]
    running = next(line for line in lines if line.startswith("train_sft"))
    assert running.split() == ["train_sft", "1"] and len(running.rstrip()) == lines[0].index("running") + len("running")
    assert re.search(r"^  train_sft min_length, seed 1: .*/rule_train_sft/.*\.log$", finished[2], re.MULTILINE)


def test_a_file_that_comes_late_is_waited_for(finished):
    """As on a file system that shows what another node has written only after a while."""
    assert (finished[0].folder / "was_late").exists()


def test_nothing_is_left_to_do_after_it(finished):
    assert "Nothing to be done" in finished[0].call()


def test_what_was_cancelled_or_killed_was_made_again_and_nothing_else_was(finished):
    states = {}
    for job in finished[0].jobs():
        states.setdefault(job["comment"], []).append(job["state"])

    def of(stage: str) -> list[str]:
        return states.pop(next(comment for comment in states if f"rule_{stage}" in comment))

    assert of("train_sft") == ["CANCELLED", "COMPLETED"]
    assert of("train_pref_ft") == ["FAILED", "COMPLETED"]
    assert of("label_preferences") == ["COMPLETED"] * 2  # of either split
    assert all(found == ["COMPLETED"] for found in states.values())


def test_a_job_that_died_of_memory_was_made_again_with_twice_as_much(finished):
    jobs = [job for job in finished[0].jobs() if "rule_train_pref_ft" in job["comment"]]
    assert [job["memory"] for job in jobs] == ["450M", "900M"]
    assert "memory" in next((finished[0].folder / ".snakemake").rglob(f"{jobs[0]['id']}.log")).read_text()


@pytest.mark.parametrize("partition, cores", [("cpu", 4), ("nowhere", 8)])
def test_stages_that_share_a_job_ask_for_no_more_cpus_than_a_node_has(cluster, monkeypatch, tmp_path, partition, cores):
    monkeypatch.setenv("PATH", cluster.environment()["PATH"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    profile = (
        (ROOT / "slurm" / "config.yaml").read_text().replace("cpu_partition: cpu ", f"cpu_partition: {partition} ")
    )
    assert yte.process_yaml(profile)["cores"] == cores


def test_a_job_is_submitted_only_where_the_controller_answers(cluster, monkeypatch):
    submitted = []
    monkeypatch.setenv("PATH", cluster.environment()["PATH"])
    monkeypatch.setattr(executor.Executor, "run_job", lambda self, job: submitted.append(job))
    monkeypatch.setattr(slurm, "keep_within", lambda job: {})
    for name in ("get_min_job_age", "query_job_status"):
        monkeypatch.setattr(executor, name, getattr(executor, name))
    monkeypatch.setattr(slurm, "stopped", threading.Event())
    for name in ("cancel", "check_active_jobs", "report_job_success", "report_job_error"):
        monkeypatch.setattr(executor.Executor, name, getattr(executor.Executor, name))
    patches.be_patient(slurm)
    cluster.kill_controller()
    submission = threading.Thread(target=executor.Executor.run_job, args=(None, "a job"))
    submission.start()
    time.sleep(2)
    assert submitted == [] and executor.get_min_job_age() == 3600
    cluster.start_controller()
    submission.join(30)
    assert submitted == ["a job"]
    cluster.kill_controller()
    submission = threading.Thread(target=executor.Executor.run_job, args=(None, "another job"))
    submission.start()
    slurm.stopped.set()  # as an interrupted run does
    submission.join(10)
    cluster.start_controller()
    cluster.wait_for("sinfo", "--noheader", holds=bool)
    assert submitted == ["a job"]


@pytest.fixture(scope="module")
def short_of_time(tmp_path_factory, cluster, finished):
    """A training that stands still in a job of a minute, while other tests go on: (workflow, process)."""
    workflow = OnSlurm(tmp_path_factory.mktemp("short_of_time"), cluster, small())
    workflow.config["stages"]["train_sft"]["checkpoint_steps"] = 2
    policy = "results/miniature/min_length/seed1/sft/policy.manifest.json"
    process = workflow.start(policy, "--set-resources", "train_sft:runtime=attempt")
    with ThreadPoolExecutor() as beside:
        over = beside.submit(stand_still, workflow)
        yield workflow, process
        process.kill()
        over.result()


def stand_still(workflow: OnSlurm) -> None:
    with workflow.held("train_sft"):
        workflow.wait_for_job("train_sft", "TIMEOUT")


@pytest.mark.usefixtures("short_of_time")
def test_a_job_that_fails_leaves_the_path_of_its_log_and_the_reason(tmp_path, cluster):
    workflow = OnSlurm(tmp_path, cluster, small())
    workflow.edit("cpu_partition: cpu ", "cpu_partition: limited ")
    (tmp_path / "instructions.jsonl").write_text("{")
    said = workflow.fail("--retries", "0")
    assert "prepare_task.log" in said and re.search(r"slurm_logs/group_start\S*/\d+\.log", said)
    assert re.search(r"instructions\.jsonl: line 1", said)
    assert [job["limit"] for job in workflow.jobs()] == ["12:00"]  # all that the partition gives


def test_ctrl_c_cancels_the_jobs_and_until_then_a_second_call_is_refused(tmp_path, cluster):
    workflow = OnSlurm(tmp_path, cluster, small())
    process = workflow.start()
    try:
        workflow.wait_for_job("train_sft")
        second = workflow.fail()
        assert "locked" in second.lower() and "Traceback" not in second
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    end = time.monotonic() + 30
    while workflow.jobs("RUNNING", "PENDING", "COMPLETING") and time.monotonic() < end:
        time.sleep(0.5)
    assert {job["state"] for job in workflow.jobs()} <= {"COMPLETED", "CANCELLED"}
    assert "CANCELLED" in {job["state"] for job in workflow.jobs()}


@pytest.mark.parametrize(
    "old, new, line",
    [
        (
            "cpu_partition: cpu ",
            "cpu_partition: cpus ",
            r"slurm/config\.yaml: .*no partition 'cpus' here; there are cpu, gpu",
        ),
        (
            "gpu_partition: gpu ",
            "gpu_partition: a100 ",
            r"slurm/config\.yaml: .*no partition 'a100' here; there are cpu, gpu",
        ),
        (
            "gpu_gres: gpu ",
            "gpu_gres: gpu:a100 ",
            r"no node of the partition gpu has 'gpu:a100:1'; its GRES are gpu:2, gpu:fake:2",
        ),
        (
            "executor: slurm",
            "executor: slurm\nset-resources: {plot_rewards: {mem_mb: 15000}}",
            r"the group conclude: asks for 19000 MB, and the partition cpu gives 16000 at most; lower cores, mem_mb",
        ),
    ],
)
def test_what_the_cluster_does_not_have_is_one_line_and_no_job(tmp_path, cluster, old, new, line):
    workflow = OnSlurm(tmp_path, cluster, small())
    workflow.edit(old, new)
    said = workflow.fail()
    assert re.search(line, said) and "Traceback" not in said
    assert workflow.jobs() == []


def test_what_comes_from_the_hub_is_fetched_first_and_jobs_need_no_network_no_home_and_no_gpu(
    tmp_path, cluster, tiny_policy
):
    served = tmp_path / "hub"
    shutil.copytree(tiny_policy, served / "models" / "lab" / "tiny-1m")
    (served / "datasets" / "lab" / "says").mkdir(parents=True)
    miniature.write_data(served / "datasets" / "lab" / "says")
    config = small()
    config["tasks"]["min_length"] |= {"data": "lab/says:train", "base_model": "lab/tiny-1m"}
    config["stages"]["train_sft"]["max_length"] = 128
    (tmp_path / "clone").mkdir()
    workflow = OnSlurm(tmp_path / "clone", cluster, config)
    workflow.edit("gpu_partition: gpu ", "gpu_partition: null ")
    (tmp_path / "home").mkdir()

    def environment(**more):
        """A user's, who has set nothing of all this."""
        found = {**OnSlurm.environment(workflow), "HOME": str(tmp_path / "home"), **more}
        return {name: value for name, value in found.items() if name not in ("XDG_CACHE_HOME", "HF_HUB_OFFLINE")}

    policy = "results/miniature/min_length/seed1/sft/policy.manifest.json"

    workflow.environment = environment
    said = workflow.fail(policy)
    assert "comes from the hub; fetch it first: snakemake --profile slurm fetch" in said and workflow.jobs() == []
    with Hub(served) as hub:
        workflow.environment = lambda: environment(**hub.environment())
        workflow.call("fetch")
        workflow.environment = environment
    assert workflow.jobs() == []  # the login node has the network
    workflow.call(policy)
    assert {(job["partition"], job["gres"], job["state"]) for job in workflow.jobs()} == {("cpu", "N/A", "COMPLETED")}
    assert list((tmp_path / "home").rglob("*")) == []


@pytest.fixture
def accounting(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("accounting"), accounting=True) as slurm:
        yield slurm


def test_with_accounting_an_account_is_charged_or_refused_and_what_is_cancelled_or_preempted_for_good_is_made_again(
    tmp_path, accounting
):
    workflow = OnSlurm(tmp_path, accounting, small())
    target = "results/miniature/min_length/data/prompts.parquet"
    workflow.edit("account: null ", "account: 2023-45 ")
    said = workflow.fail(target)
    assert re.search(r"no account '2023-45' of yours here; there are lab", said) and "Traceback" not in said
    workflow.edit("account: 2023-45 ", "account: lab ")
    workflow.edit("cpu_partition: cpu ", "cpu_partition: spare ")  # which cancels what it preempts
    process = workflow.start(target)
    try:
        accounting.said("scancel", workflow.wait_for_job("prepare_task")["id"])
        workflow.wait_for_job("prepare_task")
        urge(accounting, workflow.folder)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, said[-6000:]
    charged = accounting.said("sacct", "--noheader", "--allocations", "--parsable2", "--format=account,partition,state")
    states = [line for line in charged.splitlines() if "|urgent|" not in line]
    assert states == ["lab|spare|CANCELLED by 0", "lab|spare|PREEMPTED", "lab|spare|COMPLETED"]


def test_a_training_that_runs_out_of_time_goes_on_in_a_longer_job(short_of_time):
    workflow, process = short_of_time
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said[-6000:]
    trainings = [(job["state"], job["limit"]) for job in workflow.jobs() if "train_sft" in job["comment"]]
    assert trainings[0] == ("TIMEOUT", "1:00") and trainings[-1][0] == "COMPLETED" and trainings[1][1] == "2:00"
    log = (workflow.results / "min_length/seed1/sft/policy.log").read_text()
    assert re.search(r"resumes at step \d+", log)
