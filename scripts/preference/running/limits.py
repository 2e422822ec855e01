"""What flags may be: a word means one thing in every script, so its limits have one home, the same as the config's.

Checked as a command line is read, before anything else is: the numbers, that what they need is installed, and that no
output is in the way of an input.
"""

import dataclasses
import importlib.util
import itertools
import os
from pathlib import Path

COUNTS = ("steps", "draws")
COUNTS += (
    "num_sft",
    "num_prompts",
    "num_eval_prompts",
    "num_eval_preferences",
    "max_characters",
    "hidden_size",
    "num_layers",
    "num_heads",
)
COUNTS += ("context_length", "batch_size", "micro_batch_size", "scoring_batch_size", "max_length")
COUNTS += ("checkpoint_steps", "samples_per_prompt", "max_new_tokens", "tensor_parallel_size", "max_model_len")
COUNTS += ("num_pairs", "num_examples", "shard_size", "target_length")
COUNTS += ("rounds", "states", "batch_states", "samples", "eval_states", "record_every")
COUNTS += ("keep", "kl_horizon", "concurrency", "max_attempts")
NOT_NEGATIVE = ("round", "temperature", "weight_decay", "min_margin")
NOT_NEGATIVE += ("kl_coef", "sft_coef", "gamma_beta_ratio", "value_coef")
POSITIVE = ("max_grad_norm", "beta", "clip_range", "value_clip_range", "delta", "max_weight")
POSITIVE += ("answer_words", "desirable_weight", "undesirable_weight", "max_advantage", "kl_target")
POSITIVE += ("retry_seconds", "timeout")
SHARES = ("warmup_ratio", "gamma", "gae_lambda", "label_noise", "max_bad_share")
# flag: (its word -> the packages that it needs beside those of every stage)
PACKAGES = {"report_to": {"tensorboard": ("accelerate", "tensorboard"), "wandb": ("accelerate", "wandb")}}
LIMITS = {  # name: (what holds, in words)
    **dict.fromkeys(COUNTS, (lambda value: 1 <= value <= 10**9, "from 1 to 1000000000")),
    "resamples": (lambda value: 1 <= value <= 10**6, "from 1 to 1000000"),
    "epochs": (lambda value: 1 <= value <= 10**4, "from 1 to 10000"),
    "vocab_size": (lambda value: 260 <= value <= 10**9, "from 260 to 1000000000"),
    **dict.fromkeys(("seed", "seeds", "tuning_seeds"), (lambda value: 0 <= value < 2**32, "from 0 to 4294967295")),
    **dict.fromkeys(NOT_NEGATIVE, (lambda value: value >= 0, "at least 0")),
    **dict.fromkeys(POSITIVE, (lambda value: value > 0, "more than 0")),
    "learning_rate": (lambda value: 0 < value <= 10**6, "more than 0 and at most 1000000"),
    **dict.fromkeys(SHARES, (lambda value: 0 <= value <= 1, "from 0 to 1")),
    "mean_length": (lambda value: 1 < value <= 10**9, "more than 1 and at most 1000000000"),
    "label_smoothing": (lambda value: 0 <= value < 0.5, "at least 0 and less than 0.5"),
    **dict.fromkeys(("top_p", "gpu_memory_utilization"), (lambda value: 0 < value <= 1, "more than 0 and at most 1")),
}


def problem(flags) -> str | None:
    """What is wrong with a stage's flags, if anything: a number, a package that is not there, an output in the way."""
    chosen = {field.name: getattr(flags, field.name) for field in dataclasses.fields(flags)}
    combined = (f"--{name}: {reason}" for name, reason in together(chosen))
    return next(itertools.chain(_texts(flags), _numbers(flags), combined, _packages(flags), _paths(flags)), None)


