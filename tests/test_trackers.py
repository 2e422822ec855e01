"""What TensorBoard and Weights & Biases show of a training: the rows of its table, once each, whatever was killed."""

import contextlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import annotated_types
import pandas
import pytest
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
from test_fit import run

from preference.files import artifacts

ROOT = Path(__file__).parents[1]
SHOWN = {"report_to": "tensorboard", "checkpoint_steps": 2}


def events(path) -> EventAccumulator:
    """What a TensorBoard shows of a folder, with no event left out for room."""
    return EventAccumulator(str(path / "policy.tensorboard"), size_guidance={SCALARS: 0}).Reload()


def scalars(found: EventAccumulator) -> dict[str, list[tuple]]:
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def of_table(path) -> dict[str, list[tuple]]:
    """What there is to show of training.csv; TensorBoard keeps four bytes of a number."""
    table = pandas.read_csv(path / "training.csv").set_index("step").astype("float32")
    return {f"train/{name}": list(table[name].items()) for name in table}


def test_every_column_of_the_table_is_shown_at_its_step_and_nothing_else(tmp_path, tiny_policy):
    log, _ = run(tmp_path, tiny_policy, SHOWN)
    shown = scalars(events(tmp_path))
    assert shown == of_table(tmp_path)
    assert [value for _, value in shown["train/loss"]] == pytest.approx([row["loss"] for row in log], rel=1e-6)
    assert set(shown) == {f"train/{name}" for name in ("loss", "learning_rate", "gradient_norm", "reward")}


@pytest.mark.parametrize("stop_after", [1, 3, 5, 6])
def test_a_killed_training_that_resumes_shows_each_step_once(tmp_path, tiny_policy, stop_after):
    with contextlib.suppress(KeyboardInterrupt):
        run(tmp_path, tiny_policy, SHOWN, stop_after=stop_after)
    before = events(tmp_path)  # a TensorBoard that was open meanwhile
    assert [step for step, _ in scalars(before)["train/loss"]] == list(range(1, stop_after + 1))
    run(tmp_path, tiny_policy, SHOWN)
    assert scalars(events(tmp_path)) == of_table(tmp_path)
    assert scalars(before.Reload()) == of_table(tmp_path)


def test_a_training_that_is_shown_only_once_it_resumes_is_shown_whole(tmp_path, tiny_policy):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tiny_policy, stop_after=5)
    assert not (tmp_path / "policy.tensorboard").exists()
    run(tmp_path, tiny_policy, SHOWN)
    assert scalars(events(tmp_path)) == of_table(tmp_path)


def test_another_training_in_the_same_place_takes_the_place_of_what_was_shown(tmp_path, tiny_policy):
    run(tmp_path, tiny_policy, SHOWN)
    artifacts.remove(tmp_path / "policy.checkpoints")
    run(tmp_path, tiny_policy, {**SHOWN, "epochs": 1, "learning_rate": 1e-4})
    assert scalars(events(tmp_path)) == of_table(tmp_path)


def test_looking_on_changes_nothing_that_is_made(tmp_path, tiny_policy):
    for name in ("none", "tensorboard"):
        run(tmp_path / name, tiny_policy, {"report_to": name})
    none, shown = ({file.name for file in (tmp_path / name).iterdir()} for name in ("none", "tensorboard"))
    assert shown - none == {"policy.tensorboard"}
    manifests = [json.loads((tmp_path / name / "policy.manifest.json").read_text()) for name in ("none", "tensorboard")]
    assert manifests[0]["files"] == manifests[1]["files"]
    tables = [(tmp_path / name / "training.csv").read_bytes() for name in ("none", "tensorboard")]
    assert tables[0] == tables[1]


def test_the_settings_that_are_shown_are_the_stages_flags_and_no_trainers_defaults(tmp_path, tiny_policy):
    run(tmp_path, tiny_policy, SHOWN)
    found = events(tmp_path)
    (said,) = found.Tensors("args/text_summary")
    text = said.tensor_proto.string_val[0].decode()
    assert '"learning_rate": 0.001' in text and '"max_grad_norm": 1.0' in text and "per_device" not in text


