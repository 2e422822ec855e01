"""Damaged and foreign artifacts of a finished experiment: the stage that reads one names it before it uses a byte."""

import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from preference import artifacts, stage
from preference.stage import InputError

TASK = "results/miniature/min_length"
ROUND = f"{TASK}/dpo_on_policy/seed1/round1"
TABLES = "results/miniature/tables"
REPORT = "results/miniature/report.log"
READERS = {  # artifact: the log of a stage that reads it
    f"{TASK}/data/sft.parquet": f"{TASK}/seed1/base/model.log",
    f"{TASK}/data/prompts.parquet": f"{TASK}/seed1/preferences/responses.log",
    f"{TASK}/data/eval_prompts.parquet": f"{TASK}/seed1/sft/evaluation.log",
    f"{TASK}/seed1/preferences/responses.parquet": f"{TASK}/seed1/preferences/rewards.log",
    f"{TASK}/seed1/preferences/rewards.parquet": f"{TASK}/seed1/preferences/pairs.log",
    f"{TASK}/seed1/preferences/pairs.parquet": f"{TASK}/seed1/reward_model/model.log",
    f"{TASK}/seed1/sft/evaluation.parquet": f"{ROUND}/evaluation.log",
    f"{TASK}/seed1/sft/evaluation.json": f"{TASK}/dpo_on_policy/seed1/metrics.log",
    f"{ROUND}/responses.parquet": f"{ROUND}/rewards.log",
    f"{ROUND}/rewards.parquet": f"{ROUND}/pairs.log",
    f"{ROUND}/pairs.parquet": f"{ROUND}/reference_logps.log",
    f"{ROUND}/reference_logps.parquet": f"{ROUND}/policy.log",
    f"{TASK}/dpo_on_policy/seed1/metrics.csv": f"{TABLES}/tables.log",
    f"{TABLES}/metrics.csv": "results/miniature/figures/rewards.log",
    f"{TABLES}/final.csv": REPORT,
    "results/miniature/figures/rewards.svg": REPORT,
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
    return shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns(".snakemake", "cache"))


@pytest.fixture
def damaged(experiment, tmp_path, monkeypatch):
    """Work in the experiment, and put it right again afterwards."""
    kept = shutil.copytree(experiment / "results", tmp_path / "kept")
    monkeypatch.chdir(experiment)
    artifacts.check_model.cache_clear()
    yield experiment
    shutil.rmtree(experiment / "results")
    shutil.copytree(kept, experiment / "results")


def last_command(log: str) -> list[str]:
    return shlex.split(re.findall(r"^\$ (.*)$", Path(log).read_text(), re.MULTILINE)[-1])


def call(log: str) -> None:
    """What the stage of a log does, within this process."""
    _, script, *argv = last_command(log)
    module = importlib.import_module(Path(script).stem)
    module.main(stage.parse(module.Flags, argv))


def snapshot() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}


def refused(log: str, artifact: str, named: str | None = None) -> str:
    """The stage of a log ends with one line that names the artifact and how to make it again, and writes nothing."""
    before = snapshot()
    with pytest.raises(InputError) as refusal:
        call(log)
    line = str(refusal.value)
    assert line.startswith(f"{named or artifact}: "), line
    assert snapshot() == before
    command = line.split("; make it again with: ")[1]
    assert Path(shlex.split(command)[1]).stem in (
        "prepare_task",
        *(p.stem for p in Path(stage.__file__).parents[1].glob("*.py")),
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
        text = Path(artifact).read_text().splitlines()
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
    "manifest flipped": lambda model: flip(f"{model}.manifest.json"),
    "manifest emptied": lambda model: DAMAGES["emptied"](f"{model}.manifest.json"),
}


@pytest.mark.parametrize("damage", MODEL_DAMAGES)
@pytest.mark.parametrize("model", MODELS)
def test_a_damaged_or_foreign_model_is_named_with_the_command_that_makes_it_again(damaged, model, damage):
    MODEL_DAMAGES[damage](model)
    named = f"{model}.manifest.json" if damage.startswith("manifest") else model
    refused(MODELS[model], model, named)


@pytest.mark.parametrize(
    "artifact", [f"{TASK}/data/prompts.parquet", f"{ROUND}/pairs.parquet", f"{TABLES}/metrics.csv"]
)
def test_the_command_in_the_error_does_make_it_again(damaged, artifact):
    before = Path(artifact).read_bytes()
    flip(artifact)
    command = refused(READERS[artifact], artifact)
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert Path(artifact).read_bytes() == before
