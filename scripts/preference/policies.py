"""Models on disk: load and save them in Hugging Face format (safetensors only), and ask them for log-probabilities."""

import re
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from preference import artifacts, model_folders, tokens
from preference.stage import InputError

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(path: str):
    """The tokenizer of a model folder or hub id."""
    _check(path, model_folders.CONFIG, model_folders.TOKENIZER)
    load_config(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        tokenizer("some of its settings are looked at only here")
    except Exception as error:  # the files of a folder can be wrong in more ways than the library has exceptions for
        raise _unloadable(path, "its tokenizer cannot be loaded", error) from None
    # What it would save of the process that loaded it: whether the hub could be reached then.
    tokenizer.init_kwargs.pop("local_files_only", None)
    return tokenizer


def _check(path: str, *needed: str) -> None:
    """Refuse a folder of this workflow's own that was changed, then any that is no model."""
    artifacts.check_model(path)
    model_folders.check(path, *needed)


def load_config(path: str):
    """The config of a model folder or hub id."""
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        raise _unloadable(path, "not a model", error) from None


def _unloadable(path: str, what: str, error: Exception) -> InputError:
    if (name := model_folders.code_of_its_own(path)) and "custom code" in str(error):
        return InputError(f"{path}: {name} asks for code of its own to be run (auto_map), which is never done")
    return InputError(f"{path}: {what}: {model_folders.reason(error)}")


def load_policy(path: str, dtype: str = "float32"):
    """A causal language model in eval mode on `device()`."""
    return _load(AutoModelForCausalLM, path, dtype)


def load_reward_model(path: str, dtype: str = "float32"):
    """A sequence classifier with one output, in eval mode on `device()`."""
    return _load(AutoModelForSequenceClassification, path, dtype, num_labels=1)


def new_reward_model(policy: str, pad_id: int):
    """A sequence classifier with one output and a policy's weights; its head is new, drawn from torch's generator."""
    head = r"^(score|classifier)\."
    return _load(AutoModelForSequenceClassification, policy, "float32", head, num_labels=1, pad_token_id=pad_id)


def _load(auto_class, path: str, dtype: str, new: str = "(?!)", **kwargs):
    """A model whose every weight is in the folder, but for those whose name the pattern `new` finds."""
    _check(path, model_folders.CONFIG)
    try:
        model, loading = auto_class.from_pretrained(
            path,
            dtype=DTYPES[dtype],
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # refused below, by name
            output_loading_info=True,
            **kwargs,
        )
    except Exception as error:
        raise _unloadable(path, f"cannot be loaded as a {auto_class.__name__}", error) from None
    for name, found, wanted in sorted(loading["mismatched_keys"]):
        raise InputError(f"{path}: weight {name} is {list(found)}, and config.json makes it {list(wanted)}")
    # The library would fill a missing tensor with random numbers and go on.
    missing = sorted(name for name in loading["missing_keys"] if not re.search(new, name))
    if missing:
        raise InputError(f"{path}: the weights lack {len(missing)} tensors, such as {missing[0]}")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise InputError(f"{path}: weight {name} is not finite")
    return model.eval().to(device())


def save(model, tokenizer, output: str, made_by: dict) -> None:
    """Write weights and tokenizer to the folder `output`, then `<output>.manifest.json` with the digest of each file.

    The folder is built under a temporary name; the manifest is written last, so it marks the model complete.
    """
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all(), f"{output}: weight {name} is not finite"
    artifacts.manifest_of(output).unlink(missing_ok=True)
    with artifacts.atomic(output) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    artifacts.write_manifest(output, {"kind": "model", **made_by})


def response_logprobs(model, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-token log-probabilities of each response under a model.

    Args:
        model: a causal language model.
        tensors: what `tokens.batch` returns.

    Returns:
        logprobs and mask, both (batch, tokens - 1): position t holds log p(token t+1 | tokens 0..t), and the mask is
        true where token t+1 belongs to the response. Zero outside the mask.
    """
    logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
    return gather_logprobs(logits, tensors["input_ids"], tensors["response_mask"])


def gather_logprobs(logits: torch.Tensor, input_ids: torch.Tensor, response_mask: torch.Tensor):
    """The shift by one, in one place: logits at position t predict token t+1. Shapes as in `response_logprobs`."""
    mask, targets, logits = response_mask[:, 1:], input_ids[:, 1:], logits[:, :-1].float()
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (chosen - logits.logsumexp(-1)) * mask, mask


def response_logps(model, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """log p(response | prompt), summed over the response and its EOS, shape (batch,)."""
    return response_logprobs(model, tensors)[0].sum(-1)


def pair_logps(model, pairs: list[tuple[tokens.Sequence, tokens.Sequence]], pad_id: int):
    """(chosen_logps, rejected_logps), each (batch,): both responses of every pair in one forward pass."""
    sequences = [pair[side] for side in (0, 1) for pair in pairs]
    return response_logps(model, tokens.batch(sequences, pad_id, model.device)).chunk(2)


def all_pair_logps(model, pairs: list[tuple[tokens.Sequence, tokens.Sequence]], pad_id: int, size: int, progress):
    """[chosen_logps, rejected_logps] of each of many pairs, `size` at a time, without gradients."""
    lengths = [max(len(prompt) + len(response) for prompt, response in pair) for pair in pairs]

    def logps(some: list) -> list[list[float]]:
        return torch.stack(pair_logps(model, some, pad_id), dim=-1).double().tolist()

    return tokens.map_batches(pairs, lengths, size, logps, progress)


def check_context(config, path: str, max_length: int) -> None:
    """Raise an InputError where --max_length is more than the model with this config can read."""
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and max_length > context:
        raise InputError(f"--max_length {max_length}: {path} reads at most {context} tokens")


def as_input(name: str, path: str) -> dict[str, str]:
    """A model folder is an input with a digest; a hub id is a flag."""
    return {name: path} if Path(path).is_dir() else {}
