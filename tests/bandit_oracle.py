"""One run of the bandit lab in plain loops: what the batched program has to agree with, and be faster than.

Written from the published description, in its style: Python walks over states, samples and pairs, the network is called
once per (state, action), the losses are scalars. Only the draws, the problems and the values that parameters begin with
are those of the program that is tested.
"""

import math
from statistics import NormalDist, fmean, pstdev, stdev

import torch

from preference.bandits import draws, networks, problems

PRETRAINING_STEPS, PRETRAINING_RATE, PRETRAINING_STATES = 100, 0.01, 100
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
LEAST_RATIO, LEAST_DEVIATION, DECAY = 0.01, 1e-6, 0.9
NODES, DENSE_NODES, WIDEST = 1024, 4000, 12.0


def train(cell, seed: int, learning_rate: float, beta: float | None = None, progress=lambda: None) -> list[dict]:
    """The records of one run, each a dict of floats by the names of the program's records."""
    policy = policy_of(cell)
    theta = initial(cell, policy, seed)
    policy.refer_to(theta, seed, cell.eval_states)
    optimizer, past, records, step = Adam(theta, learning_rate), Past(), [], 0
    eval_contexts = policy.contexts(seed, "eval_contexts", cell.eval_states)
    batch = cell.batch_states or cell.states
    last = cell.rounds * cell.epochs * (cell.states // batch)

    def record(states, at_round):
        place = {"step": step, "round": at_round, "queries": at_round * cell.states * cell.samples}
        records.append(place | measures(cell, policy, theta, optimizer, states, eval_contexts, seed, step))

    for number in range(1, cell.rounds + 1):
        states = collect(cell, policy, theta, seed, past, number)
        if step == 0:
            record(states, 0)
        for epoch in range(cell.epochs):
            keys = uniform(seed, "order", (cell.states,), number, epoch)
            order = sorted(range(cell.states), key=lambda state: keys[state])
            if batch == cell.states:
                order = list(range(cell.states))
            for start in range(0, cell.states, batch):
                chosen = [states[i] for i in order[start : start + batch]]
                optimizer.step(loss(cell, policy, theta, chosen, beta))
                step += 1
                progress()
                if step % cell.record_every == 0 or step == last:
                    record(states, number)
    return records


def initial(cell, policy, seed: int) -> dict[str, torch.Tensor]:
    theta = {name: value[0].clone().requires_grad_() for name, value in policy.init(torch.tensor([seed])).items()}
    if cell.initialization == "pretrained":
        optimizer = Adam(theta, PRETRAINING_RATE)
        for step in range(PRETRAINING_STEPS):
            optimizer.step(policy.pretraining_loss(theta, seed, step))
    return theta


def collect(cell, policy, theta, seed: int, past: "Past", number: int) -> list[dict]:
    """A round's samples, a dict per state, the best sample first."""
    contexts = policy.contexts(seed, "contexts", cell.states, *((number,) if cell.fresh_states else ()))
    chances = uniform(seed, "actions", (cell.states, cell.samples, *policy.chances), number)
    states = []
    for i in range(cell.states):
        actions = []
        for j in range(cell.samples):
            if cell.source == "offline":
                actions.append(policy.sample_reference(contexts[i], chances[i, j]))
            else:
                actions.append(policy.sample(theta, contexts[i], chances[i, j]))
        actions.sort(key=policy.reward, reverse=True)  # stable
        state = {"context": contexts[i], "actions": actions, "rewards": [policy.reward(a) for a in actions]}
        state["ref_logps"] = [policy.ref_logp(contexts[i], a) for a in actions]
        with torch.no_grad():  # under what sampled
            on_policy = [policy.logp(theta, contexts[i], a).item() for a in actions]
        state["old_logps"] = state["ref_logps"] if cell.source == "offline" else on_policy
        states.append(state)
    weigh(cell, states, past)
    return states


class Past:
    """What baselines and scales remember of a run."""

    def __init__(self):
        self.unscaled, self.scaled, self.average = [], [], None


def weigh(cell, states: list[dict], past: Past) -> None:
    """Give every state the advantages of its samples."""
    for state in states:
        values = list(state["rewards"])
        if cell.algorithm == "ppo":
            values = [
                reward - cell.kl_coef * (old - ref)
                for reward, old, ref in zip(values, state["old_logps"], state["ref_logps"], strict=True)
            ]
        if cell.scale == "per_state" or cell.algorithm == "awr":
            mean, deviation = fmean(values), pstdev(values)
            values = [(value - mean) / deviation if deviation > LEAST_DEVIATION else 0.0 for value in values]
        state["advantages"] = values
        past.unscaled += values
    if cell.scale == "running":
        deviation = pstdev(past.unscaled)
        deviation = deviation if deviation > LEAST_DEVIATION else 1.0
        for state in states:
            state["advantages"] = [value / deviation for value in state["advantages"]]
    everything = [value for state in states for value in state["advantages"]]
    past.scaled += everything
    average = fmean(everything)
    past.average = average if past.average is None else DECAY * past.average + (1 - DECAY) * average
    for state in states:
        values, count = state["advantages"], len(state["advantages"])
        for_all = {
            None: 0.0,
            "average": average,
            "per_prompt": fmean(values),
            "moving_average": fmean(past.scaled),
            "exponential_moving_average": past.average,
        }
        if cell.baseline == "leave_one_out":
            baselines = [fmean(values[:i] + values[i + 1 :]) for i in range(count)]
        else:
            baselines = [for_all[cell.baseline]] * count
        state["advantages"] = [value - baseline for value, baseline in zip(values, baselines, strict=True)]


def loss(cell, policy, theta, states: list[dict], beta: float | None) -> torch.Tensor:
    """The scalar that a gradient step descends."""
    losses = []
    for state in states:
        if cell.algorithm in ("pref_ft", "dpo", "ipo"):
            losses += [pair_loss(cell, policy, theta, state, *pair, beta) for pair in pairs(cell, state)]
        elif cell.algorithm == "best_of_n":
            losses.append(best_of_n_loss(cell, policy, theta, state, beta))
        else:
            losses += [sample_loss(cell, policy, theta, state, i, beta) for i in range(cell.samples)]
    return torch.stack(losses).mean() if losses else 0 * sum(value.sum() for value in theta.values())


def pairs(cell, state: dict) -> list[tuple[int, int]]:
    rewards = state["rewards"]
    indices = range(len(rewards))
    return [(i, j) for i in indices for j in indices if rewards[i] - rewards[j] > cell.min_margin]


def pair_loss(cell, policy, theta, state: dict, chosen: int, rejected: int, beta: float | None) -> torch.Tensor:
    chosen_logp = policy.logp(theta, state["context"], state["actions"][chosen])
    if cell.algorithm == "pref_ft":
        return -chosen_logp
    rejected_logp = policy.logp(theta, state["context"], state["actions"][rejected])
    ref_chosen_logp = policy.ref_logp(state["context"], state["actions"][chosen])
    ref_rejected_logp = policy.ref_logp(state["context"], state["actions"][rejected])
    margin = (chosen_logp - ref_chosen_logp) - (rejected_logp - ref_rejected_logp)
    if cell.algorithm == "dpo":
        return torch.log1p(torch.exp(-beta * margin))
    return (margin - 1 / (2 * beta)) ** 2


def best_of_n_loss(cell, policy, theta, state: dict, beta: float | None) -> torch.Tensor:
    logps = [policy.logp(theta, state["context"], action) for action in state["actions"]]
    rewards, ref_logps = state["rewards"], state["ref_logps"]
    best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
    total = -logps[best]
    if cell.negative == "none":
        return total
    if cell.negative == "worst":
        return total + beta * logps[worst]
    worse = [i for i in range(len(rewards)) if rewards[i] < rewards[best]]
    if cell.negative == "complement":
        for i in worse:
            total = total - beta * torch.log(1 - logps[i].exp())
        return total
    share = beta / (len(rewards) - 1) if cell.negative.startswith("average") else beta
    likely = [i for i in worse if (logps[i] - logps[best]).exp() > LEAST_RATIO]
    for i in likely:
        total = total + share * logps[i]
    if cell.negative.endswith("_constrained"):
        total = total + ref_logps[best] - share * sum(ref_logps[i] for i in likely)
    return total


def sample_loss(cell, policy, theta, state: dict, i: int, beta: float | None) -> torch.Tensor:
    logp = policy.logp(theta, state["context"], state["actions"][i])
    ref_logp, old_logp, advantage = state["ref_logps"][i], state["old_logps"][i], state["advantages"][i]
    if cell.algorithm in ("rwr", "awr"):
        return -math.exp(advantage / beta) * logp
    if cell.algorithm == "reinforce":
        return -advantage * logp + cell.kl_coef / 2 * (logp - ref_logp) ** 2
    ratio = torch.exp(logp - old_logp)
    clipped = ratio.clamp(1 - cell.clip_range, 1 + cell.clip_range)
    return max(-advantage * ratio, -advantage * clipped)


class Adam:
    """Adam, written out (arXiv 1412.6980, algorithm 1)."""

    def __init__(self, theta: dict[str, torch.Tensor], learning_rate: float):
        self.theta, self.learning_rate, self.count = theta, learning_rate, 0
        self.first = {name: torch.zeros_like(value) for name, value in theta.items()}
        self.second = {name: torch.zeros_like(value) for name, value in theta.items()}

    def step(self, loss: torch.Tensor) -> None:
        self.loss, self.count = loss.item(), self.count + 1
        gradients = torch.autograd.grad(loss, list(self.theta.values()))
        self.gradient_norm = math.sqrt(sum((gradient**2).sum().item() for gradient in gradients))
        with torch.no_grad():
            for (name, value), gradient in zip(self.theta.items(), gradients, strict=True):
                self.first[name] = BETAS[0] * self.first[name] + (1 - BETAS[0]) * gradient
                self.second[name] = BETAS[1] * self.second[name] + (1 - BETAS[1]) * gradient**2
                first = self.first[name] / (1 - BETAS[0] ** self.count)
                second = self.second[name] / (1 - BETAS[1] ** self.count)
                value -= self.learning_rate * first / (second.sqrt() + EPSILON)


def measures(cell, policy, theta, optimizer: Adam, states: list[dict], eval_contexts, seed: int, step: int) -> dict:
    with torch.no_grad():
        found = policy.measures(theta, eval_contexts, seed, step)
        if cell.samples > 1:
            chosen, rejected = (part.item() for part in mean_log_ratios(cell, policy, theta, states))
            found |= {"chosen_logratio": chosen, "rejected_logratio": rejected, "margin": chosen - rejected}
    if step:
        found |= {"loss": optimizer.loss, "gradient_norm": optimizer.gradient_norm}
    if cell.diagnose:
        found |= gradient_products(cell, policy, theta, states)
    return found


def mean_log_ratios(cell, policy, theta, states: list[dict]) -> list[torch.Tensor]:
    """Mean log(pi / ref) of chosen and of rejected responses over the pairs of all states."""
    ratios = ([], [])
    for state in states:
        for pair in pairs(cell, state):
            for found, i in zip(ratios, pair, strict=True):
                logp = policy.logp(theta, state["context"], state["actions"][i])
                found.append(logp - state["ref_logps"][i])
    return [torch.stack(found).mean() if found else torch.tensor(math.nan) for found in ratios]


def gradient_products(cell, policy, theta, states: list[dict]) -> dict[str, float]:
    leaves = list(theta.values())
    chosen, rejected = (
        torch.cat([part.flatten() for part in torch.autograd.grad(mean, leaves)])
        for mean in mean_log_ratios(cell, policy, theta, states)
    )
    product = (chosen * rejected).sum().item()
    return {"gradient_product": product, "gradient_cosine": product / (chosen.norm() * rejected.norm()).item()}


def uniform(seed: int, stream: str, shape: tuple[int, ...], *counters: int) -> torch.Tensor:
    return draws.uniform(torch.tensor([seed]), stream, shape, *counters)[0]


def inverse(probs: list[float], chance: float) -> int:
    """The first outcome at which the cumulated probability exceeds a chance."""
    target, cumulated = chance * sum(probs), 0.0
    for outcome, prob in enumerate(probs):
        cumulated += prob
        if cumulated > target:
            return outcome
    return len(probs) - 1


def linear(theta, name: str, inputs: torch.Tensor) -> torch.Tensor:
    return inputs @ theta[f"{name}.weight"] + theta[f"{name}.bias"].squeeze(0)


def layer_norm(theta, name: str, inputs: torch.Tensor) -> torch.Tensor:
    centred = inputs - inputs.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return theta[f"{name}.weight"].squeeze(0) * scaled + theta[f"{name}.bias"].squeeze(0)


def mlp(theta, context: torch.Tensor, activation) -> torch.Tensor:
    """The outputs of the network on one context."""
    hidden = activation(layer_norm(theta, "norm", linear(theta, "0", context)))
    hidden = torch.relu(linear(theta, "1", hidden))
    hidden = torch.relu(linear(theta, "2", hidden))
    return linear(theta, "3", hidden)


def gpt(theta, tokens: list[int]) -> torch.Tensor:
    """Logits of what follows each token of one sequence, (length, 100)."""
    length, size = len(tokens), networks.WIDTH // networks.HEADS
    hidden = theta["tokens"][tokens] + theta["positions"][:length]
    future = torch.ones(length, length).triu(diagonal=1).bool()
    for i in range(networks.LAYERS):
        mixed = linear(theta, f"{i}.qkv", layer_norm(theta, f"{i}.before_attention", hidden))
        query, key, value = mixed.split(networks.WIDTH, dim=-1)
        heads = []
        for start in range(0, networks.WIDTH, size):
            part = slice(start, start + size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            heads.append(torch.softmax(scores.masked_fill(future, -math.inf), dim=-1) @ value[:, part])
        hidden = hidden + linear(theta, f"{i}.attended", torch.cat(heads, dim=-1))
        up = linear(theta, f"{i}.up", layer_norm(theta, f"{i}.before_mlp", hidden))
        up = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        hidden = hidden + linear(theta, f"{i}.down", up)
    return layer_norm(theta, "final", hidden) @ theta["head.weight"]


def policy_of(cell):
    if cell.policy == "categorical":
        return Categorical(cell)
    return Tokens(cell) if cell.policy == "tokens" else Line(cell)


class Categorical:
    chances = ()

    def __init__(self, cell):
        self.hidden_size = cell.hidden_size
        centre, width = problems.PEAKS[cell.reward]
        self.arm_rewards = [math.exp(-(((arm - centre) / width) ** 2)) for arm in range(problems.NUM_ACTIONS)]
        self.ref_probs = problems.reference_probs().tolist()

    def init(self, seeds):
        return networks.init_mlp(seeds, self.hidden_size, problems.NUM_ACTIONS, torch.float64)

    def refer_to(self, theta, seed, eval_states):
        pass

    def contexts(self, seed, stream, states, *counters):
        return uniform(seed, stream, (states, problems.CONTEXT_SIZE), *counters)

    def logprobs(self, theta, context):
        logits = mlp(theta, context, torch.relu)
        return logits - torch.logsumexp(logits, dim=0)

    def sample(self, theta, context, chance):
        with torch.no_grad():
            return inverse(self.logprobs(theta, context).exp().tolist(), chance.item())

    def sample_reference(self, context, chance):
        return inverse(self.ref_probs, chance.item())

    def reward(self, arm):
        return self.arm_rewards[arm]

    def logp(self, theta, context, arm):
        return self.logprobs(theta, context)[arm]

    def ref_logp(self, context, arm):
        return math.log(self.ref_probs[arm])

    def pretraining_loss(self, theta, seed, step):
        contexts = self.contexts(seed, "pretraining", PRETRAINING_STATES)
        ref_logprobs, total = torch.tensor(self.ref_probs, dtype=torch.float64).log(), 0.0
        for context in contexts:
            logprobs = self.logprobs(theta, context)
            total = total + (logprobs.exp() * (logprobs - ref_logprobs)).sum()
        return total / len(contexts)

    def measures(self, theta, contexts, seed, step):
        found = {"reward": [], "entropy": [], "kl": [], "reverse_kl": []}
        for context in contexts:
            logprobs = self.logprobs(theta, context).tolist()
            arms = list(zip(logprobs, self.ref_probs, self.arm_rewards, strict=True))
            found["reward"].append(sum(math.exp(logprob) * reward for logprob, _, reward in arms))
            found["entropy"].append(sum(-math.exp(logprob) * logprob for logprob, _, _ in arms))
            found["kl"].append(sum(math.exp(logprob) * (logprob - math.log(ref)) for logprob, ref, _ in arms))
            found["reverse_kl"].append(sum(ref * (math.log(ref) - logprob) for logprob, ref, _ in arms))
        return {name: fmean(values) for name, values in found.items()}


class Line:
    """Actions are kept before the tanh, whose Jacobian is the same under policy and reference."""

    chances = ()

    def __init__(self, cell):
        self.name, self.hidden_size = cell.policy, cell.hidden_size
        self.centre, self.width = problems.LINE_PEAKS[cell.reward]
        self.squashed = cell.policy.startswith("tanh_")
        self.cauchy = cell.policy.endswith("cauchy")

    def init(self, seeds):
        return networks.init_mlp(seeds, self.hidden_size, 2, torch.float64)

    def refer_to(self, theta, seed, eval_states):
        pass

    def contexts(self, seed, stream, states, *counters):
        return uniform(seed, stream, (states, problems.CONTEXT_SIZE), *counters)

    def located(self, theta, context):
        loc, log_scale = mlp(theta, context, torch.tanh)
        return loc, log_scale.clamp(-7, 3).exp()

    def quantile(self, chance: float) -> float:
        return math.tan(math.pi * (chance - 0.5)) if self.cauchy else NormalDist().inv_cdf(chance)

    def sample(self, theta, context, chance):
        with torch.no_grad():
            loc, scale = self.located(theta, context)
            return (loc + scale * self.quantile(chance.item())).item()

    def sample_reference(self, context, chance):
        return problems.LOC + problems.SCALE * self.quantile(chance.item())

    def reward(self, action: float) -> float:
        action = math.tanh(action) if self.squashed else action
        return math.exp(-(((action - self.centre) / self.width) ** 2))

    def log_density(self, action, loc, scale):
        loc, scale = torch.as_tensor(loc), torch.as_tensor(scale)
        if self.cauchy:
            return torch.log(scale / (math.pi * (scale**2 + (action - loc) ** 2)))
        return -((action - loc) ** 2) / (2 * scale**2) - torch.log(scale * math.sqrt(2 * math.pi))

    def logp(self, theta, context, action):
        return self.log_density(action, *self.located(theta, context))

    def ref_logp(self, context, action):
        return self.log_density(action, *self.reference()).item()

    def reference(self):
        return (torch.tensor(number, dtype=torch.float64) for number in (problems.LOC, problems.SCALE))

    def divergence(self, loc, scale, other_loc, other_scale):
        """KL of two densities of the family, by integration over the first one."""
        if self.cauchy:  # over quantiles: the log-ratio is a smooth periodic function of the angle
            angles = math.pi * ((torch.arange(DENSE_NODES).double() + 0.5) / DENSE_NODES - 0.5)
            actions, weights = loc + scale * angles.tan(), 1 / DENSE_NODES
        else:
            actions = loc + scale * torch.linspace(-WIDEST, WIDEST, DENSE_NODES, dtype=torch.float64)
            weights = self.log_density(actions, loc, scale).exp() * (actions[1] - actions[0])
        ratios = self.log_density(actions, loc, scale) - self.log_density(actions, other_loc, other_scale)
        return (weights * ratios).sum()

    def pretraining_loss(self, theta, seed, step):
        contexts = self.contexts(seed, "pretraining", PRETRAINING_STATES)
        reference = tuple(self.reference())
        return sum(self.divergence(*self.located(theta, each), *reference) for each in contexts) / len(contexts)

    def measures(self, theta, contexts, seed, step):
        found = {"reward": [], "entropy": [], "kl": [], "reverse_kl": []}
        reference = tuple(self.reference())
        for context in contexts:
            located = self.located(theta, context)
            loc, scale = (part.item() for part in located)
            actions = [loc + scale * self.quantile((i + 0.5) / NODES) for i in range(NODES)]
            found["reward"].append(fmean(self.reward(action) for action in actions))
            found["kl"].append(self.divergence(*located, *reference).item())
            found["reverse_kl"].append(self.divergence(*reference, *located).item())
            entropy = math.log(4 * math.pi * scale) if self.cauchy else 0.5 * math.log(2 * math.pi * math.e * scale**2)
            if self.squashed:
                entropy += fmean(math.log(1 - math.tanh(action) ** 2) for action in actions) if not self.cauchy else 0.0
            found["entropy"].append(entropy)
        if self.name == "tanh_cauchy":
            del found["entropy"]  # it is minus infinity
        return {name: fmean(values) for name, values in found.items()}


class Tokens:
    chances = (problems.SEQUENCE_LENGTH - 1,)

    def __init__(self, cell):
        centre, width = problems.PEAKS[cell.reward]
        self.token_rewards = [math.exp(-(((token - centre) / width) ** 2)) for token in range(problems.NUM_ACTIONS)]
        self.data_logprobs = problems.reference_probs().log()

    def init(self, seeds):
        return networks.init_gpt(seeds, torch.float64)

    def refer_to(self, theta, seed, eval_states):
        self.reference = {name: value.detach().clone() for name, value in theta.items()}
        chances = uniform(seed, "reference", (eval_states, 1, *self.chances), 1)
        prompts = self.contexts(seed, "reference", eval_states)
        self.ref_sequences = [self.sample_reference(p, chances[i, 0]) for i, p in enumerate(prompts)]

    def contexts(self, seed, stream, states, *counters):
        return [int(chance * problems.NUM_ACTIONS) for chance in uniform(seed, stream, (states,), *counters).tolist()]

    def logprobs(self, theta, sequence):
        """log pi of every token at every place but the first, (9, 100)."""
        return torch.log_softmax(gpt(theta, sequence[:-1]), dim=-1)

    @torch.no_grad()
    def sample(self, theta, prompt, chances):
        sequence = [prompt]
        for chance in chances.tolist():
            sequence.append(inverse(torch.softmax(gpt(theta, sequence)[-1], dim=-1).tolist(), chance))
        return sequence

    def sample_reference(self, prompt, chances):
        return self.sample(self.reference, prompt, chances)

    def reward(self, sequence):
        return fmean(self.token_rewards[token] for token in sequence)

    def logp(self, theta, prompt, sequence):
        logprobs = self.logprobs(theta, sequence)
        return sum(logprobs[place, token] for place, token in enumerate(sequence[1:]))

    @torch.no_grad()
    def ref_logp(self, prompt, sequence):
        return self.logp(self.reference, prompt, sequence).item()

    def pretraining_loss(self, theta, seed, step):
        (prompt,) = self.contexts(seed, "pretraining", 1, step)
        sequence = self.sample(theta, prompt, uniform(seed, "pretraining", (1, 1, *self.chances), step, 1)[0, 0])
        logprobs = self.logprobs(theta, sequence)
        return (logprobs.exp() * (logprobs - self.data_logprobs)).sum()

    def measures(self, theta, prompts, seed, step):
        """Means over a sequence per prompt, of expectations over the next token at each of its places."""
        found = {"reward": [], "entropy": [], "kl": [], "reverse_kl": []}
        chances = uniform(seed, "eval_actions", (len(prompts), 1, *self.chances), step)
        rewards = torch.tensor(self.token_rewards, dtype=torch.float64)
        for i, prompt in enumerate(prompts):
            sequence = self.sample(theta, prompt, chances[i, 0])
            logprobs, ref_logprobs = (self.logprobs(each, sequence) for each in (theta, self.reference))
            total, entropy, kl = rewards[prompt].item(), 0.0, 0.0
            for at, ref_at in zip(logprobs, ref_logprobs, strict=True):
                total += (at.exp() * rewards).sum().item()
                entropy -= (at.exp() * at).sum().item()
                kl += (at.exp() * (at - ref_at)).sum().item()
            logprobs, ref_logprobs = (self.logprobs(each, self.ref_sequences[i]) for each in (theta, self.reference))
            reverse_kl = (ref_logprobs.exp() * (ref_logprobs - logprobs)).sum().item()
            for name, value in zip(found, (total / len(sequence), entropy, kl, reverse_kl), strict=True):
                found[name].append(value)
        errors = {f"{name}_se": stdev(values) / math.sqrt(len(prompts)) for name, values in found.items()}
        return {name: fmean(values) for name, values in found.items()} | errors
