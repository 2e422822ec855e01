"""Build preference pairs: rewards.parquet (on-policy), pairs.parquet (offline), or both -> pairs.parquet of one round.

On-policy, the samples of each prompt are compared by their training reward under a pairing rule; ties, identical
responses and (with --truncated drop) cut responses are dropped and counted. Offline, the round takes its window of
the preferences as they are. Given both, it takes both. With --history, pairs of earlier rounds come before those; a
pair that the round has made again is dropped there and counted. The column `round` says which round made a pair. The
result opens in TRL and HALOs as it is (prompt, chosen, rejected).
"""

import dataclasses
import random
from collections import Counter
from statistics import fmean
from typing import Annotated, Any

from pydantic import WithJsonSchema
from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Index, NotNegative, Seed
from preference.running.stage import InputError
from preference.training import pairs

HISTORY = {  # in a config, where a number is no text
    "anyOf": [{"enum": ["none", "all"]}, {"type": "integer", "minimum": 1, "maximum": 10**4}],
    "allowed": "none, all, or how many of the last rounds (from 1)",
}


@dataclass(frozen=True, kw_only=True)
class Flags:
    output: str = flag("pairs.parquet to write")
    rewards: str | None = flag("rewards.parquet of this round's samples (on-policy)", None, config=False)
    preferences: str | None = flag("pairs.parquet of given preferences (offline)", None, config=False)
    round: Index | None = flag("number of this round, from 1; by default the pairs are no round's", None, config=False)
    num_pairs: Count | None = flag("preferences per round (offline); all where it is not given", None)
    pairing: str = flag("which two responses of a prompt are compared", "best_vs_worst", pairs.PAIRINGS)
    min_margin: NotNegative = flag("least difference of rewards in a pair", 0.0)
    truncated: str = flag("responses that did not end by themselves", "keep", pairs.TRUNCATED)
    history: Annotated[str, WithJsonSchema(HISTORY)] = flag(
        "pairs of earlier rounds to use again: none, all, or of how many of the last rounds", "none"
    )
    earlier: str | None = flag(
        "pairs.parquet of the round before, which --history reads from round 2 on", None, config=False
    )
    seed: Seed = flag("seed of the pairings that draw at random", config=False)


def main(flags: Flags) -> None:
    check(flags)
    parts = [from_rewards(flags)] if flags.rewards else []
    parts += [from_preferences(flags)] if flags.preferences else []
    own = [{**row, "round": flags.round} for part in parts for row in part.pairs]
    earlier, repeated = from_earlier(flags, own)
    dropped, rows_in = sum((part.dropped for part in parts), Counter()), sum(part.rows_in for part in parts)
    for reason, count in sorted(dropped.items()):
        print(f"dropped {count} prompts: {reason}")
    if not earlier + own:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        raise InputError(f"{flags.rewards or flags.preferences}: no pair is left of {rows_in} rows ({reasons})")
    inputs = {"rewards": flags.rewards, "preferences": flags.preferences, "earlier": flags.earlier}
    counts: dict[str, Any] = {"rows_in": rows_in, "rows_out": len(earlier + own), "dropped": dict(dropped)}
    counts |= {"queries": sum(part.queries for part in parts), "earlier_pairs": len(earlier), "repeated": repeated}
    records.write(flags.output, "pairs", earlier + own, provenance.describe(__file__, flags, inputs, **counts))
    margins = [r["chosen_reward"] - r["rejected_reward"] for r in own if r["chosen_reward"] is not None]
    margin = f", mean margin {fmean(margins):.3f}" if margins else ""
    offline = f", {len(parts[-1].pairs)} of them offline" if len(parts) > 1 else ""
    again = f"; {len(earlier)} pairs of earlier rounds, {repeated} others made again" if flags.earlier else ""
    stage.say(f"{len(own)} pairs of {rows_in} rows{offline}, {sum(dropped.values())} prompts dropped{margin}{again}")


def check(flags: Flags) -> None:
    """Raise an InputError where the flags do not say together which pairs are meant."""
    if flags.rewards is None and flags.preferences is None:
        raise InputError("--rewards, --preferences: give at least one")
    wanted = pairs.earlier_rounds(flags.history, flags.round or 1)
    if wanted and flags.earlier is None:
        raise InputError(f"--earlier: is missing: --history {flags.history} reads the pairs of round {wanted[-1]}")
    if flags.earlier is not None and not wanted:
        raise InputError(f"--earlier: is not read: --history is {flags.history} in round {flags.round or 1}")


@dataclasses.dataclass(frozen=True)
class Part:
    """Pairs of one source."""

    pairs: list[dict]
    dropped: Counter  # prompts, by reason
    rows_in: int
    queries: int  # responses that were judged for it: every sample, or both of each preference that is taken


def from_rewards(flags: Flags) -> Part:
    assert flags.rewards
    samples = records.read(flags.rewards, "rewards")
    truncated = sum(sample["finish_reason"] == "length" for sample in samples)
    print(f"responses {len(samples)}, truncated {truncated} ({flags.truncated})")
    rng = random.Random(f"{flags.seed} {flags.round or 1}")
    rows, dropped = pairs.construct(samples, flags.pairing, flags.min_margin, flags.truncated, rng)
    return Part(rows, dropped, rows_in=len(samples), queries=len(samples))


def from_preferences(flags: Flags) -> Part:
    assert flags.preferences
    preferences = records.read(flags.preferences, "pairs")
    taken = pairs.window(preferences, flags.round or 1, flags.num_pairs)
    return Part(taken, Counter(), rows_in=len(preferences), queries=2 * len(taken))


def from_earlier(flags: Flags, own: list[dict]) -> tuple[list[dict], int]:
    """Return the pairs of earlier rounds that are used again, and how many are not because the own ones repeat them.

    The table of the round before has those of its own earlier rounds, so that one table is enough.
    """
    if flags.earlier is None or flags.round is None:
        return [], 0
    table, made_by = records.read(flags.earlier, "pairs"), records.metadata(flags.earlier)["flags"]
    if made_by["round"] != flags.round - 1:
        raise InputError(f"--earlier {flags.earlier}: is of round {made_by['round']}, not of {flags.round - 1}")
    if flags.round > 2 and made_by["history"] != flags.history:
        raise InputError(f"--earlier {flags.earlier}: has --history {made_by['history']}, not {flags.history}")
    wanted = pairs.earlier_rounds(flags.history, flags.round)
    found = [row for row in table if row["round"] in wanted]
    kept = pairs.not_repeated(found, own)
    return kept, len(found) - len(kept)


if __name__ == "__main__":
    stage.run(main, Flags)
