"""What was fetched from a hub is found again without one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import miniature
import pandas
import pytest
from hub import COMMIT, Hub

from preference.files import artifacts, conversations, records

SCRIPTS = Path(__file__).parents[1] / "scripts"
MODEL = "lab/tiny-1m@v1"


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
    asked = ("--models", MODEL, "--data", "lab/says:train", "--output", "hub.json")
    done = call(tmp_path, "fetch_hub", *asked, **hub.environment())
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "hub.json").read_text())
    assert said["models"] == {MODEL: COMMIT} and said["data"] == {"lab/says:train": 304}

    offline = {"HF_HUB_OFFLINE": "1"}
    sizes = ("--num_sft", "64", "--num_prompts", "32", "--num_eval_prompts", "16", "--seed", "0")
    done = call(tmp_path, "prepare_task", "--sft", "lab/says:train", *sizes, "--output", "data", **offline)
    assert done.returncode == 0, done.stderr
    files = ("--data", "data/sft.parquet", "--output", "policy", "--log_output", "training.csv")
    flags = ("--learning_rate", "1e-3", "--epochs", "1", "--batch_size", "16", "--micro_batch_size", "16")
    flags += ("--max_length", "128", "--seed", "0", "--base_model", MODEL)
    done = call(tmp_path, "train_sft", *files, *flags, **offline)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "policy" / "model.safetensors").is_file() and not (tmp_path / "home").exists()
    assert artifacts.metadata(tmp_path / "policy")["inputs"]["base_model"] == {"path": MODEL, "sha256": COMMIT}


def test_a_released_policy_is_known_by_its_commit_in_all_that_is_made_of_it(tmp_path, hub):
    done = call(tmp_path, "fetch_hub", "--models", MODEL, "--output", "hub.json", **hub.environment())
    assert done.returncode == 0, done.stderr
    sft = tmp_path / "sft.jsonl"
    sft.write_text("".join(json.dumps({"prompt": f"p{n}", "response": "r"}) + "\n" for n in range(8)))
    given = ("--prompts", "sft.jsonl", "--num_eval_prompts", "2", "--seed", "0", "--base_model", MODEL)
    done = call(tmp_path, "prepare_task", *given, "--output", "data", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    made_by = records.metadata(tmp_path / "data" / "prompts.parquet")
    assert made_by["inputs"]["base_model"] == {"path": MODEL, "sha256": COMMIT}
    drawn = (
        "--temperature",
        "1",
        "--top_p",
        "1",
        "--max_new_tokens",
        "4",
        "--seed",
        "0",
        "--engine",
        "transformers",
        "--round",
        "1",
    )
    files = ("--policy", MODEL, "--prompts", "data/prompts.parquet", "--output", "responses.parquet")
    done = call(tmp_path, "generate_responses", *files, *drawn, "--samples_per_prompt", "1", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    made_by = records.metadata(tmp_path / "responses.parquet")
    assert made_by["inputs"]["policy"] == {"path": MODEL, "sha256": COMMIT}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("lab/tiny-1m@v2", "the hub has the model, but no such revision of it"),
        ("lab/closed", "is gated: accept its terms on the hub, and log in here (hf auth login)"),
        ("lab/none", "is not on the hub, or is private and you are not logged in (hf auth login)"),
        ("lab/former", "was renamed to lab/tiny-1m on the hub; name that"),
        ("lab/away", "is not in the hub's cache, and the hub cannot be reached (no network, or HF_HUB_OFFLINE is set)"),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_one_line_that_says_why(tmp_path, hub, model, said):
    hub.gated, hub.renamed = {"lab/closed"}, {"lab/former": "lab/tiny-1m"}
    environment = hub.environment() | ({"HF_HUB_OFFLINE": "1"} if model == "lab/away" else {})
    (tmp_path / "sft.jsonl").write_text('{"prompt": "p", "response": "r"}\n')
    given = ("--sft", "sft.jsonl", "--num_eval_prompts", "1", "--seed", "0", "--base_model", model, "--output", "data")
    for script, arguments in (("prepare_task", given), ("fetch_hub", ("--models", model, "--output", "hub.json"))):
        done = call(tmp_path, script, *arguments, **environment)
        assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith(f"{script}.py: {model}: {said}")
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists() and not (tmp_path / "hub.json").exists()


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
    assert re.search(f"fetch_hub.py: {asked[1]}: (is not on|cannot be)", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
