"""From rewards of a round's samples to advantages: shaping by the KL, scales, and the five published baselines.

Rewards of a bandit are (runs, states, samples): a run never sees another run's. Those of a language model are (rows,)
with the number of each row's prompt, `groups`, since prompts may have unequally many samples; or, token by token,
(rows, tokens) with a mask whose true entries are contiguous. What is remembered from round to round is a `Memory`, a
plain dict of tensors with a number per run.
"""

import torch

Memory = dict[str, torch.Tensor]
BASELINES = ("average", "per_prompt", "moving_average", "exponential_moving_average", "leave_one_out")
DECAY = 0.9  # of the exponentially moving average
LEAST_DEVIATION = 1e-6  # of rewards that differ at all; equal float32 numbers may differ from their mean by an ulp
GROUP_EPSILON = 1e-4  # added to the standard deviation of a group
KL_ERROR = 0.2  # an adaptive coefficient takes a KL to be off by no more than this part of its target


def kl_shaped(rewards: torch.Tensor, logps: torch.Tensor, ref_logps: torch.Tensor, kl_coef: float) -> torch.Tensor:
    """Rewards minus kl_coef (log pi - log ref) of the policy that sampled."""
    return rewards - kl_coef * (logps - ref_logps)


def scaled(rewards: torch.Tensor, scale: str | None, memory: Memory) -> torch.Tensor:
    """Rewards as they are (None), over the running standard deviation of all so far, or z-normalised per state."""
    if scale == "per_state":
        return per_state(rewards)
    if scale == "running":
        deviation = _running(rewards, memory, "scale")[1].sqrt()
        return rewards / torch.where(deviation > LEAST_DEVIATION, deviation, 1.0).to(rewards).view(-1, 1, 1)
    return rewards


def per_state(rewards: torch.Tensor) -> torch.Tensor:
    """Rewards minus their state's mean, over their state's standard deviation; zero where all are equal."""
    centred = rewards - rewards.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).sqrt()
    return torch.where(deviation > LEAST_DEVIATION, centred / deviation.clamp(min=LEAST_DEVIATION), 0.0)


def advantages(rewards: torch.Tensor, baseline: str | None, memory: Memory) -> torch.Tensor:
    """Rewards minus a baseline.

    Args:
        baseline: `average` of the round; `per_prompt`: of the state's samples; `leave_one_out`: of the state's other
            samples; `moving_average`: of all rewards so far, these included; `exponential_moving_average`: b <- 0.9 b +
            0.1 mean, begun at the first mean; None: zero.
        memory: what earlier rounds left; updated.
    """
    if baseline is None:
        return rewards
    if baseline == "per_prompt":
        return rewards - rewards.mean(-1, keepdim=True)
    if baseline == "leave_one_out":
        others = rewards.shape[-1] - 1
        return rewards - (rewards.sum(-1, keepdim=True) - rewards) / others
    if baseline == "moving_average":
        return rewards - _running(rewards, memory, "baseline")[0].to(rewards).view(-1, 1, 1)
    mean = rewards.mean((1, 2))
    if baseline == "exponential_moving_average":
        mean = memory["ema"] = DECAY * memory["ema"] + (1 - DECAY) * mean if "ema" in memory else mean
    return rewards - mean.view(-1, 1, 1)


def group_advantages(rewards: torch.Tensor, groups: torch.Tensor, baseline: str | None, memory: Memory) -> torch.Tensor:
    """`advantages` of rows that belong to prompts of unequally many samples.

    A sample that is alone in its group has an advantage of zero under `per_prompt` and under `leave_one_out`: there is
    nothing to compare it with, and its bare reward would be of another size than the others' advantages.

    Args:
        rewards: (rows,).
        groups: which prompt a row belongs to, numbers from 0 of int64, (rows,).
        baseline, memory: as in `advantages`; a memory holds one run.

    Returns:
        One advantage per row, (rows,).
    """
    if baseline not in ("per_prompt", "leave_one_out"):
        return advantages(rewards.view(1, 1, -1), baseline, memory).view(-1).to(rewards)
    counts, centred = _centred(rewards, groups)
    # r - (n mean - r) / (n - 1) = (r - mean) n / (n - 1)
    return centred * counts / (counts - 1).clamp(min=1) if baseline == "leave_one_out" else centred


