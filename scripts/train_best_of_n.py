"""Best-of-N: rewards.parquet + policy -> policy/ of this round, and its log.

L = -log pi(y* | x), summed over the response and its EOS, y* the best of a prompt's N samples, or the mean over the
`keep` best (arXiv 2404.14367, section 3.2). With a negative gradient, beta times what pushes the others down is added:
see losses/best_of_n. A row of the training is a prompt.
"""

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass

from preference.files import provenance
from preference.losses.best_of_n import best_of_n_loss
from preference.losses.likelihood import pref_ft_loss
from preference.models import chat_flags
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Positive
from preference.running.rules import AtMostUnless, ReadUnless
from preference.running.stage import InputError
from preference.training import fit, scored
from preference.training.responses import Responses

NEGATIVES = ("none", "worst", "sum", "average", "complement")


@dataclass(frozen=True, kw_only=True)
class Flags(scored.Flags):
    keep: Count = flag("responses of a prompt that are learnt, the best ones", 1)
    negative: str = flag("how the others are pushed down", "none", NEGATIVES)
    beta: Positive | None = flag("weight of what pushes them down", None)

    rules: ClassVar = (
        ReadUnless("beta", "negative", "none"),
        AtMostUnless(
            "keep",
            1,
            "negative",
            "none",
            "where others are pushed down (negative {negative}), only the best response is raised",
        ),
    )


def main(flags: Flags) -> None:
    model, chat_format = fit.start(flags)
    samples = scored.read(flags, chat_format)
    learnt = [used(flags, samples, of_prompt) for of_prompt in samples.of_prompts()]
    with fit.arithmetic(flags, model.device):
        responses = Responses.of(model, samples.sequences, chat_format.pad_id, flags.micro_batch_size)

    def loss(micro, step):
        rows = [sample for prompt in micro for sample in learnt[prompt]]
        read = responses.read(model, rows)
        parts = read.logps.split([len(learnt[prompt]) for prompt in micro])
        losses = [of_prompt(flags, part, samples.rewards[learnt[p]]) for p, part in zip(micro, parts, strict=True)]
        seen = read.seen() | {"reward": samples.rewards[rows].sum().item()}
        means = {name: value * len(micro) / len(rows) for name, value in seen.items()}  # a row of the log is of prompts
        return torch.stack(losses).sum() / len(step), means

    inputs = {"rewards": flags.rewards, "policy": flags.policy, **chat_flags.inputs(flags)}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(samples.prompt_ids))
    lengths = [max(responses.lengths[i] for i in some) for some in learnt]
    named = fit.Rows([samples.prompt_ids[some[0]] for some in learnt], lengths)
    scored.say(fit.train(model, chat_format, named, loss, flags, made_by), len(learnt), "prompts")


def used(flags: Flags, samples: scored.Samples, of_prompt: list[int]) -> list[int]:
    """The samples of a prompt that the loss reads: all, or the best `keep`, of equal ones the first."""
    if flags.negative != "none" and len(of_prompt) < 2:
        raise InputError(f"{flags.rewards}: prompt {samples.prompt_ids[of_prompt[0]]} has one sample; none is worse")
    if flags.keep > len(of_prompt):
        raise InputError(f"--keep {flags.keep}: prompt {samples.prompt_ids[of_prompt[0]]} has {len(of_prompt)} samples")
    if flags.negative != "none":
        return of_prompt
    return sorted(of_prompt, key=lambda i: (-samples.rewards[i].item(), i))[: flags.keep]


def of_prompt(flags: Flags, logps: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """The loss of one prompt, a scalar, from log pi(y | x) and rewards of its responses, each (responses,)."""
    if flags.negative == "none":
        return pref_ft_loss(logps).mean()
    assert flags.beta is not None
    no_reference = torch.zeros_like(logps)
    return best_of_n_loss(logps, rewards.to(logps.device), no_reference, flags.negative, flags.beta)


if __name__ == "__main__":
    stage.run(main, Flags)
