"""A conversation as a person reads it: turns of who speaks and what they say. Standard library only.

Every published spelling of a message is read and none is refused, so that a report or an inspection shows what a file
holds.
"""

import json
from typing import NamedTuple

ROLES, CONTENTS = ("role", "from"), ("content", "value")  # OpenAI's keys, ShareGPT's keys
REASONING = ("reasoning_content", "thinking")
_READ = {*ROLES, *CONTENTS, *REASONING, "tool_calls", "name", "tool_call_id"}


class Turn(NamedTuple):
    """What is said in one turn; the label is empty where the column already says who speaks."""

    label: str
    text: str


def speaker(column: str) -> str:
    """Return the role that a single message of a column has without saying so."""
    return "user" if column == "prompt" else "assistant"


def read(column: str, value) -> list[Turn] | None:
    """Return the turns of a cell: of messages, of one message, or of plain text; None if the cell is empty.

    A prompt that is one message of the user, and any other text that is one message of the assistant, has no label.
    """
    if value is None or isinstance(value, str):
        return None if value is None else [Turn("", value)]
    found = [turn for message in _messages(value) for turn in _turns(message)]
    return [Turn("", found[0].text)] if len(found) == 1 and found[0].label == speaker(column) else found


def is_conversation(value) -> bool:
    """Say whether a value is a list of messages, or one message."""
    found = value if isinstance(value, list) else [value]
    return bool(found) and all(isinstance(one, dict) and is_message(one.keys()) for one in found)


def is_message(keys) -> bool:
    """Say whether a mapping with these keys, or a struct with these fields, is a message."""
    spellings = zip(ROLES, CONTENTS, strict=True)
    return any(role in keys and (content in keys or "tool_calls" in keys) for role, content in spellings)


def length(turns: list[Turn] | None) -> int | None:
    """Return the number of characters that are said."""
    return None if turns is None else sum(len(turn.text) for turn in turns)


def _messages(value) -> list:
    """Return a list of messages; a mapping is one message, or a list for each of a message's keys."""
    if not isinstance(value, dict):
        return value
    if not any(isinstance(value.get(key), list) for key in ROLES):
        return [value]
    columns = {key: each for key, each in value.items() if isinstance(each, list)}
    return [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=False)]


def _turns(message: dict | None) -> list[Turn]:
    if message is None:
        return [Turn("no message", "")]
    who = str(_first(message, ROLES) or "no role")
    said, calls = _text(_first(message, CONTENTS)), _calls(message.get("tool_calls"))
    thought = _text(_first(message, REASONING))
    found = [Turn(f"{who} thinks", thought)] if thought else []
    if said or not calls:
        found.append(Turn(_joined(who, *_facts(message)), said))
    return found + [Turn(_joined(f"{who} calls {name}", call_id), arguments) for name, arguments, call_id in calls]


def _first(message: dict, keys: tuple[str, ...]):
    return next((message[key] for key in keys if message.get(key) is not None), None)


def _facts(message: dict) -> list[str]:
    """Return what else a message says of itself: the tool's name, the call that it answers, numbers of other keys."""
    given = [str(message[key]) for key in ("name", "tool_call_id") if message.get(key)]
    others = ((key, value) for key, value in message.items() if key not in _READ)
    return given + [f"{key} {value}" for key, value in others if isinstance(value, str | int | float) and value != ""]


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _text(content) -> str:
    """Return a content as text: the parts of a list joined, a picture or another part by its type in brackets."""
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    return _json(content)


def _part(part) -> str:
    if not isinstance(part, dict):
        return _json(part)
    return part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type') or 'no text'}]"


def _calls(calls) -> list[tuple[str, str, str]]:
    """Return (name, arguments, id) of each call."""
    if isinstance(calls, str):
        try:
            calls = json.loads(calls)
        except (ValueError, RecursionError):
            return [("no JSON", calls, "")]
    found = []
    for call in calls if isinstance(calls, list) else []:
        call = call if isinstance(call, dict) else {"arguments": call}
        function = call["function"] if isinstance(call.get("function"), dict) else call
        found.append(
            (str(function.get("name") or "no name"), _json(function.get("arguments")), str(call.get("id") or ""))
        )
    return found


def _json(value) -> str:
    """Return a text as it is, nothing as an empty text, and anything else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return as_json(value)


def as_json(value) -> str:
    """Return any value as JSON to look at; bytes are told by their number."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value) -> str:
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)
