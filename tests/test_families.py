"""Every family of models reads and ends its conversations as published, and goes through every stage."""

import contextlib
import dataclasses
import io
import json
import math
from pathlib import Path

import numpy
import pandas
import pytest
from families import FAMILIES, ODD, VLLM_FAMILIES, make, make_sentencepiece, rounds
from families.layouts import ANSWER, ASKED, LAYOUTS, SYSTEM, TURNS

import score_responses
from preference.files import conversations, records
from preference.models import chat
from preference.running.stage import InputError

ANSWERS = [
    "",
    " ",
    "\n",
    ANSWER,
    "naïve café: 你好 👍🏽",
    "  two blanks",
    "blanks after  \n",
    "a\n\nline\n",
    "\n\nfirst",
]
REFUSED = {
    "end_without_row": "'<|im_end|>' is id 352, and the model has 352 embeddings",
    "no_generation_prompt": "has no generation prompt",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a family, made once."""
    made = {}

    def of(name: str) -> str:
        if name not in made:
            made[name] = make(name, tmp_path_factory.mktemp(name) / "model")
        return made[name]

    return of


@pytest.fixture(scope="module", params=LAYOUTS)
def family(request, folder):
    """(chat format, layout) of a family, with the project's own template if it has none."""
    return chat.load(folder(request.param), template=chat.TEMPLATE), LAYOUTS[request.param]


def ids_of(chat_format, text: str) -> list[int]:
    return chat_format.tokenizer(text, add_special_tokens=False).input_ids


def whole_of(chat_format, layout, prompt: list[dict], answer: str) -> list[int]:
    """The ids of the rendered conversation as the tokenizer's own library has them, up to the last end token."""
    found = chat_format.tokenizer.apply_chat_template(prompt + conversations.assistant(answer), tokenize=True)
    last = len(found["input_ids"]) - found["input_ids"][::-1].index(chat_format.end_id)
    return ids_of(chat_format, layout.adds_bos) + found["input_ids"][:last]


def specials_in(chat_format, ids: list[int]) -> list[int]:
    """The special tokens among ids."""
    special = {each for each, token in chat_format.tokenizer.added_tokens_decoder.items() if token.special}
    return [each for each in ids if each in special]


def test_every_family_and_every_odd_one_has_a_layout_or_a_refusal():
    assert FAMILIES.keys() | ODD.keys() == LAYOUTS.keys() | REFUSED.keys() | {"forces_thinking"}


def test_the_end_token_and_the_stop_tokens_are_the_familys(family):
    chat_format, layout = family
    assert chat_format.end_token == layout.end
    assert set(chat_format.stop_ids.values()) == layout.stops
    assert next(iter(chat_format.stop_ids)) == chat_format.end_id == ids_of(chat_format, layout.end)[-1]


def test_prompts_are_the_ids_of_the_published_layout(family):
    chat_format, layout = family
    for messages, expected in ((ASKED, layout.asked), ([SYSTEM, *ASKED], layout.briefed), (TURNS, layout.turns)):
        if expected is not None:
            assert chat_format.encode_prompt(messages) == ids_of(chat_format, layout.adds_bos + expected)


def test_a_system_prompt_that_the_template_refuses_is_one_line(folder):
    gemma = chat.load(folder("gemma2"))
    with pytest.raises(InputError, match="cannot be rendered: System role not supported"):
        gemma.encode_prompt([SYSTEM, *ASKED])


def test_prompt_and_response_are_the_ids_of_the_whole_rendered_conversation(family):
    chat_format, layout = family
    prompt, response = chat_format.encode(TURNS, ANSWER)
    assert prompt + response == whole_of(chat_format, layout, TURNS, ANSWER)
    assert prompt + response == ids_of(chat_format, layout.adds_bos + layout.turns + layout.answered)
    assert prompt == chat_format.encode_prompt(TURNS)


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_keeps_its_text_and_ends_once(family, answer):
    chat_format, layout = family
    merged = chat_format.merged
    prompt, response = chat_format.encode(ASKED, answer)
    whole = whole_of(chat_format, layout, ASKED, answer)
    assert prompt + response == whole or chat_format.merged > merged
    assert chat_format.tokenizer.decode(prompt + response) == chat_format.tokenizer.decode(whole)
    chat_format.check_response(response, finished=True)
    assert response[-1] == chat_format.end_id
    assert chat_format.text_of(response) == layout.said(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_was_cut_is_the_finished_one_without_its_end(family, answer):
    chat_format, layout = family
    _, response = chat_format.encode(ASKED, answer, finished=False)
    chat_format.check_response(response, finished=False)
    assert chat_format.text_of(response) == layout.said(answer)


def test_a_sequence_begins_with_at_most_one_bos(family):
    chat_format, _ = family
    bos = chat_format.tokenizer.bos_token_id
    for messages in (ASKED, TURNS):
        assert bos is None or chat_format.encode_prompt(messages)[:2] != [bos, bos]


def test_text_that_spells_special_tokens_stays_text_in_prompts_and_answers(family):
    chat_format, layout = family
    plain_prompt, plain_response = chat_format.encode(ASKED, ANSWER)
    for token in chat_format.tokenizer.all_special_tokens + [*layout.stops]:
        spelled = f"Say{token}now {token}"
        prompt, response = chat_format.encode(conversations.user(spelled), spelled)
        assert specials_in(chat_format, prompt) == specials_in(chat_format, plain_prompt), token
        assert specials_in(chat_format, response) == specials_in(chat_format, plain_response), token
        assert chat_format.text_of(response) == spelled
        assert spelled in chat_format.tokenizer.decode(prompt)


def test_an_answer_that_forges_a_turn_has_one_end(family):
    chat_format, layout = family
    forged = f"Yes.{layout.end}\n{layout.asked}No.{layout.end}"
    _, response = chat_format.encode(ASKED, forged)
    chat_format.check_response(response, finished=True)
    assert chat_format.text_of(response) == layout.said(forged)


def test_padding_is_an_id_with_an_embedding(family):
    chat_format, _ = family
    assert 0 <= chat_format.pad_id < chat_format.vocab_size


def test_the_log_shows_the_tokens_of_both_parts(family):
    chat_format, layout = family
    prompt, response = chat_format.describe(chat_format.encode(ASKED, ANSWER)).splitlines()
    assert prompt.startswith("prompt, ") and response.startswith("response, ")
    assert response.endswith(f"{layout.end!r}({chat_format.end_id})")


def test_a_pad_token_that_is_also_a_word_is_a_word_and_no_pad_token(folder):
    chat_format, plain = chat.load(folder("pad_is_a_word")), chat.load(folder("plain"))
    assert chat_format.tokenizer.pad_token is None and chat_format.pad_id == chat_format.end_id
    prompt, response = chat_format.encode("Hi!", "Hello! <|im_end|>!")
    assert (prompt, response) == plain.encode("Hi!", "Hello! <|im_end|>!")
    assert chat_format.text_of(response) == "Hello! <|im_end|>!"


@pytest.mark.parametrize("name", ["gpt2", "pythia"])
def test_a_tokenizer_without_a_template_is_refused_where_nobody_gives_one(folder, name):
    with pytest.raises(InputError, match="has no chat_template; name a file with --chat_template"):
        chat.load(folder(name))


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_could_not_end_or_begin_a_response_is_refused(folder, name):
    with pytest.raises(InputError) as error:
        chat.load(folder(name))
    assert REFUSED[name] in str(error.value)


def test_a_template_that_rewrites_the_prompt_is_refused_or_answered_as_asked(folder):
    path = folder("forces_thinking")
    with pytest.raises(InputError, match="renders the prompt differently once an answer follows"):
        chat.load(path).encode(ASKED, ANSWER)
    appending = chat.load(path, chat.Flags(rewritten_prompt="append"))
    prompt, response = appending.encode(ASKED, ANSWER)
    text = appending.tokenizer.decode(prompt + response)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\nBecause.<|im_end|>"


def test_a_system_prompt_that_wanders_to_the_last_message_is_refused_or_kept(folder):
    path = folder("mistral_v3")
    with pytest.raises(InputError, match="renders the prompt differently once an answer follows"):
        chat.load(path).encode([SYSTEM, *ASKED], ANSWER)
    appending = chat.load(path, chat.Flags(rewritten_prompt="append"))
    prompt, response = appending.encode([SYSTEM, *ASKED], ANSWER)
    assert prompt == ids_of(appending, LAYOUTS["mistral_v3"].briefed)
    assert appending.text_of(response) == ANSWER


THOUGHT = "<think>\nhard\n</think>\n\n"


def test_earlier_thinking_is_dropped_from_prompts_and_kept_in_the_answer(folder):
    for name in ("qwen3", "drops_thinking"):
        chat_format = chat.load(folder(name))
        thinking = [TURNS[0], {"role": "assistant", "content": THOUGHT + "Hello."}, TURNS[2]]
        prompt, response = chat_format.encode(thinking, THOUGHT + ANSWER)
        assert prompt == chat_format.encode_prompt(TURNS)
        assert chat_format.tokenizer.decode(response) == f"{THOUGHT}{ANSWER}<|im_end|>"


def test_thinking_that_is_switched_off_is_part_of_the_prompt(folder):
    off = chat.load(folder("qwen3"), chat.Flags(chat_template_kwargs='{"enable_thinking": false}'))
    prompt, response = off.encode(ASKED, ANSWER)
    assert off.tokenizer.decode(prompt).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert off.tokenizer.decode(response) == "Because.<|im_end|>"


def test_calls_and_results_of_tools_are_rendered(folder):
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    called = [*ASKED, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "2"}]
    for name in ("qwen2_5", "qwen3"):
        chat_format = chat.load(folder(name))
        prompt, response = chat_format.encode(called, "Two.", tools)
        text = chat_format.tokenizer.decode(prompt)
        assert '<tools>\n{"type": "function", "function": {"name": "add", "parameters": {}}}\n</tools>' in text
        assert '<|im_start|>assistant\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' in text
        assert "<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\n" in text
        assert chat_format.text_of(response) == "Two."


def test_a_folder_with_a_sentencepiece_model_only_reads_as_one_with_a_tokenizer_json(tmp_path):
    pytest.importorskip("sentencepiece")
    layout, chat_format = LAYOUTS["llama2"], chat.load(make_sentencepiece(tmp_path / "model"))
    prompt, response = chat_format.encode(TURNS, ANSWER)
    assert prompt + response == ids_of(chat_format, layout.turns + layout.answered)
    for answer in (*ANSWERS, "Say</s>now <s>"):
        _, response = chat_format.encode(ASKED, answer)
        chat_format.check_response(response, finished=True)
        assert chat_format.text_of(response) == answer.strip()


@dataclasses.dataclass(frozen=True)
class Round:
    """A round that was played: its folder, its base model and what the stages printed."""

    folder: Path
    base: str
    printed: str

    def rows(self, kind: str) -> list[dict]:
        return records.read(self.folder / f"{kind}.parquet", kind)


@pytest.fixture(scope="module")
def played(tmp_path_factory, folder):
    """The round of a family, played once."""
    rounds_of = {}

    def of(name: str) -> Round:
        if name not in rounds_of:
            here, printed, base = tmp_path_factory.mktemp(name), io.StringIO(), folder(name)
            rounds.write_data(here)
            with contextlib.redirect_stdout(printed):
                rounds.play(base, here)
            rounds_of[name] = Round(here, base, printed.getvalue())
        return rounds_of[name]

    return of


ODD_PLAYED = ("pad_is_a_word", "eos_is_not_the_end", "many_rows", "pad_without_row", "drops_thinking")


@pytest.fixture(scope="module", params=[*FAMILIES, *ODD_PLAYED])
def round_of(request, played):
    return played(request.param)


def test_responses_end_as_their_finish_reason_says(round_of):
    chat_format = chat.load(f"{round_of.folder}/policy")
    responses = round_of.rows("responses")
    assert len(responses) == 24 and {row["finish_reason"] for row in responses} == {"stop", "length"}
    for row in responses + round_of.rows("evaluation"):
        finished, ids = row["finish_reason"] == "stop", row["response_ids"]
        chat_format.check_response(ids, finished)
        assert row["end_token"] == (chat_format.stop_ids[ids[-1]] if finished else None)
        assert row["num_tokens"] == len(ids) - finished and max(ids) < len(chat_format.tokenizer)
        assert conversations.text(row["response"]) == chat_format.text_of(ids)


def test_sft_teaches_the_end_and_the_saved_policy_keeps_format_and_stops(round_of):
    base = chat.load(round_of.base, template=chat.TEMPLATE)
    for name in ("policy", "trained"):
        saved = chat.load(f"{round_of.folder}/{name}")
        assert saved.tokenizer.chat_template == base.tokenizer.chat_template
        assert (saved.end_id, saved.stop_ids) == (base.end_id, base.stop_ids)
        assert saved.encode(TURNS, ANSWER) == base.encode(TURNS, ANSWER)
        generation = json.loads((round_of.folder / name / "generation_config.json").read_text())
        assert set(numpy.atleast_1d(generation["eos_token_id"])) == base.stop_ids.keys()
    log = pandas.read_csv(round_of.folder / "policy.csv")
    assert log.loss.iloc[-1] < 0.5 * log.loss[0]


def test_log_probabilities_are_finite_and_those_of_the_reference_at_step_0(round_of):
    pairs = round_of.rows("reference_logps")
    logps = [row[f"ref_{side}_logps"] for row in pairs for side in ("chosen", "rejected")]
    assert len(pairs) > 3 and all(math.isfinite(value) and value < 0 for value in logps)
    assert "step 0: policy and reference differ by at most" in round_of.printed
    log = pandas.read_csv(round_of.folder / "trained.csv")
    assert log.loss[0] == pytest.approx(math.log(2), abs=1e-4) and log.loss.iloc[-1] < log.loss[0]


def test_learned_rewards_do_not_depend_on_the_batch(round_of):
    rows = round_of.rows("rewards")
    folder = round_of.folder
    again = {"responses": (f"{folder}/responses.parquet",), "reward_model": (f"{folder}/reward_model",)}
    again |= {"output": f"{round_of.folder}/rewards_again.parquet", "batch_size": 1, "max_length": 256}
    score_responses.main(score_responses.Flags(**again))
    alone = records.read(again["output"], "rewards")
    assert [row["reward"] for row in alone] == pytest.approx([row["reward"] for row in rows], abs=1e-4)
    assert len({row["reward"] for row in rows}) > 4


def test_samples_do_not_depend_on_the_batch(round_of):
    again = f"{round_of.folder}/responses_again.parquet"
    rounds.sample(round_of.folder, "transformers", batch_size=5, output=again)
    alone = records.read(again, "responses")
    assert [row["response_ids"] for row in alone] == [row["response_ids"] for row in round_of.rows("responses")]


def test_evaluation_measures_the_trained_policy(round_of):
    evaluation = json.loads((round_of.folder / "evaluation.json").read_text())
    metrics = {name: found["mean"] for name, found in evaluation["metrics"].items() if "mean" in found}
    assert evaluation["num_prompts"] == 4 and all(map(math.isfinite, metrics.values()))
    assert metrics["kl"] > 0 and metrics["chosen_logratio"] != 0


@pytest.mark.parametrize("name", ["no_pad", "pad_is_eos", "pad_is_a_word", "bos_is_eos", "eos_is_not_the_end"])
def test_the_pad_token_and_other_names_change_no_result(played, name):
    plain, other = played("plain"), played(name)
    for kind in ("responses", "rewards", "reference_logps", "evaluation"):
        assert other.rows(kind) == plain.rows(kind), kind


@pytest.mark.vllm
@pytest.mark.parametrize("name", VLLM_FAMILIES)
def test_vllm_samples_what_transformers_does(folder, tmp_path, name):
    rounds.write_data(tmp_path)
    rounds.train_policy(folder(name), tmp_path)
    sampled = {}
    for engine in ("transformers", "vllm"):
        output = f"{tmp_path}/{engine}.parquet"
        rounds.sample(tmp_path, engine, temperature=0.0, samples_per_prompt=1, output=output)
        sampled[engine] = records.read(output, "responses")
    equal = sum(some == other for some, other in zip(*sampled.values(), strict=True))
    assert equal >= 7 and any(row["finish_reason"] == "stop" for row in sampled["vllm"])


@pytest.mark.vllm
@pytest.mark.parametrize("name", ["zephyr", "qwen3"])
def test_a_whole_round_works_with_vllm(folder, tmp_path, name):
    rounds.write_data(tmp_path)
    rounds.play(folder(name), tmp_path, "vllm")
    stops = chat.load(f"{tmp_path}/policy").stop_ids
    responses = records.read(tmp_path / "responses.parquet", "responses")
    assert {row["finish_reason"] for row in responses} == {"stop", "length"}
    assert all((row["response_ids"][-1] in stops) == (row["finish_reason"] == "stop") for row in responses)
    assert json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["kl"]["mean"] > 0
