"""From rewards of a round's samples to advantages: shaping by the KL, scales, and the five published baselines.

Rewards are (runs, states, samples): a run never sees another run's. What is remembered from round to round is a
`Memory`, a plain dict of tensors with a number per run.
"""

import torch

Memory = dict[str, torch.Tensor]
BASELINES = ("average", "per_prompt", "moving_average", "exponential_moving_average", "leave_one_out")
DECAY = 0.9  # of the exponentially moving average
LEAST_DEVIATION = 1e-6  # of rewards that differ at all; equal float32 numbers may differ from their mean by an ulp


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
