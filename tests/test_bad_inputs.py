"""Whatever is wrong with an input is one line that says what to do: no traceback, nothing written, nothing deleted."""

import hashlib
import os
from pathlib import Path

import pytest
import snakemake_calls
import yaml
from corpus import COMMAND_LINES, CONFIG_TEXTS, CONFIGS, DELETE
from miniature import MINIATURE


def snapshot(folder: Path) -> dict[str, str]:
    """Every file, folder and link below a folder, with what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".snakemake" in path.parts:  # the log that snakemake opens for every call, empty here
            assert path.is_dir() or (path.suffix == ".log" and not path.read_bytes()), path
            continue
        held = path.read_bytes() if path.is_file() else str(path.is_symlink() and os.readlink(path)).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(held).hexdigest()
    return found


# Configs, as a person gives them to snakemake.


def config_text(changes: dict) -> bytes:
    config = yaml.safe_load(MINIATURE.read_text())
    for path, value in changes.items():
        *parents, last = path if isinstance(path, tuple) else path.split(".")
        part = config
        for key in parents:
            part = part[key]
        part[last] = value
        if value is DELETE:
            del part[last]
    return yaml.safe_dump(config, sort_keys=False).encode()


def furnish(folder: Path) -> None:
    """What the configs of the corpus may name: data, and folders that a model could be in."""
    (folder / "good.yaml").write_bytes(config_text({}))
    (folder / "data.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (folder / "rows.pkl").write_bytes(b"\x80\x04.")
    for name, config, weights in (
        ("model", '{"max_position_embeddings": 512}', "model.safetensors"),
        ("pickled", "{}", "pytorch_model.bin"),
        ("damaged", "{", "model.safetensors"),
    ):
        (folder / name).mkdir()
        for file, content in (("config.json", config), ("tokenizer_config.json", "{}"), (weights, "")):
            (folder / name / file).write_text(content)
    (folder / "empty").mkdir()


CALLS = {f"{name} (keys)": (config_text(changes), None, line) for name, (changes, line) in CONFIGS.items()}
CALLS |= {f"{name} (text)": (text, None, line) for name, (text, line) in CONFIG_TEXTS.items()}
CALLS |= {f"{name} (typed)": (None, arguments, line) for name, (arguments, line) in COMMAND_LINES.items()}


@pytest.fixture(scope="session")
def calls(tmp_path_factory):
    """Every case as it was played: name -> (exit code, what snakemake said, its folder, what that held before)."""
    folders, typed = {}, {}
    for name, (text, arguments, _) in CALLS.items():
        folders[name] = tmp_path_factory.mktemp("config")
        furnish(folders[name])
        typed[name] = arguments
        if text is not None:
            (folders[name] / "bad.yaml").write_bytes(text)
            typed[name] = ["--configfile", "bad.yaml"]
    before = {name: snapshot(folder) for name, folder in folders.items()}
    done = snakemake_calls.call_all([(folders[name], typed[name]) for name in CALLS])
    return {name: (*played, folders[name], before[name]) for name, played in zip(CALLS, done, strict=True)}


@pytest.mark.parametrize("name", CALLS)
def test_a_bad_config_is_one_line_before_any_job_and_leaves_no_trace(calls, name):
    code, said, folder, before = calls[name]
    text, _, line = CALLS[name]
    assert code == 1 and said_below_the_profile(said, folder) == [line if text is None else f"bad.yaml: {line}"]
    assert snapshot(folder) == before


def said_below_the_profile(said: str, folder: Path) -> list[str]:
    first, *rest = said.replace(f"{folder}/", "").splitlines()
    assert first.startswith("Using workflow specific profile")
    return rest


@pytest.mark.parametrize("arguments", [["--configfile", "none.yaml"], ["--configfile", "bad.yaml"]], ids=" ".join)
def test_a_call_as_it_is_typed_says_the_same(tmp_path, arguments):
    furnish(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(config_text({"seeds": []}))
    before = snapshot(tmp_path)
    code, said = snakemake_calls.call(tmp_path, arguments)
    lines = {"none.yaml": "no such config file", "bad.yaml": "seeds: is empty"}
    assert code == 1 and said_below_the_profile(said, tmp_path) == [f"{arguments[1]}: {lines[arguments[1]]}"]
    assert snapshot(tmp_path) == before
