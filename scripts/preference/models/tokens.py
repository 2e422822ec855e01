"""Sequences of token ids: what fits into a length, and batches of them with masks.

Masks go by length: no token, a pad token least of all, means anything here.
"""

import dataclasses
from collections.abc import Callable

import torch

from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.stage import InputError, Progress

Sequence = tuple[list[int], list[int]]  # prompt ids, response ids

LONG_PROMPTS = ("drop", "cut")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikeTraining:
    """The flags of a stage that reads what trainings read, with the same limit of length."""

    max_length: Count = flag("longest prompt + response, as in training", unit="tokens")
    long_prompts: str = flag("a prompt that is too long: as in training", "drop", LONG_PROMPTS)


@dataclasses.dataclass
class Limit:
    """The rule of --max_length, and how often it was applied.

    A response is cut on the right, and its end token goes with the cut. A prompt that leaves no room for a response is
    dropped with its row, or (long_prompts "cut") keeps its first token and the last ones, half of the length in all.
    """

    max_length: int
    long_prompts: str = "drop"
    rows: int = 0
    dropped: int = 0
    prompts_cut: int = 0
    responses_cut: int = 0

    def fit(self, sequence: Sequence) -> Sequence | None:
        """Return a sequence of at most max_length tokens, or None where its row is dropped."""
        (prompt, response), self.rows = sequence, self.rows + 1
        if len(prompt) >= self.max_length:
            if self.long_prompts == "drop" or self.max_length < 4:
                self.dropped += 1
                return None
            self.prompts_cut += 1
            prompt = [prompt[0], *prompt[1 - self.max_length // 2 :]]
        room = self.max_length - len(prompt)
        self.responses_cut += len(response) > room
        return prompt, response[:room]

    def report(self, what: str, path: str) -> None:
        """Print how much was cut and dropped; refuse data of which nothing is left."""
        print(
            f"{what}: {self.rows} sequences of at most {self.max_length} tokens: {self.responses_cut} responses cut, "
            f"{self.prompts_cut} prompts cut, {self.dropped} dropped because the prompt leaves no room"
        )
        if self.rows and self.dropped == self.rows:
            shorten = "" if self.long_prompts == "cut" else ", or shorten them with --long_prompts cut"
            raise InputError(
                f"{path}: all {self.rows} prompts have --max_length {self.max_length} tokens or more; raise it{shorten}"
            )


def batch(
    sequences: list[Sequence], pad_id: int, device="cpu", counted: list[list[bool]] | None = None
) -> dict[str, torch.Tensor]:
    """Pad (prompt ids, response ids) on the right.

    Args:
        counted: of each sequence, which tokens of the response the mask holds; all of them by default.

    Returns:
        input_ids, attention_mask (batch, tokens) of int64, and response_mask (batch, tokens) of bool, which is true on
        the response and its end token and nowhere else.
    """
    width = max(len(prompt) + len(response) for prompt, response in sequences)
    input_ids = torch.full((len(sequences), width), pad_id)
    attention_mask = torch.zeros((len(sequences), width), dtype=torch.int64)
    response_mask = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, (prompt, response) in enumerate(sequences):
        start, end = len(prompt), len(prompt) + len(response)
        input_ids[row, :end] = torch.tensor([*prompt, *response])
        attention_mask[row, :end] = 1
        response_mask[row, start:end] = torch.tensor(counted[row]) if counted else True
    if not counted:
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
