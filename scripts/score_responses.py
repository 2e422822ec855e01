"""Score sampled responses: responses.parquet -> rewards.parquet (the training reward, and the gold reward beside it).

`reward` is what --reward_model says: a reward model, a function, a verifier, or a weighted sum of several, whose parts
are columns, too. Without it, `reward` is the gold reward, or with --given the data's own score. Rows keep their order
and their prompt_id; nothing is dropped.
With --shard, one of several jobs writes its share of the rows, and `join_shards` makes the table of theirs.
"""

from statistics import fmean

from pydantic.dataclasses import dataclass

from preference import rewards
from preference.files import provenance, records
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.shards import ShardFlags, Shards
from preference.running.stage import InputError


@dataclass(frozen=True, kw_only=True)
class Flags(ShardFlags, rewards.Flags):
    responses: tuple[str, ...] = flag(
        "responses.parquet to score; several are scored as one, their samples counted on", config=False
    )
    output: str = flag("rewards.parquet to write")
    batch_size: Count = flag("responses per forward pass of the reward model", 64)
    shard_size: Count = flag("responses that are scored, and kept, together: what a kill can cost", 1024)
    max_length: Count = flag(
        "longest prompt + response that the reward model reads; longer ones are cut", 2048, unit="tokens"
    )


def main(flags: Flags) -> None:
    rewards.check(flags)
    rows = together([records.read(path, "responses") for path in flags.responses])
    if flags.given:
        check_given(flags, rows)
    inputs = {"responses": flags.responses, **rewards.inputs(flags)}
    made_by = provenance.describe(__file__, flags, inputs, rewards.members(flags), rows_in=len(rows), dropped={})
    reading = rewards.Reading(flags.batch_size, flags.max_length)
    with Shards(flags.output, made_by, flags.shard_size, flags.shard) as shards:
        columns = rewards.score(flags, rows, shards, reading)
        scored = [row | of_row for row, of_row in zip(shards.own(rows), columns, strict=True)]
        records.write(flags.output, "rewards", scored, shards.made_by | {"rows_out": len(scored)})
    stage.say(", ".join([f"{len(scored)} responses", *(means(scored) if scored else [])]))


def means(scored: list[dict]) -> list[str]:
    """The means of both rewards, in words."""
    names = {"reward": "reward", "gold_reward": "gold reward"}
    shown = {name: words for name, words in names.items() if scored[0][name] is not None}
    return [f"{words} {fmean(row[name] for row in scored):.3f}" for name, words in shown.items()]


def check_given(flags: Flags, rows: list[dict]) -> None:
    """Refuse responses without a score of the data's own, which --given trains on."""
    without = [row for row in rows if row["given_reward"] is None]
    if without:
        row = f"prompt_id {without[0]['prompt_id']}, sample_id {without[0]['sample_id']}"
        raise InputError(
            f"{', '.join(flags.responses)}: {len(without)} of {len(rows)} responses have no score of the data, such as "
            f"{row}; --given needs one for each"
        )


def together(tables: list[list[dict]]) -> list[dict]:
    """The rows of all tables; samples of a prompt that an earlier table has, too, are numbered after that one's."""
    rows = []
    counts: dict[str, int] = {}
    for table in tables:
        before = dict(counts)
        for row in table:
            sample_id = before.get(row["prompt_id"], 0) + row["sample_id"]
            counts[row["prompt_id"]] = max(counts.get(row["prompt_id"], 0), sample_id + 1)
            rows.append({**row, "sample_id": sample_id})
    return rows


if __name__ == "__main__":
    stage.run(main, Flags)
