"""Training of one cell: all seeds and all points of its grid together, as one tensor program.

A round samples from the policy as it is (or once from the reference), then takes gradient steps on its samples. The
loss is a sum over runs, whose parameters have nothing in common, so that its gradient is every run's own.
"""

from dataclasses import dataclass

import torch

from preference.bandits import draws, objectives
from preference.bandits.categorical import CategoricalPolicy
from preference.bandits.cells import Cell
from preference.bandits.line import LinePolicy
from preference.bandits.objectives import Samples
from preference.bandits.optimizer import Adam
from preference.bandits.sequences import SequencePolicy
from preference.training import rollouts

PRETRAINING_STEPS, PRETRAINING_RATE = 100, 0.01  # as published
OF_PAIRS = ("chosen_logratio", "rejected_logratio", "margin", "gradient_product", "gradient_cosine")


@dataclass(frozen=True)
class Runs:
    """The runs of a program, one per (learning rate, beta, seed), those of one learning rate side by side."""

    seeds: torch.Tensor  # (runs,), int64
    learning_rates: tuple[float, ...]  # (runs,)
    betas: tuple[float | None, ...]  # (runs,)

    @classmethod
    def of(cls, seeds: tuple[int, ...], grid: list[tuple[float, float | None]]) -> "Runs":
        """Every seed at every (learning rate, beta) of a grid."""
        rates, betas = zip(*(point for point in sorted(grid, key=lambda point: point[0]) for _ in seeds), strict=True)
        return cls(torch.tensor(seeds).repeat(len(grid)), rates, betas)

    def beta(self, dtype: torch.dtype) -> torch.Tensor | None:
        """(runs, 1, 1), to multiply what is (runs, states, samples); None where the algorithm has none."""
        return None if self.betas[0] is None else torch.tensor(self.betas, dtype=dtype).view(-1, 1, 1)


def policy_of(cell: Cell, dtype: torch.dtype):
    if cell.policy == "categorical":
        return CategoricalPolicy(cell.reward, cell.hidden_size, dtype)
    if cell.policy == "tokens":
        return SequencePolicy(cell.reward, dtype)
    return LinePolicy(cell.policy, cell.reward, cell.hidden_size, dtype)


def train(cell: Cell, runs: Runs, progress=lambda: None, dtype: torch.dtype = torch.float32) -> list[dict]:
    """Train every run of a cell.

    Args:
        progress: called after each step.

    Returns:
        A record per recorded step, the first of them before any step: `step`, `round`, `queries`, and measures of
        shape (runs,), in nats where they are log-probabilities.
    """
    policy, beta = policy_of(cell, dtype), runs.beta(dtype)
    parameters = initial(policy, cell, runs)
    policy.refer_to(parameters, runs.seeds, cell.eval_states)
    optimizer, records = Adam(parameters, runs.learning_rates), []
    memory: rollouts.Memory = {}
    eval_contexts = policy.contexts(runs.seeds, "eval_contexts", cell.eval_states)
    step = 0

    def record(samples, at_round):
        place = {"step": step, "round": at_round, "queries": at_round * cell.states * cell.samples}
        records.append(place | measures(cell, policy, parameters, optimizer, samples, eval_contexts, runs, step))

    for number in range(1, cell.rounds + 1):
        samples = collect(cell, policy, parameters, runs, memory, number)
        if step == 0:
            record(samples, 0)
        for epoch in range(cell.epochs):
            for batch in batches(cell, samples, runs, number, epoch):
                logps = policy.logps(parameters, batch.contexts, batch.actions)
                optimizer.step(objectives.loss(cell, logps, batch, beta))
                step += 1
                progress()
                if step % cell.record_every == 0 or step == cell.steps:
                    record(samples, number)
    return records


def initial(policy, cell: Cell, runs: Runs) -> dict[str, torch.Tensor]:
    """Every run's first parameters: those of its seed, pretrained as published where the cell says so."""
    seeds = runs.seeds.unique(sorted=True)
    parameters = policy.init(seeds)
    if cell.initialization == "pretrained":
        optimizer, loss = Adam(parameters, (PRETRAINING_RATE,) * len(seeds)), policy.pretraining(seeds)
        for step in range(PRETRAINING_STEPS):
            optimizer.step(loss(parameters, step))
    places = torch.searchsorted(seeds, runs.seeds)
    return {name: value.detach()[places].clone() for name, value in parameters.items()}


