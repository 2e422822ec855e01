"""Damaged and foreign artifacts of a finished experiment: the stage that reads one names it before it uses a byte."""

import filecmp
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import pyarrow.parquet as pq
import pytest
from miniature import ROOT
from safetensors.torch import load_file, save_file

import inspect_artifact
from preference.files import artifacts, records
from preference.running import command_line, stage
from preference.running.stage import InputError

TASK = "results/miniature/min_length"
ROUND = f"{TASK}/dpo_on_policy/seed1/round1"
TABLES = "results/miniature/tables"
FIGURES = "results/miniature/figures"
REPORT = "results/miniature/report.log"
GIVEN = "results/miniature/given/data"  # of a task whose data has preferences
LOOK = "inspect_artifact"  # no stage reads it: a person does
READERS = {  # artifact: the log of a stage that reads it
    f"{TASK}/data/sft.parquet": f"{TASK}/seed1/base/model.log",
    f"{TASK}/data/prompts.parquet": f"{TASK}/seed1/preferences/responses.log",
    f"{TASK}/data/eval_prompts.parquet": f"{TASK}/seed1/sft/evaluation.log",
    f"{TASK}/seed1/preferences/responses.parquet": f"{TASK}/seed1/preferences/rewards.log",
    f"{TASK}/seed1/preferences/rewards.parquet": f"{TASK}/seed1/preferences/pairs.log",
    f"{TASK}/seed1/preferences/pairs.parquet": f"{TASK}/seed1/reward_model/model.log",
    f"{TASK}/seed1/eval_preferences/responses.parquet": f"{TASK}/seed1/eval_preferences/rewards.log",
    f"{TASK}/seed1/eval_preferences/rewards.parquet": f"{TASK}/seed1/eval_preferences/pairs.log",
    f"{TASK}/seed1/eval_preferences/pairs.parquet": f"{TASK}/seed1/reward_model/model.log",
    f"{GIVEN}/preferences.parquet": f"{GIVEN}/reward_model.log",
    f"{GIVEN}/eval_preferences.parquet": f"{GIVEN}/reward_model.log",
    f"{TASK}/seed1/sft/evaluation.parquet": f"{ROUND}/evaluation.log",
    f"{TASK}/seed1/sft/evaluation.json": f"{TASK}/dpo_on_policy/seed1/metrics.log",
    f"{ROUND}/responses.parquet": f"{ROUND}/rewards.log",
    f"{ROUND}/rewards.parquet": f"{ROUND}/pairs.log",
    f"{ROUND}/pairs.parquet": f"{ROUND}/reference_logps.log",
    f"{ROUND}/reference_logps.parquet": f"{ROUND}/policy.log",
    f"{TASK}/dpo_on_policy/seed1/metrics.csv": f"{TABLES}/tables.log",
    f"{TABLES}/metrics.csv": f"{FIGURES}/rewards.log",
    f"{TABLES}/final.csv": REPORT,
    f"{FIGURES}/rewards.svg": REPORT,
    f"{FIGURES}/margins.png": LOOK,
    f"{TABLES}/final.txt": LOOK,
    f"{ROUND}/training.csv": LOOK,
    "results/miniature/report.html": LOOK,
    "results/miniature/config.yaml": REPORT,
    f"{TASK}/seed1/reward_model/evaluation.json": REPORT,
}
MODELS = {
    f"{TASK}/seed1/base/model": f"{TASK}/seed1/sft/policy.log",
    f"{TASK}/seed1/sft/policy": f"{TASK}/seed1/preferences/responses.log",
    f"{TASK}/seed1/reward_model/model": f"{ROUND}/rewards.log",
    f"{ROUND}/policy": f"{ROUND}/evaluation.log",
}


@pytest.fixture(scope="module")
def experiment(finished):
    folder = finished.folder.with_name("damaged")  # beside it: the commands in its logs have relative paths
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns(".snakemake", "cache"))
    give_preferences(folder)
    shutil.copytree(folder / "results", folder / "kept")
    return folder


