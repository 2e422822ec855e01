"""Score sampled responses: responses.parquet -> rewards.parquet (the training reward, and the gold reward beside it).

With a reward model, `reward` is its output; without one, `reward` is the gold reward, which only tasks that define
it have. Rows keep their order and their prompt_id; nothing is dropped.
With --shard, one of several jobs writes its share of the rows, and `join_shards` makes the table of theirs.
"""

import dataclasses
from statistics import fmean

from preference import artifacts, provenance, records, rewards, stage
from preference.shards import Shards
from preference.stage import flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(rewards.Flags):
    responses: tuple[str, ...] = flag("responses.parquet to score; several are scored as one, their samples counted on")
    output: str = flag("rewards.parquet to write")
    batch_size: int = flag("responses per forward pass of the reward model", 64)
    max_length: int = flag("longest prompt + response that the reward model reads; longer ones are cut", 2048)
    shard_size: int = flag("responses that are scored, and kept, together: what a kill can cost", 1024)
    shard: str | None = flag("which of how many jobs that share the work this is, 2-of-4", None, runtime=True)


def main(flags: Flags) -> None:
    rewards.check(flags)
    rows = together([records.read(path, "responses") for path in flags.responses])
    gold = rewards.gold_rewards(flags, rows)
    if flags.reward_model:
        artifacts.check_model(flags.reward_model)
    inputs = {"responses": flags.responses, "reward_model": flags.reward_model}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(rows), dropped={})
    with Shards(flags.output, made_by, flags.shard_size, flags.shard) as shards:
        gold, own = gold and shards.own(gold), shards.own(rows)
        training = learned(flags, rows, shards) if flags.reward_model else gold
        scored = [{**row, "reward": training[i], "gold_reward": gold[i] if gold else None} for i, row in enumerate(own)]
        records.write(flags.output, "rewards", scored, shards.made_by | {"rows_out": len(scored)})
    parts = [f"reward {fmean(training):.3f}"] + ([f"gold reward {fmean(gold):.3f}"] if gold else []) if scored else []
    stage.say(", ".join([f"{len(scored)} responses", *parts]))


def together(tables: list[list[dict]]) -> list[dict]:
    """The rows of all tables; samples of a prompt that an earlier table has, too, are numbered after that one's."""
    rows, counts = [], {}
    for table in tables:
        before = dict(counts)
        for row in table:
            sample_id = before.get(row["prompt_id"], 0) + row["sample_id"]
            counts[row["prompt_id"]] = max(counts.get(row["prompt_id"], 0), sample_id + 1)
            rows.append({**row, "sample_id": sample_id})
    return rows


def learned(flags: Flags, rows: list[dict], shards: Shards) -> list[float]:
    from preference import reward_models  # torch: not needed for a gold reward

    return reward_models.learned_rewards(flags.reward_model, rows, flags.batch_size, flags.max_length, shards)


if __name__ == "__main__":
    stage.run(main, Flags)
