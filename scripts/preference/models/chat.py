"""A model's chat format: the one place where conversations become token ids.

The ids of a conversation are those of the whole rendered conversation. The prompt is what the template renders up to
where the assistant speaks, and the response is what it renders after that, up to and with the token that closes it.
Text of the data never becomes a special token: it is tokenized as text, whatever it spells.
"""

import datetime
import hashlib
import json
import os
import re
from collections.abc import Callable, Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers.utils import cached_file

from preference.files import conversations
from preference.files.conversations import Messages
from preference.models import controls, model_folders, policies
from preference.models.chat_flags import Flags
from preference.models.tokens import Limit, Sequence
from preference.running.stage import InputError

# The published template (arXiv 2404.14367, code): plain-text tags, EOS between the turns.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<|prompter|>{{ message['content'] }}{{ eos_token }}"
    "{% elif message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}{{ eos_token }}"
    "{% else %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# Characters of a private plane of Unicode stand for a special token that the data spells, or for such a character
# itself. A special token that the template writes has a name between two of what is no character at all.
MARK, NAME, NO_CHARACTER = 0x100000, 0x108000, "\U0010fffe"
MARKS = re.compile("[\U00100000-\U00107fff]")
PRIVATE = "[\U00100000-\U0010fffd]"
ANCHORS = ("\n", "a")  # what a text is tokenized after, where it must not begin a sequence
PROBE, ANSWER = "Is this prompt kept?", "Yes it is"
DAY = datetime.date(2024, 7, 26)  # what templates are told is today: a prompt has the same ids on every day
SHOWN = 400  # tokens of a sequence that a log shows
BY_ITSELF = "--train_on each trains every turn by itself"


def load(
    path: str,
    flags: Flags | None = None,
    template: controls.Template | None = None,
    control: str | None = None,
    is_sampled: bool = True,
) -> "Chat":
    """Return the chat format of a model folder or hub id.

    Args:
        flags: what the user chose; None leaves everything to the model.
        template: the template of a tokenizer that has none.
        control: what the template writes before an answer; by default what that of the folder writes (see controls).
        is_sampled: the model answers, so that its template has to ask for an answer; a reward model's need not.

    Raises:
        InputError: the tokenizer has no template, or one that fails, forgets the prompt or writes no generation prompt;
            the token that closes a response does not exist. The line names the folder.
    """
    flags = flags or Flags()
    tokenizer = _without_word_as_pad(policies.load_tokenizer(path))
    own, control_of_folder = controls.without_control(tokenizer.chat_template or "")
    template = _read_template(flags.chat_template) if flags.chat_template else own or template
    tokenizer.chat_template = template and controls.with_control(template, control or control_of_folder)
    if not tokenizer.chat_template:
        remedy = "name a file with --chat_template" if is_sampled else "put chat_template.jinja into its folder"
        raise InputError(f"{path}: the tokenizer has no chat_template; {remedy}")
    config = policies.load_config(path).get_text_config()
    found = Chat(tokenizer, path, flags, getattr(config, "vocab_size", None), *_ends_of_model(path, config))
    if is_sampled:
        found.check_generation_prompt()
    return found


def _without_word_as_pad(tokenizer):
    """Return a tokenizer whose pad token, if it is an ordinary word, is that word again and no token to split texts at.

    Masks go by length, so that nothing needs a pad token. A pad token that is EOS, BOS or unknown, too, stays one.
    """
    pad, backend = tokenizer.pad_token, getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or pad in (None, tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token):
        return tokenizer
    words = Tokenizer(backend.model)  # without its added tokens
    words.normalizer, words.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    if any(words.encode(before + pad).ids[-1:] == [tokenizer.pad_token_id] for before in ("", *ANCHORS)):
        state = json.loads(backend.to_str())
        state["added_tokens"] = [added for added in state["added_tokens"] if added["content"] != pad]
        tokenizer.pad_token = None
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    return tokenizer


def _read_template(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"--chat_template {path}: cannot be read: {reason}") from None


