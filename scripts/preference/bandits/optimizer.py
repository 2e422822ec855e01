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
            some = slice(start, start + len(list(runs)))
            state = [
                [leaf.data[some] for leaf in self.leaves],
                *([m[some] for m in each] for each in zip(*self.moments, strict=True)),
            ]
            self.rates.append((rate, some, state))
            start = some.stop

    def step(self, losses: torch.Tensor) -> None:
        """One step of every run on its own loss, (runs,)."""
        self.loss = losses.detach()
        self.gradients = torch.autograd.grad(losses.sum(), self.leaves)
        with torch.no_grad():
            for rate, runs, state in self.rates:
                self._step(rate, [gradient[runs] for gradient in self.gradients], *state)
        self.steps = self.steps + 1

    def _step(self, rate: float, gradients: list, leaves: list, first: list, second: list) -> None:
        adam(
            leaves,
            gradients,
            first,
            second,
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
        norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in self.gradients]
        return torch.linalg.vector_norm(torch.stack(norms), dim=0)
