"""Learned rewards: the scores that a reward model gives to responses."""

import torch

from preference import policies, tokens
from preference.shards import Shards
from preference.stage import Progress


def learned_rewards(path: str, rows: list[dict], batch_size: int, max_length: int, shards: Shards) -> list[float]:
    """The score of each row of kind "responses" by the reward model in a folder, of a job's own where several share.

    The text is encoded as it was in the reward model's training: prompt template, response, and EOS if it was finished.
    """
    tokenizer = policies.load_tokenizer(path)
    tokens.check_tokenizer(tokenizer, path)
    model = policies.load_reward_model(path)
    sequences = [reward_sequence(tokenizer, row, max_length) for row in rows]

    def score(part: list, progress: Progress) -> list[float]:
        return all_scores(model, part, tokenizer.pad_token_id, batch_size, progress)

    return shards.map("rewards", shards.own(sequences), score)


def all_scores(
    model, sequences: list[tokens.Sequence], pad_id: int, batch_size: int, progress: Progress
) -> list[float]:
    """The reward model's output for each of many sequences, without gradients."""
    lengths = [len(prompt) + len(response) for prompt, response in sequences]
    return tokens.map_batches(
        sequences, lengths, batch_size, lambda some: sequence_scores(model, some, pad_id).tolist(), progress
    )


def reward_sequence(tokenizer, row: dict, max_length: int) -> tokens.Sequence:
    """(prompt ids, response ids) of a row with prompt_id, prompt, response and finish_reason."""
    response = tokens.encode_response(tokenizer, row["response"], row["finish_reason"] != "length")
    return tokens.cut(tokens.encode_prompt(tokenizer, row["prompt"]), response, max_length, row["prompt_id"])


def sequence_scores(model, sequences: list[tokens.Sequence], pad_id: int) -> torch.Tensor:
    """The reward model's output at the last token of each sequence, (batch,)."""
    tensors = tokens.batch(sequences, pad_id, model.device)
    logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
    assert logits.shape == (len(sequences), 1), f"a reward model has one output, this one has {logits.shape[1:]}"
    return logits.squeeze(-1).float()