def _ends_of_model(path: str, config) -> tuple[list[int], list[int]]:
    """Return the ids that the generation config calls EOS, and those that config.json does.

    Those of config.json may be no more than a default of its class. A generation config that the library derived from
    it says no more.
    """
    name, revision = model_folders.located(path)
    file = cached_file(name, "generation_config.json", **revision, _raise_exceptions_for_missing_entries=False)
    generation = model_folders.read(Path(file).parent, Path(file).name) if file else {}
    named, derived = generation.get("eos_token_id"), getattr(config, "eos_token_id", None)
    if generation.get("_from_model_config"):
        named, derived = None, [*_ids_of(path, named), *_ids_of(path, derived)]
    return _ids_of(path, named), _ids_of(path, derived)


def _ids_of(path: str, value) -> list[int]:
    """Return the ids of a config's eos_token_id, which is one, several or none; some write -1 for none."""
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if wrong := [each for each in ids if not isinstance(each, int)]:
        raise InputError(f"{path}: eos_token_id is {wrong[0]!r}; it must be the id of a token, or a list of ids")
    return [each for each in ids if each >= 0]


class Chat:
    """A tokenizer with its template, and what follows from both.

    Attributes:
        tokenizer: of the transformers library, with the template in use.
        end_token, end_id: the token that closes a response in training.
        stop_ids: all ids that end a response in sampling, `end_id` first, with the text of each.
        words_as_ends: ids that config.json calls EOS and that are ordinary text, as a default of its class may be.
        pad_id: an id to fill batches with; masks go by length, so that any id serves.
        merged: how many responses were tokenized apart, because their begin merged with the prompt's end.
        reworded: how many responses the template rendered with another text than theirs, such as without thinking.
        is_dated: the template asks what day it is.
    """

    def __init__(self, tokenizer, path: str, flags: Flags, vocab_size: int | None, ends: list[int], derived: list[int]):
        self.tokenizer, self.path, self.flags, self.vocab_size = tokenizer, path, flags, vocab_size
        self.variables = {"strftime_now": self._today, **_variables(flags.chat_template_kwargs)}
        added = {tokenizer.eos_token_id, *tokenizer.added_tokens_decoder}
        self.words_as_ends = [each for each in derived if each < len(tokenizer) and each not in {*added, *ends}]
        ends_of_model = [each for each in [*ends, *derived] if each not in self.words_as_ends]
        self.special = _special_tokens(tokenizer, ends_of_model, flags.end_of_turn)
        self.marked = list(self.special)  # what a mark stands for
        self.place = {token: index for index, token in enumerate(self.special)}
        self.pattern = re.compile("|".join(map(re.escape, self.special)) or "(?!)")
        guarded = self.special if flags.special_tokens == "text" else []
        self.guarded = re.compile("|".join([*map(re.escape, guarded), PRIVATE]))
        self.merged, self.reworded, self.is_dated = 0, 0, False
        self.adds_bos = tokenizer.bos_token_id is not None and _begins_with(tokenizer, tokenizer.bos_token_id)
        self.lead, closing = self._probe()
        self.replaced = ""  # what the template writes in the place of a token that --end_of_turn names
        self.end_token, self.gap = self._end(closing)
        self.end_id = self._id_of(self.end_token)
        ids = [self.end_id, tokenizer.eos_token_id, *ends_of_model]
        known = [each for each in dict.fromkeys(ids) if each is not None and each < min(len(tokenizer), self._rows())]
        self.stop_ids = {each: tokenizer.convert_ids_to_tokens(each) for each in known}
        self.opening = self._opening()
        self.merged, self.reworded = 0, 0  # what the probes above counted is none of the data's
        self.pad_id = tokenizer.pad_token_id if self._is_embedded(tokenizer.pad_token_id) else self.end_id

    def _today(self, form: str) -> str:
        self.is_dated = True
        return DAY.strftime(form)

    def _rows(self) -> int:
        return self.vocab_size or len(self.tokenizer)

    def _is_embedded(self, token_id: int | None) -> bool:
        return token_id is not None and 0 <= token_id < self._rows()

    def _id_of(self, token: str) -> int:
        found = self.tokenizer.convert_tokens_to_ids(token)
        if found is None or (found == self.tokenizer.unk_token_id and token != self.tokenizer.unk_token):
            raise InputError(f"{self.path}: the tokenizer has no token {token!r}, which --end_of_turn names")
        if not self._is_embedded(found):
            raise InputError(f"{self.path}: {token!r} is id {found}, and the model has {self._rows()} embeddings")
        return found

    # A probe is rendered to learn what the template does.

    def _probe(self) -> tuple[str, str]:
        """Return what the template writes between a prompt and the answer, and what it writes after the answer."""
        asked, answered = conversations.user(PROBE), conversations.assistant(ANSWER)
        try:
            prompt, whole = self._render(asked, None, True), self._render(asked + answered, None, False)
            bare = self._render(asked, None, False)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        if not _parted(prompt, PROBE):
            raise InputError(f"{self.path}: the tokenizer's chat_template leaves the prompt out")
        if not (parts := _parted(whole, ANSWER)):
            raise InputError(f"{self.path}: the tokenizer's chat_template leaves the answer out")
        before, closing = parts
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        self.has_generation_prompt = prompt != bare or not lead.strip()
        return lead, closing

    def check_generation_prompt(self) -> None:
        """Raise an InputError if a policy would have to write itself what begins the assistant's turn."""
        if not self.has_generation_prompt:
            raise InputError(
                f"{self.path}: the tokenizer's chat_template has no generation prompt (add_generation_prompt): a "
                f"policy would have to write {self.lead!r} itself; name a template that has one with --chat_template"
            )

    def _end(self, closing: str) -> tuple[str, str]:
        """Return the token that closes a response, and what the template writes between the answer and that token."""
        named = self.flags.end_of_turn
        if named is not None and named in closing:
            return named, closing.partition(named)[0]
        if named is not None:
            self.replaced = closing
            return named, ""
        if found := self.pattern.search(closing):
            return found[0], closing[: found.start()]
        if self.tokenizer.eos_token is None:
            raise InputError(
                f"{self.path}: neither the tokenizer's chat_template nor its eos_token closes a response; "
                "name a token with --end_of_turn"
            )
        return self.tokenizer.eos_token, closing

    def _opening(self) -> str:
        """Return what an answer's ids begin with as text before the answer, such as a blank that the tokenizer puts."""
        try:
            _, ids = self.encode(PROBE, ANSWER, finished=False)
        except InputError:  # the template rewrites the prompt, so that answers are appended to it as they are
            return ""
        parts = _parted(self._decoded(ids), ANSWER)
        return parts[0] if parts else ""

    # From conversations to ids.

    def encode_prompt(self, messages: str | Messages, tools: list | None = None) -> list[int]:
        """Return the ids of a rendered prompt, up to where the response begins.

        Raises:
            InputError: the template fails on it, or writes BOS twice.
        """
        return self._ids(self._render(self._guarded(conversations.as_prompt(messages)), self._guarded(tools), True))

    def seen(self, row: dict) -> Hashable:
        """Return what the model sees of a row's prompt, equal where it sees two prompts as one: a hash of its ids.

        If the template fails on it, its texts stand for it: the stage that reads the row says what is wrong.
        """
        try:
            ids = self.encode_prompt(row["prompt"], row["tools"])
        except InputError:
            return conversations.stripped_key(row)
        return hashlib.sha256(json.dumps(ids).encode()).digest()

    def check_disjoint(self, path: str, rows: list[dict], eval_path: str, eval_rows: list[dict]) -> None:
        """Raise an InputError where the model sees a prompt of the first table in the second, which is held out."""
        prompts, eval_prompts = ({row["prompt_id"]: row for row in table} for table in (rows, eval_rows))
        held_out = {self.seen(row) for row in eval_prompts.values()}
        shared = [name for name, row in prompts.items() if self.seen(row) in held_out]
        if shared:
            raise InputError(
                f"{path}: {len(shared)} of its prompts are to the model the same as some in {eval_path}, such as "
                f"{min(shared)}"
            )

    def encode(
        self, messages: str | Messages, response: str | Messages, tools: list | None = None, finished: bool = True
    ) -> Sequence:
        """Return (prompt ids, response ids) of a prompt and a response that was not sampled as ids.

        The response has what the template writes around it, and if it is finished exactly one end token, its last.

        Raises:
            InputError: the template fails, or renders the prompt differently once the answer follows.
        """
        asked, tools = self._guarded(conversations.as_prompt(messages)), self._guarded(tools)
        answered = self._guarded(self._unclosed(conversations.as_response(response)))
        prompt, whole = self._render(asked, tools, True), self._render(asked + answered, tools, False)
        if whole.startswith(prompt):
            tail = self._closed(whole[len(prompt) :], finished)
            self.reworded += any(message["content"].strip() not in tail for message in answered)
        elif self.flags.rewritten_prompt == "append":
            begun = prompt[_parting(prompt, whole) :]  # such as <think>, which the answer may repeat
            text = conversations.text(answered)
            text = text.removeprefix(begun if text.startswith(begun) else begun.rstrip())
            tail = self.lead + text + (self.gap + self.end_token if finished else "")
        else:
            raise InputError(_rewritten(prompt, whole))
        sequence = self._joined(prompt, tail)
        if finished and sequence[1][-1:] != [self.end_id]:
            raise InputError(f"the tokenizer reads no {self.end_token!r} at the end of {tail[-60:]!r}")
        return sequence

    def encode_turns(self, messages: Messages, tools: list | None = None) -> tuple[list[int], list[bool]]:
        """Return the ids of a whole conversation, and which of them are the assistant's: every turn with its end token.

        Raises:
            InputError: the template renders an earlier turn differently once later ones follow or does not close it, or
                a token reaches over the border of a turn.
        """
        guarded, tools = self._guarded(messages), self._guarded(tools)
        whole = self._render(guarded, tools, False)
        spans: list[tuple[int, int]] = []
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                prompt = self._render(guarded[:index], tools, True)
                if not whole.startswith(prompt):
                    raise InputError(f"{_rewritten(prompt, whole)}; {BY_ITSELF}")
                if spans and spans[-1][1] > len(prompt):
                    raise InputError(f"the chat_template closes no earlier turn with {self.end_token!r}; {BY_ITSELF}")
                spans.append((len(prompt), len(prompt) + len(self._closed(whole[len(prompt) :], True))))
        whole = self._with_end(whole, spans)
        ids: list[int] = []
        counted, border = [], 0
        for start, end in spans:
            for stop, mine in ((start, False), (end, True)):
                part = self._ids(whole[:stop])
                if part[: len(ids)] != ids:
                    before = whole[max(0, border - 30) : border]
                    raise InputError(f"a token reaches over the border of a turn, after {before!r}; {BY_ITSELF}")
                counted += [mine] * (len(part) - len(ids))
                ids, border = part, stop
        return ids, counted

    def _with_end(self, whole: str, spans: list[tuple[int, int]]) -> str:
        """Return the rendered conversation with the end token after the last turn, if the template writes none."""
        return whole[: spans[-1][1]] if whole[: spans[-1][1]].endswith(self.end_token) else whole + self.end_token

    def _unclosed(self, response: Messages) -> Messages:
        """Return a response that is rendered already without the end token that its text ends with."""
        if self.flags.special_tokens == "text":
            return response
        last = response[-1]
        return [*response[:-1], last | {"content": last["content"].removesuffix(self.end_token)}]

    def _closed(self, tail: str, finished: bool) -> str:
        """Return a rendered response up to and with its end token; without what closes it, if it is not finished."""
        said, _, rest = tail.removesuffix(self.replaced).partition(self.end_token)
        if self.flags.special_tokens == "allow" and self.end_token in rest:
            raise InputError(f"the response holds its end token {self.end_token!r} before its end")
        return said + self.end_token if finished else said.removesuffix(self.gap)

    def _joined(self, prompt: str, tail: str) -> Sequence:
        """Return ids of a prompt and of what follows it; they are those of the whole text if no token spans both."""
        prompt_ids, ids = self._ids(prompt), self._ids(prompt + tail)
        if ids[: len(prompt_ids)] == prompt_ids:
            return prompt_ids, ids[len(prompt_ids) :]
        self.merged += 1
        return prompt_ids, self._continuation(tail)

    def _continuation(self, text: str) -> list[int]:
        """Return the ids of a text that does not begin a sequence, so that no space is put before it."""
        for anchor in ANCHORS:
            before, ids = self._tokenized(anchor), self._tokenized(anchor + text)
            if ids[: len(before)] == before:
                return ids[len(before) :]
        return self._tokenized(text)

    def _ids(self, text: str) -> list[int]:
        """Return the ids of a rendered text, with one BOS where the tokenizer begins every text with it."""
        ids, bos = self._tokenized(text), self.tokenizer.bos_token_id
        if self.adds_bos and ids[:1] != [bos]:  # a template may or may not write it
            ids = [bos, *ids]
        if bos is not None and self.adds_bos and ids[:2] == [bos, bos]:
            raise InputError(f"{self.path}: the chat_template writes BOS ({self.tokenizer.bos_token!r}) twice")
        if ids and max(ids) >= self._rows():
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise InputError(f"{self.path}: {token!r} is id {max(ids)}, and the model has {self._rows()} embeddings")
        return ids

    def _tokenized(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens that the data spells are marked (see `_guarded`)."""
        if not MARKS.search(text):
            return self.tokenizer(text, add_special_tokens=False).input_ids
        named = self.pattern.sub(lambda found: _name(self.place[found[0]]), text)
        bare = MARKS.sub(lambda found: self.marked[ord(found[0]) - MARK], named)
        return self._deaf.encode(bare, add_special_tokens=False).ids

    @cached_property
    def _deaf(self) -> Tokenizer:
        """The tokenizer with other names for its special tokens, which no text of the data can spell."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise InputError(
                f"{self.path}: its texts spell special tokens, which a tokenizer without tokenizer.json cannot read as "
                "text; save the folder with a fast tokenizer"
            )
        state = json.loads(backend.to_str())
        names = {token: _name(index) for index, token in enumerate(self.special)}
        for added in state["added_tokens"]:
            added["content"] = names.get(added["content"], added["content"])
        state["model"] = _renamed(state["model"], names)
        state["post_processor"] = None
        return Tokenizer.from_str(json.dumps(state))

    def _guarded(self, value):
        """Return a message, or what is in it, with a mark in the place of each special token that its text spells."""
        if isinstance(value, str):
            if NO_CHARACTER in value:
                raise InputError("a text holds U+10FFFE, which is no character")
            return self.guarded.sub(lambda found: self._mark(found[0]), value)
        if isinstance(value, list):
            return [self._guarded(each) for each in value]
        if isinstance(value, dict):
            roles = {"role": conversations.ROLES}  # stay, though a special token may have the name of one
            return {key: each if each in roles.get(key, ()) else self._guarded(each) for key, each in value.items()}
        return value

    def _mark(self, text: str) -> str:
        """Return the character that stands for a special token, or for a private character, in what is rendered."""
        if text not in self.place:
            self.place[text] = len(self.marked)
            self.marked.append(text)
        return chr(MARK + self.place[text])

    def _render(self, messages: Messages, tools: list | None, add_generation_prompt: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                [_with_arguments(message) for message in messages],
                tools=tools,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **self.variables,
            )
        except Exception as error:  # a template is a program, and can fail in any way
            raise InputError(
                f"the tokenizer's chat_template cannot be rendered: {model_folders.reason(error)}"
            ) from None

    # From ids to text.

    def is_finished(self, ids: list[int]) -> bool:
        """Say whether a response ends with one of the tokens that end a response."""
        return bool(ids) and ids[-1] in self.stop_ids

    def check_response(self, ids: list[int], finished: bool) -> None:
        """Assert that exactly one end token closes a finished response and none is in a cut one."""
        ends = sum(each in self.stop_ids for each in ids)
        closed = self.is_finished(ids)
        assert ends == int(finished) and closed == finished, f"{ends} end tokens in a response, {finished=}: {ids}"

    def text_of(self, ids: list[int]) -> str:
        """Return the text of a sampled response, without its end and without what the template writes around it."""
        said = ids[:-1] if self.is_finished(ids) else ids
        return self._decoded(said).removeprefix(self.opening).removesuffix(self.gap)

    def _decoded(self, ids: list[int]) -> str:
        """Return the text of ids that do not begin a sequence: of one that does, decoders drop the first blank."""
        before, text = self._anchor
        return self._text(before + ids).removeprefix(text)

    @cached_property
    def _anchor(self) -> tuple[list[int], str]:
        ids = self._tokenized(ANCHORS[-1])
        return ids, self._text(ids)

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def textless(self) -> list[int]:
        """Return the ids that the model can emit and the tokenizer has no text for."""
        return sorted(set(range(self._rows())) - set(self.tokenizer.get_vocab().values()))

    # Rows of tables.

    def row(self, row: dict, column: str, ids: list[int] | None, finished: bool) -> Sequence:
        """Return the sequence of a row's prompt and of a response in a column, which keeps the ids that were drawn."""
        if ids is not None:
            return self.encode_prompt(row["prompt"], row["tools"]), ids
        return self.encode(row["prompt"], row[column], row["tools"], finished)

    def side(self, row: dict, side: str) -> Sequence:
        """Return the sequence of the `chosen` or of the `rejected` response of a row of kind "pairs"."""
        return self.row(row, side, row[f"{side}_tokens"], row[f"{side}_finish_reason"] != "length")

    def pair(self, row: dict) -> tuple[Sequence, Sequence]:
        """Return the sequences of the chosen and of the rejected response of a row of kind "pairs"."""
        return self.side(row, "chosen"), self.side(row, "rejected")

    def pair_of_texts(self, row: dict) -> tuple[Sequence, Sequence]:
        """Return the same from the texts, whatever ids were drawn."""
        return self.pair({**row, "chosen_tokens": None, "rejected_tokens": None})

    # For the log.

    def summary(self) -> str:
        """Return a line on what closes a response, stops sampling and begins a sequence, and on what is unusual."""
        stops = ", ".join(f"{token!r} ({each})" for each, token in self.stop_ids.items())
        bos = f"BOS {self.tokenizer.bos_token!r} is put before every sequence" if self.adds_bos else "no BOS is added"
        if self.words_as_ends:
            words = ", ".join(map(self._piece, dict.fromkeys(self.words_as_ends)))
            stops += f", not at {words}, which config.json calls EOS and which is ordinary text"
        parts = [f"responses end with {self.end_token!r} ({self.end_id})", f"sampling stops at {stops}", bos]
        if self.is_dated:
            parts.append(f"the chat_template is told that today is {DAY}, on every day")
        if self.reworded:
            parts.append(f"the chat_template changed the text of {self.reworded} responses so far")
        if self.merged:
            parts.append(
                f"{self.merged} responses so far begin with a token of their own, not merged with the prompt's"
            )
        return "; ".join(parts)

    def describe(self, sequence: Sequence, counted: list[bool] | None = None) -> str:
        """Return a sequence as tokens with their ids, a line for the prompt and one for the response under the mask.

        Args:
            counted: which tokens of the response are trained, if not all.
        """
        prompt, response = sequence
        lines = [f"prompt, {len(prompt)} tokens, mask 0: {self._as_tokens(prompt)}"]
        if counted is None or all(counted):
            return "\n".join([*lines, f"response, {len(response)} tokens, mask 1: {self._as_tokens(response)}"])
        start = 0
        for stop in range(1, len(response) + 1):
            if stop == len(response) or counted[stop] != counted[start]:
                part = response[start:stop]
                lines.append(f"then {len(part)} tokens, mask {int(counted[start])}: {self._as_tokens(part)}")
                start = stop
        return "\n".join(lines)

    def _as_tokens(self, ids: list[int]) -> str:
        shown = [f"{self._piece(each)}({each})" for each in ids[:SHOWN]]
        return " ".join(shown) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")

    def _piece(self, token_id: int) -> str:
        if token_id >= len(self.tokenizer):
            return "?"
        return repr(self.tokenizer.decode([token_id], skip_special_tokens=False, clean_up_tokenization_spaces=False))


