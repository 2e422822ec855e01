"""What was fetched from a hub is found again without one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import miniature
import pandas
import pytest
from hub import COMMIT, Hub

from preference import conversations, records

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def hub(tmp_path, tiny_policy):
    shutil.copytree(tiny_policy, tmp_path / "hub" / "models" / "lab" / "tiny-1m")
    (tmp_path / "hub" / "datasets" / "lab" / "says").mkdir(parents=True)
    miniature.write_data(tmp_path / "hub" / "datasets" / "lab" / "says")
    (tmp_path / "hub" / "datasets" / "lab" / "says" / "instructions.jsonl").rename(
        tmp_path / "hub" / "datasets" / "lab" / "says" / "train.jsonl"
    )
    with Hub(tmp_path / "hub") as hub:
        yield hub


def call(folder, script, *arguments, **environment):
    kept = {**os.environ, "HF_HOME": str(folder / "cache"), "HOME": str(folder / "home"), **environment}
    command = [sys.executable, SCRIPTS / f"{script}.py", *arguments]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)


def test_models_and_data_are_there_without_a_network_afterwards(tmp_path, hub):
    asked = ("--models", "lab/tiny-1m", "--data", "lab/says:train", "--output", "hub.json")
    done = call(tmp_path, "fetch_hub", *asked, **hub.environment())
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "hub.json").read_text())
    assert said["models"] == {"lab/tiny-1m": COMMIT} and said["data"] == {"lab/says:train": 304}

    offline = {"HF_HUB_OFFLINE": "1"}
    sizes = ("--num_sft", "64", "--num_prompts", "32", "--num_eval_prompts", "16", "--seed", "0")
    done = call(tmp_path, "prepare_task", "--sft", "lab/says:train", *sizes, "--output", "data", **offline)
    assert done.returncode == 0, done.stderr
    files = ("--data", "data/sft.parquet", "--output", "policy", "--log_output", "training.csv")
    flags = ("--learning_rate", "1e-3", "--epochs", "1", "--batch_size", "16", "--micro_batch_size", "16")
    flags += ("--max_length", "128", "--seed", "0", "--base_model", "lab/tiny-1m")
    done = call(tmp_path, "train_sft", *files, *flags, **offline)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "policy" / "model.safetensors").is_file() and not (tmp_path / "home").exists()


def test_data_that_are_a_program_are_there_afterwards_as_the_hubs_own_copy_of_their_rows(tmp_path, hub):
    """As AlpacaFarm is. No program is run."""
    folder = hub.folder / "datasets" / "lab" / "farm"
    (folder / "tasks" / "train").mkdir(parents=True)
    (folder / "farm.py").write_text("raise SystemExit")
    rows = [{"instruction": f"Say {n}", "input": "", "output": str(n)} for n in range(112)]
    pandas.DataFrame(rows).to_parquet(folder / "tasks" / "train" / "0000.parquet")
    source = "lab/farm@tasks:train"
    done = call(tmp_path, "fetch_hub", "--data", source, "--output", "hub.json", **hub.environment())
    assert done.returncode == 0, done.stderr
    sizes = ("--num_sft", "64", "--num_prompts", "32", "--num_eval_prompts", "16", "--seed", "0")
    done = call(tmp_path, "prepare_task", "--sft", source, *sizes, "--output", "data", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    made = records.read(tmp_path / "data" / "sft.parquet", "sft")
    assert {conversations.text(row["response"]) for row in made} <= {row["output"] for row in rows}


@pytest.mark.parametrize("asked", [("--models", "lab/none"), ("--data", "lab/none:train")])
def test_what_the_hub_does_not_have_is_one_line(tmp_path, hub, asked):
    done = call(tmp_path, "fetch_hub", *asked, "--output", "hub.json", **hub.environment())
    assert done.returncode == 1 and not (tmp_path / "hub.json").exists()
    assert f"fetch_hub.py: {asked[1]}: cannot be" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
