"""What a job asks of a machine or a cluster: GPUs, memory and run time, from the config and the number of the attempt.

Estimates that should be enough the first time; a job that died of too little asks for twice as much the next time. A
site overrides any of them (`--set-resources train_dpo:mem_mb=64000`); `efficiency.csv` says what was really taken.
"""

import math
import re
from pathlib import Path

from preference import engines
from workflow import stages
from workflow.config import runs, scoring
from workflow.stages import READING, SAMPLING, TRAINING

# Bytes of main memory for each parameter: float32 weights while they are loaded; evaluation holds policy, reference and
# reward model; training holds weights, gradients, two moments, and a reference.
BYTES: dict[str | None, int] = {SAMPLING: 14, READING: 6, TRAINING: 24}
# The libraries, and what a table takes.
BASE_MB: dict[str | None, int] = {SAMPLING: 3000, READING: 3000, TRAINING: 3000, None: 2000}
ROW_MB = 0.02  # a response with its tokens, as Python holds it

# Operations for each parameter and token, and how many a second are reached: by a GPU, and by one CPU thread. Careful
# figures: a stage that is done early costs nothing, one that is killed is queued again.
OPERATIONS: dict[str | None, int] = {SAMPLING: 2, READING: 2, TRAINING: 8}
PER_SECOND: dict[str | None, tuple[float, float]] = {
    SAMPLING: (1e12, 2e9),
    READING: (2e13, 1e10),
    TRAINING: (2e13, 1e10),
}
MINUTES = 10  # what any stage with a model may take: imports from a busy file system, loading
SHORT = 5  # what a table or a figure may take
MARGIN = 2

# CPU threads: a small model gains nothing by more, and the sums of another number of threads round otherwise.
SMALL = 1e7  # parameters
THREADS_OF_LARGE = {"gpu": 4, "cpu": 8}

UNKNOWN_PARAMETERS = 7e9  # of a model whose name does not say
UNKNOWN_ROWS = 20_000  # of data that nothing cuts to a number
UNKNOWN_TOKENS = 2048


def gpus(config: dict, stage: str, wildcards: dict) -> int:
    """GPUs that a job can use: none where no model is read, one, or as many as share a model in vLLM."""
    if not _reads_model(config, stage, wildcards):
        return 0
    chosen = runs.options(config, stage, wildcards)
    return _gpus_of_engine(chosen)


def memory_mb(config: dict, stage: str, wildcards: dict, attempt: int, parts: int = 1) -> int:
    """Main memory in MB."""
    row = stages.of(stage)
    if not _reads_model(config, stage, wildcards):
        rows = ROW_MB * _rows(config, stage, wildcards) if row.holds_table else 0
        return math.ceil((BASE_MB[None] + rows) * _grown(attempt))
    needed = BASE_MB[row.work] + BYTES[row.work] * parameters(config, stage, wildcards) / 1e6
    held = _rows(config, stage, wildcards) / (1 if row.holds_table else parts)
    return math.ceil((needed + ROW_MB * held) * _grown(attempt))


def minutes(config: dict, stage: str, wildcards: dict, attempt: int, on_gpu: bool, parts: int = 1) -> int:
    """Run time in minutes."""
    if not _reads_model(config, stage, wildcards):
        return (stages.of(stage).minutes or SHORT) * _grown(attempt)
    chosen, work = runs.options(config, stage, wildcards), stages.of(stage).work
    tokens = _rows(config, stage, wildcards) / parts * _tokens(chosen) * chosen.get("epochs", 1)
    operations = OPERATIONS[work] * tokens * parameters(config, stage, wildcards)
    per_second = PER_SECOND[work][0 if on_gpu else 1]
    if on_gpu and (of_engine := _engine(chosen).per_second):
        per_second = of_engine * _gpus_of_engine(chosen)
    return math.ceil(MINUTES + MARGIN * operations / per_second / 60) * _grown(attempt)


def cpus(config: dict, stage: str, wildcards: dict, on_gpu: bool) -> int:
    """CPU threads, which torch is told, too."""
    few = stages.of(stage).threads
    if not _reads_model(config, stage, wildcards) or parameters(config, stage, wildcards) < SMALL:
        return few
    return THREADS_OF_LARGE["gpu" if on_gpu else "cpu"]


def parameters(config: dict, stage: str, wildcards: dict) -> float:
    """The size of the model that a stage works with, as far as can be told without loading it."""
    task = config["tasks"][wildcards["task"]]
    if stage == "judge_responses":
        return _parameters(config, runs.judge_of(task), wildcards)
    others = scoring.models(runs.all_rewards_of(config, stage, wildcards))
    own = [] if stage == "score_responses" and others else [task["base_model"]]
    return max(_parameters(config, model, wildcards) for model in (*own, *others))


def _parameters(config: dict, model: str, wildcards: dict) -> float:
    if model == "from_scratch":
        return _from_scratch(runs.options(config, "initialize_model", wildcards))
    if weights := list(Path(model).glob("*.safetensors")):
        return sum(file.stat().st_size for file in weights) / 2  # as if two bytes were one parameter
    return _said_by_name(model) or UNKNOWN_PARAMETERS


def _from_scratch(size: dict) -> float:
    width = size.get("hidden_size", 0)
    return 2 * size.get("vocab_size", 0) * width + 12 * size.get("num_layers", 0) * width**2


def _said_by_name(model: str) -> float | None:
    """1.4e9 of `EleutherAI/pythia-1.4b`; None where the name says nothing."""
    found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", model.lower())
    return float(found[1]) * {"b": 1e9, "m": 1e6}[found[2]] if found else None


def _reads_model(config: dict, stage: str, wildcards: dict) -> bool:
    if stage == "score_responses":  # verifiers and functions read no model
        return any(part.kind == "model" for part in runs.all_rewards_of(config, stage, wildcards))
    if stage == "judge_responses":  # an endpoint's model is elsewhere
        return runs.judged_by(config["tasks"][wildcards["task"]]) != "endpoint"
    return stages.of(stage).work is not None


def _engine(chosen: dict) -> engines.Traits:
    return engines.known().get(chosen.get("engine", ""), engines.Traits())


def _gpus_of_engine(chosen: dict) -> int:
    return chosen.get("tensor_parallel_size", 1) if _engine(chosen).shares_model else 1


def _rows(config: dict, stage: str, wildcards: dict) -> float:
    """Responses that a stage writes or reads, at most."""
    data = runs.options(config, "prepare_task", wildcards)
    if stage == "train_sft":
        return data.get("num_sft", UNKNOWN_ROWS)
    if stages.of(stage).is_held_out:
        samples = runs.options(config, stage, wildcards).get("samples_per_prompt", 1)
        return data.get("num_eval_prompts", UNKNOWN_ROWS) * samples
    drawn = runs.options(config, "generate_responses", wildcards)
    prompts = drawn.get("num_prompts") or data.get("num_prompts", UNKNOWN_ROWS)
    rounds = runs.rounds_of_pairs(config, wildcards) if stages.of(stage).reads_pairs and "run" in wildcards else 1
    return prompts * drawn.get("samples_per_prompt", 2) * rounds


def _tokens(chosen: dict) -> int:
    return chosen.get("max_length") or chosen.get("max_new_tokens") or UNKNOWN_TOKENS


def _grown(attempt: int) -> int:
    return 2 ** (attempt - 1)
