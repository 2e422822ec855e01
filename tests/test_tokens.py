"""Sequences of ids: masks, batches and what fits into a length."""

import pytest
import torch

from preference.models import policies, tokens
from preference.models.tokens import Limit
from preference.running.stage import InputError


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


def test_only_the_counted_tokens_of_a_response_are_in_its_mask():
    found = tokens.batch([([5], [6, 7, 8]), ([5], [6])], 1, counted=[[True, False, True], [True]])
    assert found["response_mask"].tolist() == [[False, True, False, True], [False, True, False, False]]


def test_a_long_response_is_cut_and_counted():
    limit = Limit(4)
    assert limit.fit(([1, 2], [3, 4, 5])) == ([1, 2], [3, 4]) and limit.fit(([1], [2])) == ([1], [2])
    assert (limit.rows, limit.responses_cut, limit.prompts_cut, limit.dropped) == (2, 1, 0, 0)


def test_a_prompt_that_leaves_no_room_drops_its_row_or_loses_its_middle():
    drop, cut = Limit(4), Limit(4, "cut")
    assert drop.fit(([1, 2, 3, 4], [5])) is None and drop.dropped == 1
    assert cut.fit(([1, 2, 3, 4], [5, 6, 7])) == ([1, 4], [5, 6]), (
        "the first token, which may be BOS, and the last ones"
    )
    assert (cut.prompts_cut, cut.responses_cut, cut.dropped) == (1, 1, 0)


def test_a_length_that_leaves_no_row_is_an_error_with_the_file_and_the_flag(capsys):
    limit = Limit(2)
    limit.fit(([1, 2], [3]))
    with pytest.raises(InputError, match="x.parquet: all 1 prompts have --max_length 2 tokens or more"):
        limit.report("pairs", "x.parquet")
    assert "1 dropped because the prompt leaves no room" in capsys.readouterr().out
    limit.long_prompts = "cut"
    with pytest.raises(InputError, match="2 tokens or more; raise it$"):
        limit.report("pairs", "x.parquet")


def test_micro_batches_cover_every_row_once_and_keep_lengths_together():
    lengths = [9, 1, 5, 2, 8]
    groups = tokens.micro_batches([0, 1, 2, 3, 4], lengths, 2)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    assert [[lengths[i] for i in group] for group in groups] == [[1, 2], [5, 8], [9]]
