"""Evaluate a policy: policy + held-out prompts and pairs -> evaluation.json (metrics) and evaluation.parquet (samples).

The policy answers held-out prompts; each answer gets the training reward and the gold reward, and is compared with the
baseline's answer to the same prompt. KL to the reference and entropy are exact at each position of the sampled
responses (the sum over the vocabulary), summed or averaged over positions. Every mean has a bootstrap 95 % interval
over prompts.
"""

import math

import numpy
from pydantic.dataclasses import dataclass

from preference import engines, rewards
from preference.analysis import intervals
from preference.files import artifacts, conversations, provenance, records
from preference.models import chat, chat_flags, policies, samplers, tokens
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.shards import Shards
from preference.running.stage import InputError, Progress


@dataclass(frozen=True, kw_only=True)
class Flags(tokens.LikeTraining, samplers.Flags, rewards.Flags):
    policy: str = flag("policy folder to evaluate", config=False)
    reference: str = flag("policy folder that KL is measured to (the SFT policy)", config=False)
    prompts: str = flag(
        "eval_prompts.parquet: held-out prompts, with the data's own answers where it has them", config=False
    )
    pairs: str = flag(
        "pairs.parquet of held-out prompts: the pairs whose log-probabilities and margin are shown", config=False
    )
    baseline: str | None = flag(
        "evaluation.parquet to win against; without it the policy is its own baseline", None, config=False
    )
    trained_on: str | None = flag(
        "what this round was trained on, which must share no prompt with --prompts", None, config=False
    )
    output: str = flag("evaluation.json to write")
    samples_output: str = flag("evaluation.parquet to write")
    scoring_batch_size: Count = flag("responses, or pairs, per forward pass when they are scored", 32)


def main(flags: Flags) -> None:
    rewards.check(flags)
    prompts, pairs = records.read(flags.prompts, "eval_prompts"), records.read(flags.pairs, "pairs", may_be_empty=True)
    baseline = records.read(flags.baseline, "evaluation") if flags.baseline else None
    chat_format = chat.load(flags.policy, flags)
    if flags.trained_on:
        trained_on = records.read(flags.trained_on, "prompts")
        chat_format.check_disjoint(flags.trained_on, trained_on, flags.prompts, prompts)
    policies.check_context(policies.load_config(flags.policy), flags.policy, flags.max_length)
    artifacts.check_model(flags.reference)
    encoded = encode_pairs(flags, chat_format, pairs)  # before anything is sampled: it may be refused
    inputs = ("policy", "reference", "prompts", "pairs", "baseline", "trained_on")
    engine = engines.resolve(flags.engine)
    members = [*engines.members(engine), *rewards.members(flags)]
    read = {name: getattr(flags, name) for name in inputs} | chat_flags.inputs(flags) | rewards.inputs(flags)
    made_by = provenance.describe(__file__, flags, read, members, rows_in=len(prompts), engine=engine)
    with Shards(flags.output, made_by, flags.shard_size) as shards:
        samples, metrics = evaluate(flags, chat_format, prompts, encoded, baseline, shards)
        check_finite(flags.policy, metrics)
        made_by["rows_out"] = len(samples)
        records.write(flags.samples_output, "evaluation", samples, made_by)
        content = {"kind": "evaluation", **made_by, "num_prompts": len(prompts), "metrics": metrics}
        artifacts.write_json(flags.output, content)
    shown = [name for name in ("gold_reward", "reward", "num_tokens", "finished", "kl", "win_rate") if name in metrics]
    stage.say(", ".join(f"{name} {metrics[name]['mean']:.3g}" for name in shown))


def check_finite(policy: str, metrics: dict) -> None:
    """Raise an InputError if a metric is no number: JSON has none for it."""
    if wrong := [name for name, found in metrics.items() if not all(map(math.isfinite, found.values()))]:
        raise InputError(
            f"{policy}: {', '.join(wrong)} of this policy is not finite, so its training diverged; train it again with "
            "a lower --learning_rate"
        )


def encode_pairs(flags: Flags, chat_format: chat.Chat, pairs: list[dict]) -> tuple[list[dict], list]:
    """The held-out pairs that fit into --max_length, and their sequences; scored answers alone make no pairs."""
    limit = tokens.Limit(flags.max_length, flags.long_prompts)
    return chat.encode_pairs(flags.pairs, pairs, chat_format, limit) if pairs else ([], [])


