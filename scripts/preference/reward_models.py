"""Learned rewards: the scores that a reward model gives to responses."""

import torch

from preference import policies, tokens
from preference.stage import Progress


def learned_rewards(model_path: str, rows: list[dict], batch_size: int, max_length: int) -> list[float]:
    """The reward model's score of each row of kind "responses".

    The text is encoded as it was in the reward model's training: prompt template, response, and EOS if it was finished.
    """
    tokenizer = policies.load_tokenizer(model_path)
    tokens.check_tokenizer(tokenizer, model_path)
    model = policies.load_reward_model(model_path)
    sequences = [reward_sequence(tokenizer, row, max_length) for row in rows]
    return all_scores(model, sequences, tokenizer.pad_token_id, batch_size).tolist()


def all_scores(model, sequences: list[tokens.Sequence], pad_id: int, batch_size: int) -> torch.Tensor:
    """The reward model's output for many sequences, without gradients, (sequences,), in their order."""
    lengths = [len(prompt) + len(response) for prompt, response in sequences]
    scores = torch.zeros(len(sequences))
    progress = Progress(len(sequences), "responses")
    for group in tokens.micro_batches(list(range(len(sequences))), lengths, batch_size):
        with torch.no_grad():
            scores[group] = sequence_scores(model, [sequences[i] for i in group], pad_id).cpu()
        progress.update(len(group))
    return scores


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
