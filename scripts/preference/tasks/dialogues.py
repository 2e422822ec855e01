"""Turns of published conversations: where the last answer begins, where two part, and what a transcript holds."""

import re

from preference.files import conversations
from preference.files.conversations import Messages
from preference.running.stage import InputError

SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"(?:\A\s*|\r?\n\r?\n)(Human|Assistant):")
OPEN_TURN = re.compile(r"\r?\n\r?\nAssistant:\s*\Z")
NO_ANSWER = "does not end with a message of the assistant that answers another one"
NO_TURN = "does not begin with a message of the user and end with an answer to one"
NO_TRANSCRIPT = "is no transcript of a Human turn and an Assistant turn"


def answered(messages: Messages, column: str) -> dict:
    """Return the prompt and the last answer of a conversation; what follows the answer is left out.

    Turns of the assistant that come before the first of the user answer nobody and are left out, too.

    Raises:
        InputError: nobody asks; the line begins with `column`.
    """
    messages = _from_the_user_on(messages)
    last = max((index for index, message in enumerate(messages) if message["role"] == "assistant"), default=None)
    prompt, response = (messages, None) if last is None else (messages[:last], messages[last : last + 1])
    check(prompt, column)
    return {"prompt": prompt, "response": response}


def _from_the_user_on(messages: Messages) -> Messages:
    first = next((index for index, message in enumerate(messages) if message["role"] == "user"), 0)
    return [message for message in messages[:first] if message["role"] == "system"] + messages[first:]


def check(prompt: Messages, column: str) -> None:
    """Raise an InputError where messages are no prompt: the user begins, and the assistant speaks next."""
    roles = [message["role"] for message in prompt if message["role"] != "system"]
    if not roles or roles[0] != "user" or roles[-1] not in ("user", "tool"):
        raise InputError(f"{column} {NO_TURN}")


def pair(chosen: Messages, rejected: Messages, columns: tuple[str, ...]) -> dict:
    """Return the prompt and the two answers of conversations, compared where they part.

    Later turns are left out, because their prompts differ.

    Args:
        columns: what the two are called in a message.

    Raises:
        InputError: they part at no answer.
    """
    for column, messages in zip(columns, (chosen, rejected), strict=True):
        if not any(message["role"] == "assistant" for message in messages):
            raise InputError(f"{column} {NO_ANSWER}")
    at = _parting(chosen, rejected)
    for column, messages in zip(columns, (chosen, rejected), strict=True):
        if at >= len(messages):
            raise InputError(f"{column} {NO_ANSWER}")
    if {chosen[at]["role"], rejected[at]["role"]} != {"assistant"}:
        equal = _stripped(chosen[at]) == _stripped(rejected[at])
        raise InputError(f"{columns[0]} {NO_ANSWER}" if equal else f"{_both(columns)} have different prompts")
    check(chosen[:at], columns[0])
    return {"prompt": chosen[:at], "chosen": [chosen[at]], "rejected": [rejected[at]]}


def with_prompt(prompt: Messages, messages: Messages, column: str) -> Messages:
    """Return the whole conversation of a prompt and of messages that go on from it or repeat it.

    Raises:
        InputError: the messages begin with a question that is not in the prompt; the line begins with `column`.
    """
    if not prompt or not messages or messages[0]["role"] == "assistant":
        return prompt + messages
    if any(_stripped(prompt[-1]) == _stripped(message) for message in messages):
        has_own = prompt[0]["role"] != "system" or messages[0]["role"] == "system"
        return messages if has_own else prompt[:1] + messages
    if prompt[-1]["role"] == messages[0]["role"]:
        raise InputError(f"{column} asks something else than the prompt")
    return prompt + messages


def _parting(chosen: Messages, rejected: Messages) -> int:
    """Return the index of the first message that differs by more than white space; of equal ones, of the last."""
    shared = min(len(chosen), len(rejected))
    differing = (i for i in range(shared) if _stripped(chosen[i]) != _stripped(rejected[i]))
    return next(differing, shared - 1 if len(chosen) == len(rejected) else shared)


def _stripped(message: dict) -> dict:
    """Return what of a message counts as a difference: no white space around it, no names of tool calls."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    found = {**message, "content": message["content"].strip(), "tool_calls": calls}
    return {key: value for key, value in found.items() if key != "tool_call_id"}


def _both(columns: tuple[str, ...]) -> str:
    return f"{columns[0].replace('column', 'columns', 1)} and {columns[1].removeprefix('column ')}"


def of_transcript(text: str, column: str) -> Messages:
    """Return the messages of a transcript, "\\n\\nHuman: ...\\n\\nAssistant: ...".

    Turns of one speaker that follow each other are one message.

    Raises:
        InputError: it has no turn of both; the line begins with `column`.
    """
    before, *parts = TURN.split(text)
    said = [(SPEAKERS[name], content.strip()) for name, content in zip(parts[::2], parts[1::2], strict=True)]
    if before.strip() or {role for role, _ in said} != {"user", "assistant"} or said[0][0] != "user":
        raise InputError(f"{column} {NO_TRANSCRIPT}")
    return _joined(said)


def _joined(said: list[tuple[str, str]]) -> Messages:
    messages: Messages = []
    for role, content in said:
        if messages and messages[-1]["role"] == role:
            both = (messages[-1]["content"], content)
            messages[-1] = {"role": role, "content": "\n\n".join(text for text in both if text)}
        else:
            messages.append({"role": role, "content": content})
    return messages


def are_transcripts(texts: list) -> bool:
    """Return whether at least half of the texts that say something begin as transcripts do."""
    texts = [text for text in texts if text]
    return bool(texts) and 2 * sum(map(is_transcript, texts)) >= len(texts)


def is_transcript(text) -> bool:
    """Return whether a text begins as a transcript does."""
    return isinstance(text, str) and text.lstrip().startswith("Human:")


def prompt_of_text(text: str) -> Messages:
    """Return the messages of a prompt that is plain text, or a transcript in which the assistant speaks next."""
    speakers = TURN.findall(text) if is_transcript(text) else []
    is_sure = len(speakers) > 1 or text.startswith("\n")  # any text may begin with "Human:"
    if is_sure and speakers[-1:] == ["Human"]:
        text = f"{text.rstrip()}\n\nAssistant:"
    if speakers and OPEN_TURN.search(text):
        return without_open_turn(of_transcript(text, "the prompt"))
    return conversations.user(text)


def without_open_turn(messages: Messages) -> Messages:
    """Return messages without the empty turn of the assistant at their end, which a prompt leaves open."""
    return messages[:-1] if messages[-1] == {"role": "assistant", "content": ""} else messages


def of_tags(text: str, tags: dict[str, str], end: str, column: str) -> Messages:
    """Return the messages of a text in which a tag begins each turn.

    Args:
        tags: tag -> role.
        end: what closes a turn and is no part of it.

    Raises:
        InputError: it has no tag; the line begins with `column`.
    """
    _, *parts = re.split(f"({'|'.join(map(re.escape, tags))})", text)
    if not parts:
        raise InputError(f"{column} has no {next(iter(tags))}")
    contents = [content.split(end)[0].strip() if end else content.strip() for content in parts[1::2]]
    return [{"role": tags[tag], "content": content} for tag, content in zip(parts[::2], contents, strict=True)]
