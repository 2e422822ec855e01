"""Draws of tokens: each response has numbers of its own, which pick a token from a distribution."""

import torch
from transformers import LogitsProcessor

from preference.engines import Request, Rules
from preference.seeds import derive_seed

GREEDY = 1e-5  # a lower temperature takes the likeliest token, as in vLLM: logits divided by it would overflow


class Draws(LogitsProcessor):
    """Draws each row's next token by a number of the row's own, and leaves only that token to the greedy search.

    The library's own sampling draws for a whole batch from one generator, so that a row's draws would depend on the
    rows beside it.
    """

    def __init__(self, rules: Rules, chunk: list[Request], width: int, flags):
        self.textless, self.width = list(rules.textless), width
        self.temperature, self.top_p = flags.temperature, flags.top_p
        seeds = [derive_seed(flags.seed, key) for key, _ in chunk]
        self.uniforms = torch.stack([_uniforms(seed, flags.max_new_tokens) for seed in seeds])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores that are -inf but for one token a row.

        Args:
            input_ids: (batch, tokens so far).
            scores: logits of the next token, (batch, vocabulary).
        """
        scores = scores.float()
        scores[:, self.textless] = -torch.inf
        if self.temperature < GREEDY:
            return scores
        uniforms = self.uniforms[:, input_ids.shape[1] - self.width].to(scores.device)
        drawn = draw((scores / self.temperature).softmax(-1), uniforms, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn.unsqueeze(1), 0.0)


def _uniforms(seed: int, count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(probabilities: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return one index a row, (batch,), by the inverse of the distribution function.

    Args:
        probabilities: (batch, vocabulary); rows sum to 1.
        uniforms: one number from [0, 1) a row, (batch,) of float64.
        top_p: draw from the fewest likeliest entries whose probabilities sum to this.
    """
    if top_p == 1:
        masses = probabilities.double().cumsum(-1)
        return _invert(probabilities, masses, uniforms, masses[:, -1:])
    mass = top_p * probabilities.double().sum(-1, keepdim=True)
    order, is_enough = _likeliest(probabilities, mass)
    drawn = _draw_of(probabilities, order, uniforms, mass)
    if not is_enough.all():
        rest = ~is_enough
        order = probabilities[rest].sort(dim=-1, descending=True, stable=True).indices
        drawn[rest] = _draw_of(probabilities[rest], order, uniforms[rest], mass[rest])
    return drawn


def _likeliest(probabilities: torch.Tensor, mass: torch.Tensor, count: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of each row's likeliest entries, equal ones in order, and if they hold the mass, (batch,).

    A few entries nearly always do, and sorting a whole vocabulary takes several times as long.
    """
    values, order = probabilities.topk(min(count, probabilities.shape[1]), sorted=False)
    # Other entries may equal the least of these, unless these are all.
    is_sure = (values > values.amin(-1, keepdim=True)) | (values.shape == probabilities.shape)
    held = values.double().where(is_sure, 0.0).sum(-1, keepdim=True)
    order = order.sort(dim=-1).values
    by_value = probabilities.gather(1, order).sort(dim=-1, descending=True, stable=True).indices
    return order.gather(1, by_value), (held >= mass).squeeze(1)


def _draw_of(
    probabilities: torch.Tensor, order: torch.Tensor, uniforms: torch.Tensor, mass: torch.Tensor
) -> torch.Tensor:
    """Return one index a row, of the first entries in an order that hold the mass, (batch, 1)."""
    probabilities = probabilities.gather(1, order)
    masses = probabilities.double().cumsum(-1)
    last = (masses < mass).sum(-1, keepdim=True).clamp(max=masses.shape[1] - 1)
    index = _invert(probabilities, masses, uniforms, masses.gather(1, last))
    return order.gather(1, index.unsqueeze(1)).squeeze(1)


def _invert(
    probabilities: torch.Tensor, masses: torch.Tensor, uniforms: torch.Tensor, total: torch.Tensor
) -> torch.Tensor:
    """Return where running sums, masses, pass the uniform's share of a total, (batch, 1)."""
    index = torch.searchsorted(masses, uniforms.unsqueeze(1) * total, right=True).squeeze(1)
    # A uniform next to 1 may be rounded up to the total: the last entry with any probability is meant then.
    return torch.minimum(index, (probabilities > 0).to(torch.int64).cumsum(-1).argmax(-1))
