"""Take the responses out of given preferences: pairs.parquet + a tokenizer -> responses.parquet of one round.

For methods that learn from scored samples and not from pairs, where they learn offline: the two responses of each pair
of the round's window become two samples of its prompt, to be scored as sampled ones are.
"""

import dataclasses

from preference import chat, pairs, provenance, records, stage
from preference.stage import flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(chat.Flags):
    preferences: str = flag("pairs.parquet of given preferences")
    policy: str = flag("policy folder whose tokenizer writes texts as tokens")
    output: str = flag("responses.parquet to write")
    round: int = flag("number of this round, from 1: which window of the preferences it takes")
    num_pairs: int | None = flag("preferences per round; all where it is not given", None)


def main(flags: Flags) -> None:
    preferences = records.read(flags.preferences, "pairs")
    chat_format = chat.load(flags.policy, flags)
    taken = pairs.window(preferences, flags.round, flags.num_pairs)
    found = chat.encode_rows(flags.preferences, taken, lambda pair: both(chat_format, pair))
    rows = numbered([row for both_of_pair in found for row in both_of_pair])
    inputs = {"preferences": flags.preferences, "policy": flags.policy, **chat.inputs(flags)}
    counts = {"rows_in": len(preferences), "rows_out": len(rows), "dropped": {}}
    records.write(flags.output, "responses", rows, provenance.describe(__file__, flags, inputs, **counts))
    stage.say(f"{len(rows)} responses of {len(rows) // 2} pairs")


def both(chat_format: chat.Chat, pair: dict) -> list[dict]:
    """The chosen and the rejected response as rows of kind "responses", apart from their numbers."""
    rows = []
    for side in ("chosen", "rejected"):
        finished = pair[f"{side}_finish_reason"] != "length"
        _, ids = chat_format.row(pair, side, pair[f"{side}_tokens"], finished)
        rows.append(
            {
                **{name: pair[name] for name in ("prompt_id", "prompt", "tools", "fields")},
                "response": pair[side],
                "response_ids": ids,
                "finish_reason": "stop" if finished else "length",
                "num_tokens": len(ids) - finished,
                "given_reward": pair[f"{side}_reward"],
            }
        )
    return rows


def numbered(rows: list[dict]) -> list[dict]:
    """The rows with a sample_id: a prompt of several pairs has so many more samples."""
    counts: dict[str, int] = {}
    for row in rows:
        row["sample_id"] = counts.get(row["prompt_id"], 0)
        counts[row["prompt_id"]] = row["sample_id"] + 1
    return rows


if __name__ == "__main__":
    stage.run(main, Flags)