def evaluate(
    flags: Flags, chat_format: chat.Chat, prompts, pairs: tuple[list[dict], list], baseline, shards: Shards
) -> tuple[list[dict], dict]:
    """(samples with all their columns, metrics)."""
    samples = samplers.respond(flags.policy, chat_format, prompts, flags, shards)
    score(flags, samples, shards)
    policy = policies.load_policy(flags.policy)
    reference = policy if flags.reference == flags.policy else policies.load_policy(flags.reference)
    of_reference = chat_format if reference is policy else chat.load(flags.reference, flags)
    compare(policy, reference, chat_format, of_reference, samples, flags, shards)
    count_wins(samples, baseline or samples)
    rng = numpy.random.default_rng(flags.seed)
    return samples, {
        **sample_metrics(samples, rng),
        **perplexity(policy, chat_format, prompts, flags, rng, shards),
        **pair_metrics(policy, reference, chat_format, of_reference, *pairs, flags, rng, shards),
    }


def score(flags: Flags, samples: list[dict], shards: Shards) -> None:
    """Add reward, gold_reward and the parts of a mixed one to each sample; without any reward both are None."""
    reading = rewards.Reading(flags.scoring_batch_size, flags.max_length)
    columns = rewards.score(flags, samples, shards, reading)
    for sample, of_sample in zip(samples, columns, strict=True):
        sample |= of_sample


def compare(
    policy,
    reference,
    chat_format: chat.Chat,
    of_reference: chat.Chat,
    samples: list[dict],
    flags: Flags,
    shards: Shards,
) -> None:
    """Add logps, ref_logps, kl and entropy to each sample, from both models' full distributions."""
    sequences = [chat_format.row(sample, "response", sample["response_ids"], True) for sample in samples]
    asked = reference_prompts(of_reference, chat_format, samples, sequences)
    items = [(prompt, response, other) for (prompt, response), other in zip(sequences, asked, strict=True)]

    def distances(some: list[tuple]) -> list[dict]:
        own = [(prompt, response) for prompt, response, _ in some]
        others = [(prompt, response) for _, response, prompt in some]
        batches = (tokens.batch(each, chat_format.pad_id, policy.device) for each in (own, others))
        return _distances(policy, reference, *batches)

    for sample, found in zip(samples, in_batches("distances", items, distances, flags, shards), strict=True):
        sample |= found


def reference_prompts(
    of_reference: chat.Chat, chat_format: chat.Chat, rows: list[dict], sequences: list[tokens.Sequence]
) -> list[list[int]]:
    """Return the prompts as the reference reads them: without the control text of a policy that has one."""
    if of_reference.tokenizer.chat_template == chat_format.tokenizer.chat_template:
        return [prompt for prompt, _ in sequences]
    return [of_reference.encode_prompt(row["prompt"], row["tools"]) for row in rows]


def in_batches(name: str, sequences: list[tuple], work, flags: Flags, shards: Shards) -> list:
    """`work` on --scoring_batch_size sequences at a time, which may have more beside them; a result for each."""

    def part(some: list[tuple], progress: Progress) -> list:
        lengths = [len(prompt) + len(response) for prompt, response, *_ in some]
        return tokens.map_batches(some, lengths, flags.scoring_batch_size, work, progress)

    return shards.map(name, sequences, part)


def _distances(policy, reference, tensors, ref_tensors) -> list[dict]:
    """Return what is known of each response from both models' distributions at its tokens."""
    logp, logps, lengths = _log_softmax(policy, tensors)
    same = logp, logps, lengths
    ref_logp, ref_logps, _ = same if reference is policy else _log_softmax(reference, ref_tensors)
    kl = (logp.exp() * (logp - ref_logp)).sum(-1).split(lengths)
    entropy = (-(logp.exp() * logp).sum(-1)).split(lengths)
    return [
        {"logps": own.item(), "ref_logps": other.item(), "kl": kl_.sum().item(), "entropy": entropy_.mean().item()}
        for own, other, kl_, entropy_ in zip(logps, ref_logps, kl, entropy, strict=True)
    ]


