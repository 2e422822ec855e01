"""Responses under training: what the policy says of them now, beside what it said at the start and what the reference
says."""

import dataclasses

import torch

from preference.models import policies, tokens
from preference.running.stage import Progress


@dataclasses.dataclass(frozen=True)
class Read:
    """A micro-batch of responses; zero outside the mask."""

    logprobs: torch.Tensor  # log pi of each token, (batch, tokens)
    mask: torch.Tensor  # true on the response and its EOS, (batch, tokens)
    entropy: torch.Tensor  # of the policy's distributions at those tokens, their mean, (batch,)
    start_logprobs: torch.Tensor  # under the policy that the round starts from, (batch, tokens)
    ref_logprobs: torch.Tensor | None  # under the reference, (batch, tokens)
    hidden: torch.Tensor | None  # the policy's last hidden states at those positions, (batch, tokens, hidden)

    @property
    def logps(self) -> torch.Tensor:
        """log pi(y | x), (batch,)."""
        return self.logprobs.sum(-1)

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each response, its EOS included, (batch,)."""
        return self.mask.sum(-1)

    def clipped(self, clip_range: float) -> float:
        """The share of tokens whose ratio to the start lies beyond the clip range, summed over the responses."""
        beyond = ((self.logprobs.detach() - self.start_logprobs).exp() - 1).abs() > clip_range
        return ((beyond & self.mask).sum(-1) / self.lengths).sum().item()

    def seen(self) -> dict[str, float]:
        """What the training log shows of every method, summed over the responses.

        staleness: log pi - log pi_start, of the policy that the round starts from, which drew what is on-policy.
        kl: log pi - log ref on the responses at hand: the KL to the reference as far as they are the policy's own.
        """
        logps = self.logps.detach()
        sums = {"logps": logps, "entropy": self.entropy, "staleness": logps - self.start_logprobs.sum(-1)}
        if self.ref_logprobs is not None:
            sums["kl"] = logps - self.ref_logprobs.sum(-1)
        return {name: values.sum().item() for name, values in sums.items()}


@dataclasses.dataclass(frozen=True)
class Responses:
    """The responses of a round, their rows counted from 0."""

    sequences: list[tokens.Sequence]
    pad_id: int
    start: list[list[float]]
    reference: list[list[float]] | None = None

    @classmethod
    def of(cls, model, sequences: list[tokens.Sequence], pad_id: int, size: int, reference=None):
        """Ask the model, which is still the policy that training starts from, and the reference, if it is another."""
        models = [model] if reference is None or reference is model else [model, reference]
        progress = Progress(len(models) * len(sequences), "responses before the first step")
        found = [policies.all_logprobs(each, sequences, pad_id, size, progress) for each in models]
        return cls(sequences, pad_id, found[0], None if reference is None else found[-1])

    @property
    def lengths(self) -> list[int]:
        """Tokens of each prompt and its response."""
        return [len(prompt) + len(response) for prompt, response in self.sequences]

    def read(self, model, rows: list[int], hidden: bool = False) -> Read:
        """Ask the model, as it is now, for some of the responses."""
        tensors = tokens.batch([self.sequences[i] for i in rows], self.pad_id, model.device)
        logprobs, mask, entropy, states = policies.read_responses(model, tensors, hidden)
        return Read(
            logprobs,
            mask,
            entropy,
            spread([self.start[i] for i in rows], mask),
            spread([self.reference[i] for i in rows], mask) if self.reference is not None else None,
            states,
        )


def spread(values: list[list[float]], mask: torch.Tensor) -> torch.Tensor:
    """A number per response token, where the mask is true: (batch, tokens)."""
    flat = torch.tensor([number for row in values for number in row], dtype=torch.float32, device=mask.device)
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, flat)
