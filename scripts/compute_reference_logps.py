"""Compute the reference's log-probabilities: pairs.parquet + reference policy -> reference_logps.parquet.

Done once and kept as a file: training needs one model in memory instead of two, and every pass over the pairs
compares with the very same numbers.
"""

import dataclasses
from statistics import fmean

from preference import policies, provenance, records, stage, tokens
from preference.shards import Shards
from preference.stage import Progress, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    pairs: str = flag("pairs.parquet")
    reference: str = flag("policy folder of the reference")
    output: str = flag("reference_logps.parquet to write: the pairs with ref_chosen_logps, ref_rejected_logps")
    batch_size: int = flag("pairs per forward pass", 32)
    max_length: int = flag("longest prompt + response in tokens, as in training")
    shard_size: int = flag("pairs that are computed, and kept, together: what a kill can cost", 1024)


def main(flags: Flags) -> None:
    rows = records.read(flags.pairs, "pairs")
    tokenizer = policies.load_tokenizer(flags.reference)
    tokens.check_tokenizer(tokenizer, flags.reference)
    model = policies.load_policy(flags.reference)
    policies.check_context(model.config, flags.reference, flags.max_length)
    encoded = [tokens.encode_pair(tokenizer, row, flags.max_length) for row in rows]
    inputs = {"pairs": flags.pairs, "reference": flags.reference}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=len(rows), rows_out=len(rows), dropped={})

    def logps(part: list, progress: Progress) -> list[list[float]]:
        return policies.all_pair_logps(model, part, tokenizer.pad_token_id, flags.batch_size, progress)

    with Shards(flags.output, made_by, flags.shard_size) as shards:
        found = shards.map("logps", encoded, logps, "pairs")
        scored = [
            {**row, "ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
            for row, (chosen, rejected) in zip(rows, found, strict=True)
        ]
        records.write(flags.output, "reference_logps", scored, made_by)
    chosen, rejected = (fmean(row[f"ref_{side}_logps"] for row in scored) for side in ("chosen", "rejected"))
    stage.say(f"{len(rows)} pairs, mean logps chosen {chosen:.2f}, rejected {rejected:.2f}")


if __name__ == "__main__":
    stage.run(main, Flags)
