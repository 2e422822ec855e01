"""Templates, token ids, masks and batches: the one place where text becomes tensors.

A prompt is rendered with the tokenizer's own chat template, a response is its text's tokens closed by EOS, and the
two are joined as ids: prompt tokens are a prefix of prompt + response tokens by construction.
"""

from collections.abc import Callable

import torch

from preference import model_folders
from preference.stage import InputError, Progress

Sequence = tuple[list[int], list[int]]  # prompt ids, response ids

# The published template (arXiv 2404.14367, code): plain-text tags, EOS between the turns.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<|prompter|>{{ message['content'] }}{{ eos_token }}"
    "{% else %}<|assistant|>{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def check_tokenizer(tokenizer, path) -> None:
    """Refuse a tokenizer that cannot close or pad a response.

    Raises:
        InputError: no EOS or pad token, pad is EOS (then EOS would be masked and never learnt), an id without an
            embedding, or no template that keeps the prompt.
    """
    check_sampled(tokenizer, path)
    if tokenizer.pad_token_id is None:
        raise InputError(f"{path}: the tokenizer has no pad token (key pad_token); name one with --pad_token")
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise InputError(f"{path}: the tokenizer's pad token is its EOS token; name another one with --pad_token")


def check_sampled(tokenizer, path) -> None:
    """The part of `check_tokenizer` that holds of a model that is only sampled from, never trained: it need not pad."""
    if tokenizer.eos_token_id is None:
        raise InputError(f"{path}: the tokenizer has no EOS token (key eos_token), so no response could end")
    if not tokenizer.chat_template:
        raise InputError(f"{path}: the tokenizer has no chat_template")
    rows, largest = model_folders.vocab_size(path), max(tokenizer.get_vocab().values())
    if rows is not None and largest >= rows:
        raise InputError(
            f"{path}: the tokenizer has ids up to {largest}, and the model's vocabulary has {rows} entries"
        )
    _check_template(tokenizer, path)


def _check_template(tokenizer, path) -> None:
    """Refuse a chat template that fails, or that forgets the prompt."""
    probe = "Is this prompt kept?"
    try:
        rendered = _render(tokenizer, probe)
    except Exception as error:  # a template is a program, and can fail in any way
        reason = model_folders.reason(error)
        raise InputError(f"{path}: the tokenizer's chat_template cannot be rendered: {reason}") from None
    if probe not in rendered:
        raise InputError(f"{path}: the tokenizer's chat_template leaves the prompt out")


def _render(tokenizer, prompt: str) -> str:
    turns = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def encode_prompt(tokenizer, prompt: str) -> list[int]:
    """Ids of the rendered prompt, up to where the response begins, with exactly one BOS where the tokenizer has one."""
    ids = tokenizer(_render(tokenizer, prompt), add_special_tokens=False).input_ids
    bos = tokenizer.bos_token_id
    if bos is None or bos == tokenizer.eos_token_id:
        return ids
    # A template may or may not write BOS itself; the tokenizer would add another one on top.
    if ids[0] != bos and tokenizer("").input_ids[:1] == [bos]:
        ids = [bos, *ids]
    if ids.count(bos) > 1:
        raise InputError(
            f"{ids.count(bos)} BOS tokens in the prompt {prompt[:80]!r}; does it, or the chat_template, hold one?"
        )
    return ids


def encode_response(tokenizer, response: str, finished: bool = True) -> list[int]:
    """Ids of a response; a finished one is closed by EOS, which belongs to it: a policy must learn to stop."""
    ids = tokenizer(response, add_special_tokens=False).input_ids
    return [*ids, tokenizer.eos_token_id] if finished else ids


def encode_pair(tokenizer, row: dict, max_length: int) -> tuple[Sequence, Sequence]:
    """(prompt ids, response ids) of the chosen and of the rejected response of a row of kind "pairs".

    Sampled responses keep the very tokens that the policy drew; others are encoded from their text.
    """
    prompt, sides = encode_prompt(tokenizer, row["prompt"]), ("chosen", "rejected")
    chosen, rejected = (cut(prompt, response_ids(tokenizer, row, side), max_length, row["prompt_id"]) for side in sides)
    return chosen, rejected


def response_ids(tokenizer, row: dict, side: str) -> list[int]:
    """Ids of the `chosen` or `rejected` response of a row of kind "pairs": those that were drawn, if it was drawn."""
    if row[f"{side}_tokens"] is not None:
        return row[f"{side}_tokens"]
    return encode_response(tokenizer, row[side], row[f"{side}_finish_reason"] != "length")


def cut(prompt: list[int], response: list[int], max_length: int, prompt_id: str) -> Sequence:
    """Cut a response on the right so that prompt and response fit into max_length tokens; EOS goes with the cut.

    Raises:
        InputError: the prompt alone leaves no room.
    """
    if len(prompt) >= max_length:
        raise InputError(
            f"--max_length {max_length}: prompt {prompt_id} has {len(prompt)} tokens, so no response would fit"
        )
    return prompt, response[: max_length - len(prompt)]


def check_response(tokenizer, ids: list[int], finished: bool) -> None:
    """Assert that exactly one EOS closes a finished response and none is in a cut one."""
    eos = ids.count(tokenizer.eos_token_id)
    closed = bool(ids) and ids[-1] == tokenizer.eos_token_id
    assert eos == int(finished) and closed == finished, f"{eos} EOS tokens in a response that is {finished=}: {ids}"


def batch(sequences: list[Sequence], pad_id: int, device="cpu") -> dict[str, torch.Tensor]:
    """Pad (prompt ids, response ids) on the right.

    Returns:
        input_ids, attention_mask (batch, tokens) of int64, and response_mask (batch, tokens) of bool, which is true on
        the response and its EOS and nowhere else.
    """
    width = max(len(prompt) + len(response) for prompt, response in sequences)
    input_ids = torch.full((len(sequences), width), pad_id)
    attention_mask = torch.zeros((len(sequences), width), dtype=torch.int64)
    response_mask = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, (prompt, response) in enumerate(sequences):
        start, end = len(prompt), len(prompt) + len(response)
        input_ids[row, :end] = torch.tensor([*prompt, *response])
        attention_mask[row, :end] = 1
        response_mask[row, start:end] = True
    assert int(response_mask.sum()) == sum(len(response) for _, response in sequences)
    tensors = {"input_ids": input_ids, "attention_mask": attention_mask, "response_mask": response_mask}
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def map_batches(items: list, lengths: list[int], size: int, work: Callable[[list], list], progress: Progress) -> list:
    """`work` on at most `size` items at a time, those of similar length together, without gradients.

    Returns:
        A result for each item, in the order of the items.
    """
    results = [None] * len(items)
    for group in micro_batches(list(range(len(items))), lengths, size):
        with torch.no_grad():
            found = work([items[i] for i in group])
        for i, result in zip(group, found, strict=True):
            results[i] = result
        progress.update(len(group))
    return results


def micro_batches(indices: list[int], lengths: list[int], size: int) -> list[list[int]]:
    """Cut indices into groups of at most `size`, rows of similar length together: less padding is computed."""
    ordered = sorted(indices, key=lambda i: (lengths[i], i))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
