"""Policies on the line: a network of the context gives location and scale of a Gaussian or a Cauchy distribution, and
the action is its draw, or the tanh of it.

An action is kept as the draw before the tanh: the Jacobian is the same under policy and reference, so that it cancels
in every ratio and has no gradient, and no action is ever rounded to the edge.
"""

import math

import torch

from preference.bandits import draws, networks, problems
from preference.bandits.networks import Parameters

PRETRAINING_STATES = 100
NODES = 1024  # of the quadrature over quantiles, which is within 2e-4 (Gaussian) or 7e-4 (Cauchy) of the reward
LOG_SCALE = (-7.0, 3.0)  # limits of log(scale): beyond, a density overflows


class LinePolicy:
    """Tensors are (runs, states, ...); the reference is the policy's own family at location -0.7 and scale 0.4."""

    def __init__(self, family: str, reward: int, hidden_size: int, dtype: torch.dtype):
        self.cauchy, self.squashed = family.endswith("cauchy"), family.startswith("tanh")
        self.reward, self.hidden_size, self.dtype = reward, hidden_size, dtype
        # E log(1 - tanh^2) of a Cauchy draw does not exist, and so neither does the entropy of its tanh
        self.measured = ("reward", *(() if self.cauchy and self.squashed else ("entropy",)), "kl", "reverse_kl")
        self.nodes = self._quantile((torch.arange(NODES).double() + 0.5) / NODES).to(dtype)

    def contexts(self, seeds: torch.Tensor, stream: str, states: int, *counters: int) -> torch.Tensor:
        """Uniform contexts, (runs, states, 100)."""
        return draws.uniform(seeds, stream, (states, problems.CONTEXT_SIZE), *counters).to(self.dtype)

    def init(self, seeds: torch.Tensor) -> Parameters:
        return networks.init_mlp(seeds, self.hidden_size, 2, self.dtype)

    def pretraining(self, seeds: torch.Tensor):
        """(parameters, step) -> mean KL(pi || reference) over a hundred contexts, the same at every step, (runs,)."""
        contexts = self.contexts(seeds, "pretraining", PRETRAINING_STATES)
        return lambda parameters, step: self._kl(*self._located(parameters, contexts)).mean(dim=1)

    def refer_to(self, parameters: Parameters, seeds: torch.Tensor, eval_states: int) -> None:
        """Nothing to remember: the reference is a fixed distribution."""

    def sample(self, parameters: Parameters, contexts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        loc, scale = self._located(parameters, contexts)
        return loc[..., None] + scale[..., None] * self._quantile(uniforms).to(self.dtype)

    def sample_reference(self, contexts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        return problems.LOC + problems.SCALE * self._quantile(uniforms).to(self.dtype)

    def uniforms(self, seeds: torch.Tensor, states: int, samples: int, *counters: int) -> torch.Tensor:
        return draws.uniform(seeds, "actions", (states, samples), *counters)

    def rewards(self, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return problems.line_rewards(self.reward, actions.tanh() if self.squashed else actions)

    def logps(self, parameters: Parameters, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        loc, scale = self._located(parameters, contexts)
        return self._log_density(actions, loc[..., None], scale[..., None])

    def ref_logps(self, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        scale = torch.full_like(actions, problems.SCALE)
        return self._log_density(actions, torch.full_like(actions, problems.LOC), scale)

    def measures(self, parameters: Parameters, contexts: torch.Tensor, seeds: torch.Tensor, step: int, samples=None):
        """Means over held-out contexts, each (runs,): KLs in closed form, the others by quadrature; and log pi of a
        round's samples, (runs, states, samples), where they are given."""
        loc, scale = self._located(parameters, contexts)
        values = loc[..., None] + scale[..., None] * self.nodes
        measured = {
            "reward": self.rewards(contexts, values).mean(dim=(1, 2)),
            "kl": self._kl(loc, scale).mean(dim=1),
            "reverse_kl": self._reverse_kl(loc, scale).mean(dim=1),
        }
        if "entropy" in self.measured:
            jacobian = _log_slope(values).mean(-1) if self.squashed else 0.0
            measured["entropy"] = (self._entropy(scale) + jacobian).mean(dim=1)
        return measured, self.logps(parameters, samples.contexts, samples.actions) if samples else None

    def _located(self, parameters: Parameters, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loc, log_scale = networks.mlp(parameters, contexts, torch.tanh).unbind(-1)
        return loc, log_scale.clamp(*LOG_SCALE).exp()

    def _quantile(self, uniforms: torch.Tensor) -> torch.Tensor:
        return torch.tan(math.pi * (uniforms - 0.5)) if self.cauchy else torch.special.ndtri(uniforms)

    def _log_density(self, actions: torch.Tensor, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        standard = (actions - loc) / scale
        if self.cauchy:
            return -math.log(math.pi) - scale.log() - torch.log1p(standard**2)
        return -0.5 * math.log(2 * math.pi) - scale.log() - 0.5 * standard**2

    def _entropy(self, scale: torch.Tensor) -> torch.Tensor:
        return scale.log() + (math.log(4 * math.pi) if self.cauchy else 0.5 * math.log(2 * math.pi * math.e))

    def _kl(self, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """KL(pi || reference); of two Cauchy distributions it is symmetric (Chyzak and Nielsen, arXiv 1905.10965)."""
        if self.cauchy:
            apart = (scale + problems.SCALE) ** 2 + (loc - problems.LOC) ** 2
            return (apart / (4 * scale * problems.SCALE)).log()
        ratio = scale / problems.SCALE
        return 0.5 * (ratio**2 + ((loc - problems.LOC) / problems.SCALE) ** 2 - 1) - ratio.log()

    def _reverse_kl(self, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        if self.cauchy:
            return self._kl(loc, scale)
        ratio = problems.SCALE / scale
        return 0.5 * (ratio**2 + ((loc - problems.LOC) / scale) ** 2 - 1) - ratio.log()


def _log_slope(values: torch.Tensor) -> torch.Tensor:
    """log(1 - tanh(x)^2), without cancellation."""
    return 2 * (math.log(2) - values - torch.nn.functional.softplus(-2 * values))
