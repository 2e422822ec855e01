"""Learned rewards: the scores that a reward model gives to responses.

A reward model is a sequence classifier with one label, of this workflow or of anybody else. Its score is read at the
last token of a sequence, by the sequence's length: a pad token means nothing here.
"""

import contextlib
import dataclasses

import torch
import transformers

from preference.files import artifacts
from preference.models import chat, model_folders, policies, tokens
from preference.running.shards import Shards
from preference.running.stage import InputError, Progress

HEADS = ("score", "classifier")  # the modules that give a sequence classifier's outputs, in the library's words


def learned_rewards(
    path: str, rows: list[dict], batch_size: int, max_length: int, shards: Shards, name: str = "rewards"
) -> list[float]:
    """Return the score of each row of kind "responses" by a reward model, of a job's own where several share.

    A text is rendered with the reward model's own template and tokenizer, and closed if it was finished.

    Args:
        path: folder or hub id.
        name: of this piece of work among those of the stage.

    Raises:
        InputError: it has another number of labels than one, needs code of its own, or a row cannot be encoded.
    """
    model, chat_format = load(path)
    limit = tokens.Limit(min(max_length, policies.context_length(model.config) or max_length), "cut")
    encoded = chat.encode_rows(path, rows, lambda row: reward_sequence(chat_format, row))
    sequences = [limit.fit(sequence) for sequence in encoded]
    limit.report("responses", path)
    print(f"chat format: {chat_format.summary()}")

    def score(part: list, progress: Progress) -> list[float]:
        return all_scores(model, part, chat_format.pad_id, batch_size, progress)

    return shards.map(name, shards.own(sequences), score)


def load(path: str) -> tuple:
    """Return a reward model and its chat format."""
    config = policies.load_config(path)
    _check_code(path, config)
    model_folders.check_reward_model(path)
    model_folders.check_labels(path, len(config.id2label) if _names_labels(config) else None)
    return policies.load_reward_model(path), chat.load(path, _chat_flags(path), is_sampled=False)


def _chat_flags(path: str) -> chat.Flags:
    """Return the chat format that a reward model of this workflow was trained with; its folder has the template."""
    manifest = artifacts.manifest_of(path)
    made_by = artifacts.metadata(path) if manifest.is_file() else {}
    trained = made_by.get("flags", {}) if made_by.get("stage") == "train_reward_model" else {}
    names = {field.name for field in dataclasses.fields(chat.Flags)} - {"chat_template"}
    return chat.Flags(**{name: value for name, value in trained.items() if name in names})


def _check_code(path: str, config) -> None:
    """Refuse a model whose class is code of its own: the library's class of that type would score differently."""
    named = (getattr(config, "auto_map", None) or {}).get("AutoModelForSequenceClassification", "")
    if named and not hasattr(transformers, named.rpartition(".")[2]):
        raise InputError(
            f"{path}: its class {named.rpartition('.')[2]} is code of its own (auto_map in config.json), which is "
            "never run; use a reward model of the transformers library"
        )


def _names_labels(config) -> bool:
    """Say whether a config names its labels; the library makes two up for one that does not."""
    return "id2label" in config.to_diff_dict()


def all_scores(
    model, sequences: list[tokens.Sequence], pad_id: int, batch_size: int, progress: Progress
) -> list[float]:
    """The reward model's output for each of many sequences, without gradients."""
    lengths = [len(prompt) + len(response) for prompt, response in sequences]
    return tokens.map_batches(
        sequences, lengths, batch_size, lambda some: sequence_scores(model, some, pad_id).tolist(), progress
    )


def reward_sequence(chat_format: chat.Chat, row: dict) -> tokens.Sequence:
    """(prompt ids, response ids) of a row with prompt, tools, response and finish_reason."""
    return chat_format.row(row, "response", None, row["finish_reason"] != "length")


def sequence_scores(model, sequences: list[tokens.Sequence], pad_id: int) -> torch.Tensor:
    """Return the reward model's output at the last token of each sequence, (batch,).

    A model that has an output at each position is read there. One that pools its states itself, as encoders do, is
    taken at its word.
    """
    tensors = tokens.batch(sequences, pad_id, model.device)
    _ignore_padding(model, pad_id)
    with _outputs_of_head(model) as outputs:
        logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
    if outputs and outputs[-1].dim() == 3:
        last = tensors["attention_mask"].sum(-1) - 1
        logits = outputs[-1][torch.arange(len(sequences), device=logits.device), last]
    assert logits.shape == (len(sequences), 1), f"a reward model has one output, this one has {logits.shape[1:]}"
    return logits.squeeze(-1).float()


def _ignore_padding(model, pad_id: int) -> None:
    """Name a pad token, without which the library refuses batches."""
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = pad_id


@contextlib.contextmanager
def _outputs_of_head(model):
    """Collect the outputs of a model's head, (batch, tokens, 1) where it has one at each position."""
    outputs: list[torch.Tensor] = []
    head = next((getattr(model, name) for name in HEADS if hasattr(model, name)), None)
    if head is None:
        yield outputs
        return
    hook = head.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()
