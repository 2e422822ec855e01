"""Build preference pairs: rewards.parquet (on-policy), pairs.parquet (offline), or both -> pairs.parquet of one round.

On-policy, the samples of each prompt are compared by their training reward under a pairing rule; ties, identical
responses and (with --truncated drop) cut responses are dropped and counted. Offline, the round takes its window of
the preferences as they are. Given both, it takes both. The result opens in TRL and HALOs as it is (prompt, chosen,
rejected).
"""

import dataclasses
import random
from collections import Counter
from statistics import fmean

from preference import pairs, provenance, records, stage
from preference.stage import InputError, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    output: str = flag("pairs.parquet to write")
    rewards: str | None = flag("rewards.parquet of this round's samples (on-policy)", None)
    preferences: str | None = flag("pairs.parquet of given preferences (offline)", None)
    round: int = flag("number of this round, from 1: which window of the preferences it takes", 1)
    num_pairs: int | None = flag("preferences per round (offline); all where it is not given", None)
    pairing: str = flag("which two responses of a prompt are compared", "best_vs_worst", pairs.PAIRINGS)
    min_margin: float = flag("least difference of rewards in a pair", 0.0)
    truncated: str = flag("responses that did not end by themselves", "keep", pairs.TRUNCATED)
    seed: int = flag("seed of the pairings that draw at random")


def main(flags: Flags) -> None:
    if flags.rewards is None and flags.preferences is None:
        raise InputError("--rewards, --preferences: give at least one")
    parts = [from_rewards(flags)] if flags.rewards else []
    parts += [from_preferences(flags)] if flags.preferences else []
    rows = [row for part in parts for row in part.pairs]
    dropped, rows_in = sum((part.dropped for part in parts), Counter()), sum(part.rows_in for part in parts)
    for reason, count in sorted(dropped.items()):
        print(f"dropped {count} prompts: {reason}")
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        raise InputError(f"{flags.rewards or flags.preferences}: no pair is left of {rows_in} rows ({reasons})")
    inputs = {"rewards": flags.rewards, "preferences": flags.preferences}
    made_by = provenance.describe(__file__, flags, inputs, rows_in=rows_in, rows_out=len(rows), dropped=dict(dropped))
    made_by["queries"] = sum(part.queries for part in parts)
    records.write(flags.output, "pairs", rows, made_by)
    margins = [r["chosen_reward"] - r["rejected_reward"] for r in rows if r["chosen_reward"] is not None]
    margin = f", mean margin {fmean(margins):.3f}" if margins else ""
    offline = f", {len(parts[-1].pairs)} of them offline" if len(parts) > 1 else ""
    stage.say(f"{len(rows)} pairs of {rows_in} rows{offline}, {sum(dropped.values())} prompts dropped{margin}")


@dataclasses.dataclass(frozen=True)
class Part:
    """Pairs of one source."""

    pairs: list[dict]
    dropped: Counter  # prompts, by reason
    rows_in: int
    queries: int  # responses that were judged for it: every sample, or both of each preference that is taken


def from_rewards(flags: Flags) -> Part:
    samples = records.read(flags.rewards, "rewards")
    truncated = sum(sample["finish_reason"] == "length" for sample in samples)
    print(f"responses {len(samples)}, truncated {truncated} ({flags.truncated})")
    rng = random.Random(f"{flags.seed} {flags.round}")
    rows, dropped = pairs.construct(samples, flags.pairing, flags.min_margin, flags.truncated, rng)
    return Part(rows, dropped, rows_in=len(samples), queries=len(samples))


def from_preferences(flags: Flags) -> Part:
    preferences = records.read(flags.preferences, "pairs")
    taken = pairs.window(preferences, flags.round, flags.num_pairs)
    return Part(taken, Counter(), rows_in=len(preferences), queries=2 * len(taken))


if __name__ == "__main__":
    stage.run(main, Flags)
