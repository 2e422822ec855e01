"""The first row of a table as its model reads it: prompt and response as tokens with their ids, and what is trained."""

import dataclasses
import json
import re
from pathlib import Path

import pyarrow as pa

from preference.files import conversations
from preference.inspection import artifacts, columns, lineage, samples, terminal
from preference.running.stage import InputError

KINDS = ("responses", "rewards", "evaluation")  # that keep the ids which their policy drew
ABOVE = ("responses", "rewards")  # the inputs that lead from a table to the one whose stage read the policy
ANSWERS = {"response": "response_ids", "chosen": "chosen_tokens", "completion": None}  # and their ids as sampled
BETWEEN = re.compile(r"(?<=\)) ")  # two tokens, each of which ends with its id in brackets


def portrait(path: Path, kind: str, model: str | None) -> list[str]:
    """Lines of the first row's tokens; none where no model is given and the one that made the table is not there.

    Raises:
        InputError: the model that was given has no chat format, or there is no conversation in the row.
    """
    if model is not None:
        return _rendered(path, model, {})
    if kind not in KINDS or (found := policy(path)) is None:
        return []
    try:
        return _rendered(path, *found)
    except (InputError, OSError, ValueError) as error:
        return ["", *terminal.folded(f"tokens of row 0 cannot be shown with {found[0]}:", str(error).split())]


def policy(path: Path) -> tuple[str, dict] | None:
    """The folder of the policy that made a table's responses, and the flags it was called with; None if it is gone."""
    base = Path.cwd()
    for _ in (*ABOVE, "the table itself"):
        content = artifacts.made_by(path)
        base = lineage.folder_of_run(path, content) or base
        inputs = {name: lineage.resolve(recorded, base) for name, recorded, _ in artifacts.inputs(content)}
        if "policy" in inputs:
            found = inputs["policy"]
            return (str(found), _flags(content, base)) if found.is_dir() and artifacts.is_model(found) else None
        path = next((inputs[name] for name in ABOVE if name in inputs), path)
    return None


def _flags(content: dict, base: Path) -> dict:
    given = artifacts.part(content, "flags")
    if isinstance(given.get("chat_template"), str):
        given = given | {"chat_template": str(lineage.resolve(given["chat_template"], base))}
    return given


def _rendered(path: Path, model: str, flags: dict) -> list[str]:
    from preference.models import chat  # seconds, for the tokenizer

    known = {field.name for field in dataclasses.fields(chat.Flags)}
    given = {name: flags[name] for name in known & flags.keys() if isinstance(flags[name], str)}
    read_by = chat.load(model, chat.Flags(**given))
    prompt, response, drawn, tools = conversation(path)
    ids = drawn if _is_text_of(drawn, response, read_by) else None
    if ids is None:
        ids = read_by.encode(prompt, response, tools)[1] if response else []
    lines = [
        read_by.describe((read_by.encode_prompt(prompt, tools), ids)),
        _end(read_by, ids) if ids else "no response",
    ]
    if drawn is not None and ids != drawn:
        lines.append("these are not the ids in the table, which this tokenizer reads as another text")
    words = [BETWEEN.split(line) for line in "\n".join(lines).split("\n")]
    shown = [line for each in [read_by.summary().split(" "), *words] for line in terminal.folded(" ", each)]
    return ["", f"row 0 as {model} reads it:", *shown]


def _is_text_of(ids: list[int] | None, response: list[dict], read_by) -> bool:
    """Say if this tokenizer decodes ids to the response's text; the text of a tool call is parsed, so any ids pass."""
    if ids is None:
        return False
    return any("tool_calls" in message for message in response) or read_by.text_of(ids) == conversations.text(response)


def _end(read_by, ids: list[int]) -> str:
    if not read_by.is_finished(ids):
        return "end: none, the response was cut"
    return f"end: {read_by.stop_ids[ids[-1]]}({ids[-1]})"


def conversation(path: Path) -> tuple[list[dict], list[dict], list[int] | None, list | None]:
    """(prompt, response, the response's ids as sampled, tools) of the first row of any table with conversations.

    A column of whole conversations ends with the response.

    Raises:
        InputError: the first row has no prompt.
    """
    table, _ = samples.load(path)
    row = (table.slice(0, 1).to_pylist() or [{}])[0]
    names = [name for name in _columns(table) if row.get(name)]
    answer = next((name for name in names if name != "prompt"), None)
    prompt = _messages(row.get("prompt") or [], "prompt")
    messages = _messages(row[answer], answer) if answer else []
    if not prompt:
        prompt, messages = (messages[:-1], messages[-1:]) if _is_answered(messages) else (messages, [])
    elif len(messages) > 1:  # the prompt again, and the answer
        messages = messages[-1:]
    if not prompt:
        raise InputError(f"{path}: row 0 has no prompt, so it has no tokens to show")
    return prompt, messages, row.get(ANSWERS.get(answer or "") or ""), _tools(row.get("tools"))


def _columns(table: pa.Table) -> list[str]:
    """The columns that may hold the response, the best known first."""
    others = [field.name for field in table.schema if columns.is_conversation(field.type)]
    return list(dict.fromkeys([*(name for name in ANSWERS if name in table.schema.names), *others]))


def _messages(value, column: str) -> list[dict]:
    if isinstance(value, str):
        return (conversations.as_prompt if column == "prompt" else conversations.as_response)(value)
    value = value if isinstance(value, list) else [value]
    return conversations.canonical(value, f"row 0, column '{column}'")


def _is_answered(messages: list[dict]) -> bool:
    return bool(messages) and messages[-1]["role"] == "assistant"


def _tools(value) -> list | None:
    try:
        return json.loads(value) if isinstance(value, str) and value.strip() else value or None
    except ValueError:
        raise InputError("row 0, column 'tools' is not JSON") from None