def give_preferences(folder: Path) -> None:
    """Make data with preferences, and the log of a reward model that is trained on them."""
    pairs = [{"prompt": f"p{i}", "chosen": "yes", "rejected": "no"} for i in range(40)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    (folder / GIVEN).mkdir(parents=True)
    flags = ["--sft", "pairs.jsonl", "--preferences", "pairs.jsonl", "--num_eval_prompts", "8", "--seed", "0"]
    command = [sys.executable, str(ROOT / "scripts" / "prepare_task.py"), *flags, "--output", GIVEN]
    with (folder / GIVEN / "prepare_task.log").open("w") as log:
        subprocess.run(command, cwd=folder, stdout=log, check=True)
    typed = shlex.join(last_command(folder / TASK / "seed1" / "reward_model" / "model.log"))
    for split in ("preferences", "eval_preferences"):
        typed = typed.replace(f"{TASK}/seed1/{split}/pairs.parquet", f"{GIVEN}/{split}.parquet")
    typed = typed.replace(f"{TASK}/seed1/reward_model", f"{GIVEN}/reward_model")
    (folder / GIVEN / "reward_model.log").write_text(f"$ {typed}\n")


@pytest.fixture
def damaged(experiment, monkeypatch):
    """Work in the experiment, and put it right again afterwards."""
    monkeypatch.chdir(experiment)
    artifacts.check_model.cache_clear()
    yield experiment
    put_right()


def put_right() -> None:
    """Every file as it was kept, and no other; sizes and times tell which are."""
    artifacts.check_model.cache_clear()
    for path in [path for path in Path("results").rglob("*") if not (Path("kept") / Path(*path.parts[1:])).exists()]:
        artifacts.remove(path)
    for path in Path("kept").rglob("*"):
        found = Path("results", *path.parts[1:])
        if path.is_dir():
            found.mkdir(exist_ok=True)
        elif not (found.is_file() and filecmp.cmp(path, found)):
            shutil.copy2(path, found)


def last_command(log: str | Path) -> list[str]:
    return shlex.split(re.findall(r"^\$ (.*)$", Path(log).read_text(), re.MULTILINE)[-1])


def call(log: str, artifact: str) -> None:
    """What the stage of a log does, within this process; or what a person sees who looks into an artifact."""
    if log == LOOK:
        return inspect_artifact.main(inspect_artifact.Flags(path=artifact))
    _, script, *argv = last_command(log)
    module = importlib.import_module(Path(script).stem)
    module.main(command_line.parse(module.Flags, argv))


def snapshot() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}


def refused(log: str, artifact: str, named: str | None = None) -> str:
    """The stage of a log ends with one line that names the artifact and how to make it again, and writes nothing."""
    before = snapshot()
    with pytest.raises(InputError) as refusal:
        call(log, artifact)
    line = str(refusal.value)
    assert line.startswith(f"{named or artifact}: "), line
    assert snapshot() == before
    command = line.split("; make it again with: ")[1]
    assert Path(shlex.split(command)[1]).stem in (
        "prepare_task",
        *(p.stem for p in Path(stage.__file__).parents[2].glob("*.py")),
    )
    assert artifact in command or str(Path(artifact).parent) in command
    return command


def other_of_its_kind(artifact: str) -> str:
    """A whole, valid artifact of another place: of another round or run where there is one, else of another stage."""
    found = sorted(str(path) for path in Path("results").rglob(Path(artifact).name) if str(path) != artifact)
    of_suffix = sorted(
        str(path) for path in Path("results").rglob(f"*{Path(artifact).suffix}") if str(path) != artifact
    )
    return [*found, *of_suffix, f"{TABLES}/final.csv"][0]


def of_another_stage(artifact: str) -> str:
    names = (str(path) for path in sorted(Path("results").rglob(f"*{Path(artifact).suffix}")) if path.is_file())
    return next((path for path in names if Path(path).name != Path(artifact).name), f"{TABLES}/final.csv")


def replace(artifact: str, by: str) -> None:
    """The whole artifact, with its manifest where it has one."""
    shutil.copy(by, artifact)
    if artifacts.manifest_of(by).is_file():
        shutil.copy(artifacts.manifest_of(by), artifacts.manifest_of(artifact))


