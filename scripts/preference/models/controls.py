"""Control texts: what stands before an answer and says of which sort it is (conditional SFT, arXiv 2302.08582).

A policy that was trained with control texts keeps the good one in its chat template, which writes it where the
assistant begins to speak. So whatever samples from the policy, here or elsewhere, asks for a good answer, and a
tokenizer needs no new tokens. Standard library only.
"""

import json
import re

# The last message, if it is the assistant's, begins with the control text; so does the answer that is asked for.
BEGIN = (
    "{{% set control_text = {text} %}}"
    "{{% if messages and messages[-1]['role'] == 'assistant' %}}"
    "{{% set messages = messages[:-1] + [dict(messages[-1], content=control_text + messages[-1]['content'])] %}}"
    "{{% endif %}}\n"
)
END = "{% if add_generation_prompt %}{{ control_text }}{% endif %}"
TEXT = re.compile(r'\{% set control_text = ("(?:[^"\\]|\\.)*") %\}')

Template = str | dict[str, str]  # some tokenizers have several by name, such as one for tools


def with_control(template: Template, text: str | None) -> Template:
    """Return a chat template that writes a control text before the answer; the template itself if there is no text."""
    if text is None:
        return template
    if isinstance(template, dict):
        return {name: _with(each, text) for name, each in template.items()}
    return _with(template, text)


def _with(template: str, text: str) -> str:
    # Jinja drops the line break at the end of a template, and one after a statement.
    return BEGIN.format(text=json.dumps(text, ensure_ascii=False)) + template.removesuffix("\n") + END


def without_control(template: Template) -> tuple[Template, str | None]:
    """Return a chat template without the control text that it writes, and that text; None if it writes none."""
    if isinstance(template, dict):
        parts = {name: _without(each) for name, each in template.items()}
        return {name: bare for name, (bare, _) in parts.items()}, next(text for _, text in parts.values())
    return _without(template)


def _without(template: str) -> tuple[str, str | None]:
    found = TEXT.match(template)
    if found is None:
        return template, None
    begin = BEGIN.format(text=found[1])
    if not template.startswith(begin) or not template.endswith(END):
        return template, None
    return template[len(begin) :].removesuffix(END), json.loads(found[1])
