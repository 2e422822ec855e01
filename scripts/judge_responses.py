"""Judge responses against a baseline's by a language model: two evaluation.parquet -> judgements.parquet and .json.

The judge is asked about each pair twice, the answers in swapped places (arXiv 2306.05685, section 3.4), greedily. What
both replies say is a win or a loss; everything else is a tie, and a reply that names no verdict is counted. The first
sample of each prompt is also written as AlpacaEval reads and writes it: model_outputs.json, reference_outputs.json and
annotations.json, in which the baseline is output_1 and a preference is 1 for it, 2 for the policy and 1.5 for a tie.
"""

import dataclasses
import json

import numpy

from preference import artifacts, chat, conversations, intervals, provenance, records, samplers, stage, verdicts
from preference.shards import Shards
from preference.stage import InputError, flag

PLAIN = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"  # the chat template of a judge that has none
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(samplers.Engine):
    samples: str = flag("evaluation.parquet, or responses.parquet, of the policy")
    baseline: str = flag("the same of what it is compared with: a sample for each of the policy's")
    judge: str = flag("model folder or hub id of the judge")
    template: str | None = flag("file with {prompt}, {first} and {second}: what the judge is asked, if not ours", None)
    max_new_tokens: int = flag("longest reply of the judge in tokens", 8)
    generator: str = flag("what AlpacaEval's files call the policy")
    baseline_generator: str = flag("what they call the baseline")
    dataset: str = flag("what they call the prompts")
    seed: int = flag("seed of the bootstrap")
    output: str = flag("judgements.parquet to write")
    metrics_output: str = flag("judgements.json to write: the win rate, and what it is made of")
    model_output: str = flag("model_outputs.json to write, for AlpacaEval")
    reference_output: str = flag("reference_outputs.json to write, for AlpacaEval")
    annotations_output: str = flag("annotations.json to write, as AlpacaEval does")


def main(flags: Flags) -> None:
    template = verdicts.read_template(flags.template) if flags.template else verdicts.TEMPLATE
    samples = records.read(flags.samples, "responses")
    pairs = with_baseline(samples, records.read(flags.baseline, "responses"))
    chat_format = chat.load(flags.judge, flags, PLAIN)
    inputs = {name: getattr(flags, name) for name in ("samples", "baseline", "judge", "template")}
    inputs |= chat.inputs(flags)
    facts = {"rows_in": len(samples), "rows_out": len(pairs), "engine": samplers.resolve_engine(flags.engine)}
    made_by = provenance.describe(__file__, flags, inputs, **facts)
    with Shards(flags.output, made_by, flags.shard_size) as shards:
        judgements = judge(pairs, ask(flags, chat_format, template, pairs, shards))
        found = summarize(judgements, flags.seed)
        artifacts.write_json(flags.metrics_output, {"kind": "judgement", **made_by, **found})
        for path, rows in alpaca_eval(flags, judgements).items():
            artifacts.write_text(path, json.dumps(rows, indent=2) + "\n", made_by)
        records.write(flags.output, "judgements", judgements, made_by)
    stage.say(in_words(found))


def with_baseline(samples: list[dict], baseline: list[dict]) -> list[dict]:
    """Each sample with the baseline's answer to the same prompt; the first columns of a judgement."""
    others = {(row["prompt_id"], row["sample_id"]): row["response"] for row in baseline}
    pairs = []
    for row in samples:
        key = {name: row[name] for name in ("prompt_id", "sample_id")}
        if (other := others.get(tuple(key.values()))) is None:
            raise InputError(f"--baseline: has no sample {row['sample_id']} of prompt {row['prompt_id']}")
        asked = {name: row[name] for name in ("prompt", "tools", "fields", "response")}
        pairs.append({**key, **asked, "baseline_response": other})
    return pairs


