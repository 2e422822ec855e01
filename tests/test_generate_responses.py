"""A round takes its window of the prompts; the stage writes a valid table that says what made it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sampling import prompts

import generate_responses
from preference.engines import Rules, vllm
from preference.files import records
from preference.running.flags import derived
from preference.running.stage import InputError

SCRIPT = Path(__file__).parents[1] / "scripts" / "generate_responses.py"


@pytest.mark.parametrize(
    "num_prompts, round, taken",
    [
        (None, 1, [0, 1, 2, 3, 4]),
        (None, 3, [0, 1, 2, 3, 4]),
        (2, 1, [0, 1]),
        (2, 2, [2, 3]),
        (2, 3, [4, 0]),
        (2, 6, [0, 1]),
        (5, 2, [0, 1, 2, 3, 4]),
        (2, 0, [3, 4]),
    ],
)
def test_rounds_take_windows_that_wrap(num_prompts, round, taken):
    assert generate_responses.window(5, num_prompts, round, "prompts.parquet") == taken


@pytest.mark.parametrize("total, num_prompts", [(7, 3), (7, 7), (6, 4), (1, 1)])
def test_no_prompt_comes_twice_in_a_round_and_every_prompt_comes_equally_often(total, num_prompts):
    rounds = [generate_responses.window(total, num_prompts, number, "") for number in range(1, total + 1)]
    assert all(len(set(taken)) == num_prompts for taken in rounds)
    times = [sum(taken.count(i) for taken in rounds) for i in range(total)]
    assert times == [num_prompts] * total


@pytest.mark.parametrize(
    "num_prompts, round, line", [(6, 1, "prompts.parquet has 5"), (0, 1, "0"), (2, -1, "negative")]
)
def test_a_window_that_does_not_exist_is_refused(num_prompts, round, line):
    with pytest.raises(InputError, match=line):
        generate_responses.window(5, num_prompts, round, "prompts.parquet")


def flags(policy, folder, **changed) -> generate_responses.Flags:
    chosen = {"samples_per_prompt": 2, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12, "seed": 3}
    paths = {"policy": policy, "prompts": str(folder / "prompts.parquet"), "output": str(folder / "responses.parquet")}
    return generate_responses.Flags(
        **{**paths, "engine": "transformers", "num_prompts": 4, "round": 1, **chosen, **changed}
    )


@pytest.fixture
def folder(tmp_path):
    records.write(tmp_path / "prompts.parquet", "prompts", prompts(10), {})
    return tmp_path


def test_the_stage_as_it_is_typed(tiny_policy, folder):
    given = vars(flags(tiny_policy, folder, round=3)).items()
    typed = [word for name, value in given if value is not None for word in (f"--{name}", str(value))]
    found = subprocess.run([sys.executable, SCRIPT, *typed], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    rows, made_by = (
        records.read(folder / "responses.parquet", "responses"),
        records.metadata(folder / "responses.parquet"),
    )
    assert [row["prompt_id"] for row in rows[::2]] == [prompts(10)[i]["prompt_id"] for i in (8, 9, 0, 1)]
    assert made_by["engine"] == "transformers" and made_by["stage"] == "generate_responses"
    assert (made_by["rows_in"], made_by["prompts"], made_by["rows_out"]) == (10, 4, 8)
    finished = sum(row["finish_reason"] == "stop" for row in rows)
    assert made_by["finished"] == finished
    assert f"4 prompts, 8 samples: {finished} finished, {8 - finished} truncated" in found.stdout
    assert found.stderr.count("\n") == 1 and "8 responses" in found.stderr and "engine transformers" in found.stderr


def test_equal_flags_give_equal_bytes(tiny_policy, folder):
    generate_responses.main(flags(tiny_policy, folder))
    first = (folder / "responses.parquet").read_bytes()
    generate_responses.main(flags(tiny_policy, folder))
    assert (folder / "responses.parquet").read_bytes() == first


def test_a_round_draws_anew_where_it_meets_a_prompt_again(tiny_policy, folder):
    found = []
    for number in (0, 1, 2):
        generate_responses.main(flags(tiny_policy, folder, num_prompts=None, round=number))
        found.append([row["response_ids"] for row in records.read(folder / "responses.parquet", "responses")])
    assert found[0] != found[1] != found[2] != found[0]


def test_evaluation_prompts_are_prompts(tiny_policy, folder):
    rows = [{**row, "response": "answer"} for row in prompts(3)]
    records.write(folder / "prompts.parquet", "eval_prompts", rows, {})
    generate_responses.main(flags(tiny_policy, folder, num_prompts=None))
    assert len(records.read(folder / "responses.parquet", "responses")) == 6


def test_a_tokenizer_without_a_template_is_refused(tiny_policy, folder):
    shutil.copytree(tiny_policy, folder / "model")
    (folder / "model" / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat_template"):
        generate_responses.main(flags(str(folder / "model"), folder))


class Engine:
    """An engine of vLLM that has nothing to do."""

    def has_unfinished_requests(self) -> bool:
        return False

    def reset_prefix_cache(self) -> None:
        pass


def test_vllm_tries_its_first_token_whatever_seed_a_round_derives(folder, monkeypatch):
    """A derived seed has 64 bits, and may be out of the range of the flag."""
    asked = []
    monkeypatch.setattr(vllm, "_make", lambda *_: Engine())
    monkeypatch.setattr(vllm, "_params", lambda rules, seed, flags: flags)
    monkeypatch.setattr(vllm, "_ask", lambda engine, key, ids, params: asked.append((key, params.max_new_tokens)))
    vllm._start("policy", 16, Rules((0,), ()), [1, 2], derived(flags("policy", folder), seed=2**64 - 1))
    assert asked == [("first", 1)]
