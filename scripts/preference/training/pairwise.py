"""Training on pairs: what the losses that set a chosen against a rejected response share, from the table to the log."""

import dataclasses
from collections.abc import Callable

import torch

from preference.files import provenance, records
from preference.models import chat, chat_flags
from preference.running import stage
from preference.running.flags import flag
from preference.training import fit
from preference.training.responses import Read, Responses

STEP_0_TOLERANCE = 1e-2, 1e-5  # nats per response, and their share: float32 sums in differently padded batches


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(fit.Training):
    pairs: str = flag(
        "pairs.parquet, or reference_logps.parquet where the loss compares with a reference", config=False
    )
    policy: str = flag("policy folder to start from", config=False)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """A micro-batch of pairs: log pi(y | x) summed over each response, and tokens with the EOS, each (batch,)."""

    chosen_logps: torch.Tensor
    rejected_logps: torch.Tensor
    chosen_lengths: torch.Tensor
    rejected_lengths: torch.Tensor
    ref_chosen_logps: torch.Tensor | None = None
    ref_rejected_logps: torch.Tensor | None = None

    @property
    def logps(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Chosen and rejected of the policy, then of the reference."""
        return self.chosen_logps, self.rejected_logps, self.ref_chosen_logps, self.ref_rejected_logps


# Losses, and the rewards that the policy implies for the chosen and for the rejected responses, each (batch,).
Objective = Callable[[Pairs], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def train(script: str, flags: Flags, objective: Objective, with_reference: bool) -> None:
    """Train a policy on a table of pairs under an objective; `script` is the `__file__` of the stage.

    Args:
        with_reference: the objective reads the reference's log-probabilities, which the table then has.
    """
    rows = records.read(flags.pairs, "reference_logps" if with_reference else "pairs")
    model, chat_format = fit.start(flags)
    num_rows = len(rows)
    rows, encoded = chat.encode_pairs(flags.pairs, rows, chat_format, fit.limit(flags))
    sequences = [pair[side] for side in (0, 1) for pair in encoded]  # the rejected one of pair i is row len(rows) + i
    # In float32, as the reference's numbers are, or their agreement could not be checked.
    responses = Responses.of(model, sequences, chat_format.pad_id, 2 * flags.micro_batch_size)
    reference = reference_of(rows) if with_reference else None
    if with_reference:
        check_step_0(flags, responses, reference)

    def loss(micro, step):
        read = responses.read(model, [*micro, *(len(rows) + i for i in micro)])
        of_reference = reference[micro].to(read.logps).unbind(-1) if reference is not None else ()
        pairs = Pairs(*read.logps.chunk(2), *read.lengths.chunk(2), *of_reference)
        losses, chosen_rewards, rejected_rewards = objective(pairs)
        return losses.sum() / len(step), seen(pairs, read, chosen_rewards.detach(), rejected_rewards.detach())

    lengths = [max(len(prompt) + len(response) for prompt, response in pair) for pair in encoded]
    inputs = {"pairs": flags.pairs, "policy": flags.policy, **chat_flags.inputs(flags)}
    made_by = provenance.describe(script, flags, inputs, rows_in=num_rows, rows_out=len(rows))
    named = fit.Rows([row["prompt_id"] for row in rows], lengths)
    log = fit.train(model, chat_format, named, loss, flags, made_by)
    stage.say(
        f"{len(log)} steps on {len(rows)} pairs, loss {log[0]['loss']:.3f} -> {log[-1]['loss']:.3f}, "
        f"margin {log[-1]['margin']:.3f}, accuracy {log[-1]['accuracy']:.2f}"
    )


def reference_of(rows: list[dict]) -> torch.Tensor:
    """The reference's log-probabilities of chosen and rejected, (rows, 2)."""
    return torch.tensor([[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in rows])


def seen(pairs: Pairs, read: Read, chosen_rewards: torch.Tensor, rejected_rewards: torch.Tensor) -> dict[str, float]:
    """What the log shows of a micro-batch, summed over its pairs; what is of single responses is their mean."""
    chosen, rejected = pairs.chosen_logps.detach(), pairs.rejected_logps.detach()
    sums = {
        "chosen_rewards": chosen_rewards,
        "rejected_rewards": rejected_rewards,
        "margin": chosen_rewards - rejected_rewards,
        "accuracy": (chosen_rewards > rejected_rewards).double(),
        "chosen_logps": chosen,
        "rejected_logps": rejected,
    }
    if pairs.ref_chosen_logps is not None:
        sums["kl"] = (chosen - pairs.ref_chosen_logps + rejected - pairs.ref_rejected_logps) / 2
    of_responses = read.seen()
    shared = {name: of_responses[name] / 2 for name in ("entropy", "staleness")}
    return {name: values.sum().item() for name, values in sums.items()} | shared


def check_step_0(flags: Flags, responses: Responses, reference: torch.Tensor) -> None:
    """Where the policy is the reference, both must give the same log-probabilities before the first step."""
    made_by = records.metadata(flags.pairs)["inputs"]["reference"]
    if made_by["sha256"] != provenance.digest(flags.policy):
        print("step 0: the policy has moved away from the reference already, nothing to compare")
        return
    logps = torch.tensor([sum(logprobs) for logprobs in responses.start]).view(2, -1).T
    gaps, (nats, share) = (logps - reference).abs(), STEP_0_TOLERANCE
    gap = gaps.max().item()
    print(f"step 0: policy and reference differ by at most {gap:.2e} nats on {len(reference)} pairs")
    is_same = (gaps < nats + share * reference.abs()).all()
    assert is_same, f"{flags.pairs}: policy and reference differ by {gap} nats at step 0"
