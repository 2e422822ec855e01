"""A policy over a hundred arms: softmax of a small network of the context. Everything about it has a closed form."""

import torch

from preference.bandits import draws, networks, problems
from preference.bandits.networks import Parameters

PRETRAINING_STATES = 100


class CategoricalPolicy:
    """Tensors are (runs, states, ...); the reference is the distribution of the data itself, as published."""

    measured = ("reward", "entropy", "kl", "reverse_kl")

    def __init__(self, reward: int, hidden_size: int, dtype: torch.dtype):
        self.hidden_size, self.dtype = hidden_size, dtype
        self.arm_rewards = problems.arm_rewards(reward).to(dtype)
        self.ref_probs = problems.reference_probs().to(dtype)
        self.ref_logprobs = self.ref_probs.log()

    def contexts(self, seeds: torch.Tensor, stream: str, states: int, *counters: int) -> torch.Tensor:
        """Uniform contexts, (runs, states, 100)."""
        return draws.uniform(seeds, stream, (states, problems.CONTEXT_SIZE), *counters).to(self.dtype)

    def init(self, seeds: torch.Tensor) -> Parameters:
        return networks.init_mlp(seeds, self.hidden_size, problems.NUM_ACTIONS, self.dtype)

    def pretraining(self, seeds: torch.Tensor):
        """(parameters, step) -> mean KL(pi || data) over a hundred contexts, the same at every step, (runs,)."""
        contexts = self.contexts(seeds, "pretraining", PRETRAINING_STATES)

        def loss(parameters: Parameters, step: int) -> torch.Tensor:
            logprobs = self.logprobs(parameters, contexts)
            return self._kl(logprobs, logprobs.exp()).mean(dim=1)

        return loss

    def refer_to(self, parameters: Parameters, seeds: torch.Tensor, eval_states: int) -> None:
        """Nothing to remember: the reference is a fixed distribution."""

    def logprobs(self, parameters: Parameters, contexts: torch.Tensor) -> torch.Tensor:
        """log pi of every arm, (runs, states, 100)."""
        return torch.log_softmax(networks.mlp(parameters, contexts, torch.relu), dim=-1)

    def sample(self, parameters: Parameters, contexts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Arms drawn from the policy, one per uniform number: (runs, states, samples)."""
        return _inverse(self.logprobs(parameters, contexts).exp(), uniforms)

    def sample_reference(self, contexts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        return _inverse(self.ref_probs.expand(*uniforms.shape[:2], -1), uniforms)

    def uniforms(self, seeds: torch.Tensor, states: int, samples: int, *counters: int) -> torch.Tensor:
        return draws.uniform(seeds, "actions", (states, samples), *counters)

    def rewards(self, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.arm_rewards[actions]

    def logps(self, parameters: Parameters, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.logprobs(parameters, contexts).gather(-1, actions)

    def ref_logps(self, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.ref_logprobs[actions]

    def measures(self, parameters: Parameters, contexts: torch.Tensor, seeds: torch.Tensor, step: int, samples=None):
        """Exact means over held-out contexts, each (runs,); and, of the same pass through the network, log pi of a
        round's samples, (runs, states, samples), where they are given."""
        if samples is None:
            return self._measures(self.logprobs(parameters, contexts)), None
        both = self.logprobs(parameters, torch.cat([contexts, samples.contexts], dim=1))
        held_out = contexts.shape[1]
        return self._measures(both[:, :held_out]), both[:, held_out:].gather(-1, samples.actions)

    def _measures(self, logprobs: torch.Tensor) -> dict[str, torch.Tensor]:
        probs = logprobs.exp()
        entropy = -(probs * logprobs).sum(-1)
        mean_logprobs = logprobs.mean(dim=1)  # KL(ref || pi) is linear in log pi
        return {
            "reward": probs.mean(dim=1) @ self.arm_rewards,
            "entropy": entropy.mean(dim=1),
            "kl": self._kl(logprobs, probs).mean(dim=1),
            "reverse_kl": (self.ref_logprobs - mean_logprobs) @ self.ref_probs,
        }

    def _kl(self, logprobs: torch.Tensor, probs: torch.Tensor) -> torch.Tensor:
        return (probs * (logprobs - self.ref_logprobs)).sum(-1)


def _inverse(probs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Draws from each row of probs, (..., 100), by the inverse of its distribution function, one per uniform number."""
    cumulated = probs.double().cumsum(-1).contiguous()
    drawn = torch.searchsorted(cumulated, (uniforms * cumulated[..., -1:]).contiguous(), right=True)
    return drawn.clamp(max=probs.shape[-1] - 1)  # a run that diverged has no distribution, and any arm will do