def encode_rows(path: str, rows: list[dict], encode: Callable[[dict], Any]) -> list:
    """Return what `encode` makes of each row.

    Raises:
        InputError: a row cannot be encoded; the line names the file, the row's number from 0 and its prompt.
    """
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(encode(row))
        except InputError as error:
            raise InputError(f"{path}: row {number}, prompt_id {row['prompt_id']}: {error}") from None
    return found


def encode_pairs(
    path: str, rows: list[dict], chat_format: "Chat", limit: Limit, drawn: bool = True
) -> tuple[list[dict], list[tuple[Sequence, Sequence]]]:
    """Return the rows of kind "pairs" that fit into a length, and (chosen, rejected) sequences of each.

    A pair is dropped, and counted in the log, if its prompt leaves no room or if its sides are equal after the cut.

    Args:
        drawn: keep the ids that a policy drew; False reads the texts, as another model's tokenizer has to.

    Raises:
        InputError: a row cannot be encoded, or no pair is left.
    """
    read = chat_format.pair if drawn else chat_format.pair_of_texts
    cut = [tuple(map(limit.fit, pair)) for pair in encode_rows(path, rows, read)]
    limit.report("pairs", path)
    kept = {
        i: (chosen, rejected) for i, (chosen, rejected) in enumerate(cut) if chosen and rejected and chosen != rejected
    }
    if equal := sum(chosen is not None and chosen == rejected for chosen, rejected in cut):
        print(f"dropped {equal} of {len(rows)} pairs: both sides are equal within {limit.max_length} tokens")
    if not kept:
        raise InputError(
            f"{path}: the sides of no pair differ within --max_length {limit.max_length}; raise it, or see if they "
            "differ at all"
        )
    chosen, rejected = next(iter(kept.values()))
    print(f"chat format: {chat_format.summary()}\nfirst pair, chosen:\n{chat_format.describe(chosen)}")
    print(f"first pair, rejected:\n{chat_format.describe(rejected)}")
    return [rows[i] for i in kept], list(kept.values())


