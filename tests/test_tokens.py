"""Text to tensors: BOS, EOS, prefixes and masks."""

import pytest
import torch
from transformers import AutoTokenizer

from preference import policies, tokens
from preference.stage import InputError


@pytest.fixture(scope="module")
def tokenizer(tiny_policy):
    return AutoTokenizer.from_pretrained(tiny_policy)


def test_a_prompt_is_rendered_with_the_template_and_ends_where_the_response_begins(tokenizer):
    ids = tokens.encode_prompt(tokenizer, "count to 3")
    assert tokenizer.decode(ids) == "<|prompter|>count to 3<|endoftext|><|assistant|>"


def test_a_finished_response_is_closed_by_one_eos_and_a_cut_one_by_none(tokenizer):
    eos = tokenizer.eos_token_id
    assert tokens.encode_response(tokenizer, "one two")[-1:] == [eos]
    assert tokens.encode_response(tokenizer, "") == [eos]
    assert eos not in tokens.encode_response(tokenizer, "one two", finished=False)


def test_check_response_stops_a_doubled_missing_or_inner_eos(tokenizer):
    eos = tokenizer.eos_token_id
    tokens.check_response(tokenizer, [7, eos], finished=True)
    tokens.check_response(tokenizer, [7], finished=False)
    for ids, finished in (([7, eos, eos], True), ([7], True), ([7, eos], False), ([eos, 7], True)):
        with pytest.raises(AssertionError, match="EOS tokens in a response"):
            tokens.check_response(tokenizer, ids, finished)


def test_masks_cover_the_response_and_its_eos_and_nothing_else():
    found = tokens.batch([([5, 6], [7, 2]), ([5], [2])], pad_id=1)
    assert found["input_ids"].tolist() == [[5, 6, 7, 2], [5, 2, 1, 1]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert found["response_mask"].tolist() == [[False, False, True, True], [False, True, False, False]]


def test_the_first_response_token_and_eos_carry_loss_and_padding_changes_nothing(tiny_policy):
    model = policies.load_policy(tiny_policy)
    alone = policies.response_logps(model, tokens.batch([([5, 6], [7, 2])], 1))
    padded = policies.response_logps(model, tokens.batch([([5, 6], [7, 2]), ([5], [9] * 9)], 1))
    logits = model(input_ids=torch.tensor([[5, 6, 7, 2]])).logits.log_softmax(-1)
    by_hand = logits[0, 1, 7] + logits[0, 2, 2]
    assert alone.item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert padded[0].item() == pytest.approx(by_hand.item(), abs=1e-4)


def test_the_prompts_tokens_are_a_prefix_of_both_sequences_of_a_pair(tokenizer):
    row = {"prompt_id": "p", "prompt": "say hi", "chosen": "hi", "rejected": "hi there"}
    row |= {f"{side}_{key}": None for side in ("chosen", "rejected") for key in ("tokens", "finish_reason")}
    (prompt, chosen), (same, rejected) = tokens.encode_pair(tokenizer, row, 64)
    assert prompt == same == tokens.encode_prompt(tokenizer, "say hi")
    assert chosen[-1] == rejected[-1] == tokenizer.eos_token_id


def test_sampled_tokens_are_kept_as_they_were_drawn(tokenizer):
    row = {"prompt_id": "p", "prompt": "x", "chosen": "hi", "rejected": "hi", "chosen_tokens": [9, 8, 0]}
    row |= {"rejected_tokens": None, "rejected_finish_reason": "length"}
    (_, chosen), (_, rejected) = tokens.encode_pair(tokenizer, row, 64)
    assert chosen == [9, 8, 0] and tokenizer.eos_token_id not in rejected


def test_a_long_response_is_cut_and_a_prompt_that_leaves_no_room_is_an_error():
    assert tokens.cut([1, 2], [3, 4, 5], 4, "p") == ([1, 2], [3, 4])
    with pytest.raises(InputError, match="--max_length 4: prompt p has 4 tokens, so no response would fit"):
        tokens.cut([1, 2, 3, 4], [5], 4, "p")


def test_a_tokenizers_own_bos_is_there_exactly_once(tiny_policy):
    from tokenizers import processors

    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    pair = [("<s>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=pair)
    for template in (tokens.TEMPLATE, "{{ bos_token }}" + tokens.TEMPLATE):
        tokenizer.chat_template = template
        ids = tokens.encode_prompt(tokenizer, "hello")
        assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    "change, line",
    [
        ({"eos_token": None}, "no EOS token"),
        ({"pad_token": None}, "no pad token"),
        ({"pad_token": "<|endoftext|>"}, "pad token is its EOS token"),
        ({"chat_template": None}, "no chat_template"),
    ],
)
def test_a_tokenizer_that_cannot_close_or_pad_is_refused(tiny_policy, change, line):
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    for name, value in change.items():
        setattr(tokenizer, name, value)
    with pytest.raises(InputError, match=line):
        tokens.check_tokenizer(tokenizer, "somewhere")


def test_micro_batches_cover_every_row_once_and_keep_lengths_together():
    lengths = [9, 1, 5, 2, 8]
    groups = tokens.micro_batches([0, 1, 2, 3, 4], lengths, 2)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    assert [[lengths[i] for i in group] for group in groups] == [[1, 2], [5, 8], [9]]
