"""Model folders: what can be told of one without loading it. Standard library only: planning asks too."""

import json
from pathlib import Path

from preference.stage import InputError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")  # can run code as they are read
CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"


def check(path: str, *needed: str) -> None:
    """Refuse a folder that is no model with safe weights; a hub id (owner/name) is taken as it is.

    Args:
        needed: the files to look at, CONFIG (which the weights belong to) or TOKENIZER.

    Raises:
        InputError: there is no such folder, or a file is missing, damaged or a pickle; the line names the folder.
    """
    folder = Path(path)
    if not folder.exists():
        if path.startswith((".", "/", "~")) or path.count("/") != 1:
            raise InputError(f"{path}: no such model folder")
        return
    if not folder.is_dir():
        raise InputError(f"{path}: is a file, not a model folder")
    weights = list(folder.glob("*.safetensors"))
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles and not weights:
        raise InputError(f"{path}: {pickles[0]} is a pickle, which can run code; convert it to safetensors")
    for name in needed:
        read(folder, name)
    if CONFIG in needed and not weights:
        raise InputError(f"{path}: has no weights (*.safetensors)")


def read(folder: Path, name: str) -> dict:
    """A JSON file of a model folder."""
    if not (folder / name).is_file():
        raise InputError(f"{folder}: not a model folder (no {name})")
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{folder}: {name} is damaged")
    return content


def code_of_its_own(path: str) -> str | None:
    """The file in which a model folder asks for code of its own to be run (key auto_map), if it does."""
    if not Path(path).is_dir():
        return None
    files = [name for name in (CONFIG, TOKENIZER) if (Path(path) / name).is_file()]
    return next((name for name in files if read(Path(path), name).get("auto_map")), None)


def context_length(path: str) -> int | None:
    """The longest sequence that a local model reads, where its config says so."""
    if not (Path(path) / CONFIG).is_file():
        return None
    length = read(Path(path), CONFIG).get("max_position_embeddings")
    return length if isinstance(length, int) else None
