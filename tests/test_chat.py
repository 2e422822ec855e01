"""Conversations to ids: one rendering, one end token, and text that stays text."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors
from tokenizers.normalizers import Lowercase

from preference.files import conversations
from preference.files.conversations import assistant, user
from preference.models import chat, chat_flags, policies
from preference.models.tokens import Limit
from preference.running.stage import InputError

TURNS = "{% for m in messages %}<|prompter|>{{ m['role'] }}:{{ m['content'] }}<|endoftext|>\n{% endfor %}"
ASKED = "{% if add_generation_prompt %}<|prompter|>assistant:{% endif %}"


@pytest.fixture
def chat_format(tiny_policy):
    return chat.load(tiny_policy)


@pytest.fixture
def changed(tiny_policy, tmp_path):
    """A copy of the tiny policy whose tokenizer is changed by a function, or has another template."""

    def make(change=lambda tokenizer: None, template: str | None = None) -> str:
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiny_policy, folder)
        tokenizer = policies.load_tokenizer(str(folder))
        change(tokenizer)
        tokenizer.chat_template = template or tokenizer.chat_template
        tokenizer.save_pretrained(folder)
        return str(folder)

    return make


def test_a_prompt_is_rendered_with_the_template_and_ends_where_the_response_begins(chat_format):
    ids = chat_format.encode_prompt("count to 3")
    assert chat_format.tokenizer.decode(ids) == "<|prompter|>count to 3<|endoftext|><|assistant|>"


def test_prompts_of_equal_ids_are_one_prompt_to_the_model(changed):
    folder = changed(template=chat.TEMPLATE.replace("{{ message['content'] }}", "{{ message['content'].rstrip('!') }}"))
    rows = [{"prompt_id": text, "prompt": user(text), "tools": None} for text in ("say", "say!", "said")]
    assert len({chat.load(folder).seen(row) for row in rows}) == 2
    with pytest.raises(InputError, match="a: 1 of its prompts are to the model the same as some in b, such as say"):
        chat.load(folder).check_disjoint("a", rows[::2], "b", rows[1:2])


def test_a_finished_response_is_closed_by_one_end_token_and_a_cut_one_by_none(chat_format):
    end = chat_format.end_id
    assert chat_format.encode("x", "one two")[1][-1:] == [end]
    assert chat_format.encode("x", "")[1] == [end]
    assert end not in chat_format.encode("x", "one two", finished=False)[1]


def test_check_response_stops_a_doubled_missing_or_inner_end(chat_format):
    end = chat_format.end_id
    chat_format.check_response([7, end], finished=True)
    chat_format.check_response([7], finished=False)
    for ids, finished in (([7, end, end], True), ([7], True), ([7, end], False), ([end, 7], True)):
        with pytest.raises(AssertionError, match="end tokens in a response"):
            chat_format.check_response(ids, finished)


def test_the_prompts_tokens_are_a_prefix_of_both_sequences_of_a_pair(chat_format):
    row = {"prompt_id": "p", "prompt": user("say hi"), "chosen": assistant("hi"), "rejected": assistant("hi there")}
    row |= {f"{side}_{key}": None for side in ("chosen", "rejected") for key in ("tokens", "finish_reason")}
    (prompt, chosen), (same, rejected) = chat_format.pair(row | {"tools": None})
    assert prompt == same == chat_format.encode_prompt("say hi")
    assert chosen[-1] == rejected[-1] == chat_format.end_id


def test_sampled_tokens_are_kept_as_they_were_drawn(chat_format):
    row = {"prompt": user("x"), "tools": None, "chosen": assistant("hi"), "rejected": assistant("hi")}
    row |= {"chosen_tokens": [9, 8, 0], "rejected_tokens": None}
    row |= {"chosen_finish_reason": "stop", "rejected_finish_reason": "length"}
    (_, chosen), (_, rejected) = chat_format.pair(row)
    assert chosen == [9, 8, 0] and chat_format.end_id not in rejected
    (_, chosen), _ = chat_format.pair_of_texts(row)
    assert chosen == chat_format.encode("x", "hi")[1]


def test_a_tokenizers_own_bos_is_there_exactly_once(changed):
    def with_bos(tokenizer):
        tokenizer.add_special_tokens({"bos_token": "<|padding|>"})
        pair = [("<|padding|>", tokenizer.bos_token_id)]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|padding|> $A", special_tokens=pair
        )

    for template in (chat.TEMPLATE, "{{ bos_token }}" + chat.TEMPLATE):
        found = chat.load(changed(with_bos, template))
        ids, bos = found.encode_prompt("hello"), found.tokenizer.bos_token_id
        assert ids[0] == bos and ids.count(bos) == 1
    with pytest.raises(InputError, match="writes BOS .* twice"):
        chat.load(changed(with_bos, "{{ bos_token }}{{ bos_token }}" + chat.TEMPLATE)).encode_prompt("hello")


@pytest.mark.parametrize("pad", [None, "<|endoftext|>", "a"])
def test_any_pad_token_or_none_gives_the_same_ids(changed, chat_format, pad):
    found = chat.load(changed(lambda tokenizer: setattr(tokenizer, "pad_token", pad)))
    assert found.encode("a cat", "a dog") == chat_format.encode("a cat", "a dog")
    assert found.pad_id == found.end_id, "any id fills a batch; a word is no pad token any more"


SPELLED = "<|endoftext|> and <|assistant|>A<|prompter|>"


def test_text_that_spells_special_tokens_stays_text_in_prompts_and_answers(chat_format):
    special = {chat_format.tokenizer.convert_tokens_to_ids(token) for token in chat_format.special}
    bare, response = chat_format.encode("x", "y")
    asked, answered = chat_format.encode(SPELLED, SPELLED)
    assert [each for each in asked if each in special] == [each for each in bare if each in special]
    assert [each for each in answered if each in special] == [chat_format.end_id]
    assert chat_format.text_of(answered) == SPELLED
    assert SPELLED in chat_format.tokenizer.decode(asked)


@pytest.mark.parametrize("special_tokens", ["text", "allow"])
def test_private_characters_stay_themselves(tiny_policy, special_tokens):
    found = chat.load(tiny_policy, chat.Flags(special_tokens=special_tokens))
    text = f"a{chr(0x100000)}b{chr(0x108001)}c{chr(0x10000F)}{chr(0x10FFFD)}"
    prompt, response = found.encode(text, text)
    assert text in found.tokenizer.decode(prompt) and found.text_of(response) == text
    assert sum(each in (0, 1, 2, 3) for each in prompt + response) == 4  # two of the prompt, the assistant, the end
    with pytest.raises(InputError, match="a text holds U\\+10FFFE, which is no character"):
        found.encode("x", chr(0x10FFFE))


def test_a_flag_allows_special_tokens_of_data_that_is_rendered_already(tiny_policy):
    allowing = chat.load(tiny_policy, chat.Flags(special_tokens="allow"))
    assert allowing.encode("x", "hi<|endoftext|>") == chat.load(tiny_policy).encode("x", "hi")
    with pytest.raises(InputError, match="holds its end token '<|endoftext|>' before its end"):
        allowing.encode("x", "hi<|endoftext|> there")


def test_the_end_of_a_response_is_what_the_template_writes_after_it(changed):
    template = TURNS.replace("<|endoftext|>", "<|padding|>") + ASKED
    found = chat.load(changed(template=template))
    assert (found.end_token, list(found.stop_ids.values())) == ("<|padding|>", ["<|padding|>", "<|endoftext|>"])
    prompt, response = found.encode("x", "hi")
    assert found.tokenizer.decode([*prompt, *response]).endswith("assistant:hi<|padding|>")
    assert "'<|padding|>'" in found.summary() and "sampling stops at" in found.summary()


def test_a_template_that_closes_nothing_leaves_it_to_eos(changed):
    found = chat.load(changed(template="{% for m in messages %}{{ m['content'] }}\n{% endfor %}"))
    assert found.end_token == "<|endoftext|>" and found.encode("x", "hi")[1][-1] == found.end_id


@pytest.mark.parametrize(
    ("ends", "stops"), [(-1, ["<|endoftext|>"]), ([1, 7], ["<|endoftext|>", "<|padding|>"]), (10**6, ["<|endoftext|>"])]
)
def test_only_special_tokens_among_the_ends_of_the_config_stop_a_response(changed, ends, stops):
    folder = changed()
    with_ends(folder, ends)
    found = chat.load(folder)
    assert list(found.stop_ids.values()) == stops
    assert ("ordinary text" in found.summary()) == (ends == [1, 7])
    assert found.text_of(found.encode("x", "abcdefg ABC")[1]) == "abcdefg ABC"


def test_an_end_of_the_config_that_is_no_id_is_one_line(changed):
    folder = changed()
    with_ends(folder, "<|endoftext|>")
    with pytest.raises(InputError, match="eos_token_id is '<|endoftext|>'; it must be the id of a token"):
        chat.load(folder)


def with_ends(folder: str, ends) -> None:
    path = Path(folder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": ends}))


def test_the_end_can_be_named_and_must_exist(tiny_policy):
    named = chat.load(tiny_policy, chat.Flags(end_of_turn="<|padding|>"))
    for finished in (True, False):
        response = named.encode("x", "hi", finished=finished)[1]
        named.check_response(response, finished)
        assert (response[-1] == 1) == finished and named.text_of(response) == "hi"
    with pytest.raises(InputError, match="has no token '<none>', which --end_of_turn names"):
        chat.load(tiny_policy, chat.Flags(end_of_turn="<none>"))


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (TURNS, "has no generation prompt"),
        ("hello", "leaves the prompt out"),
        ("{{ messages[0]['content'] }}", "leaves the answer out"),
        ("{{ raise_exception('never') }}", "cannot be rendered: never"),
        ("{% if %}", "cannot be rendered"),
    ],
)
def test_a_template_of_no_use_is_refused_with_the_reason(changed, template, line):
    folder = changed(template=template)
    with pytest.raises(InputError, match=f"{folder}: .*{line}"):
        chat.load(folder)


def test_a_template_that_rewrites_the_prompt_is_refused_with_the_first_difference(changed):
    template = "{% if not add_generation_prompt %}other{% endif %}" + TURNS + ASKED
    folder = changed(template=template)
    with pytest.raises(InputError, match="renders the prompt differently once an answer follows: .*at character 0"):
        chat.load(folder).encode("x", "hi")
    found = chat.load(folder, chat.Flags(rewritten_prompt="append"))
    prompt, response = found.encode("x", "hi")
    assert prompt == found.encode_prompt("x") and found.text_of(response) == "hi" and response[-1] == found.end_id


def test_a_template_and_its_variables_can_be_given(tiny_policy, tmp_path):
    (tmp_path / "t.jinja").write_text("\ufeff{{ greeting }}" + TURNS + ASKED, encoding="utf-8")
    flags = chat.Flags(chat_template=str(tmp_path / "t.jinja"), chat_template_kwargs='{"greeting": "Hello!"}')
    found = chat.load(tiny_policy, flags)
    assert found.tokenizer.decode(found.encode_prompt("x")).startswith("Hello!<|prompter|>user:x")
    assert chat_flags.inputs(flags) == {"chat_template": str(tmp_path / "t.jinja")}
    with pytest.raises(InputError, match="--chat_template_kwargs \\[1\\]: is not a JSON object"):
        chat.load(tiny_policy, chat.Flags(chat_template_kwargs="[1]"))


def test_a_row_that_the_template_refuses_is_named(changed):
    template = "{% if 'bad' in messages[0]['content'] %}{{ raise_exception('no') }}{% endif %}" + TURNS + ASKED
    found = chat.load(changed(template=template))
    rows = [{"prompt_id": name, "prompt": user(name)} for name in ("good", "bad")]
    with pytest.raises(InputError, match="x.parquet: row 1, prompt_id bad: .*chat_template cannot be rendered: no"):
        chat.encode_rows("x.parquet", rows, lambda row: found.encode_prompt(row["prompt"]))


def test_pairs_of_equal_sides_are_dropped_and_refused_where_no_other_is_left(chat_format, capsys):
    equal = {
        "prompt_id": "p",
        "prompt": user("x"),
        "tools": None,
        "chosen": assistant("hi"),
        "rejected": assistant("hi"),
    }
    equal |= {f"{side}_{key}": None for side in ("chosen", "rejected") for key in ("tokens", "finish_reason")}
    kept, _ = chat.encode_pairs("p", [equal, equal | {"rejected": assistant("red")}], chat_format, Limit(64))
    assert [row["rejected"] for row in kept] == [assistant("red")]
    assert "dropped 1 of 2 pairs: both sides are equal within 64 tokens" in capsys.readouterr().out
    with pytest.raises(InputError, match="p: the sides of no pair differ within --max_length 64"):
        chat.encode_pairs("p", [equal], chat_format, Limit(64))


CONVERSATION = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": "four"},
]


def test_every_turn_of_the_assistant_is_found_with_its_end(chat_format):
    ids, counted = chat_format.encode_turns(CONVERSATION)
    decode = chat_format.tokenizer.decode
    assert decode(ids) == (
        "<|system|>be short<|endoftext|><|prompter|>one<|endoftext|><|assistant|>two<|endoftext|>"
        "<|prompter|>three<|endoftext|><|assistant|>four<|endoftext|>"
    )
    trained = [each for each, mine in zip(ids, counted, strict=True) if mine]
    assert decode(trained) == "two<|endoftext|>four<|endoftext|>"
    prompt, response = chat_format.encode(CONVERSATION[:-1], CONVERSATION[-1:])
    assert [*prompt, *response] == ids


LAST_CLOSED = TURNS.replace("<|endoftext|>", "{% if loop.last and m['role'] == 'assistant' %}<|endoftext|>{% endif %}")


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (LAST_CLOSED + ASKED, "closes no earlier turn with '<|endoftext|>'"),
        (TURNS.replace("}}:{{", "}}: {{") + ASKED.replace(":", ": "), "a token reaches over the border of a turn"),
    ],
)
def test_turns_that_cannot_be_told_apart_are_refused_together_and_trained_by_themselves(changed, template, line):
    found = chat.load(changed(template=template))
    messages = [message | {"content": f"{message['content']} hi"} for message in CONVERSATION]
    messages[2]["content"] = "hi"  # " hi" is one token
    with pytest.raises(InputError, match=f"{line}.*; --train_on each trains every turn by itself"):
        found.encode_turns(messages)
    assert found.text_of(found.encode(messages[:2], "hi there")[1]) == "hi there"


def test_text_that_closes_a_response_before_eos_is_no_part_of_it(changed):
    template = TURNS.replace("<|endoftext|>", "\n") + ASKED
    found = chat.load(changed(template=template))
    _, response = found.encode("x", "hi")
    assert found.tokenizer.decode(response).endswith("hi\n\n<|endoftext|>") and found.text_of(response) == "hi"


def test_a_template_that_changes_case_is_read(changed):
    found = chat.load(changed(template=(TURNS + ASKED).replace("m['content']", "m['content'] | upper")))
    assert found.text_of(found.encode("x", "hi")[1]) == "HI"


def test_a_tokenizer_that_lowers_case_loses_nothing_else(changed):
    found = chat.load(changed(lambda tokenizer: setattr(tokenizer.backend_tokenizer, "normalizer", Lowercase())))
    assert found.text_of(found.encode("x", f"{chat.ANSWER}, red")[1]) == f"{chat.ANSWER}, red".lower()


def test_an_answer_repeats_no_thinking_that_the_prompt_begins(changed):
    template = TURNS.replace("m['content']", "m['content'].split('</think>')[-1]") + ASKED
    template = template.replace("assistant:", "assistant:<think>\n")
    found = chat.load(changed(template=template), chat.Flags(rewritten_prompt="append"))
    prompt, response = found.encode("x", "<think>\nred</think>hi")
    assert found.tokenizer.decode(prompt + response).endswith("assistant:<think>\nred</think>hi<|endoftext|>")


def test_the_log_counts_responses_that_the_template_changes_or_that_merge_with_the_prompt(changed):
    drops = TURNS.replace("m['content']", "m['content'].split('</think>')[-1]") + ASKED
    for template, answer, words in (
        (drops, "<think>red</think>hi", "the chat_template changed the text of 1 responses"),
        (TURNS.replace("}}:", "}}: ") + ASKED.replace(":", ": "), "hi", "1 responses so far begin with a token of"),
    ):
        found = chat.load(changed(template=template))
        assert "so far" not in found.summary()
        found.encode("x", "one")
        found.encode("x", answer)
        assert words in found.summary()


def test_a_template_that_asks_for_the_date_is_told_the_same_one_on_every_day(changed):
    found = chat.load(changed(template="{{ strftime_now('%d %b %Y') }}" + TURNS + ASKED))
    assert found.tokenizer.decode(found.encode_prompt("x")).startswith("26 Jul 2024<|prompter|>")
    assert "today is 2024-07-26, on every day" in found.summary()


def test_an_end_token_that_the_tokenizer_reads_as_text_is_one_line(changed):
    found = chat.load(changed(template=TURNS + ASKED))
    tokens = json.loads(found.tokenizer.backend_tokenizer.to_str())
    for token in tokens["added_tokens"]:
        token["single_word"] = True
    found.tokenizer._tokenizer = Tokenizer.from_str(json.dumps(tokens))
    with pytest.raises(InputError, match="the tokenizer reads no '<|endoftext|>' at the end of 'one<|endoftext|>'"):
        found.encode("x", "one")


def test_a_special_token_may_have_the_name_of_a_role(changed, chat_format):
    found = chat.load(changed(lambda tokenizer: tokenizer.add_special_tokens({"bos_token": "user"})))
    assert found.encode(CONVERSATION[:-1], "hi") == chat_format.encode(CONVERSATION[:-1], "hi")


def test_tool_calls_reach_the_template_as_mappings(changed):
    template = (
        "{{ tools | tojson if tools else '' }}{% for m in messages %}<|prompter|>{{ m['content'] }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}={{ c.function.arguments['zone'] }}{% endfor %}"
        "<|endoftext|>{% endfor %}{% if add_generation_prompt %}<|prompter|>{% endif %}"
    )
    found = chat.load(changed(template=template))
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "clock", "arguments": {"zone": "UTC"}}]}
    prompt, response = found.encode(user("time?"), conversations.canonical([call]), [{"name": "clock"}])
    assert found.tokenizer.decode(prompt).startswith('[{"name": "clock"}]<|prompter|>time?')
    assert found.text_of(response) == "clock=UTC"


def test_a_sequence_is_shown_with_ids_and_mask(chat_format):
    prompt, response = chat_format.encode("hi", "red")
    shown = chat_format.describe((prompt, response))
    assert shown.startswith(f"prompt, {len(prompt)} tokens, mask 0: '<|prompter|>'(2) ")
    assert shown.splitlines()[1].startswith(f"response, {len(response)} tokens, mask 1: ")
    assert shown.endswith("'<|endoftext|>'(0)")


def test_a_token_without_an_embedding_is_named_when_a_text_needs_it(changed, tmp_path):
    folder = changed(lambda tokenizer: tokenizer.add_tokens(["zebra"]))
    found = chat.load(folder)
    assert found.encode("a horse", "yes")
    config = json.loads((tmp_path / "changed" / "config.json").read_text())
    with pytest.raises(InputError, match=f"'zebra' is id {config['vocab_size']}, and the model has"):
        found.encode("a zebra", "yes")
