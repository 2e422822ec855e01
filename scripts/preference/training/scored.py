"""Training on scored samples: what the methods that learn from single responses share, from the table to the log."""

import dataclasses
from collections.abc import Callable

import torch

from preference.files import provenance, records
from preference.models import chat, chat_flags, policies, tokens
from preference.models.chat import Chat
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import NotNegative, Positive
from preference.training import fit
from preference.training.responses import Read, Responses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    rewards: str = flag("rewards.parquet: the scored samples of this round", config=False)
    policy: str = flag("policy folder to start from, which drew what is on-policy", config=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Referenced(Flags):
    """The flags of a training that compares the policy with a reference."""

    reference: str = flag("policy folder of the reference", config=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clipped(Referenced):
    """The flags of a training whose steps are clipped."""

    clip_range: Positive = flag("ratios count from 1 - clip_range to 1 + clip_range")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Penalized(Referenced):
    """The flags of a training whose loss has the KL to the reference as a term."""

    kl_coef: NotNegative = flag("weight of the KL to the reference; 0 leaves it out")


@dataclasses.dataclass(frozen=True)
class Samples:
    """A round's scored samples, in the order of the file."""

    rewards: torch.Tensor  # (samples,)
    groups: torch.Tensor  # which prompt a sample answers, counted from 0 in order of appearance, (samples,)
    prompt_ids: list[str]
    sequences: list[tokens.Sequence]

    def of_prompts(self) -> list[list[int]]:
        """The samples of each prompt."""
        found: list[list[int]] = [[] for _ in range(int(self.groups.max()) + 1)]
        for sample, group in enumerate(self.groups.tolist()):
            found[group].append(sample)
        return found


def read(flags: Flags, chat_format: Chat) -> Samples:
    """The samples of a rewards.parquet, as the very tokens that were drawn; those that do not fit are dropped."""
    rows, sequences = _that_fit(records.read(flags.rewards, "rewards"), flags, chat_format)
    print(f"chat format: {chat_format.summary()}\nfirst:\n{chat_format.describe(sequences[0])}")
    names = {name: i for i, name in enumerate(dict.fromkeys(row["prompt_id"] for row in rows))}
    return Samples(
        torch.tensor([row["reward"] for row in rows], dtype=torch.float64),
        torch.tensor([names[row["prompt_id"]] for row in rows]),
        [row["prompt_id"] for row in rows],
        sequences,
    )


def _that_fit(rows: list[dict], flags: Flags, chat_format: Chat) -> tuple[list[dict], list[tokens.Sequence]]:
    limit, of_prompts = fit.limit(flags), {row["prompt_id"]: row for row in rows}
    encoded = chat.encode_rows(
        flags.rewards, list(of_prompts.values()), lambda row: chat_format.encode_prompt(row["prompt"], row["tools"])
    )
    prompts = dict(zip(of_prompts, encoded, strict=True))
    cut = [limit.fit((prompts[row["prompt_id"]], row["response_ids"])) for row in rows]
    limit.report("responses", flags.rewards)
    kept = [(row, sequence) for row, sequence in zip(rows, cut, strict=True) if sequence]
    return [row for row, _ in kept], [sequence for _, sequence in kept]


# A micro-batch, its samples' numbers and those of the whole step -> a loss per sample, (batch,), and sums of what else
# the log shows.
Objective = Callable[[Read, list[int], list[int]], tuple[torch.Tensor, dict[str, float]]]


def train(
    script: str,
    flags: Flags,
    objective: Callable[[Samples, Responses], Objective],
    finish: Callable[[], dict | None] = lambda: None,
    loaded=None,
    hidden: bool = False,
) -> None:
    """Train a policy on single responses: the loss of a step is the mean of its samples' losses.

    Args:
        script: `__file__` of the stage.
        objective: makes the objective of the samples, once it is known what the policies say of them at the start.
        finish: see `fit.train`.
        loaded: (model, chat format) of --policy, where the stage has loaded them already.
        hidden: the objective reads the policy's last hidden states.
    """
    model, chat_format = loaded or fit.start(flags)
    samples = read(flags, chat_format)
    with fit.arithmetic(flags, model.device):  # that of the steps, or the first ratio would not be 1
        reference = reference_of(flags, model)
        responses = Responses.of(model, samples.sequences, chat_format.pad_id, flags.micro_batch_size, reference)
        del reference  # or it would lie in memory beside the policy as long as that is trained
        losses_of = objective(samples, responses)

    def loss(micro, step):
        of_micro = responses.read(model, micro, hidden)
        losses, seen = losses_of(of_micro, micro, step)
        rewards = {"reward": samples.rewards[micro].sum().item()}
        return losses.sum() / len(step), of_micro.seen() | rewards | seen

    inputs = {"rewards": flags.rewards, "policy": flags.policy, "reference": getattr(flags, "reference", None)}
    inputs |= chat_flags.inputs(flags)
    made_by = provenance.describe(script, flags, inputs, rows_in=len(samples.prompt_ids))
    named = fit.Rows(samples.prompt_ids, responses.lengths)
    say(fit.train(model, chat_format, named, loss, flags, made_by, finish), len(samples.prompt_ids), "samples")


def reference_of(flags: Flags, model):
    """The model that --reference names, which is the policy itself where that starts from it; None without one."""
    reference = getattr(flags, "reference", None)
    if reference is None:
        return None
    return model if reference == flags.policy else policies.load_policy(reference)


def say(log: list[dict], rows: int, unit: str) -> None:
    """Print what a training came to."""
    first, last = log[0], log[-1]
    stage.say(
        f"{len(log)} steps on {rows} {unit}, loss {first['loss']:.3f} -> {last['loss']:.3f}, "
        f"logps {first['logps']:.2f} -> {last['logps']:.2f}"
    )