def flip(artifact: str) -> None:
    content = bytearray(Path(artifact).read_bytes())
    content[len(content) // 3] ^= 1
    Path(artifact).write_bytes(content)


def without_a_row(artifact: str) -> None:
    rewrite(artifact, lambda table: table.slice(1), lambda lines: lines[:-1])


def without_a_column(artifact: str) -> None:
    rewrite(
        artifact,
        lambda table: table.drop_columns(table.schema.names[-1]),
        lambda lines: [line.rpartition(",")[0] for line in lines],
    )


def rewrite(artifact: str, table, lines) -> None:
    """As another program would: metadata and all, so that only what is missing differs."""
    if artifact.endswith(".parquet"):
        found = pq.read_table(artifact)
        pq.write_table(table(found).replace_schema_metadata(found.schema.metadata), artifact)
    else:
        text = Path(artifact).read_text(errors="replace").splitlines()
        Path(artifact).write_text("\n".join(lines(text)) + "\n")


DAMAGES = {
    "truncated": lambda artifact: Path(artifact).write_bytes(Path(artifact).read_bytes()[:-100]),
    "one byte flipped": flip,
    "emptied": lambda artifact: Path(artifact).write_bytes(b""),
    "of another run": lambda artifact: replace(artifact, other_of_its_kind(artifact)),
    "of another stage": lambda artifact: replace(artifact, of_another_stage(artifact)),
    "a column missing": without_a_column,
    "a row dropped": without_a_row,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("artifact", READERS)
def test_a_damaged_or_foreign_file_is_named_with_the_command_that_makes_it_again(damaged, artifact, damage):
    DAMAGES[damage](artifact)
    refused(READERS[artifact], artifact)


def without_a_tensor(model: str) -> None:
    weights = load_file(f"{model}/model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, f"{model}/model.safetensors", metadata={"format": "pt"})


def replace_model(model: str, with_manifest: bool) -> None:
    other = next(other for other in MODELS if other != model)
    shutil.rmtree(model)
    shutil.copytree(other, model)
    if with_manifest:
        shutil.copy(artifacts.manifest_of(other), artifacts.manifest_of(model))


MODEL_DAMAGES = {
    "weights truncated": lambda model: DAMAGES["truncated"](f"{model}/model.safetensors"),
    "one byte of the weights flipped": lambda model: flip(f"{model}/model.safetensors"),
    "weights emptied": lambda model: DAMAGES["emptied"](f"{model}/model.safetensors"),
    "weights missing a tensor": without_a_tensor,
    "weights missing": lambda model: Path(f"{model}/model.safetensors").unlink(),
    "one byte of the tokenizer flipped": lambda model: flip(f"{model}/tokenizer.json"),
    "config of another shape": lambda model: Path(f"{model}/config.json").write_text(
        Path(f"{model}/config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 1')
    ),
    "of another stage": lambda model: replace_model(model, with_manifest=False),
    "of another stage, manifest and all": lambda model: replace_model(model, with_manifest=True),
    "config missing": lambda model: Path(f"{model}/config.json").unlink(),
    "emptied": lambda model: [path.unlink() for path in Path(model).iterdir()],
    "manifest missing": lambda model: artifacts.manifest_of(model).unlink(),
    "manifest flipped": lambda model: flip(f"{model}.manifest.json"),
    "manifest emptied": lambda model: DAMAGES["emptied"](f"{model}.manifest.json"),
}


@pytest.mark.parametrize("damage", MODEL_DAMAGES)
@pytest.mark.parametrize("model", MODELS)
def test_a_damaged_or_foreign_model_is_named_with_the_command_that_makes_it_again(damaged, model, damage):
    MODEL_DAMAGES[damage](model)
    named = f"{model}.manifest.json" if damage in ("manifest flipped", "manifest emptied") else model
    refused(MODELS[model], model, named)


STAGES = ("base/model", "sft/policy", "sft/evaluation", "preferences/responses", "preferences/rewards")
STAGES += ("preferences/pairs", "reward_model/model")
OFFLINE = f"{TASK}/pref_ft_offline/seed1/round1"
LOGS = [f"{TASK}/seed1/{name}.log" for name in STAGES]
LOGS += [f"{ROUND}/{name}.log" for name in ("responses", "rewards", "pairs", "reference_logps", "policy", "evaluation")]
LOGS += [f"{OFFLINE}/pairs.log", f"{OFFLINE}/policy.log", f"{TASK}/dpo_on_policy/seed1/metrics.log"]
LOGS += [f"{TABLES}/tables.log", *(f"{FIGURES}/{name}.log" for name in ("rewards", "margins", "frontier")), REPORT]


def read_by(log: str) -> list[str]:
    """The artifacts that the command of a log reads."""
    words = last_command(log)
    written = {word for flag, word in zip(words, words[1:], strict=False) if re.fullmatch(artifacts.OUTPUT, flag)}
    paths = dict.fromkeys(word.rpartition("=")[2] for word in words if "results/" in word and word not in written)
    return [path for path in paths if not path.startswith("..")]


@pytest.mark.parametrize("log", LOGS)
def test_a_stage_refuses_each_of_its_inputs_where_it_is_damaged(damaged, log):
    found = read_by(log)
    for artifact in found:
        flip(f"{artifact}/model.safetensors" if Path(artifact).is_dir() else artifact)
        refused(log, artifact)
        put_right()
    assert found


def test_no_stage_of_the_experiment_is_left_out_above(damaged):
    scripts = {last_command(log)[1] for log in Path("results").rglob("*.log")}
    checked = {last_command(log)[1] for log in LOGS}
    assert {Path(path).stem for path in scripts - checked} == {"prepare_task", "write_config"}, "these read no artifact"


def pasted(command: str, monkeypatch) -> None:
    """Type a command, in this process."""
    _, *argv = shlex.split(command)
    module = importlib.import_module(Path(argv[0]).stem)
    monkeypatch.setattr(sys, "argv", argv)
    with matplotlib.rc_context():  # what a plot sets is not for other tests
        stage.run(module.main, module.Flags)


@pytest.mark.parametrize(
    "artifact", [*(path for path in READERS if "/preferences/" not in path), *(f"{m}/config.json" for m in MODELS)]
)
def test_the_command_in_the_error_does_make_it_again(damaged, monkeypatch, artifact):
    model = str(Path(artifact).parent) if artifact.endswith("config.json") else None
    Path(artifact).unlink() if model else flip(artifact)
    command = refused(MODELS[model], model) if model else refused(READERS[artifact], artifact)
    pasted(command, monkeypatch)
    call(LOOK, model or artifact)  # which complains where it is not whole


def test_the_command_works_where_it_is_printed(damaged, monkeypatch, tmp_path):
    artifact = f"{ROUND}/pairs.parquet"
    before = Path(artifact).read_bytes()
    flip(artifact)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refusal:
        records.read(damaged / artifact, "pairs")
    command = str(refusal.value).split("; make it again with: ")[1]
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    assert (damaged / artifact).read_bytes() == before
    monkeypatch.chdir(damaged)
