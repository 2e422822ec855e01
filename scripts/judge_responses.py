"""Judge responses against a baseline's: two evaluation.parquet -> judgements.parquet and .json.

A language model, here or behind an endpoint, is asked about each pair twice, the answers in swapped places (arXiv
2306.05685, section 3.4), greedily. If both replies name the same answer, that one wins; everything else is a tie, and a
reply that names no verdict is counted. With a reward model the answer with the higher score wins. The first sample of
each prompt is also written as AlpacaEval reads and writes it: model_outputs.json, reference_outputs.json and
annotations.json, in which the baseline is output_1 and a preference is 1 for it, 2 for the policy and 1.5 for a tie.
"""

import json

import numpy
from pydantic.dataclasses import dataclass

from preference import engines, judges
from preference.analysis import intervals
from preference.files import artifacts, conversations, documents, provenance, records
from preference.judges import verdicts
from preference.models import samplers
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Positive, Seed
from preference.running.shards import Shards
from preference.running.stage import InputError


@dataclass(frozen=True, kw_only=True)
class Flags(samplers.Engine):
    samples: str = flag("evaluation.parquet, or responses.parquet, of the policy", config=False)
    baseline: str = flag("the same of what it is compared with: a sample for each of the policy's", config=False)
    judge: str = flag("model folder or hub id of the judge, or what the endpoint calls it", config=False)
    judged_by: str = flag("what kind of judge that is", "local_model", judges.KINDS, config=False)
    template: str | None = flag(
        "file with {prompt}, {first} and {second}: what the judge is asked, if not ours", None, config=False
    )
    max_new_tokens: Count = flag("longest reply of the judge", 8, unit="tokens")
    endpoint: str | None = flag(
        "base URL of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1", None, config=False
    )
    key_variable: str = flag(
        "environment variable that holds the endpoint's key, if it wants one", "OPENAI_API_KEY", config=False
    )
    concurrency: Count = flag("questions that an endpoint is asked at a time", 4, runtime=True)
    max_attempts: Count = flag("how often an endpoint that is busy or broken is asked", 6, runtime=True)
    retry_seconds: Positive = flag(
        "wait before the second attempt; each later one waits twice as long",
        1.0,
        runtime=True,
        unit="seconds",
    )
    timeout: Positive = flag("time that an endpoint has for a reply", 120.0, runtime=True, unit="seconds")
    generator: str = flag("what AlpacaEval's files call the policy", config=False)
    baseline_generator: str = flag("what they call the baseline", config=False)
    dataset: str = flag("what they call the prompts", config=False)
    seed: Seed = flag("seed of the bootstrap", config=False)
    output: str = flag("judgements.parquet to write")
    metrics_output: str = flag("judgements.json to write: the win rate, and what it is made of")
    model_output: str = flag("model_outputs.json to write, for AlpacaEval")
    reference_output: str = flag("reference_outputs.json to write, for AlpacaEval")
    annotations_output: str = flag("annotations.json to write, as AlpacaEval does")


def main(flags: Flags) -> None:
    check(flags)
    template = verdicts.read_template(flags.template) if flags.template else verdicts.TEMPLATE
    samples = records.read(flags.samples, "responses")
    pairs = with_baseline(samples, records.read(flags.baseline, "responses"))
    asked = judges.load(flags.judged_by, flags)
    inputs = {name: getattr(flags, name) for name in ("samples", "baseline", "template")} | asked.inputs
    facts = {"rows_in": len(samples), "rows_out": len(pairs), **asked.facts}
    members = [*judges.members(flags.judged_by), *engines.members(facts.get("engine"))]
    made_by = provenance.describe(__file__, flags, inputs, members, **facts)
    with Shards(flags.output, made_by, flags.shard_size) as shards:
        judgements = judged(pairs, asked.judge(pairs, template, shards))
        found = summarize(judgements, flags.seed)
        documents.JUDGEMENT.check(found)
        artifacts.write_json(flags.metrics_output, {"kind": "judgement", **made_by, **found})
        for path, rows in alpaca_eval(flags, judgements).items():
            artifacts.write_text(path, json.dumps(rows, indent=2) + "\n", made_by)
        records.write(flags.output, "judgements", judgements, made_by)
    stage.say(in_words(found))


def check(flags: Flags) -> None:
    """Refuse flags that this kind of judge does not read."""
    if flags.endpoint is not None and flags.judged_by != "endpoint":
        raise InputError(f"--endpoint {flags.endpoint}: only --judged_by endpoint has one")
    if flags.template is not None and flags.judged_by == "reward_model":
        raise InputError(f"--template {flags.template}: a reward model is asked nothing")


def with_baseline(samples: list[dict], baseline: list[dict]) -> list[dict]:
    """Each sample with the baseline's answer to the same prompt, and why either ended."""
    others = {(row["prompt_id"], row["sample_id"]): row for row in baseline}
    pairs = []
    for row in samples:
        if (other := others.get((row["prompt_id"], row["sample_id"]))) is None:
            raise InputError(f"--baseline: has no sample {row['sample_id']} of prompt {row['prompt_id']}")
        names = ("prompt_id", "sample_id", "prompt", "tools", "fields", "response", "finish_reason")
        of_baseline = {f"baseline_{name}": other[name] for name in ("response", "finish_reason")}
        pairs.append({**{name: row[name] for name in names}, **of_baseline})
    return pairs


def judged(pairs: list[dict], found: list[dict]) -> list[dict]:
    """Rows of kind "judgements"."""
    kept = ("prompt_id", "sample_id", "prompt", "tools", "fields", "response", "baseline_response")
    return [{**{name: pair[name] for name in kept}, **judgement} for pair, judgement in zip(pairs, found, strict=True)]


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