def _variables(text: str | None) -> dict:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"--chat_template_kwargs {text}: is not a JSON object")
    return found


def _special_tokens(tokenizer, ends_of_model: list[int], end_of_turn: str | None) -> list[str]:
    """Return the tokens that text must not become, the longest first."""
    found = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    found |= {token for token in (*tokenizer.all_special_tokens, end_of_turn) if token}
    found |= {tokenizer.convert_ids_to_tokens(each) for each in ends_of_model if each < len(tokenizer)}
    return sorted(found - {None, ""}, key=lambda token: (-len(token), token))


def _name(index: int) -> str:
    return f"{NO_CHARACTER}{chr(NAME + index)}{NO_CHARACTER}"


def _begins_with(tokenizer, token_id: int) -> bool:
    return tokenizer("a").input_ids[:1] == [token_id]


def _with_arguments(message: dict) -> dict:
    """Return a message whose tool calls have their arguments as a mapping, which templates expect."""
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError:
            arguments = call["function"]["arguments"]
        calls.append({**call, "function": {**call["function"], "arguments": arguments}})
    return {**message, "tool_calls": calls}


def _renamed(model: dict, names: dict[str, str]) -> dict:
    """Return the state of a tokenizer's model with other names for some of its entries."""
    vocabulary = model["vocab"]
    found = dict(model)
    if isinstance(vocabulary, dict):
        found["vocab"] = {names.get(token, token): each for token, each in vocabulary.items()}
    else:
        found["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if "unk_token" in model:
        found["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if "merges" in model:  # pieces of text must not be merged into such a token
        found["merges"] = [merge for merge in model["merges"] if not names.keys() & {"".join(merge), *merge}]
    return found


def _parted(rendered: str, text: str) -> tuple[str, str] | None:
    """Return what stands before and after the last place of a text, in whatever case a template writes it."""
    found = list(re.finditer(re.escape(text), rendered, re.IGNORECASE))
    return (rendered[: found[-1].start()], rendered[found[-1].end() :]) if found else None


def _parting(prompt: str, whole: str) -> int:
    """Return the number of characters that two texts have in common at their begin."""
    return len(os.path.commonprefix([prompt, whole]))


def _rewritten(prompt: str, whole: str) -> str:
    """Return the error for a template whose prompt is no prefix of prompt and answer, with the first difference."""
    place = _parting(prompt, whole)
    return (
        "the chat_template renders the prompt differently once an answer follows: "
        f"{prompt[max(0, place - 20) : place + 30]!r} against {whole[max(0, place - 20) : place + 30]!r} at character "
        f"{place}; --rewritten_prompt append joins the answer to the prompt as it was"
    )
