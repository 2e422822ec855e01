"""A disk that is full, or cannot be written to: one line, nothing half-written, and the run goes on when it can."""

import os
import re
import subprocess
import sys

import pytest
import yaml
from miniature import MINIATURE, ROOT, write_data

pytestmark = pytest.mark.workflow

TARGET = "results/miniature/min_length/seed1/sft/policy.manifest.json"


def in_a_mount(folder, script: str) -> str:
    """Run a script that may mount file systems which nobody else sees; what it says, with the exit codes it echoes."""
    config = yaml.safe_load(MINIATURE.read_text())
    config["stages"]["train_sft"] |= {"checkpoint_steps": 16, "epochs": 2}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(config))
    write_data(folder)
    (folder / "results").mkdir()
    run = f'{sys.executable} -m snakemake -s {ROOT}/Snakefile "$@" --configfile {folder}/experiment.yaml'
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    done = subprocess.run(
        [*own, "bash", "-ec", f'run() {{ {run} 2>&1 && echo "rc=0" || echo "rc=$?"; }}\n{script}'],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(tmp_path):
    said = in_a_mount(
        tmp_path,
        f"""
        mount -t tmpfs -o size=700k results results
        run {TARGET}
        echo @@@@@ what is there; find results -type f -o -name '*.tmp'
        echo @@@@@ room; mount -o remount,size=50m results
        run {TARGET}
        cat {TARGET.replace(".manifest.json", ".log")}
        """,
    )
    full, there, room = said.split("@@@@@")
    line = r"train_sft.py: results/\S+: cannot be written: No space left on device; nothing half-written was kept"
    assert re.search(line, full) and "rc=0" not in full and "Traceback" not in full, full
    assert ".tmp" not in there and TARGET not in there, there
    assert "rc=0" in room and "Traceback" not in room, room


def test_a_project_on_a_full_disk_is_one_line_before_anything_and_goes_on_once_there_is_room(tmp_path):
    data = "results/miniature/min_length/data"
    said = in_a_mount(
        tmp_path,
        f"""
        mkdir project; mount -t tmpfs -o size=4m project project; cp instructions.jsonl project; cd project
        fill() {{ dd if=/dev/zero of=filled bs=1k 2> /dev/null || true; }}
        fill; run {data}/sft.parquet; find . -type f | sort; rm filled
        echo @@@@@ it fills up while a stage runs
        (until [ -e {data} ]; do sleep 0.01; done; fill) & run {data}/sft.parquet; wait; find . -name '*.tmp'
        echo @@@@@ room; rm filled; run {data}/sft.parquet
        """,
    )
    full, later, room = said.split("@@@@@")
    line = ".: cannot be written to: No space left on device; Snakemake keeps its records there, in .snakemake/"
    assert full.splitlines()[1:] == [line, "rc=1", "./filled", "./instructions.jsonl"], full
    assert "No space left on device" in later and "rc=1" in later and "Traceback" not in later, later
    assert ".tmp" not in later.split("rc=1")[1], later
    assert "rc=0" in room and "Traceback" not in room, room


def test_a_folder_that_cannot_be_written_to_is_one_line_before_any_job(tmp_path):
    said = in_a_mount(
        tmp_path,
        """
        mount -t tmpfs -o size=1m,ro results results
        run; echo @@@@@
        run --dry-run --quiet; echo @@@@@
        umount results; rmdir results; touch results
        run; echo @@@@@; rm results
        mkdir none; mount -t tmpfs none none; cp instructions.jsonl none; mount -o remount,ro none; cd none
        run
        """,
    )
    read_only, plan, file, folder = said.split("@@@@@")
    assert "results: cannot be written to, so results/miniature cannot be made" in read_only and "rc=1" in read_only
    assert "rc=0" in plan
    assert "results: is a file, where results/miniature must be a folder" in file and "rc=1" in file
    assert ".: cannot be written to: Read-only file system; Snakemake keeps its records" in folder and "rc=1" in folder
    assert "Traceback" not in said and "Finished jobid" not in said
