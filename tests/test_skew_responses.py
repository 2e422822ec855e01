"""Responses are cut to random lengths: what is cut ends in EOS, what is short enough stays, and order is nothing."""

from statistics import fmean

import pytest
from sampling import flags as sampling_flags
from sampling import prompts, respond

import skew_responses
from preference.files import records
from preference.files.conversations import assistant, text
from preference.models import chat


def flags(folder, policy="", **changed):
    files = {"responses": f"{folder}/responses.parquet", "output": f"{folder}/skewed_responses.parquet"}
    return skew_responses.Flags(**{"policy": policy, **files, "mean_length": 4.0, "seed": 1, **changed})


@pytest.fixture
def tokenizer(tiny_policy):
    return chat.load(tiny_policy).tokenizer


@pytest.fixture
def chat_format(tiny_policy):
    return chat.load(tiny_policy)


def response(tokenizer, ids, finished=True):
    said = {"response": assistant(tokenizer.decode(ids)), "num_tokens": len(ids)}
    ending = {"response_ids": [*ids, tokenizer.eos_token_id] if finished else ids}
    ending["end_token"] = tokenizer.eos_token if finished else None
    place = {"prompt_id": "p", "sample_id": 0, "prompt": "count"}
    return {**place, **said, **ending, "finish_reason": "stop" if finished else "length"}


def test_a_cut_by_hand(chat_format, tokenizer):
    one, two, three = ids = tokenizer("abc").input_ids
    for finished in (True, False):
        found = skew_responses.cut(chat_format, response(tokenizer, ids, finished), 2)
        assert found == response(tokenizer, [one, two]), "closed by EOS, whether the longer one was or not"
        assert text(found["response"]) == "ab" and found["response_ids"] == [one, two, tokenizer.eos_token_id]


@pytest.mark.parametrize("ids", ["", "a", "abc"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_response_that_is_no_longer_stays_as_it_is(chat_format, tokenizer, ids, finished):
    row = response(tokenizer, tokenizer(ids).input_ids, finished)
    assert skew_responses.cut(chat_format, row, 3) == row


@pytest.mark.parametrize("mean", [1.5, 4.0, 20.0])
def test_lengths_are_geometric_from_1_with_the_mean_that_was_asked_for(mean):
    rows = [{"prompt_id": f"p{i}", "sample_id": s} for i in range(2000) for s in (0, 1)]
    drawn = [skew_responses.limit(flags("", mean_length=mean), row) for row in rows]
    assert min(drawn) == 1 and fmean(drawn) == pytest.approx(mean, rel=0.07)
    for k in (1, 2, 5):
        assert fmean(length > k for length in drawn) == pytest.approx((1 - 1 / mean) ** k, abs=0.04)


@pytest.fixture
def sampled(tiny_policy, tmp_path):
    rows = respond(tiny_policy, prompts(12), sampling_flags(samples_per_prompt=2, max_new_tokens=4))
    records.write(tmp_path / "responses.parquet", "responses", rows, {})
    return records.read(tmp_path / "responses.parquet", "responses")


def test_the_stage_cuts_only_what_is_longer_and_counts_it(tiny_policy, tokenizer, sampled, tmp_path, capsys):
    skew_responses.main(flags(tmp_path, tiny_policy))
    found = records.read(tmp_path / "skewed_responses.parquet", "responses")
    kept = ("prompt_id", "sample_id", "prompt")
    assert [[row[key] for key in kept] for row in found] == [[row[key] for key in kept] for row in sampled]
    cut = [(before, after) for before, after in zip(sampled, found, strict=True) if before != after]
    for before, after in cut:
        assert after["num_tokens"] < before["num_tokens"] and after["finish_reason"] == "stop"
        assert after["response_ids"][:-1] == before["response_ids"][: after["num_tokens"]]
        assert text(after["response"]) == tokenizer.decode(after["response_ids"][:-1])
    made_by = records.metadata(tmp_path / "skewed_responses.parquet")
    assert 0 < made_by["cut"] == len(cut) < 24 == made_by["rows_in"] == made_by["rows_out"]
    assert f"{len(cut)} of 24 responses cut" in capsys.readouterr().err


def test_cuts_hang_on_the_seed_and_not_on_the_order_of_the_rows(tiny_policy, sampled, tmp_path):
    def skewed(rows, seed):
        records.write(tmp_path / "responses.parquet", "responses", rows, {})
        skew_responses.main(flags(tmp_path, tiny_policy, seed=seed))
        return records.read(tmp_path / "skewed_responses.parquet", "responses")

    assert skewed(sampled[::-1], 1) == skewed(sampled, 1)[::-1]
    assert skewed(sampled, 2) != skewed(sampled, 1)