def together(chosen: dict):
    """(flag, what is wrong) of flags that say nothing together; None is a flag that is not given.

    A flag without a default that is missing is another matter.
    """
    beta, keep, negative = chosen.get("beta"), chosen.get("keep"), chosen.get("negative")
    if keep is not None and (beta is None) != (negative == "none"):  # best_of_n of language models, which alone keeps
        yield "beta", f"{'is missing' if beta is None else 'is not read'}: negative is {negative}"
    if keep is not None and keep > 1 and negative != "none":
        yield "keep", f"is {keep}: where others are pushed down (negative {negative}), only the best response is raised"
    weighting = chosen.get("weighting")
    if weighting is not None and (beta is None) != (weighting == "filter"):
        yield "beta", f"{'is missing' if beta is None else 'is not read'}: weighting is {weighting}"
    if chosen.get("good") is not None and chosen["good"] == chosen.get("bad"):
        yield "bad", f"is the same text as good, {chosen['good']!r}, so that nothing tells good from bad answers"
    for one, other in (("kl_target", "kl_horizon"), ("kl_horizon", "kl_target")):
        if chosen.get(one) is not None and chosen.get(other) is None:
            yield other, f"is missing: an adaptive kl_coef needs both {one} and {other}"


def _texts(flags):
    for field in dataclasses.fields(flags):
        value = getattr(flags, field.name)
        for text in value if isinstance(value, tuple) else (value,):
            if text == "":
                yield f"--{field.name}: is empty"
            if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                yield f"--{field.name} {text}: is not UTF-8 text"


def _numbers(flags):
    for name, (holds, words) in LIMITS.items():
        value = getattr(flags, name, None)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, (int, float)) and not holds(each):  # elsewhere a word may be that of files
                yield f"--{name} {each}: must be {words}"


def _packages(flags):
    for name, needed in PACKAGES.items():
        value = getattr(flags, name, None)
        if missing := [package for package in needed.get(value, ()) if not _is_installed(package)]:
            are = "is" if len(missing) == 1 else "are"
            wanted = f"pip install {' '.join(missing)}"
            yield f"--{name} {value}: {' and '.join(missing)} {are} not installed; {wanted}"


def _is_installed(package: str) -> bool:
    """Whether a package can be imported; a folder of its name, such as wandb makes for its files, is none."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None


def _paths(flags):
    fields = dataclasses.fields(flags)
    outputs = [field for field in fields if field.name.endswith("output")]
    taken = inputs(flags)
    for field in outputs:
        path, folder = Path(getattr(flags, field.name)), field.metadata.get("folder")
        made = [path / f"{other.name}.parquet" for other in fields] if folder == "tables" else []
        for file in (path, *made):
            if (other := taken.setdefault(_resolved(file), field.name)) != field.name:
                yield f"--{field.name} {path}: would replace --{other} {file}; name another place"
        yield from _in_the_way(f"--{field.name} {path}", path, folder)


def inputs(flags) -> dict[Path, str]:
    """The paths that the flags may name, but for outputs -> the flag that does."""
    names = [field.name for field in dataclasses.fields(flags) if not field.name.endswith("output")]
    return {path: name for name in names for path in _named(getattr(flags, name))}


def _named(value) -> list[Path]:
    """The paths that a flag's value may name; one of several may have a label before it, LABEL=PATH."""
    values = value if isinstance(value, tuple) else (value,)
    return [_resolved(text.rpartition("=")[2]) for text in values if isinstance(text, str)]


def _resolved(path: Path | str) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on a link that leads to itself


def _in_the_way(said: str, path: Path, folder: str | None):
    if len(path.parts) > 100:
        yield f"{said}: lies more than 100 folders deep"
        return
    if path.exists() and not path.is_file() and not path.is_dir():  # root may replace even /dev/null by a file
        yield f"{said}: is a device or a pipe; name a file"
    if folder and path.is_file():
        yield f"{said}: is a file; name a folder"
    if not folder and path.is_dir():
        yield f"{said}: is a folder; name a file"
    manifest = Path(f"{os.path.abspath(path)}.manifest.json")
    if manifest.is_dir():
        yield f"{said}: {manifest} is a folder, where its manifest must go; move it away"
    a_model = (path / "config.json").is_file() or manifest.is_file()  # a damaged one may lack either
    if folder == "model" and path.is_dir() and any(path.iterdir()) and not a_model:
        yield f"{said}: holds other files than a model's, which would be lost; name a new folder"
    above = next(parent for parent in (*path.absolute().parents, Path("/")) if parent.exists())
    if not above.is_dir():
        yield f"{said}: {above} is a file, not a folder"
