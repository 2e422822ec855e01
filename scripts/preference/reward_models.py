"""Learned rewards: the scores that a reward model gives to responses."""

import torch

from preference import chat, policies, tokens
from preference.shards import Shards
from preference.stage import Progress


def learned_rewards(path: str, rows: list[dict], batch_size: int, max_length: int, shards: Shards) -> list[float]:
    """The score of each row of kind "responses" by the reward model in a folder, of a job's own where several share.

    The text is encoded as it was in the reward model's training: prompt template, response, and EOS if it was finished.
    """
    chat_format = chat.load(path)
    model = policies.load_reward_model(path)
    limit = tokens.Limit(max_length, "cut")
    sequences = [limit.fit(reward_sequence(chat_format, row)) for row in rows]
    limit.report("responses", path)

    def score(part: list, progress: Progress) -> list[float]:
        return all_scores(model, part, chat_format.pad_id, batch_size, progress)

    return shards.map("rewards", shards.own(sequences), score)


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
    """The reward model's output at the last token of each sequence, (batch,)."""
    tensors = tokens.batch(sequences, pad_id, model.device)
    logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
    assert logits.shape == (len(sequences), 1), f"a reward model has one output, this one has {logits.shape[1:]}"
    return logits.squeeze(-1).float()
