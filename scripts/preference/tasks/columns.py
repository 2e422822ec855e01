"""Columns of published data: the kinds of their values, and a row as the formats read it."""

import ast
import contextlib
import json
import math
import re

from preference.files import conversations
from preference.files.conversations import Messages
from preference.running.stage import InputError
from preference.tasks import dialogues

# The kinds of values that a format asks of a column.
TEXT, MESSAGES, MAPPINGS, MAPPING, TEXTS = ("text",), ("messages",), ("mappings",), ("dict",), ("texts",)
CHAT = (*TEXT, *MESSAGES)
NUMBER = ("int", "float")
LABEL = ("bool", *NUMBER)
PAIR = {  # two answers to a prompt in another column
    "chosen|chosen_response": (*TEXT, *MAPPING),
    "rejected|rejected_response": (*TEXT, *MAPPING),
}
SCORES = {  # optional columns with the scores of two answers
    "chosen_reward|score_chosen|chosen_score|chosen_rating|rating_chosen|chosen-rating|chosen_avg_rating": NUMBER,
    "rejected_reward|score_rejected|rejected_score|rejected_rating|rating_rejected|rejected-rating"
    "|rejected_avg_rating": NUMBER,
}
SPEAKER = ("role", "from")  # a message has one of these keys
SAMPLED = 100  # rows by whose values a column is judged


def kind(values: list) -> str:
    """Return the kind of a column's values: of the first one that says something, or `null`."""
    value = next((each for each in values if each is not None and each != []), None)
    if isinstance(value, list):
        return _kind_of_list(value)
    return {"str": "text", "NoneType": "null"}.get(type(value).__name__, type(value).__name__)


def _kind_of_list(values: list) -> str:
    if all(isinstance(each, dict) for each in values):
        return "messages" if all(any(key in each for key in SPEAKER) for each in values) else "mappings"
    return "texts" if all(isinstance(each, str) for each in values) else "list"


def decoded(rows: list[dict], nested: set[str]) -> list[dict]:
    """Return rows with columns of JSON texts, or of lists side by side, as the messages that they hold.

    Args:
        nested: names of columns that never hold plain text; any list or mapping in them is decoded.
    """
    columns = {name: value for name in (rows[0] if rows else ()) if (value := _first(rows, name)) is not None}
    packed = [name for name, value in columns.items() if _is_packed(_plain(value), value, name in nested)]
    return [{**row, **{name: _decoded(row[name]) for name in packed}} for row in rows] if packed else rows


def _first(rows: list[dict], name: str):
    return next((row[name] for row in rows if row[name]), None)


def _is_packed(plain, value, nested: bool) -> bool:
    if plain is value:
        return False
    as_message = isinstance(plain, dict) and any(key in plain for key in SPEAKER)
    return as_message or kind([plain]) == "messages" or (nested and isinstance(plain, list | dict))


def _decoded(value):
    return None if value == "" else _plain(value)


def _plain(value):
    """Return what a text of JSON, or a mapping of lists, stands for; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return _parsed(value)
    if not isinstance(value, dict) or not all(isinstance(each, list) for each in value.values()):
        return value
    if len({len(each) for each in value.values()}) != 1:
        return value
    # A sequence of mappings, as some libraries store it.
    return [dict(zip(value, each, strict=True)) for each in zip(*value.values(), strict=True)]


def _parsed(text: str):
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        return ast.literal_eval(re.sub(r"\}\s*\n\s*\{", "}, {", text.strip()))  # as numpy prints a list of mappings
    return text


class Row:
    """A row as a format sees it: by the names that the format gives to columns, errors by those of the file."""

    def __init__(self, values: dict, names: dict[str, str]):
        self.values, self.names = values, names

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def column(self, name: str) -> str:
        """Return the column's name for a message."""
        return f"column '{self.names.get(name, name)}'"

    def value(self, name: str):
        """Return a value as the file has it; None where the file has none."""
        return self.values.get(name)

    def text(self, name: str) -> str:
        """Return a text; an empty one for null, as many published files have empty answers."""
        return as_text(self.value(name), self.column(name))

    def number(self, name: str) -> float | None:
        """Return a finite number, or None for null."""
        return as_number(self.value(name), self.column(name))

    def label(self, name: str) -> float:
        """Return 1.0 for a good answer and 0.0 for a bad one."""
        value = self.value(name)
        if value not in (0, 1):
            raise InputError(f"{self.column(name)} is {shown(value)}; it must be true or false, 1 or 0")
        return float(value)

    def scores(self) -> dict:
        """Return the scores of two answers, each None if the file has none."""
        return {name: self.number(name) for name in ("chosen_reward", "rejected_reward")}

    def answers(self) -> dict:
        """Return two answers with their scores."""
        return {"chosen": self.response("chosen"), "rejected": self.response("rejected"), **self.scores()}

    def by_strength(self, first: str, second: str, name: str) -> dict:
        """Return two answers, the first of which is better where a number is negative; it is their margin."""
        strength = self.number(name)
        if strength is None:
            raise InputError(f"{self.column(name)} is null, so neither answer is preferred")
        chosen, rejected = (first, second) if strength <= 0 else (second, first)
        answers = {"chosen": self.response(chosen), "rejected": self.response(rejected)}
        return {**answers, "chosen_reward": abs(strength), "rejected_reward": 0.0}

    def messages(self, name: str) -> Messages:
        """Return a conversation with roles and keys by one spelling."""
        return as_messages(self.value(name), self.column(name))

    def conversation(self, name: str) -> Messages:
        """Return a conversation up to the last answer that is to be learnt: no `weight: 0`, no `train: false`."""
        messages = self.messages(name)
        answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        while answers and _is_not_learnt(self.value(name)[answers[-1]]):
            messages = messages[: answers.pop()]
        return messages

    def prompt(self, name: str) -> Messages:
        """Return a prompt: messages, or a text, which may be a transcript that ends as the assistant begins."""
        if isinstance(self.value(name), list):
            return self.messages(name)
        return dialogues.prompt_of_text(self.text(name))

    def whole(self, prompt: str, response: str) -> Messages:
        """Return a prompt and its answer as one conversation; the answer may repeat the prompt."""
        return dialogues.with_prompt(self.prompt(prompt), self.response(response), self.column(response))

    def response(self, name: str) -> Messages:
        """Return an answer that is a text, a message or messages."""
        value = self.value(name)
        if isinstance(value, dict):
            return as_messages([value], self.column(name))
        return self.messages(name) if isinstance(value, list) else conversations.assistant(self.text(name))


def _is_not_learnt(message: dict) -> bool:
    return message.get("weight") == 0 or message.get("train") is False


def as_text(value, where: str) -> str:
    """Return a text, or an empty one for None.

    Raises:
        InputError: it is no text; the line begins with `where`.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where} is {shown(value)}, not text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"{where} holds half of a character, {value[:60]!r}")
    return value


def as_number(value, where: str) -> float | None:
    """Return a finite number, or None for None.

    Raises:
        InputError: it is something else; the line begins with `where`.
    """
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InputError(f"{where} is {shown(value)}, not a finite number")
    return float(value)


def as_messages(value, where: str) -> Messages:
    """Return canonical messages.

    Raises:
        InputError: it is no list of messages; the line begins with `where`.
    """
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InputError(f"{where} is not a list of messages (role, content)")
    return conversations.canonical(value, where)


def mappings(row: Row, name: str) -> list[dict]:
    """Return a list of mappings, such as a prompt's answers with their scores."""
    value = row.value(name)
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise InputError(f"{row.column(name)} is not a list of mappings")
    return value


def shown(value) -> str:
    """Return a value for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."