STAGE = """
import dataclasses
from preference.running import stage
from preference.running.flags import flag

@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    output: str = flag("what it makes")
    report_to: str = flag("where to show the log", "none", ("none", "tensorboard", "wandb"), runtime=True)

stage.run(lambda flags: print("trained"), Flags)
"""


@pytest.mark.parametrize("report_to", ["tensorboard", "wandb"])
def test_what_is_not_installed_is_said_in_one_line_before_anything_is_done(tmp_path, report_to):
    (tmp_path / "wandb").mkdir()  # Weights & Biases keeps its files there: Python takes it for a package without code
    (tmp_path / "train.py").write_text(STAGE)
    (tmp_path / "annotated_types").symlink_to(Path(annotated_types.__file__).parent)  # ranges are declared with it
    command = [sys.executable, "-S", "train.py", "--output", "policy"]  # -S: nothing else is installed but Python
    bare = {"cwd": tmp_path, "env": {"PYTHONPATH": str(ROOT / "scripts")}, "capture_output": True, "text": True}
    assert "trained" in subprocess.run(command, **bare, check=True).stdout
    refused = subprocess.run([*command, "--report_to", report_to], **bare)
    packages = f"accelerate and {report_to} are not installed; pip install accelerate {report_to}"
    assert (refused.returncode, refused.stderr) == (1, f"train.py: --report_to {report_to}: {packages}\n")
    assert "trained" not in refused.stdout


TRAIN = "import pathlib, sys, test_fit; test_fit.run(pathlib.Path.cwd(), sys.argv[1], {'report_to': 'wandb'}, *STOP)"


def trained(path, policy, stop="()", **environment) -> subprocess.CompletedProcess:
    """A training in a process of its own, which Weights & Biases wants: it goes on with what runs, and ends with it."""
    command = [sys.executable, "-c", TRAIN.replace("STOP", stop), policy]
    paths = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests"), *sys.path])
    here = {**os.environ, "PYTHONPATH": paths, "HOME": str(path), "WANDB_DIR": str(path), **environment}
    return subprocess.run(command, cwd=path, env=here, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def kept(file: Path):
    """The records of an offline run's file: a head of 7 bytes, then blocks of 32 KiB, as of LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, whole = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        if (room := 32768 - position % 32768) < 7:
            position += room
            continue
        length, part = struct.unpack_from("<HB", content, position + 4)
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if part in (1, 4):  # all of a record, or its end
            yield Record.FromString(whole)
            whole = b""


@pytest.mark.wandb
def test_weights_and_biases_has_the_whole_table_of_a_training_that_resumed(tmp_path, tiny_policy):
    killed = trained(tmp_path, tiny_policy, "(3,)", WANDB_MODE="offline")
    assert "KeyboardInterrupt" in killed.stderr and not (tmp_path / "policy").exists()
    resumed = trained(tmp_path, tiny_policy, WANDB_MODE="offline", WANDB_LOG_MODEL="end")
    assert resumed.returncode == 0 and "resumes at step 2" in resumed.stderr, resumed.stderr
    (file,) = (tmp_path / "wandb" / "latest-run").resolve().glob("*.wandb")
    records = list(kept(file))
    names = [record.run.display_name for record in records if record.HasField("run")]
    rows = [record.history.item for record in records if record.HasField("history")]
    found = [{item.nested_key[0]: json.loads(item.value_json) for item in row} for row in rows]
    table = pandas.read_csv(tmp_path / "training.csv").rename(columns={"step": "global_step"}).add_prefix("train/")
    assert names == [f"{tmp_path}/policy"[1:].replace("/", ".")]
    assert [{name: row[name] for name in table} for row in found] == table.to_dict("records")


@pytest.mark.wandb
def test_weights_and_biases_without_a_key_is_refused_in_one_line_and_nothing_is_made(tmp_path, tiny_policy):
    refused = trained(tmp_path, tiny_policy, WANDB_MODE="online", WANDB_API_KEY="", NETRC=os.devnull)
    assert "InputError: --report_to wandb: No API key configured" in refused.stderr
    assert not list(tmp_path.glob("policy*"))
