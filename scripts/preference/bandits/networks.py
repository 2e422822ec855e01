"""Many small networks as one: every parameter has a leading dimension of runs, every product is a batched one.

A network is a dict of parameters and a function of it; a run never sees another run's parameters.
"""

import math

import torch
from torch.nn import functional

from preference.bandits import draws, problems

Parameters = dict[str, torch.Tensor]
FEATURES = 50  # of the context, normalised before the hidden layers
XAVIER_GAIN = 0.01
LAYERS, HEADS, WIDTH = 3, 3, 48  # of the GPT: the published "gpt-nano"
INIT_SCALE = 0.02


def init_mlp(seeds: torch.Tensor, hidden: int, outputs: int, dtype: torch.dtype) -> Parameters:
    """Context 100 -> 50, LayerNorm -> hidden -> hidden -> outputs; Xavier-uniform weights of gain 0.01, no bias yet."""
    sizes = [problems.CONTEXT_SIZE, FEATURES, hidden, hidden, outputs]
    parameters = {"norm.weight": torch.ones(len(seeds), 1, FEATURES), "norm.bias": torch.zeros(len(seeds), 1, FEATURES)}
    for i, (above, below) in enumerate(zip(sizes, sizes[1:], strict=False)):
        limit = XAVIER_GAIN * math.sqrt(6 / (above + below))
        parameters[f"{i}.weight"] = limit * (2 * draws.uniform(seeds, "weights", (above, below), i) - 1)
        parameters[f"{i}.bias"] = torch.zeros(len(seeds), 1, below)
    return {name: value.to(dtype) for name, value in parameters.items()}


def mlp(parameters: Parameters, contexts: torch.Tensor, activation) -> torch.Tensor:
    """Outputs of every run's network on its own contexts: (runs, states, 100) -> (runs, states, outputs)."""
    features = _linear(parameters, "0", contexts)
    hidden = activation(_normalised(parameters, "norm", features))
    hidden = torch.relu(_linear(parameters, "1", hidden))
    hidden = torch.relu(_linear(parameters, "2", hidden))
    return _linear(parameters, "3", hidden)


def init_gpt(seeds: torch.Tensor, dtype: torch.dtype) -> Parameters:
    """A GPT of 3 layers, 3 heads and 48 dimensions (95,000 parameters) that reads 10 tokens of 100; weights N(0, 0.02),
    those that write to the residual stream divided by sqrt(2 layers), no bias yet."""
    vocabulary, length, runs = problems.NUM_ACTIONS, problems.SEQUENCE_LENGTH, len(seeds)
    residual = INIT_SCALE / math.sqrt(2 * LAYERS)
    weights = {"tokens": (vocabulary, WIDTH, INIT_SCALE), "positions": (length, WIDTH, INIT_SCALE)}
    for i in range(LAYERS):
        weights[f"{i}.qkv.weight"] = (WIDTH, 3 * WIDTH, INIT_SCALE)
        weights[f"{i}.attended.weight"] = (WIDTH, WIDTH, residual)
        weights[f"{i}.up.weight"] = (WIDTH, 4 * WIDTH, INIT_SCALE)
        weights[f"{i}.down.weight"] = (4 * WIDTH, WIDTH, residual)
    weights["head.weight"] = (WIDTH, vocabulary, INIT_SCALE)
    parameters = {
        name: scale * draws.normal(seeds, "weights", (above, below), i)
        for i, (name, (above, below, scale)) in enumerate(weights.items())
    }
    for name, (_, below, _) in weights.items():
        if name.endswith(".weight") and name != "head.weight":
            parameters[name.replace("weight", "bias")] = torch.zeros(runs, 1, below)
    for name in ("final", *(f"{i}.{norm}" for i in range(LAYERS) for norm in ("before_attention", "before_mlp"))):
        parameters[f"{name}.weight"], parameters[f"{name}.bias"] = (
            torch.ones(runs, 1, WIDTH),
            torch.zeros(runs, 1, WIDTH),
        )
    return {name: value.to(dtype) for name, value in parameters.items()}


def gpt(parameters: Parameters, tokens: torch.Tensor, cache: list | None = None) -> torch.Tensor:
    """Logits of the token after each one: (runs, sequences, length) -> (runs, sequences, length, 100).

    Args:
        cache: keys and values of the tokens before this one, a pair per layer, which is extended in place; an empty
            list begins one. With a cache, `tokens` are the next one only. No dropout anywhere.
    """
    runs, sequences, length = tokens.shape
    assert cache is None or length == 1, f"{length} tokens at once would see each other's future"
    start = cache[0][0].shape[2] if cache else 0
    rows = torch.arange(runs).view(-1, 1, 1) * problems.NUM_ACTIONS + tokens
    hidden = functional.embedding(rows, parameters["tokens"].flatten(0, 1))
    hidden = (hidden + parameters["positions"][:, None, start : start + length]).flatten(1, 2)
    for i in range(LAYERS):
        hidden = hidden + _attended(parameters, i, hidden, (runs, sequences, length), cache)
        up = functional.gelu(
            _linear(parameters, f"{i}.up", _normalised(parameters, f"{i}.before_mlp", hidden)), approximate="tanh"
        )
        hidden = hidden + _linear(parameters, f"{i}.down", up)
    logits = _normalised(parameters, "final", hidden) @ parameters["head.weight"]
    return logits.view(runs, sequences, length, -1)


def _attended(parameters: Parameters, layer: int, hidden: torch.Tensor, shape: tuple, cache: list | None):
    """What causal self-attention adds to the residual stream, (runs, sequences * length, 48)."""
    runs, sequences, length = shape
    mixed = _linear(parameters, f"{layer}.qkv", _normalised(parameters, f"{layer}.before_attention", hidden))
    mixed = mixed.view(runs * sequences, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    query, key, value = mixed.unbind()
    if cache is not None:
        if len(cache) > layer:
            key, value = (torch.cat(pair, dim=2) for pair in zip(cache[layer], (key, value), strict=True))
            cache[layer] = (key, value)
        else:
            cache.append((key, value))
    attended = functional.scaled_dot_product_attention(query, key, value, is_causal=cache is None)
    attended = attended.transpose(1, 2).reshape(runs, sequences * length, WIDTH)
    return _linear(parameters, f"{layer}.attended", attended)


def _linear(parameters: Parameters, name: str, inputs: torch.Tensor) -> torch.Tensor:
    return torch.baddbmm(parameters[f"{name}.bias"], inputs, parameters[f"{name}.weight"])


def _normalised(parameters: Parameters, name: str, inputs: torch.Tensor) -> torch.Tensor:
    scaled = functional.layer_norm(inputs, inputs.shape[-1:])
    return torch.addcmul(parameters[f"{name}.bias"], scaled, parameters[f"{name}.weight"])
