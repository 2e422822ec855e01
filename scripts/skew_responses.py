"""Skew sampled responses towards short ones: responses.parquet -> skewed_responses.parquet, each cut at random.

A response y keeps its first min(|y|, L) tokens, L an exponential draw rounded up (1, 2, ...) whose mean is
`mean_length`, and EOS closes what was cut: preferences among such responses lack what the policy itself samples ("Skew
Length", arXiv 2404.14367, section 4.2; the mean that the paper took is not published).
"""

import math
from statistics import fmean
from typing import Annotated

from annotated_types import Interval
from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.models import chat, chat_flags, samplers
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Seed
from preference.seeds import uniform


@dataclass(frozen=True, kw_only=True)
class Flags(chat.Flags):
    responses: str = flag("responses.parquet to cut", config=False)
    policy: str = flag("policy folder that they were sampled from, for its tokenizer", config=False)
    output: str = flag("skewed_responses.parquet to write")
    mean_length: Annotated[float, Interval(gt=1, le=10**9)] = flag(
        "mean length that responses are cut to, if they are longer",
        unit="tokens",
    )
    seed: Seed = flag(
        "seed of the lengths; a response's hangs on its prompt_id and sample_id, not on its place", config=False
    )


def main(flags: Flags) -> None:
    rows = records.read(flags.responses, "responses")
    chat_format = chat.load(flags.policy, flags)
    skewed = [cut(chat_format, row, limit(flags, row)) for row in rows]
    number = sum(row["num_tokens"] < before["num_tokens"] for row, before in zip(skewed, rows, strict=True))
    inputs = {"responses": flags.responses, "policy": flags.policy, **chat_flags.inputs(flags)}
    counts = {"rows_in": len(rows), "rows_out": len(skewed), "cut": number, "dropped": {}}
    records.write(flags.output, "responses", skewed, provenance.describe(__file__, flags, inputs, **counts))
    before, after = (fmean(row["num_tokens"] for row in some) for some in (rows, skewed))
    stage.say(f"{number} of {len(rows)} responses cut, mean {before:.1f} -> {after:.1f} tokens")


def limit(flags: Flags, row: dict) -> int:
    """The most tokens that a response keeps: P(L > k) = (1 - 1 / mean_length)^k for k = 0, 1, ..."""
    drawn = uniform(flags.seed, "skew", row["prompt_id"], row["sample_id"])
    return 1 + math.floor(math.log1p(-drawn) / math.log1p(-1 / flags.mean_length))


def cut(chat_format: chat.Chat, row: dict, most: int) -> dict:
    """Return a row of kind "responses" cut to `most` tokens and an end token; a shorter response stays as it is."""
    if row["num_tokens"] <= most:
        return row
    # An end token, so that the cut reads as an ending: else it would be what a sampler had to leave unfinished.
    return row | samplers.describe(chat_format, [*row["response_ids"][:most], chat_format.end_id])


if __name__ == "__main__":
    stage.run(main, Flags)
