"""Adam for many runs at once, each with its own learning rate."""

import itertools

import torch
from torch.optim.adam import adam


class Adam:
    """Adam (arXiv 1412.6980) with betas 0.9 and 0.999, eps 1e-8, no decay and no clipping, as published.

    The fused step of torch takes one learning rate, so runs of one rate have to stand side by side: it is called once
    per rate, on slices. It is torch's function and not its class, whose first use imports its compiler (3 s).
    """

    def __init__(self, parameters: dict[str, torch.Tensor], learning_rates: tuple[float, ...]):
        self.leaves = [value.requires_grad_() for value in parameters.values()]
        self.moments = [(torch.zeros_like(leaf), torch.zeros_like(leaf)) for leaf in self.leaves]
        self.rates, self.steps, start = [], torch.zeros(()), 0
        for rate, runs in itertools.groupby(learning_rates):
            stop = start + len(list(runs))
            self.rates.append((rate, slice(start, stop)))
            start = stop

    def step(self, losses: torch.Tensor) -> None:
        """One step of every run on its own loss, (runs,)."""
        self.loss = losses.detach()
        self.gradients = torch.autograd.grad(losses.sum(), self.leaves)
        with torch.no_grad():
            for rate, runs in self.rates:
                self._step(rate, runs)
        self.steps = self.steps + 1

    def _step(self, rate: float, runs: slice) -> None:
        adam(
            [leaf.data[runs] for leaf in self.leaves],
            [gradient[runs] for gradient in self.gradients],
            [first[runs] for first, _ in self.moments],
            [second[runs] for _, second in self.moments],
            [],
            [self.steps.clone() for _ in self.leaves],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def gradient_norm(self) -> torch.Tensor:
        """The L2 norm of each run's last gradient, (runs,)."""
        return sum(gradient.square().flatten(1).sum(dim=1) for gradient in self.gradients).sqrt()
