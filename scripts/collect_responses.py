"""Take the responses out of given preferences: pairs or scored answers + a tokenizer -> responses.parquet of one round.

For methods that learn from scored samples and not from pairs, where they learn offline. The two responses of each pair
of the round's window become two samples of its prompt, to be scored as sampled ones are. With --answers, so do all of
the data's answers to each prompt of the window, with the data's own scores.
"""

from typing import Any

from pydantic.dataclasses import dataclass

from preference.files import provenance, records
from preference.models import chat, chat_flags
from preference.running import stage
from preference.running.flags import flag
from preference.running.ranges import Count, Index
from preference.running.stage import InputError
from preference.training import pairs


@dataclass(frozen=True, kw_only=True)
class Flags(chat.Flags):
    preferences: str | None = flag("pairs.parquet of given preferences", None, config=False)
    answers: str | None = flag("answers.parquet of the data, in place of --preferences", None, config=False)
    policy: str = flag("policy folder whose tokenizer writes texts as tokens", config=False)
    output: str = flag("responses.parquet to write")
    round: Index = flag("number of this round, from 1: which window of the preferences it takes", config=False)
    num_pairs: Count | None = flag("pairs, or prompts of --answers, per round; all where it is not given", None)


def main(flags: Flags) -> None:
    if (flags.preferences is None) == (flags.answers is None):
        raise InputError("--preferences, --answers: give one of them")
    chat_format = chat.load(flags.policy, flags)
    found, rows_in, taken = of_pairs(flags, chat_format) if flags.preferences else of_answers(flags, chat_format)
    rows = numbered(found)
    inputs = {name: getattr(flags, name) for name in ("preferences", "answers", "policy")} | chat_flags.inputs(flags)
    counts: dict[str, Any] = {"rows_in": rows_in, "rows_out": len(rows), "dropped": {}}
    records.write(flags.output, "responses", rows, provenance.describe(__file__, flags, inputs, **counts))
    stage.say(f"{len(rows)} responses of {taken}")


def of_pairs(flags: Flags, chat_format: chat.Chat) -> tuple[list[dict], int, str]:
    """Both responses of each pair of the round's window, how many pairs there are, and what was taken, in words."""
    assert flags.preferences
    preferences = records.read(flags.preferences, "pairs")
    taken = pairs.window(preferences, flags.round, flags.num_pairs)
    found = chat.encode_rows(flags.preferences, taken, lambda pair: both(chat_format, pair))
    return [row for both_of_pair in found for row in both_of_pair], len(preferences), f"{len(taken)} pairs"


def of_answers(flags: Flags, chat_format: chat.Chat) -> tuple[list[dict], int, str]:
    """The same of all answers to each prompt of the round's window."""
    assert flags.answers
    answers = records.read(flags.answers, "answers")
    of_prompts: dict[str, list[dict]] = {}
    for answer in answers:
        of_prompts.setdefault(answer["prompt_id"], []).append(answer)
    prompts = pairs.window(list(of_prompts.values()), flags.round, flags.num_pairs)
    taken = [answer for of_prompt in prompts for answer in of_prompt]
    found = chat.encode_rows(flags.answers, taken, lambda row: response(chat_format, row, "response", None, True))
    rows = [row | {"given_reward": answer["given_reward"]} for row, answer in zip(found, taken, strict=True)]
    return rows, len(answers), f"{len(prompts)} prompts"


def both(chat_format: chat.Chat, pair: dict) -> list[dict]:
    """The chosen and the rejected response as rows of kind "responses", apart from their numbers."""
    return [
        response(chat_format, pair, side, pair[f"{side}_tokens"], pair[f"{side}_finish_reason"] != "length")
        for side in ("chosen", "rejected")
    ]


def response(chat_format: chat.Chat, row: dict, column: str, drawn: list[int] | None, finished: bool) -> dict:
    """A response in a column as a row of kind "responses", apart from its number."""
    _, ids = chat_format.row(row, column, drawn, finished)
    return {
        **{name: row[name] for name in ("prompt_id", "prompt", "tools", "fields")},
        "response": row[column],
        "response_ids": ids,
        "finish_reason": "stop" if finished else "length",
        "num_tokens": len(ids) - finished,
    }


def numbered(rows: list[dict]) -> list[dict]:
    """The rows with a sample_id: a prompt of several pairs has so many more samples."""
    counts: dict[str, int] = {}
    for row in rows:
        row["sample_id"] = counts.get(row["prompt_id"], 0)
        counts[row["prompt_id"]] = row["sample_id"] + 1
    return rows


if __name__ == "__main__":
    stage.run(main, Flags)
