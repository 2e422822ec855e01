"""Proximal policy optimisation: rewards.parquet + policy + reference -> policy/ of this round, and its log.

The reward of a response comes with its last token, minus kl_coef (log pi - log ref) at every token; advantages are
those of GAE (arXiv 1506.02438) with a value head on the policy's last hidden state, whitened over the round. The loss
is the clipped surrogate of each token (arXiv 1707.06347, equation 7) plus value_coef times the clipped squared error of
the values, averaged over the response. Ratios are to the policy that the round starts from. The value head and, where
it is adaptive (arXiv 1909.08593, section 2.2), the KL coefficient go on to the next round in the policy's memory.json.
"""

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass

from preference.losses.policy_gradient import ppo_loss, value_loss
from preference.models import policies, tokens
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, NotNegative, Positive, Share
from preference.running.rules import Together
from preference.running.stage import Progress
from preference.training import fit, rollouts, scored
from preference.training.responses import Read, Responses, spread


@dataclass(frozen=True, kw_only=True)
class Flags(scored.Clipped):
    kl_coef: NotNegative = flag(
        "weight of the KL to the reference in the rewards; the first round's, where it is adaptive"
    )
    kl_target: Positive | None = flag(
        "KL that an adaptive weight aims at; without it the weight is fixed", None, unit="nats per response"
    )
    kl_horizon: Count | None = flag(
        "samples over which an adaptive weight moves by a KL that is off by its target", None
    )
    gamma: Share = flag("discount per token", 1.0)
    gae_lambda: Share = flag("decay of later errors of the values", 0.95)
    value_coef: NotNegative = flag("weight of the values' loss", 0.1)
    value_clip_range: Positive = flag("values count up to this far from those before the round", 0.2)

    rules: ClassVar = (Together("kl_target", "kl_horizon", "an adaptive kl_coef needs both {given} and {missing}"),)


def main(flags: Flags) -> None:
    model, chat_format = fit.start(flags)
    memory = policies.recall(flags.policy, "train_ppo")
    model.value_head = value_head(model, memory)
    later: dict[str, float] = {}

    def objective(samples: scored.Samples, responses: Responses):
        return objective_of(flags, model, samples, responses, memory, later)

    def finish() -> dict:
        head = model.value_head
        later.update(value_weight=head.weight.tolist(), value_bias=head.bias.tolist())
        del model.value_head  # it is no part of the policy
        return later

    scored.train(__file__, flags, objective, finish, (model, chat_format), hidden=True)


def value_head(model, memory: dict) -> torch.nn.Linear:
    """A linear map from the last hidden state to the value: that of the last round, or zero."""
    head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(memory["value_weight"]) if memory else torch.zeros_like(head.weight))
        head.bias.copy_(torch.tensor(memory["value_bias"]) if memory else torch.zeros_like(head.bias))
    return head.to(model.device)


def objective_of(flags: Flags, model, samples: scored.Samples, responses: Responses, memory: dict, later: dict):
    """The objective of a round's samples; `later` gets the KL coefficient of the next round."""
    kl_coef = memory.get("kl_coef", flags.kl_coef)
    values = values_of(model, responses, flags.micro_batch_size)
    advantages, returns, kl = estimate(flags, samples, responses, values, kl_coef)
    print(f"mean KL to the reference {kl:.3f} nats per response, kl_coef {kl_coef:.4g}")
    later["kl_coef"] = kl_coef
    if flags.kl_target is not None and flags.kl_horizon is not None:
        later["kl_coef"] = rollouts.adapt_kl_coef(kl_coef, kl, flags.kl_target, flags.kl_horizon, len(values))

    def losses(read: Read, rows, _):
        of_rows, old_values, targets = (
            spread([some[i] for i in rows], read.mask) for some in (advantages, values, returns)
        )
        now = model.value_head(read.hidden).squeeze(-1)
        policy = mean_of_tokens(ppo_loss(read.logprobs, read.start_logprobs, of_rows, flags.clip_range), read)
        value = mean_of_tokens(value_loss(now, old_values, targets, flags.value_clip_range), read)
        seen = {"value_loss": value.sum().item(), "clip_fraction": read.clipped(flags.clip_range)}
        return policy + flags.value_coef * value, seen

    return losses


def mean_of_tokens(losses: torch.Tensor, read: Read) -> torch.Tensor:
    """The mean over each response's tokens, (batch,)."""
    return (losses * read.mask).sum(-1) / read.lengths


def values_of(model, responses: Responses, size: int) -> list[list[float]]:
    """The value at each token of each response, before the first step."""

    def values(rows: list[int]) -> list[list[float]]:
        read = responses.read(model, rows, hidden=True)
        found = model.value_head(read.hidden).squeeze(-1)
        return [of_row[kept].tolist() for of_row, kept in zip(found, read.mask, strict=True)]

    rows = list(range(len(responses.sequences)))
    return tokens.map_batches(
        rows, responses.lengths, size, values, Progress(len(rows), "values before the first step")
    )


def estimate(flags: Flags, samples: scored.Samples, responses: Responses, values: list[list[float]], kl_coef: float):
    """(advantages, returns) per token of each response, as lists, and the mean KL of the responses to the reference."""
    lengths = torch.tensor([len(of_response) for of_response in values])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    assert responses.reference is not None
    start, reference, old_values = (spread(some, mask) for some in (responses.start, responses.reference, values))
    rewards = rollouts.token_rewards(samples.rewards.float(), start, reference, mask, kl_coef)
    advantages, returns = rollouts.gae(rewards, old_values, mask, flags.gamma, flags.gae_lambda)
    advantages = rollouts.whiten(advantages, mask)
    kl = ((start - reference) * mask).sum(-1).mean().item()
    return *([row[kept].tolist() for row, kept in zip(some, mask, strict=True)] for some in (advantages, returns)), kl


if __name__ == "__main__":
    stage.run(main, Flags)
