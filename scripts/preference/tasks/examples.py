"""Examples of a task's data, from what a format made of a row to rows of a table.

An example is a mapping with `prompt`, `prompt_id`, `tools`, `fields`, and one of `response`; `chosen` and `rejected`
with their rewards; `answers`, each with `response` and `given_reward`.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from preference.files import conversations, records
from preference.files.conversations import Messages
from preference.training import pairs

NAMED = ("prompt_id", "prompt", "tools", "fields")  # what every row of a prompt has


def named(example: dict, system: str | None = None) -> dict:
    """Return an example with its prompt_id, and with a system message if it has none and one is given."""
    prompt = example["prompt"]
    if system is not None and prompt[0]["role"] != "system":
        prompt = [{"role": "system", "content": system}, *prompt]
    return {**example, "prompt": prompt, "prompt_id": records.prompt_id(prompt, example["tools"])}


def merge_equal(rows: Iterable[dict], seen: Callable[[dict], Hashable]) -> int:
    """Give prompts that the model sees as equal the messages, tools and prompt_id of the first one, in place.

    Args:
        rows: of all roles together, each with a prompt.
        seen: a row -> what the model sees of its prompt.

    Returns:
        The number of prompts that were merged into an earlier one.
    """
    first: dict[Hashable, dict] = {}
    views, merged = {}, set()
    for row in rows:
        if row["prompt_id"] not in views:
            views[row["prompt_id"]] = seen(row)
        like = first.setdefault(views[row["prompt_id"]], {name: row[name] for name in ("prompt_id", "prompt", "tools")})
        if row["prompt_id"] != like["prompt_id"]:
            merged.add(row["prompt_id"])
            row.update(like)
    return len(merged)


def grouped(examples: list[dict], join_unpaired: bool) -> list[dict]:
    """Return examples in which rows that are answers to one prompt are one list, at the place of its first row.

    Args:
        join_unpaired: do so with unpaired answers, too; else each is a list of its own.
    """
    lists: dict = {}
    for number, example in enumerate(examples):
        is_answer = "given_reward" in example and (join_unpaired or "unpaired" not in example)
        lists.setdefault(example["prompt_id"] if is_answer else number, []).append(example)
    return [_as_list(rows) if "given_reward" in rows[0] else rows[0] for rows in lists.values()]


def _as_list(rows: list[dict]) -> dict:
    keys = ("response", "given_reward")
    about = {key: value for key, value in rows[0].items() if key not in keys}
    return {**about, "answers": [{key: row[key] for key in keys} for row in rows]}


def answer(example: dict) -> Messages | None:
    """Return the data's answer to a prompt: its response, the chosen one, or the best; None if no answer is good."""
    if "answers" not in example:
        return example.get("chosen", example.get("response"))
    good = [each for each in example["answers"] if not (example.get("unpaired") and each["given_reward"] == 0)]
    best = max(good, key=lambda each: _score(each["given_reward"]), default=None)
    return best["response"] if best else None


def _score(reward: float | None) -> float:
    return float("-inf") if reward is None else reward


def scored(example: dict) -> list[dict]:
    """Return rows of kind "answers": every answer, with the data's own score, of a pair without scores 1 and 0.

    An unpaired answer that is labelled good and says nothing is left out.
    """
    about = {name: example[name] for name in (*NAMED, "unpaired") if name in example}
    if "chosen" in example:
        rewards = (example.get("chosen_reward"), example.get("rejected_reward"))
        rewards = (1.0, 0.0) if None in rewards else rewards
        sides = zip((example["chosen"], example["rejected"]), rewards, strict=True)
        return [{**about, "response": response, "given_reward": reward} for response, reward in sides]
    return [{**about, **each} for each in example.get("answers", ()) if not _is_empty_and_good(each, example)]


def _is_empty_and_good(answer: dict, example: dict) -> bool:
    """Return whether an unpaired answer is labelled good and says nothing."""
    is_good = "unpaired" in example and answer["given_reward"] == 1
    return is_good and conversations.is_empty(answer["response"])


def pair(example: dict, pairing: str, min_margin: float, seed: int) -> tuple[dict | None, str | None]:
    """Return (a row of kind "pairs", None), or (None, why the answers of a prompt make none)."""
    about = {name: example[name] for name in NAMED}
    if "chosen" in example:
        rewards = {name: example.get(name) for name in ("chosen_reward", "rejected_reward")}
        return {**about, "chosen": example["chosen"], "rejected": example["rejected"], **rewards}, None
    samples = {
        conversations.key(each["response"]): {**each, "reward": each["given_reward"], "sample_id": number}
        for number, each in reversed(list(enumerate(example["answers"])))
        if each["given_reward"] is not None
    }
    if len(samples) < 2:
        return None, "fewer than two scored answers"
    rng = random.Random(f"{seed} pairing {example['prompt_id']}")
    drawn = pairs.choose_pair(list(samples.values()), pairing, min_margin, rng)
    if drawn is None:
        return None, "tie or margin below min_margin"
    chosen, rejected = drawn
    answers = {"chosen": chosen["response"], "rejected": rejected["response"]}
    return {**about, **answers, "chosen_reward": chosen["reward"], "rejected_reward": rejected["reward"]}, None


def clean(rows: list[dict], kind: str, min_margin: float, max_characters: int | None) -> tuple[list[dict], Counter]:
    """Return (rows worth keeping, rows dropped by reason); of tables of prompts, one row per prompt."""
    dropped: Counter[str] = Counter()
    kept, seen = [], set()
    for row in rows:
        key = row["prompt_id"] if kind in ("prompts", "eval_prompts") else _key(row)
        reason = fault(row, kind, min_margin, max_characters) or ("duplicate" if key in seen else None)
        if reason:
            dropped[reason] += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept, dropped


def _key(row: dict) -> str:
    return json.dumps({name: value for name, value in row.items() if name != "prompt"}, sort_keys=True)


def fault(row: dict, kind: str, min_margin: float, max_characters: int | None) -> str | None:
    """Return why a row is of no use, or None."""
    if not _asks(row["prompt"]):
        return "empty prompt"
    if kind == "sft" and conversations.is_empty(row["response"]):
        return "empty response"
    if kind == "pairs" and row["chosen"] == row["rejected"]:
        return "identical chosen and rejected"
    if kind == "pairs" and conversations.is_empty(row["chosen"]):
        return "empty chosen response"
    if kind == "pairs" and (reason := _of_margin(row, min_margin)):
        return reason
    answers = [row[name] or [] for name in ("response", "chosen", "rejected") if name in row]
    if max_characters is not None and _length(row["prompt"]) + max(map(_length, answers), default=0) > max_characters:
        return "longer than max_characters"
    return None


def _asks(prompt: Messages) -> bool:
    """Return whether somebody asks something; a system message alone does not."""
    return not conversations.is_empty([message for message in prompt if message["role"] != "system"])


def _length(messages: Messages) -> int:
    return sum(len(conversations.text([message])) for message in messages)


def _of_margin(row: dict, min_margin: float) -> str | None:
    """Return why the data's own scores contradict a pair, or say too little; None if they do not, or are missing."""
    if row["chosen_reward"] is None or row["rejected_reward"] is None:
        return None
    margin = row["chosen_reward"] - row["rejected_reward"]
    if margin == 0:
        return "tie"
    if margin < 0:
        return "inverted scores"
    return "margin below min_margin" if margin < min_margin else None
