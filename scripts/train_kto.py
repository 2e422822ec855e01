"""Kahneman-Tversky optimisation: rewards.parquet + policy + reference -> policy/ of this round, and its log.

A response is desirable where its reward reaches a threshold. With r = log pi(y | x) - log ref(y | x) and z the mean of
r over responses to other prompts, at least 0 and without gradient, the loss of a desirable response is
desirable_weight (1 - sigmoid(beta (r - z))), that of another one undesirable_weight (1 - sigmoid(beta (z - r)))
(arXiv 2402.01306, equation 7).
"""

from typing import cast

import torch
from pydantic.dataclasses import dataclass

from preference.losses.unpaired import kto_loss
from preference.models import tokens
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Positive
from preference.running.stage import InputError
from preference.training import fit, scored
from preference.training.responses import Responses

THRESHOLDS = ("prompt_mean", "mean", "median")


@dataclass(frozen=True, kw_only=True)
class Flags(scored.Referenced):
    beta: Positive = flag("strength of the KL constraint")
    threshold: str = flag("reward from which a response is desirable: of its prompt's, or of all", "median", THRESHOLDS)
    desirable_weight: Positive = flag("weight of desirable responses", 1.0)
    undesirable_weight: Positive = flag("weight of undesirable responses", 1.0)


def main(flags: Flags) -> None:
    model, chat_format = fit.start(flags)
    pad = chat_format.pad_id

    def objective(samples: scored.Samples, responses: Responses):
        desirable = labels(samples, flags.threshold)
        print(f"{int(desirable.sum())} desirable, {int((~desirable).sum())} undesirable responses ({flags.threshold})")
        if desirable.all() or not desirable.any():
            raise InputError(f"{flags.rewards}: all responses are {'' if desirable.all() else 'un'}desirable")
        reference = scored.reference_of(flags, model)
        others = Responses.of(model, mismatched(samples, flags), pad, flags.micro_batch_size, reference)
        kl = Baseline(model, others, flags.micro_batch_size)

        def losses(read, rows, step):
            found = kto_loss(
                read.logps,
                read.ref_logprobs.sum(-1),
                desirable[rows].to(read.mask.device),
                kl.of(step).to(read.logps),
                flags.beta,
                flags.desirable_weight,
                flags.undesirable_weight,
            )
            return found, {"desirable": desirable[rows].sum().item(), "kl_baseline": len(rows) * kl.of(step).item()}

        return losses

    scored.train(__file__, flags, objective, loaded=(model, chat_format))


def labels(samples: scored.Samples, threshold: str) -> torch.Tensor:
    """Which responses are desirable: a bool per sample."""
    if threshold == "prompt_mean":
        means = [samples.rewards[of_prompt].mean() for of_prompt in samples.of_prompts()]
        return samples.rewards >= torch.stack(means)[samples.groups]
    middle = samples.rewards.mean() if threshold == "mean" else samples.rewards.quantile(0.5)
    return samples.rewards >= middle


def mismatched(samples: scored.Samples, flags: Flags) -> list[tokens.Sequence]:
    """Each sample's prompt with the response to another prompt: the first one after it in the file."""
    of_prompts = samples.of_prompts()
    if len(of_prompts) < 2:
        raise InputError(f"{flags.rewards}: has one prompt only, so there is no response to another")
    others = [0] * len(samples.sequences)
    for own, following in zip(of_prompts, of_prompts[1:] + of_prompts[:1], strict=True):
        for place, sample in enumerate(own):
            others[sample] = following[place % len(following)]
    limit = fit.limit(flags)
    fitted = [limit.fit((samples.sequences[i][0], samples.sequences[j][1])) for i, j in enumerate(others)]
    return [cast(tokens.Sequence, sequence) for sequence in fitted]  # none is dropped: its prompt fitted before


class Baseline:
    """z of a step: the mean log-ratio of its mismatched responses under the policy as it is before the step."""

    def __init__(self, model, others: Responses, size: int):
        self.model, self.others, self.size = model, others, size
        self.step: list[int] | None = None

    def of(self, step: list[int]) -> torch.Tensor:
        if step is not self.step:  # the first micro-batch of it
            self.step, self.value = step, self._ask(step)
        return self.value

    def _ask(self, step: list[int]) -> torch.Tensor:
        with torch.no_grad():
            groups = tokens.micro_batches(step, self.others.lengths, self.size)
            reads = [self.others.read(self.model, group) for group in groups]
            ratios = torch.cat([read.logps - cast(torch.Tensor, read.ref_logprobs).sum(-1) for read in reads])
        return ratios.mean().clamp(min=0)


if __name__ == "__main__":
    stage.run(main, Flags)
