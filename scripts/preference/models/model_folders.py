"""Model folders: what can be told of one without loading it. Standard library only: planning asks too."""

import json
import os
import re
from pathlib import Path
from typing import Any

from preference.running.stage import InputError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")  # can run code as they are read
CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
INDEX = "model.safetensors.index.json"  # of weights in several files: which tensor is in which
HUB = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?", re.ASCII)
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def check(path: str, *needed: str) -> None:
    """Refuse a folder that is no model with safe weights; a hub id (owner/name, owner/name@revision) is accepted.

    Args:
        needed: the files to look at, CONFIG (which the weights belong to) or TOKENIZER.

    Raises:
        InputError: there is no such folder, or a file is missing, damaged or a pickle; the line names the folder.
    """
    folder = Path(path)
    if not _exists(folder):
        if path.startswith((".", "/", "~")) or path.partition("@")[0].count("/") != 1:
            raise InputError(f"{path}: no such model folder")
        if not HUB.fullmatch(path):
            raise InputError(f"{path}: neither a model folder nor a hub id owner/name, owner/name@revision")
        return
    if not folder.is_dir():
        raise InputError(f"{path}: is a file, not a model folder")
    weights = list(folder.glob("*.safetensors"))
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles and not weights:
        raise InputError(f"{path}: {pickles[0]} is a pickle, which can run code; convert it to safetensors")
    for name in needed:
        read(folder, name)
    if TOKENIZER in needed and not any((folder / name).is_file() for name in VOCABULARIES):
        raise InputError(f"{path}: its tokenizer has no vocabulary ({VOCABULARIES[0]})")
    if TOKENIZER in needed and (folder / VOCABULARIES[0]).is_file() and "model" not in read(folder, VOCABULARIES[0]):
        raise InputError(f"{path}: {VOCABULARIES[0]} is damaged")
    if CONFIG in needed and not weights:
        raise InputError(f"{path}: has no weights (*.safetensors)")
    if CONFIG in needed and (folder / INDEX).is_file():
        _check_index(folder)


def files_without_weights(path: str) -> list[Path]:
    """Return the files of a local model that say how it reads text, and what else is small; of a hub id none."""
    return sorted(file for file in Path(path).glob("*") if file.is_file() and file.suffix != ".safetensors")


def check_reward_model(path: str) -> None:
    """Refuse a folder that is no reward model, as far as its config says so; a hub id is checked once it is loaded.

    Raises:
        InputError: the folder is no model, needs code of its own, or has another number of labels than one.
    """
    check(path, CONFIG, TOKENIZER)
    if Path(path).is_dir():
        config = read(Path(path), CONFIG)
        labels = config.get("id2label") or {}
        check_labels(path, config.get("num_labels") or len(labels) or None)


def check_labels(path: str, count: int | None) -> None:
    """Raise an InputError if a sequence classifier has more labels than a reward model's one; None is unknown."""
    if count is not None and count != 1:
        raise InputError(f"{path}: has {count} labels, so it is a classifier; a reward model has 1")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def located(path: str) -> tuple[str, dict[str, Any]]:
    """Return what the library takes: a folder or owner/name, and the revision of a hub id that names one."""
    match = None if _exists(Path(path)) else HUB.fullmatch(path)
    if match is None or match["revision"] is None:
        return path, {}
    return match["name"], {"revision": match["revision"]}


def commit_of(path: str, cache: Path | None = None) -> str | None:
    """Return the commit that a hub id was resolved to when it was last loaded here; None for a folder.

    Args:
        cache: the folder of the hub's models; by default the one that the hub's client uses.
    """
    if _exists(Path(path)) or not HUB.fullmatch(path):
        return None
    revision = located(path)[1].get("revision", "main")
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    folder = (cache or Path(os.environ.get("HF_HUB_CACHE", home / "hub"))) / cached_as(path)
    reference = folder / "refs" / revision
    if reference.is_file():
        return reference.read_text().strip()
    return revision if (folder / "snapshots" / revision).is_dir() else None


def cached_as(path: str) -> str:
    """Return the name of the folder that the hub's client keeps a model in."""
    return f"models--{located(path)[0].replace('/', '--')}"


def _check_index(folder: Path) -> None:
    """Refuse an index of weights that leads out of its folder, or to what could run code."""
    files = read(folder, INDEX).get("weight_map")
    if not isinstance(files, dict):
        raise InputError(f"{folder}: {INDEX} is damaged")
    for file in sorted(set(map(str, files.values()))):
        if Path(file).name != file or Path(file).suffix != ".safetensors":
            raise InputError(f"{folder}: {INDEX} names {file}, which is no .safetensors file of this folder")
        if not (folder / file).is_file():
            raise InputError(f"{folder}: {INDEX} names {file}, which is not there")


def read(folder: Path, name: str) -> dict:
    """A JSON file of a model folder."""
    if not (folder / name).is_file():
        raise InputError(f"{folder}: not a model folder (no {name})")
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # no JSON, or nested without end
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{folder}: {name} is damaged")
    return content


def vocab_size(path: str) -> int | None:
    """Rows of a local model's embedding matrix, where its config says so."""
    return _number(path, "vocab_size")


def reason(error: Exception) -> str:
    """What a library says is wrong: its first line, with the next where that one only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def code_of_its_own(path: str) -> str | None:
    """The file in which a model folder asks for code of its own to be run (key auto_map), if it does."""
    if not Path(path).is_dir():
        return None
    files = [name for name in (CONFIG, TOKENIZER) if (Path(path) / name).is_file()]
    return next((name for name in files if read(Path(path), name).get("auto_map")), None)


def context_length(path: str) -> int | None:
    """The longest sequence that a local model reads, where its config says so."""
    rope = _value(path, "rope_parameters") or _value(path, "rope_scaling")
    return stretched(_number(path, "max_position_embeddings"), rope)


def stretched(context: int | None, rope) -> int | None:
    """Return a config's context length with what its rope scaling adds.

    Other scalings than these are counted in `max_position_embeddings` already.
    """
    if context is None or not isinstance(rope, dict) or not isinstance(rope.get("factor"), (int, float)):
        return context
    if rope.get("rope_type", rope.get("type")) not in ("yarn", "linear", "dynamic"):
        return context
    return max(context, int((rope.get("original_max_position_embeddings") or context) * rope["factor"]))


def _number(path: str, key: str) -> int | None:
    value = _value(path, key)
    return value if type(value) is int else None


def _value(path: str, key: str):
    """Return a value of a local model's config, which may be that of a nested text model; None if it has none."""
    if not (Path(path) / CONFIG).is_file():
        return None
    config = read(Path(path), CONFIG)
    nested = config.get("text_config")
    return config.get(key, nested.get(key) if isinstance(nested, dict) else None)
