"""Models on disk: load and save them in Hugging Face format (safetensors only), and ask them for log-probabilities."""

import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from preference.files import artifacts
from preference.models import hub_models, model_folders, tokens
from preference.running.stage import InputError

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

MEMORY = "memory.json"  # in a policy's folder
SAMPLE = "It's  1234 words,\n\n\te.g. <b>naïve</b>: 你好!"  # text that tokenizers of different kinds cut differently
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(path: str):
    """The tokenizer of a model folder or hub id."""
    _check(path, model_folders.CONFIG, model_folders.TOKENIZER)
    load_config(path)
    try:
        name, revision = model_folders.located(path)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **revision)
        tokenizer("some of its settings are looked at only here")
        if not _reads_as_its_file(tokenizer, name, revision):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(name, trust_remote_code=False, **revision)
    except Exception as error:  # the files of a folder can be wrong in more ways than the library has exceptions for
        raise _unloadable(path, "its tokenizer cannot be loaded", error) from None
    # What it would save of the process that loaded it: whether the hub could be reached then.
    tokenizer.init_kwargs.pop("local_files_only", None)
    return tokenizer


def _reads_as_its_file(tokenizer, name: str, revision: dict[str, str]) -> bool:
    """Say if a tokenizer cuts text as its tokenizer.json does; true if it has none.

    The library's class of a name such as LlamaTokenizerFast brings its own rules, and some folders with a byte-level
    tokenizer.json carry that name (DeepSeek's): all blanks of a text would be lost.
    """
    file = cached_file(name, model_folders.VOCABULARIES[0], **revision, _raise_exceptions_for_missing_entries=False)
    if file is None:
        return True
    of_file = Tokenizer.from_file(file)
    of_file.no_truncation()
    of_file.no_padding()
    ids = of_file.encode(SAMPLE, add_special_tokens=False).ids
    return tokenizer(SAMPLE, add_special_tokens=False).input_ids == ids


def _check(path: str, *needed: str) -> None:
    """Refuse a folder of this workflow's own that was changed, then any that is no model."""
    artifacts.check_model(path)
    model_folders.check(path, *needed)


def load_config(path: str):
    """The config of a model folder or hub id."""
    hub_models.check_name(path)
    try:
        name, revision = model_folders.located(path)
        return AutoConfig.from_pretrained(name, trust_remote_code=False, **revision)
    except Exception as error:
        raise _unloadable(path, "not a model", error) from None


def _unloadable(path: str, what: str, error: Exception) -> InputError:
    if (name := model_folders.code_of_its_own(path)) and "custom code" in str(error):
        return InputError(f"{path}: {name} asks for code of its own to be run (auto_map), which is never done")
    if of_hub := hub_models.fault(path, error):
        return InputError(f"{path}: {of_hub}")
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
        name, revision = model_folders.located(path)
        model, loading = auto_class.from_pretrained(
            name,
            **revision,
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
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None  # or a pad token that also closes a response would never be trained as an input
    return model.eval().to(device())


def save(model, tokenizer, output: str, made_by: dict, memory: dict | None = None) -> None:
    """Write weights and tokenizer to the folder `output`, then `<output>.manifest.json` with the digest of each file.

    The folder is built under a temporary name; the manifest is written last, so it marks the model complete.

    Args:
        memory: what the next round's training has to know of this one's, as plain lists and numbers (see `recall`).
    """
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all(), f"{output}: weight {name} is not finite"
    artifacts.manifest_of(output).unlink(missing_ok=True)
    with artifacts.atomic(output) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if memory:  # JSON, because vLLM would take any .safetensors here for weights
            (temporary / MEMORY).write_text(json.dumps({"stage": made_by["stage"], "memory": memory}))
    artifacts.write_manifest(output, {"kind": "model", **made_by})


def recall(path: str, stage: str) -> dict:
    """What the training of a policy left for the next round of the same stage; empty where it was another's."""
    if not (Path(path) / MEMORY).is_file():
        return {}
    kept = model_folders.read(Path(path), MEMORY)
    return kept["memory"] if kept["stage"] == stage else {}


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


def read_responses(model, tensors: dict[str, torch.Tensor], hidden: bool = False):
    """What `response_logprobs` returns, and more of the same forward pass.

    Returns:
        logprobs and mask, (batch, tokens - 1); the mean entropy at a response's positions, (batch,), detached; and the
        last hidden states at all positions, (batch, tokens - 1, hidden), or None where they are not asked for.
    """
    inputs = {name: tensors[name] for name in ("input_ids", "attention_mask")}
    output = model(**inputs, output_hidden_states=hidden)
    logprobs, mask = gather_logprobs(output.logits, tensors["input_ids"], tensors["response_mask"])
    entropy = mean_entropy(output.logits[:, :-1].detach(), mask)
    return logprobs, mask, entropy, output.hidden_states[-1][:, :-1] if hidden else None


def mean_entropy(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Entropy of the distributions where the mask is true, averaged over them, (batch,), nats.

    A row at a time: all rows at once would need the room of the logits thrice.
    """
    means = []
    for row, kept in zip(logits, mask, strict=True):
        logp = row[kept].float().log_softmax(-1)
        means.append(-(logp.exp() * logp).sum(-1).mean())
    return torch.stack(means)


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


def all_logprobs(model, sequences: list[tokens.Sequence], pad_id: int, size: int, progress) -> list[list[float]]:
    """log p of each token of each of many responses, `size` responses at a time, without gradients."""
    lengths = [len(prompt) + len(response) for prompt, response in sequences]

    def logprobs(some: list[tokens.Sequence]) -> list[list[float]]:
        found, mask = response_logprobs(model, tokens.batch(some, pad_id, model.device))
        return [row[kept].tolist() for row, kept in zip(found, mask, strict=True)]

    return tokens.map_batches(sequences, lengths, size, logprobs, progress)


def check_context(config, path: str, max_length: int) -> None:
    """Raise an InputError where --max_length is more than the model with this config can read."""
    context = context_length(config)
    if context is not None and max_length > context:
        raise InputError(f"--max_length {max_length}: {path} reads at most {context} tokens")


def context_length(config) -> int | None:
    """Return the longest sequence that a model with this config reads, if it says so."""
    config = config.get_text_config()
    rope = getattr(config, "rope_parameters", None)
    return model_folders.stretched(getattr(config, "max_position_embeddings", None), rope)
