"""Sampling responses from a policy: one function, `respond`, whichever engine draws them (see engines).

An engine takes prompts as token ids, ends a response at the first token that ends one (see chat), never draws an id
that has no text, and ignores the sampling settings that a model folder may carry: what is sampled is what the flags
say. The draws of a response depend on the seed and on its prompt's id alone, never on what else is in its batch.
"""

import dataclasses

from preference import engines
from preference.files import conversations
from preference.models import chat, policies
from preference.models.chat import Chat
from preference.running.flags import flag
from preference.running.ranges import Count, NotNegative, PositiveShare, Seed
from preference.running.shards import Shards
from preference.running.stage import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine(chat.Flags):
    """The flags that say how sampling is done, whatever is sampled."""

    engine: str = flag("what samples; auto: vllm where it is installed", "auto", ("auto", *engines.known()))
    batch_size: Count = flag("responses at a time with engine transformers; vLLM schedules its own", 64)
    shard_size: Count = flag("responses that are sampled, and kept, together: what a kill can cost", 1024)
    dtype: str = flag("precision of the weights while sampling", "float32", tuple(policies.DTYPES))
    tensor_parallel_size: Count = flag("GPUs that share one model (vLLM)", 1)
    gpu_memory_utilization: PositiveShare = flag("memory of a GPU that vLLM takes", 0.9, unit="share of the memory")
    max_model_len: Count | None = flag(
        "longest prompt + response; without it what the model can read", None, unit="tokens"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(Engine):
    """The flags of every stage that samples from a policy."""

    prompts: str = flag("prompts.parquet or eval_prompts.parquet", config=False)
    samples_per_prompt: Count = flag("responses to each prompt")
    temperature: NotNegative = flag("0 is greedy, 1 is the policy itself")
    top_p: PositiveShare = flag("smallest set of tokens with this probability; 1 is all of them")
    max_new_tokens: Count = flag("longest response, its EOS included; a longer one is cut", unit="tokens")
    seed: Seed = flag("seed of the draws", config=False)


def respond(policy: str, chat_format: Chat, prompts: list[dict], flags: Flags, shards: Shards) -> list[dict]:
    """Sample responses from a policy.

    Args:
        policy: model folder or hub id; chat_format is its chat format.
        prompts: rows with prompt_id, prompt and tools, no prompt_id twice.
        shards: where finished parts are kept.

    Returns:
        rows of kind "responses", in the order of the prompts, then by sample_id; a job that shares the work with others
        has its own only. Prompts that leave no room for a response are dropped, and counted in the log.

    Raises:
        InputError: no prompt leaves room for a response, or the engine is missing or cannot start.
    """
    _check(flags, prompts)
    encoded = chat.encode_rows(
        flags.prompts, prompts, lambda row: chat_format.encode_prompt(row["prompt"], row.get("tools"))
    )
    print(f"chat format: {chat_format.summary()}\n{chat_format.describe((encoded[0], []))}")
    wanted = [
        (row, sample_id, ids)
        for row, ids in _that_fit(policy, prompts, encoded, flags)
        for sample_id in range(flags.samples_per_prompt)
    ]
    requests = [(f"{row['prompt_id']}/{sample_id}", ids) for row, sample_id, ids in wanted]
    rules = engines.Rules(tuple(chat_format.stop_ids), tuple(chat_format.textless()))
    engine = engines.load(engines.resolve(flags.engine))
    with engine.sampling(policy, rules, requests, flags) as sample:
        responses = shards.map("responses", shards.own(requests), sample)
    return [
        {**_of_prompt(row), "sample_id": sample_id, **describe(chat_format, ids)}
        for (row, sample_id, _), ids in zip(shards.own(wanted), responses, strict=True)
    ]


def _of_prompt(row: dict) -> dict:
    return {name: row.get(name) for name in ("prompt_id", "prompt", "tools", "fields")}


def _check(flags: Flags, prompts: list[dict]) -> None:
    for name in ("samples_per_prompt", "max_new_tokens", "batch_size"):
        if getattr(flags, name) < 1:
            raise InputError(f"--{name} is {getattr(flags, name)}; it must be at least 1")
    if flags.temperature < 0 or not 0 < flags.top_p <= 1:
        raise InputError(f"--temperature {flags.temperature} must not be negative, --top_p {flags.top_p} is in (0, 1]")
    if flags.temperature == 0 and flags.samples_per_prompt > 1:
        raise InputError("--temperature 0 is greedy, all samples of a prompt are equal: --samples_per_prompt must be 1")
    seen = set()
    for row in prompts:
        if row["prompt_id"] in seen:
            raise InputError(f"{flags.prompts}: prompt_id {row['prompt_id']} occurs more than once")
        seen.add(row["prompt_id"])


def _that_fit(policy: str, prompts: list[dict], encoded: list[list[int]], flags: Flags) -> list[tuple]:
    """Return (row, prompt ids) of the prompts that leave room for --max_new_tokens in what the policy reads."""
    known = (policies.context_length(policies.load_config(policy)), flags.max_model_len)
    context = min((length for length in known if length), default=None)
    if context is not None and context < flags.max_new_tokens:
        raise InputError(
            f"--max_new_tokens {flags.max_new_tokens}: {policy} reads at most {context} tokens, those of the prompt "
            "included"
        )
    pairs = list(zip(prompts, encoded, strict=True))
    if context is None:
        return pairs
    room = context - flags.max_new_tokens
    fitting = [(row, ids) for row, ids in pairs if len(ids) <= room]
    if len(fitting) < len(pairs):
        longest = max(map(len, encoded))
        print(
            f"dropped {len(pairs) - len(fitting)} of {len(pairs)} prompts: longer than the "
            f"{room} tokens that --max_new_tokens {flags.max_new_tokens} leaves of "
            f"{context}; the longest has {longest}"
        )
    if not fitting:
        raise InputError(
            f"{flags.prompts}: prompt_id {prompts[0]['prompt_id']} has {len(encoded[0])} tokens, more than the "
            f"{room} that are left of {context} after --max_new_tokens "
            f"{flags.max_new_tokens}, and no other prompt fits either"
        )
    return fitting


def describe(chat_format: Chat, ids: list[int]) -> dict:
    """The columns of a response that follow from its ids."""
    finished = chat_format.is_finished(ids)
    chat_format.check_response(ids, finished)
    return {
        "response": conversations.assistant(chat_format.text_of(ids)),
        "response_ids": ids,
        "finish_reason": "stop" if finished else "length",
        "end_token": chat_format.stop_ids[ids[-1]] if finished else None,
        "num_tokens": len(ids) - finished,
    }
