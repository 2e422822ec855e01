"""A policy over sequences: a small GPT that continues a prompt of one token with nine more.

A hundred tokens in nine places cannot be enumerated. What is measured is a mean over sampled sequences in which every
sampled token stands only for the context of the next: the expectation over the next token itself is exact. That is
unbiased and has a much smaller standard error than the tokens' own rewards and log-probabilities.
"""

import torch

from preference.bandits import draws, networks, problems
from preference.bandits.networks import Parameters

NEW = problems.SEQUENCE_LENGTH - 1


class SequencePolicy:
    """Contexts are prompt tokens, (runs, states); actions are whole sequences, (runs, states, samples, 10)."""

    measured = tuple(f"{name}{end}" for name in ("reward", "entropy", "kl", "reverse_kl") for end in ("", "_se"))

    def __init__(self, reward: int, dtype: torch.dtype):
        self.dtype = dtype
        self.token_rewards = problems.arm_rewards(reward).to(dtype)
        self.data_logprobs = problems.reference_probs().to(dtype).log()

    def contexts(self, seeds: torch.Tensor, stream: str, states: int, *counters: int) -> torch.Tensor:
        """Prompt tokens, uniform over the vocabulary, (runs, states)."""
        return (draws.uniform(seeds, stream, (states,), *counters) * problems.NUM_ACTIONS).long()

    def init(self, seeds: torch.Tensor) -> Parameters:
        return networks.init_gpt(seeds, self.dtype)

    def pretraining(self, seeds: torch.Tensor):
        """(parameters, step) -> KL(pi || data) summed over one sequence of the policy's own, a new prompt a step."""

        def loss(parameters: Parameters, step: int) -> torch.Tensor:
            contexts = self.contexts(seeds, "pretraining", 1, step)
            uniforms = draws.uniform(seeds, "pretraining", (1, 1, NEW), step, 1)
            logprobs = self.logprobs(parameters, self.sample(parameters, contexts, uniforms))
            return (logprobs.exp() * (logprobs - self.data_logprobs)).sum((1, 2, 3))

        return loss

    def refer_to(self, parameters: Parameters, seeds: torch.Tensor, eval_states: int) -> None:
        """Remember these parameters as the reference, and sequences of it to measure KL(ref || pi) on."""
        self.reference = {name: value.detach().clone() for name, value in parameters.items()}
        contexts = self.contexts(seeds, "reference", eval_states)
        uniforms = draws.uniform(seeds, "reference", (eval_states, 1, NEW), 1)
        self.reference_sequences = self.sample_reference(contexts, uniforms)
        self.reference_logprobs = self.logprobs(self.reference, self.reference_sequences)

    def logprobs(self, parameters: Parameters, actions: torch.Tensor) -> torch.Tensor:
        """log pi of every token after each prefix, (runs, sequences, 9, 100), of actions (runs, ..., 10)."""
        sequences = actions.flatten(1, -2)
        return torch.log_softmax(networks.gpt(parameters, sequences[..., :-1]), dim=-1)

    def sample(self, parameters: Parameters, contexts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Sequences that begin with the prompts: uniforms (runs, states, samples, 9) -> (runs, states, samples, 10)."""
        return self._sampled(parameters, contexts, uniforms)[0]

    @torch.no_grad()
    def _sampled(self, parameters: Parameters, contexts: torch.Tensor, uniforms: torch.Tensor):
        """Sequences, and log pi of every token after each of their prefixes, (runs, sequences, 9, 100)."""
        runs, states, samples, _ = uniforms.shape
        tokens, found = [contexts.repeat_interleave(samples, dim=1)], []
        chances = uniforms.flatten(1, 2)
        cache: list[tuple[torch.Tensor, torch.Tensor]] = []
        for place in range(NEW):
            found.append(torch.log_softmax(networks.gpt(parameters, tokens[-1][..., None], cache)[:, :, 0], dim=-1))
            cumulated = found[-1].double().exp().cumsum(-1)
            drawn = torch.searchsorted(cumulated, chances[..., place, None] * cumulated[..., -1:], right=True)
            tokens.append(drawn[..., 0].clamp(max=problems.NUM_ACTIONS - 1))
        return torch.stack(tokens, dim=-1).view(runs, states, samples, -1), torch.stack(found, dim=2)

    def sample_reference(self, contexts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        return self.sample(self.reference, contexts, uniforms)

    def uniforms(self, seeds: torch.Tensor, states: int, samples: int, *counters: int) -> torch.Tensor:
        return draws.uniform(seeds, "actions", (states, samples, NEW), *counters)

    def rewards(self, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Mean over all ten tokens, the prompt's included, as published: a tenth of it is noise."""
        return self.token_rewards[actions].mean(-1)

    def logps(self, parameters: Parameters, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """log pi of the nine new tokens given the prompt, (runs, states, samples)."""
        logits = networks.gpt(parameters, actions.flatten(1, -2)[..., :-1])
        new = actions.flatten(1, -2)[..., 1:]
        logps = -torch.nn.functional.cross_entropy(logits.flatten(0, -2), new.flatten(), reduction="none")
        return logps.view(*actions.shape[:-1], NEW).sum(-1)

    @torch.no_grad()
    def ref_logps(self, contexts: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.logps(self.reference, contexts, actions)

    def measures(self, parameters: Parameters, contexts: torch.Tensor, seeds: torch.Tensor, step: int, samples=None):
        """Means over one sequence per held-out prompt, and their standard errors, each (runs,); and log pi of a round's
        samples, (runs, states, samples), where they are given."""
        uniforms = draws.uniform(seeds, "eval_actions", (contexts.shape[1], 1, NEW), step)
        sequences, logprobs = self._sampled(parameters, contexts, uniforms)
        ref_logprobs = self.logprobs(self.reference, sequences)
        of_reference = self.logprobs(parameters, self.reference_sequences)
        expected = (logprobs.exp() @ self.token_rewards).sum(-1) + self.token_rewards[contexts]
        values = {
            "reward": expected / problems.SEQUENCE_LENGTH,
            "entropy": -_expected(logprobs, logprobs),
            "kl": _expected(logprobs, logprobs - ref_logprobs),
            "reverse_kl": _expected(self.reference_logprobs, self.reference_logprobs - of_reference),
        }
        means = {name: value.mean(dim=1) for name, value in values.items()}
        means |= {f"{name}_se": value.std(dim=1) / value.shape[1] ** 0.5 for name, value in values.items()}
        return means, self.logps(parameters, samples.contexts, samples.actions) if samples else None


def _expected(logprobs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The expectation of values over the next token, summed over the places of a sequence, (runs, sequences)."""
    return (logprobs.exp() * values).sum(-1).sum(-1)