def ask(
    flags: Flags, chat_format: chat.Chat, template: str, pairs: list[dict], shards: Shards
) -> list[tuple[str, str]]:
    """The judge's two replies to each pair: the response standing first, then second."""
    engine = {field.name: getattr(flags, field.name) for field in dataclasses.fields(samplers.Engine)}
    greedy = {"samples_per_prompt": 1, "temperature": 0.0, "top_p": 1.0}
    asking = samplers.Flags(
        prompts=flags.samples, max_new_tokens=flags.max_new_tokens, seed=flags.seed, **greedy, **engine
    )
    rows = [
        {"prompt_id": f"{pair['prompt_id']}/{pair['sample_id']}/{place}", "prompt": text}
        for pair in pairs
        for place, text in zip((verdicts.FIRST, verdicts.SECOND), questions(template, pair), strict=True)
    ]
    found = samplers.respond(flags.judge, chat_format, rows, asking, shards)
    if len(found) < len(rows):
        raise InputError(
            f"{flags.samples}: {len(rows) - len(found)} questions do not fit into what {flags.judge} reads"
        )
    replies = [conversations.text(row["response"]) for row in found]
    return list(zip(replies[::2], replies[1::2], strict=True))


def questions(template: str, pair: dict) -> tuple[str, str]:
    """What the judge is asked of a pair: the response standing first, then second."""
    prompt = conversations.transcript(pair["prompt"])
    response, other = (conversations.text(pair[name]) for name in ("response", "baseline_response"))
    return verdicts.question(template, prompt, response, other), verdicts.question(template, prompt, other, response)


def judge(pairs: list[dict], replies: list[tuple[str, str]]) -> list[dict]:
    """Rows of kind "judgements"."""
    rows = []
    for pair, (reply, swapped) in zip(pairs, replies, strict=True):
        said = {"verdict": verdicts.verdict(reply), "swapped_verdict": verdicts.verdict(swapped)}
        preference = verdicts.preference(**said)
        rows.append({**pair, **said, "reply": reply, "swapped_reply": swapped, "preference": preference})
    return rows


def summarize(judgements: list[dict], seed: int) -> dict:
    """The win rate, a tie being half a win, with its interval over prompts, and the counts that it comes from."""
    preferences, groups = [row["preference"] for row in judgements], [row["prompt_id"] for row in judgements]
    win_rate = intervals.summary(preferences, numpy.random.default_rng(seed), groups)
    return {"num_prompts": len(set(groups)), "metrics": {"win_rate": win_rate}, **verdicts.counts(judgements)}


def alpaca_eval(flags: Flags, judgements: list[dict]) -> dict[str, list[dict]]:
    """File -> its rows in AlpacaEval's form, one for the first sample of each prompt."""
    firsts = {row["prompt_id"]: row for row in sorted(judgements, key=lambda row: -row["sample_id"])}
    kept = [row for row in judgements if row is firsts[row["prompt_id"]]]
    names = {"generator_1": flags.baseline_generator, "generator_2": flags.generator, "annotator": flags.judge}

    def outputs(column: str, generator: str) -> list[dict]:
        return [
            {
                "dataset": flags.dataset,
                "instruction": conversations.transcript(row["prompt"]),
                "output": conversations.text(row[column]),
                "generator": generator,
            }
            for row in kept
        ]

    annotations = [
        {
            "instruction": conversations.transcript(row["prompt"]),
            "output_1": conversations.text(row["baseline_response"]),
            "output_2": conversations.text(row["response"]),
            **names,
            "dataset": flags.dataset,
            "preference": 1 + row["preference"],
        }
        for row in kept
    ]
    return {
        flags.model_output: outputs("response", flags.generator),
        flags.reference_output: outputs("baseline_response", flags.baseline_generator),
        flags.annotations_output: annotations,
    }


def in_words(found: dict) -> str:
    rate, bias = found["metrics"]["win_rate"], found["position_bias"]
    counts = ", ".join(f"{found[name]} {name}" for name in ("wins", "ties", "losses"))
    place = "no verdict for either place" if bias is None else f"{100 * bias:.0f} % for the first place"
    unread = f"{found['unparsed']} of {found['verdicts']} replies without a verdict"
    return f"win rate {rate['mean']:.3g} [{rate['low']:.3g}, {rate['high']:.3g}]: {counts}; {unread}, {place}"


if __name__ == "__main__":
    stage.run(main, Flags)
