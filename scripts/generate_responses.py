"""Sample responses from a policy: policy + prompts.parquet -> responses.parquet (a row per sample, with its tokens).

A round takes `num_prompts` prompts of the list, the next round those that follow, and past the end the first ones
again. A response ends at its end token or at `max_new_tokens`; finish_reason says which.
With --shard, one of several jobs writes its share of the rows, and `join_shards` makes the table of theirs.
"""

import numpy
from pydantic.dataclasses import dataclass

from preference import engines
from preference.files import provenance, records
from preference.models import chat, chat_flags, samplers
from preference.running import stage
from preference.running.flags import derived, flag
from preference.running.ranges import Count, Index
from preference.running.shards import ShardFlags, Shards
from preference.running.stage import InputError
from preference.seeds import derive_seed


@dataclass(frozen=True, kw_only=True)
class Flags(ShardFlags, samplers.Flags):
    policy: str = flag("policy folder to sample from", config=False)
    prompts: str = flag("prompts.parquet or eval_prompts.parquet", config=False)
    output: str = flag("responses.parquet to write")
    num_prompts: Count | None = flag("prompts that a round takes; without it every round takes all of them", None)
    round: Index = flag(
        "1, 2, ...: which prompts are taken; 0, what is sampled before the first round, takes the last", config=False
    )


def main(flags: Flags) -> None:
    rows = records.read(flags.prompts, "prompts")
    prompts = prompts_of_round(rows, flags)
    chat_format = chat.load(flags.policy, flags)
    # Rounds draw anew where they meet a prompt again.
    drawing = derived(flags, seed=derive_seed(flags.seed, "round", flags.round))
    inputs = {"policy": flags.policy, "prompts": flags.prompts, **chat_flags.inputs(flags)}
    engine = engines.resolve(flags.engine)
    facts = {"rows_in": len(rows), "prompts": len(prompts), "engine": engine}
    made_by = provenance.describe(__file__, flags, inputs, engines.members(engine), **facts)
    with Shards(flags.output, made_by, flags.shard_size, flags.shard) as shards:
        responses = samplers.respond(flags.policy, chat_format, prompts, drawing, shards)
        finished = sum(row["finish_reason"] == "stop" for row in responses)
        counts = {"rows_out": len(responses), "finished": finished, "dropped": {}}
        records.write(flags.output, "responses", responses, shards.made_by | counts)
    show(len(prompts), responses, engine)


def prompts_of_round(rows: list[dict], flags: Flags) -> list[dict]:
    """The prompts that a round takes, in the order of the file."""
    return [rows[i] for i in window(len(rows), flags.num_prompts, flags.round, flags.prompts)]


def window(total: int, num_prompts: int | None, round: int, path: str) -> list[int]:
    """Indices of a round's prompts: consecutive, wrapping around past the end, each at most once.

    Raises:
        InputError: a round wants more prompts than there are, or none, or is negative.
    """
    if round < 0:
        raise InputError(f"--round {round} is negative")
    if num_prompts is None:
        return list(range(total))
    if not 1 <= num_prompts <= total:
        raise InputError(f"--num_prompts {num_prompts}: {path} has {total} prompts")
    start = (round - 1) * num_prompts
    return [(start + i) % total for i in range(num_prompts)]


def show(num_prompts: int, responses: list[dict], engine: str) -> None:
    """Print what was sampled, and what held of every sample (`respond` stops where it does not)."""
    if not responses:
        return stage.say(f"no responses: other jobs share all of {num_prompts} prompts")
    lengths = [row["num_tokens"] for row in responses]
    finished = sum(row["finish_reason"] == "stop" for row in responses)
    mean, (low, middle, high) = numpy.mean(lengths), numpy.percentile(lengths, (5, 50, 95))
    cut = len(responses) - finished
    print(f"{num_prompts} prompts, {len(responses)} samples: {finished} finished, {cut} truncated")
    shares = f"5 % {low:g}, median {middle:g}, 95 % {high:g}, most {max(lengths)}"
    print(f"tokens without the end token: mean {mean:.1f}, {shares}")
    print("checked: no BOS is doubled, one end token closes each finished response")
    share = 100 * finished / len(responses)
    stage.say(f"{len(responses)} responses, {share:.1f} % finished, mean {mean:.1f} tokens, engine {engine}")


if __name__ == "__main__":
    stage.run(main, Flags)
