"""vLLM samples what transformers samples, and fails in one line where it cannot."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from sampling import flags, gpt_neox, llama, prompts, respond

from preference.files import records
from preference.models import chat, samplers
from preference.running.shards import Shards

pytestmark = pytest.mark.vllm
SCRIPT = Path(__file__).parents[1] / "scripts" / "generate_responses.py"


@pytest.fixture(scope="module", autouse=True)
def installed():
    assert importlib.util.find_spec("vllm") is not None, "needs the vLLM environment: make test-vllm"


@pytest.fixture(scope="module", params=[gpt_neox, llama], ids=["gpt_neox", "llama"])
def policy(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("models") / request.param.__name__)


def sample(policy: str, rows: list[dict], engine: str, **changed) -> list[dict]:
    return respond(policy, rows, flags(engine=engine, **changed))


def share_of_equal_rows(some: list[dict], others: list[dict]) -> float:
    return sum(row == other for row, other in zip(some, others, strict=True)) / len(some)


def test_both_engines_agree_on_greedy_responses(policy):
    """Prompts, BOS included, reach both engines as the same tokens: a doubled BOS would change every response."""
    found = sample(policy, prompts(200), "vllm", temperature=0.0)
    wanted = sample(policy, prompts(200), "transformers", temperature=0.0)
    assert share_of_equal_rows(found, wanted) >= 0.99
    assert len({tuple(row["response_ids"]) for row in found}) > 20, "responses to compare, not one for all"


def test_a_response_does_not_depend_on_the_other_prompts(tmp_path):
    policy, settings = gpt_neox(tmp_path / "policy"), {"samples_per_prompt": 2, "max_new_tokens": 60}
    alone = sample(policy, prompts(40)[:10], "vllm", **settings)
    together = sample(policy, prompts(40), "vllm", **settings)
    assert share_of_equal_rows(alone, together[:20]) >= 0.95
    assert {row["finish_reason"] for row in together} == {"stop", "length"}
    assert alone[0]["response_ids"] != alone[1]["response_ids"]


def run_stage(policy: str, folder: Path, name: str, engine: str = "vllm") -> subprocess.CompletedProcess:
    typed = (
        "--num_prompts 6 --round 2 --samples_per_prompt 3 --temperature 0.7 --top_p 0.9 --max_new_tokens 16 --seed 5"
    )
    paths = [
        "--policy",
        policy,
        "--prompts",
        str(folder / "prompts.parquet"),
        "--output",
        str(folder / f"{name}.parquet"),
    ]
    records.write(folder / "prompts.parquet", "prompts", prompts(10), {})
    return subprocess.run(
        [sys.executable, SCRIPT, *typed.split(), "--engine", engine, *paths], capture_output=True, text=True
    )


def test_the_same_seed_gives_the_same_file_and_a_table_like_that_of_the_other_engine(tmp_path):
    policy = gpt_neox(tmp_path / "policy")
    runs = [run_stage(policy, tmp_path, "first")]
    before = (tmp_path / "first.parquet").read_bytes()
    runs.append(run_stage(policy, tmp_path, "first"))
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert (tmp_path / "first.parquet").read_bytes() == before
    assert "18 responses" in runs[0].stderr and "engine vllm" in runs[0].stderr
    assert runs[0].stderr.count("\n") <= 2 and runs[0].stdout.count("\n") <= 7, runs[0].stdout + runs[0].stderr
    assert records.metadata(tmp_path / "first.parquet")["engine"] == "vllm"

    assert run_stage(policy, tmp_path, "other", "transformers").returncode == 0
    found, wanted = (records.read(tmp_path / f"{name}.parquet", "responses") for name in ("first", "other"))
    keys = ("prompt_id", "sample_id", "prompt")
    assert [[row[key] for key in keys] for row in found] == [[row[key] for key in keys] for row in wanted]
    assert {row["finish_reason"] for row in found + wanted} <= set(records.FINISH_REASONS)


def test_a_model_that_vllm_cannot_run_gives_one_line(tiny_policy, tmp_path):
    """Its heads have 16 dimensions, which vLLM's CPU attention does not know."""
    found = run_stage(tiny_policy, tmp_path, "responses")
    assert found.returncode == 1
    assert "vLLM is installed but cannot start with" in found.stderr and "head" in found.stderr
    assert found.stderr.count("\n") == 1, found.stderr


def test_finished_parts_are_kept_and_the_whole_is_the_same_as_if_nothing_had_been_killed(tmp_path, policy):
    """A part depends on its own requests alone: sampled after others, or by an engine that starts with it."""
    rows, asked = prompts(24), flags(engine="vllm", shard_size=10)
    with Shards(str(tmp_path / "whole"), {}, 10) as shards:
        chat_format = chat.load(policy)
        whole = samplers.respond(policy, chat_format, rows, asked, shards)
    kept = {part.name: part.read_bytes() for part in shards.folder.glob("*.json")}
    assert sorted(kept) == ["responses.0.json", "responses.10.json", "responses.20.json"]
    with Shards(str(tmp_path / "killed"), {}, 10) as shards:
        samplers.respond(policy, chat_format, rows, asked, shards)
        (shards.folder / "responses.10.json").unlink()
        assert samplers.respond(policy, chat_format, rows, asked, shards) == whole
