"""Compute the reference's log-probabilities: pairs.parquet + reference policy -> reference_logps.parquet.

Done once and kept as a file: training needs one model in memory instead of two, and every pass over the pairs
compares with the very same numbers.
"""

from statistics import fmean

from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.models import chat, chat_flags, policies, tokens
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count
from preference.running.shards import Shards
from preference.running.stage import Progress


@dataclass(frozen=True, kw_only=True)
class Flags(tokens.LikeTraining, chat.Flags):
    pairs: str = flag("pairs.parquet", config=False)
    reference: str = flag("policy folder of the reference", config=False)
    output: str = flag("reference_logps.parquet to write: the pairs with ref_chosen_logps, ref_rejected_logps")
    batch_size: Count = flag("pairs per forward pass", 32)
    shard_size: Count = flag("pairs that are computed, and kept, together: what a kill can cost", 1024)


def main(flags: Flags) -> None:
    rows = records.read(flags.pairs, "pairs")
    chat_format = chat.load(flags.reference, flags)
    model = policies.load_policy(flags.reference)
    policies.check_context(model.config, flags.reference, flags.max_length)
    limit = tokens.Limit(flags.max_length, flags.long_prompts)
    kept, encoded = chat.encode_pairs(flags.pairs, rows, chat_format, limit)
    inputs = {"pairs": flags.pairs, "reference": flags.reference, **chat_flags.inputs(flags)}
    dropped = {"no room, or equal after the cut": len(rows) - len(kept)} if len(kept) < len(rows) else {}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(rows), rows_out=len(kept), dropped=dropped)

    def logps(part: list, progress: Progress) -> list[list[float]]:
        return policies.all_pair_logps(model, part, chat_format.pad_id, flags.batch_size, progress)

    with Shards(flags.output, made_by, flags.shard_size) as shards:
        found = shards.map("logps", encoded, logps, "pairs")
        scored = [
            {**row, "ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
            for row, (chosen, rejected) in zip(kept, found, strict=True)
        ]
        records.write(flags.output, "reference_logps", scored, made_by)
    chosen, rejected = (fmean(row[f"ref_{side}_logps"] for row in scored) for side in ("chosen", "rejected"))
    stage.say(f"{len(kept)} pairs, mean logps chosen {chosen:.2f}, rejected {rejected:.2f}")


if __name__ == "__main__":
    stage.run(main, Flags)