def grpo_advantages(rewards: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """(r - mean) / (standard deviation + 1e-4) of each row's group (arXiv 2402.03300, section 4.1.2).

    The deviation is that of the unbiased variance. A sample alone in its group has an advantage of zero.

    Args:
        rewards, groups: as in `group_advantages`, (rows,).

    Returns:
        One advantage per row, (rows,).
    """
    counts, centred = _centred(rewards, groups)
    variances = _group_sums(centred.square(), groups) / (counts - 1).clamp(min=1)
    return centred / (variances.sqrt() + GROUP_EPSILON)


def _centred(rewards: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows in the row's group, reward minus the group's mean), both (rows,)."""
    counts = _group_sums(torch.ones_like(rewards), groups)
    return counts, rewards - _group_sums(rewards, groups) / counts


def _group_sums(values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """The sum over each row's group, at each row."""
    return values.new_zeros(int(groups.max()) + 1).index_add(0, groups, values)[groups]


def token_rewards(
    rewards: torch.Tensor, logprobs: torch.Tensor, ref_logprobs: torch.Tensor, mask: torch.Tensor, kl_coef: float
) -> torch.Tensor:
    """-kl_coef (log pi - log ref) at each token, plus the response's reward at its last one (arXiv 1909.08593, eq. 2).

    Args:
        rewards: one per response, (rows,).
        logprobs, ref_logprobs: of the policy that sampled, and of the reference, (rows, tokens).
        mask: true on response tokens and their EOS, contiguous, at least one in each row, (rows, tokens).

    Returns:
        (rows, tokens), zero outside the mask; the sum over a row is what `kl_shaped` makes of its reward.
    """
    assert mask.any(-1).all(), "a response without a token has nowhere to put its reward"
    return kl_coef * (ref_logprobs - logprobs) * mask + rewards.unsqueeze(-1) * (mask & ~_next(mask))


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation: A_t = sum over s >= 0 of (gamma lam)^s delta_{t+s} (arXiv 1506.02438, eq. 16).

    delta_t = r_t + gamma V_{t+1} - V_t, and after a response's last token V is zero: a response is an episode, a
    truncated one as well.

    Args:
        rewards: of each token, zero outside the mask (token_rewards), (rows, tokens).
        values: V before each token is drawn, (rows, tokens); not read outside the mask.
        mask: true on response tokens and their EOS, contiguous, (rows, tokens).
        gamma: discount per token, from 0 to 1.
        lam: decay of later errors, from 0 (the values decide) to 1 (the rewards decide).

    Returns:
        advantages and returns = advantages + values, both (rows, tokens), zero outside the mask.
    """
    values = torch.where(mask, values, 0.0)
    errors = rewards + gamma * _next(values) - values
    found = torch.zeros_like(errors)
    later = torch.zeros_like(errors[:, 0])
    for token in reversed(range(errors.shape[1])):
        later = torch.where(mask[:, token], errors[:, token] + gamma * lam * later, 0.0)
        found[:, token] = later
    return found, found + values


def _next(tokens: torch.Tensor) -> torch.Tensor:
    """What stands at the next token; after the last one zero, or false."""
    return torch.cat([tokens[:, 1:], torch.zeros_like(tokens[:, :1])], dim=1)


def whiten(advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Advantages of mean 0 and unbiased variance 1 over the mask; zero outside, and where all are equal."""
    count = mask.sum()
    centred = torch.where(mask, advantages - (advantages * mask).sum() / count, 0.0)
    deviation = (centred.square().sum() / (count - 1).clamp(min=1)).sqrt()
    return torch.where(deviation > LEAST_DEVIATION, centred / deviation.clamp(min=LEAST_DEVIATION), 0.0)


def adapt_kl_coef(kl_coef: float, kl: float, target: float, horizon: int, samples: int) -> float:
    """kl_coef (1 + e samples / horizon), e = KL / target - 1 cut to +-0.2 (arXiv 1909.08593, section 2.2).

    Args:
        kl: mean KL of the round's responses to the reference, nats per response.
        target: what it should be, > 0.
        horizon: samples after which a KL that is off by 20 % has changed the coefficient by 20 %, > 0.
        samples: of the round.
    """
    error = min(max(kl / target - 1, -KL_ERROR), KL_ERROR)
    return kl_coef * (1 + error * samples / horizon)


def _running(rewards: torch.Tensor, memory: Memory, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, variance) of all rewards so far, these included, each (runs,); the sums are kept under a name."""
    exact = rewards.double()  # a difference of sums of squares loses most digits of float32
    parts = (torch.ones_like(exact), exact, exact.square())
    sums = torch.stack([part.sum((1, 2)) for part in parts])
    memory[name] = sums = sums + memory[name] if name in memory else sums
    count, total, squares = sums
    mean = total / count
    return mean, (squares / count - mean.square()).clamp(min=0)


def plain(memory: Memory) -> dict:
    """A memory as lists and numbers, for a file."""
    return {name: tensor.tolist() for name, tensor in memory.items()}


def recalled(kept: dict) -> Memory:
    """The memory that `plain` made lists of."""
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in kept.items()}