def _log_softmax(model, tensors):
    """Return what a model says of responses.

    Returns:
        log-probabilities of the whole vocabulary at the responses' tokens, one response after the other, (tokens,
        vocabulary); the log-probability of each response, (batch,); and how many tokens each has.
    """
    logits = model(input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"]).logits
    logprobs, mask = policies.gather_logprobs(logits, tensors["input_ids"], tensors["response_mask"])
    return logits[:, :-1][mask].float().log_softmax(-1), logprobs.sum(-1), mask.sum(-1).tolist()


def count_wins(samples: list[dict], baseline: list[dict]) -> None:
    """Add win and gold_win to each sample: 1, 0, or 0.5 for a tie, against the baseline's sample of the same prompt."""
    others = {(row["prompt_id"], row["sample_id"]): row for row in baseline}
    for sample in samples:
        other = others.get((sample["prompt_id"], sample["sample_id"]))
        if other is None:
            raise InputError(f"--baseline: has no sample {sample['sample_id']} of prompt {sample['prompt_id']}")
        sample["win"] = _win(sample["reward"], other["reward"])
        sample["gold_win"] = _win(sample["gold_reward"], other["gold_reward"])


def _win(reward: float | None, other: float | None) -> float | None:
    if reward is None or other is None:
        return None
    return 0.5 if reward == other else float(reward > other)


def sample_metrics(samples: list[dict], rng) -> dict:
    """Means over the samples, intervals over prompts."""
    columns = {
        "reward": "reward",
        "gold_reward": "gold_reward",
        "num_tokens": "num_tokens",
        "kl": "kl",
        "entropy": "entropy",
        "win_rate": "win",
        "gold_win_rate": "gold_win",
    }
    groups = [sample["prompt_id"] for sample in samples]
    values = {name: [sample[column] for sample in samples] for name, column in columns.items()}
    values["finished"] = [float(sample["finish_reason"] == "stop") for sample in samples]
    return {name: intervals.summary(v, rng, groups) for name, v in values.items() if v[0] is not None}


def perplexity(policy, chat_format: chat.Chat, prompts: list[dict], flags: Flags, rng, shards: Shards) -> dict:
    """exp of the nats per token of the data's own answers to the held-out prompts, where there are any."""
    rows = [row for row in prompts if row["response"] and not conversations.is_empty(row["response"])]
    encoded = chat.encode_rows(flags.prompts, rows, lambda row: chat_format.row(row, "response", None, True))
    limit = tokens.Limit(flags.max_length, flags.long_prompts)
    sequences = [sequence for sequence in map(limit.fit, encoded) if sequence]
    if not sequences:
        return {}

    def nats(some: list[tokens.Sequence]) -> list[float]:
        tensors = tokens.batch(some, chat_format.pad_id, policy.device)
        return (-policies.response_logps(policy, tensors)).double().tolist()

    values = numpy.array(in_batches("nats", sequences, nats, flags, shards))
    found = intervals.ratio_summary(values, [len(response) for _, response in sequences], rng)
    return {"perplexity": {k: v if k == "n" else float(numpy.exp(v)) for k, v in found.items()}}


def pair_metrics(
    policy,
    reference,
    chat_format: chat.Chat,
    of_reference: chat.Chat,
    pairs: list[dict],
    encoded: list,
    flags: Flags,
    rng,
    shards: Shards,
) -> dict:
    """Log-probabilities of held-out pairs, and their margin: the difference of the two log-ratios to the reference."""
    if not pairs:
        return {}
    asked = reference_prompts(of_reference, chat_format, pairs, [chosen for chosen, _ in encoded])
    ref_encoded = [tuple((prompt, ids) for _, ids in pair) for prompt, pair in zip(asked, encoded, strict=True)]

    def all_logps(name: str, model, sequences: list) -> numpy.ndarray:
        def part(some: list, progress: Progress) -> list[list[float]]:
            return policies.all_pair_logps(model, some, chat_format.pad_id, flags.scoring_batch_size, progress)

        return numpy.array(shards.map(name, sequences, part, "pairs"))

    logps = all_logps("logps", policy, encoded)
    ref_logps = logps if reference is policy else all_logps("ref_logps", reference, ref_encoded)
    margins = (logps[:, 0] - ref_logps[:, 0]) - (logps[:, 1] - ref_logps[:, 1])
    values = {
        "chosen_logps": logps[:, 0],
        "rejected_logps": logps[:, 1],
        "chosen_logratio": logps[:, 0] - ref_logps[:, 0],
        "rejected_logratio": logps[:, 1] - ref_logps[:, 1],
        "margin": margins,
        "accuracy": (margins > 0) + 0.5 * (margins == 0),
    }
    groups = [row["prompt_id"] for row in pairs]
    return {name: intervals.summary(value, rng, groups) for name, value in values.items()}


if __name__ == "__main__":
    stage.run(main, Flags)