@torch.no_grad()
def collect(cell: Cell, policy, parameters, runs: Runs, memory: rollouts.Memory, number: int) -> Samples:
    """The samples of a round, the best of each state first, labelled by the reward."""
    fresh = (number,) if cell.fresh_states else ()
    contexts = policy.contexts(runs.seeds, "contexts", cell.states, *fresh)
    uniforms = policy.uniforms(runs.seeds, cell.states, cell.samples, number)
    if cell.source == "offline":
        actions = policy.sample_reference(contexts, uniforms)
    else:
        actions = policy.sample(parameters, contexts, uniforms)
    order = policy.rewards(contexts, actions).argsort(dim=-1, descending=True, stable=True)
    actions = actions.gather(2, order.view(*order.shape, *[1] * (actions.dim() - 3)).expand_as(actions))
    rewards, ref_logps = policy.rewards(contexts, actions), policy.ref_logps(contexts, actions)
    compared = cell.algorithm in ("reinforce", "ppo") and cell.source == "on_policy"
    old_logps = policy.logps(parameters, contexts, actions) if compared else ref_logps
    advantages = _advantages(cell, rewards, old_logps, ref_logps, memory)
    return Samples(contexts, actions, rewards, ref_logps, old_logps, advantages)


def _advantages(cell: Cell, rewards, old_logps, ref_logps, memory: rollouts.Memory) -> torch.Tensor:
    """What weighs a sample: its reward, shaped, scaled and less a baseline as the cell says."""
    if cell.algorithm == "awr":
        return rollouts.per_state(rewards)
    if cell.algorithm == "ppo":
        rewards = rollouts.kl_shaped(rewards, old_logps, ref_logps, cell.kl_coef)
    return rollouts.advantages(rollouts.scaled(rewards, cell.scale, memory), cell.baseline, memory)


def batches(cell: Cell, samples: Samples, runs: Runs, number: int, epoch: int):
    """The round's samples in the batches of one epoch, each run's states in an order of its own."""
    if cell.batch == cell.states:
        yield samples
        return
    order = draws.uniform(runs.seeds, "order", (cell.states,), number, epoch).argsort(dim=1)
    for states in order.split(cell.batch, dim=1):
        yield samples.of_states(states)


def measures(cell: Cell, policy, parameters, optimizer: Adam, samples: Samples, eval_contexts, runs: Runs, step: int):
    """Everything that a record says of the policy as it is, each (runs,)."""
    with torch.no_grad():
        found, logps = policy.measures(parameters, eval_contexts, runs.seeds, step, samples if cell.pairs else None)
        if cell.pairs:
            chosen, rejected = objectives.log_ratios(logps, samples, cell.min_margin)
            found |= {"chosen_logratio": chosen, "rejected_logratio": rejected, "margin": chosen - rejected}
    if step:
        found |= {"loss": optimizer.loss, "gradient_norm": optimizer.gradient_norm()}
    if cell.diagnose:
        found |= gradient_products(cell, policy, parameters, samples)
    return found


def gradient_products(cell: Cell, policy, parameters, samples: Samples) -> dict[str, torch.Tensor]:
    """<grad mean log pi(y_w), grad mean log pi(y_l)> over a round's pairs, and its cosine, each (runs,); NaN
    where a run has no pair.

    Where it is negative, pushing y_l down raises log pi(y_w) (arXiv 2404.14367, lemma 6.2).
    """
    leaves = list(parameters.values())
    logps = policy.logps(parameters, samples.contexts, samples.actions)
    chosen, rejected = objectives.log_ratios(logps, samples, cell.min_margin)
    of_chosen = torch.autograd.grad(chosen.sum(), leaves, retain_graph=True)
    of_rejected = torch.autograd.grad(rejected.sum(), leaves)
    product = _inner(of_chosen, of_rejected)
    norms = (_inner(of_chosen, of_chosen) * _inner(of_rejected, of_rejected)).sqrt()
    return {"gradient_product": product, "gradient_cosine": product / norms.clamp(min=1e-30)}


def _inner(some: list[torch.Tensor], others: list[torch.Tensor]) -> torch.Tensor:
    return sum((one * other).flatten(1).sum(dim=1) for one, other in zip(some, others, strict=True))


def finite(history: list[dict]) -> list[torch.Tensor]:
    """Of each record, whether each run is finite there and was before, (runs,), bool; where there are no pairs, what is
    measured on pairs does not count."""
    alive, found = None, []
    for record in history:
        numbers = [value for name, value in record.items() if isinstance(value, torch.Tensor) and name not in OF_PAIRS]
        measured = torch.stack(numbers)
        now = measured.isfinite().all(dim=0)
        alive = now if alive is None else alive & now
        found.append(alive)
    return found
