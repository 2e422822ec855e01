"""A model folder without loading the model: headers and bytes of safetensors, JSON files, and the manifest's digests.

Numpy only: torch takes seconds to import, and nothing here is computed with. Pickles are named and never opened.
"""

import json
import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preference.files import provenance
from preference.inspection import artifacts, terminal
from preference.running.stage import InputError

# numpy has no bfloat16: its bits are the upper half of a float32's
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
TYPES |= {f"{sign}{bits}": f"<{sign.lower()}{bits // 8}" for sign in "IU" for bits in (8, 16, 32, 64)}
CHUNK = 1 << 22  # values that are compared at a time
LARGEST = 8
SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
CONTEXT = ("max_position_embeddings", "vocab_size", "tie_word_embeddings", "dtype")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's bytes lie."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name; their bytes are not read.

    Raises:
        InputError: the header is damaged, or promises bytes that the file does not have.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError(f"a header of {length:,} bytes in a file of {path.stat().st_size:,}")
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        found = {name: _tensor(path, entry, 8 + length) for name, entry in entries.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: damaged: its header cannot be read ({error})") from None
    size, promised = path.stat().st_size, max((tensor.end for tensor in found.values()), default=0)
    if promised > size:
        raise InputError(f"{path}: damaged: its header promises {promised:,} bytes, the file has {size:,}")
    return found


def _tensor(path: Path, entry: dict, base: int) -> Tensor:
    start, end = (int(offset) for offset in entry["data_offsets"])
    tensor = Tensor(path, str(entry["dtype"]), tuple(int(n) for n in entry["shape"]), base + start, base + end)
    width = np.dtype(TYPES[tensor.dtype]).itemsize if tensor.dtype in TYPES else None
    if not 0 <= start <= end or (width and end - start != tensor.count * width):
        raise ValueError(f"a tensor {list(tensor.shape)} of {tensor.dtype} in {end - start} bytes")
    return tensor


def tensors(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """All tensors of a folder or of one file, and what is damaged."""
    found: dict[str, Tensor] = {}
    damaged = []
    for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
        try:
            found |= header(file)
        except InputError as error:
            damaged.append(str(error))
    return found, damaged


def values(tensor: Tensor, start: int, stop: int) -> np.ndarray:
    """Values start to stop of a tensor, flat, as float64 so that differences are exact enough."""
    dtype = np.dtype(TYPES[tensor.dtype])
    with tensor.file.open("rb") as file:
        file.seek(tensor.start + start * dtype.itemsize)
        raw = np.frombuffer(file.read((stop - start) * dtype.itemsize), dtype)
    if tensor.dtype == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float64)


def difference(some: Tensor, other: Tensor) -> float | str:
    """The largest absolute difference of two tensors, or in words why there is none."""
    if some.shape != other.shape:
        return f"shape {list(some.shape)} and {list(other.shape)}"
    if some.dtype not in TYPES or other.dtype not in TYPES:
        return f"{some.dtype} and {other.dtype} cannot be compared"
    largest = 0.0
    for start in range(0, some.count, CHUNK):
        stop = min(start + CHUNK, some.count)
        gap = np.abs(values(some, start, stop) - values(other, start, stop))
        if np.isnan(gap).any():
            return "NaN or infinite values"
        largest = max(largest, float(gap.max()))
    return largest


def portrait(path: Path) -> tuple[list[str], list[str]]:
    """Everything that is shown of a model folder or a safetensors file, and what is wrong with it."""
    found, wrong = tensors(path)
    lines, notes = [], []
    if path.is_dir():
        config, config_wrong = _json(path / "config.json")
        lines += _architecture(config)
        changes = _changes(path)
        wrong += config_wrong + changes
        lines += [f"  {line}" for line in tokenizer(path)]
        notes = _notes(path, intact=not changes)
    return [f"  {line}" for line in notes + wrong] + _tensor_lines(found) + lines, wrong


def _json(path: Path) -> tuple[dict, list[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, [f"{path.name} is missing"]
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path.name} is damaged ({error})"]
    return (content, []) if isinstance(content, dict) else ({}, [f"{path.name} holds no mapping"])


def _architecture(config: dict) -> list[str]:
    names = ", ".join(map(str, config.get("architectures") or ["unknown architecture"]))
    facts = [f"{key}={config[key]}" for key in SHAPE + CONTEXT if key in config]
    return [f"  {names} ({config.get('model_type', 'unknown type')})", *terminal.folded("  config:", facts)]


def _tensor_lines(found: dict[str, Tensor]) -> list[str]:
    dtypes: Counter[str] = Counter()
    for tensor in found.values():
        dtypes[tensor.dtype] += tensor.count
    total = sum(dtypes.values())
    kinds = ", ".join(f"{count:,} in {dtype}" for dtype, count in dtypes.most_common())
    lines = [f"  {total:,} parameters in {terminal.counted(len(found), 'tensor')}: {kinds or 'none'}"]
    largest = sorted(found.items(), key=lambda item: -item[1].count)[:LARGEST]
    rows = [
        [name, " × ".join(map(str, t.shape)), t.dtype, f"{100 * t.count / max(total, 1):.1f} %"] for name, t in largest
    ]
    lines += terminal.aligned([["tensor", "shape", "dtype", "share"], *rows], "    ")
    rest = len(found) - len(largest)
    return lines + ([f"    and {terminal.counted(rest, 'smaller tensor')}"] if rest > 0 else [])


def tokenizer(path: Path) -> list[str]:
    """Entries, special tokens, and whether there is a template."""
    config, missing = _json(path / "tokenizer_config.json")
    if missing:
        return [f"tokenizer: {missing[0]}"]
    content, _ = _json(path / "tokenizer.json")
    vocabulary = artifacts.part(content, "model").get("vocab") or []
    added = [token for token in content.get("added_tokens") or [] if isinstance(token, dict)]
    names = {*_names(vocabulary), *(str(token.get("content")) for token in added)}
    special = {key: value for key, value in config.items() if key.endswith("_token") and value}
    special = {key: value.get("content") if isinstance(value, dict) else value for key, value in special.items()}
    template = (path / "chat_template.jinja").is_file() or bool(config.get("chat_template"))
    lines = [f"tokenizer: {len(names):,} entries, {'a' if template else 'no'} chat template"]
    return lines + [f"  {key}: {value}" for key, value in special.items()]


def _names(vocabulary) -> list[str]:
    """BPE has a mapping, Unigram a list of (token, score)."""
    pairs = ((entry[0] if isinstance(entry, list) and entry else entry) for entry in vocabulary)
    return [str(name) for name in pairs]


def _notes(path: Path, intact: bool) -> list[str]:
    """What a reader should know of a folder, though nothing is wrong with it."""
    pickles = [p.name for p in path.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".pkl")]
    notes = [f"{name} is a pickle, which can run code: never opened here" for name in sorted(pickles)]
    recorded = artifacts.part(artifacts.made_by(path), "files")
    if not artifacts.manifest_of(path).is_file():
        notes.append("no manifest: nothing says whether the files are complete")
    elif intact:
        notes.append(f"all {len(recorded)} files match the manifest's digests")
    return notes


def _changes(path: Path) -> list[str]:
    """Which files are not those that the manifest speaks of."""
    manifest = artifacts.manifest_of(path)
    if not manifest.is_file():
        return []
    recorded, now = artifacts.part(artifacts.made_by(path), "files"), provenance.contents(path)
    if not recorded:
        return [f"{manifest.name} names no files or is damaged"]
    found = [f"{name} is missing: the manifest has it" for name in sorted(recorded.keys() - now.keys())]
    found += [f"{name} is not in the manifest" for name in sorted(now.keys() - recorded.keys())]
    changed = [name for name in sorted(recorded.keys() & now.keys()) if recorded[name] != now[name]]
    return found + [f"{name} has changed since the manifest was written" for name in changed]
