"""Conversations: a prompt is a list of messages, a response is a list of one assistant message.

A message is a dict with `role` and `content`, both texts. A message that uses tools also has `tool_calls`,
`tool_call_id` or `name`, and one of a model that thinks may have `reasoning_content`. A key without a value is left
out. Plain text stands for one message: of the user in a prompt, of the assistant in a response.
Standard library only.
"""

import hashlib
import json
from typing import Any

from preference.running.stage import InputError

ROLES = ("system", "user", "assistant", "tool")
ALIASES = {  # the names that published data sets give to the roles
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "developer": "system",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
CALLS = ("function_call", "tool_call")  # roles of a message whose content is a tool call

CONTENTS = ("content", "value", "text")

Messages = list[dict]


def user(text: str) -> Messages:
    """Return a prompt that is one message of the user."""
    return [{"role": "user", "content": text}]


def assistant(text: str) -> Messages:
    """Return a response that is one text of the assistant."""
    return [{"role": "assistant", "content": text}]


def as_prompt(value: str | Messages) -> Messages:
    """Return a prompt as messages; a plain text becomes one message of the user."""
    return user(value) if isinstance(value, str) else value


def as_response(value: str | Messages) -> Messages:
    """Return a response as messages; a plain text becomes one message of the assistant."""
    return assistant(value) if isinstance(value, str) else value


def canonical(messages, where: str = "messages") -> Messages:
    """Return messages of any published spelling as canonical ones.

    Role names are unified, a content of text parts is joined, tool calls take OpenAI's shape with `arguments` as JSON
    text, a null content becomes an empty text, and keys without a value, or unknown ones, are dropped.

    Args:
        messages: a list of mappings with `role` and `content` (or `from` and `value`, or `text`). A message with the
            role `function_call` is a tool call of the assistant.
        where: the name of the column for the error.

    Raises:
        InputError: it names `where` and the index of the message.
    """
    if not isinstance(messages, list | tuple) or not all(isinstance(message, dict) for message in messages):
        raise InputError(f"{where}: is not a list of messages (mappings with role and content)")
    return [_canonical(message, f"{where}, message {index}") for index, message in enumerate(messages)]


def _canonical(message: dict, where: str) -> dict:
    role = message.get("role", message.get("from"))
    if not isinstance(role, str):
        raise InputError(f"{where}: has no role")
    role = ALIASES.get(role.lower(), role.lower())
    content = next((message[key] for key in CONTENTS if message.get(key) is not None), None)
    calls = message.get("tool_calls") or message.get("function_call")
    if role in CALLS:
        role, content, calls = "assistant", None, content
    if role not in ROLES:
        raise InputError(f"{where}: role is {role!r}; it must be one of {', '.join(ROLES)}")
    found: dict[str, Any] = {"role": role, "content": _content(content, where)}
    if message.get("name"):
        found["name"] = str(message["name"])
    if calls:
        found["tool_calls"] = _tool_calls(calls, where)
    if message.get("tool_call_id"):
        found["tool_call_id"] = str(message["tool_call_id"])
    if reasoning := message.get("reasoning_content") or message.get("thinking"):
        found["reasoning_content"] = _content(reasoning, where)
    return found


def _content(value, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        for part in value:
            if not isinstance(part, dict) or part.get("type", "text") != "text":
                kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                raise InputError(f"{where}: content has a part of type {kind!r}; only text is supported")
        value = "".join(part.get("text") or "" for part in value)
    if not isinstance(value, str):
        raise InputError(f"{where}: content is {value!r}, not text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"{where}: content holds half of a character, {value[:60]!r}")
    return value


def _tool_calls(calls, where: str) -> list[dict]:
    if isinstance(calls, str):
        try:
            calls = json.loads(calls)
        except ValueError:
            raise InputError(f"{where}: tool_calls is not JSON") from None
    calls = [calls] if isinstance(calls, dict) else calls
    if not isinstance(calls, list):
        raise InputError(f"{where}: tool_calls is not a list")
    found = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InputError(f"{where}: a tool call has no function name")
        arguments = function.get("arguments", function.get("parameters"))
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments or {}, ensure_ascii=False, sort_keys=True)
        one = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
        found.append(({"id": str(call["id"])} if call.get("id") else {}) | one)
    return found


def check_prompt(messages: Messages, where: str = "prompt") -> None:
    """Raise an InputError where messages are no prompt: empty, or not ending where the assistant speaks next."""
    if not messages:
        raise InputError(f"{where}: has no messages")
    if messages[-1]["role"] not in ("user", "tool"):
        raise InputError(f"{where}: ends with a message of the {messages[-1]['role']}, so nobody asks the assistant")


def text(messages: Messages) -> str:
    """Return the text of a response: its content, and its tool calls as JSON where it has some."""
    return "\n\n".join(_text_of(message) for message in messages)


def _text_of(message: dict) -> str:
    calls = [call["function"] for call in message.get("tool_calls", ())]
    said = [f"{call['name']}({call['arguments']})" for call in calls]
    return "\n".join(([message["content"]] if message["content"] or not said else []) + said)


def transcript(messages: Messages) -> str:
    """Return a prompt for a person to read: its text if it is one message of the user, else `role: text` blocks."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {_text_of(message)}" for message in messages)


def is_empty(messages: Messages) -> bool:
    """Say whether a prompt or a response holds nothing but white space."""
    return not any(message["content"].strip() or message.get("tool_calls") for message in messages)


def without_empty(message: dict) -> dict:
    """Return a message as it was before a table filled the keys that it lacks with null."""
    found = {name: value for name, value in message.items() if value is not None}
    if "tool_calls" in found:
        found["tool_calls"] = [{k: v for k, v in call.items() if v is not None} for call in found["tool_calls"]]
    return found


def key(messages: Messages, tools: list | None = None) -> str:
    """Return canonical JSON of messages, and of the tools beside them: equal exactly where they are equal."""
    content = {"messages": messages, **({"tools": tools} if tools else {})}
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def stripped_key(row: dict) -> str:
    """Return what a model sees of a prompt if nobody knows its template: `key` without white space around texts."""
    messages = [{**message, "content": message["content"].strip()} for message in row["prompt"]]
    return key(messages, row["tools"])


def prompt_id(prompt: str | Messages, tools: list | None = None) -> str:
    """Return the name of a prompt: 16 hex digits of the SHA-256 of its canonical messages and tools.

    Equal prompts meet, whatever file they come from.
    """
    return hashlib.sha256(key(as_prompt(prompt), tools).encode()).hexdigest()[:16]
