"""The one training loop: true optimizer steps, float32 weights, a fixed data order, a row of the log per step."""

import contextlib
import dataclasses
import math
from collections.abc import Callable

import pandas as pd
import torch
from transformers import GenerationConfig

from preference.files import artifacts, logs
from preference.models import chat, model_folders, policies, tokens
from preference.models.chat import Chat
from preference.models.policies import DTYPES
from preference.running.checkpoints import Checkpoints
from preference.running.flags import flag
from preference.running.ranges import Count, LearningRate, NotNegative, Positive, Repeats, Seed, Share
from preference.running.stage import InputError, Progress
from preference.training import schedules

SHOWN = 8  # prompts that an error names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(chat.Flags):
    """The flags that every training stage shares."""

    output: str = flag("model folder to write; <output>.manifest.json beside it", folder="model")
    log_output: str = flag("training.csv to write, a row per optimizer step")
    learning_rate: LearningRate = flag("peak learning rate of AdamW, which every schedule reaches")
    epochs: Repeats = flag("passes over the data (T)")
    batch_size: Count = flag("rows per optimizer step: responses, pairs (losses on pairs) or prompts (best_of_n)")
    micro_batch_size: Count = flag(
        "rows per forward pass; gradients accumulate over a batch and change by rounding only"
    )
    max_length: Count = flag("longest prompt + response; longer responses are cut", unit="tokens")
    seed: Seed = flag("seed of the data order", config=False)
    schedule: str = flag(
        "learning rate after the warm-up: the peak, or a decay from the peak that reaches 0 after the last step",
        "constant",
        schedules.SCHEDULES,
    )
    warmup_ratio: Share = flag(
        "steps that warm up, rounded up, under every schedule; of n such steps, step i trains at i/n of "
        "the peak, so that no step trains at 0",
        0.0,
        unit="share of the steps",
    )
    weight_decay: NotNegative = flag("AdamW's weight decay", 0.0)
    max_grad_norm: Positive = flag("gradients are scaled down to this L2 norm", 1.0)
    dtype: str = flag("arithmetic of the forward pass; weights stay float32", "float32", tuple(DTYPES))
    checkpoint_steps: Count = flag("optimizer steps between two resumable states", 200, runtime=True, unit="steps")
    report_to: str = flag("where to show the log as it grows", "none", ("none", "tensorboard", "wandb"), runtime=True)
    long_prompts: str = flag(
        "a prompt of max_length tokens or more: drop its rows, or cut its middle to half of that",
        "drop",
        tokens.LONG_PROMPTS,
    )


def start(flags) -> tuple:
    """Return the model of --policy, which must read --max_length tokens, and its chat format."""
    chat_format = chat.load(flags.policy, flags)
    model = policies.load_policy(flags.policy)
    policies.check_context(model.config, flags.policy, flags.max_length)
    return model, chat_format


def limit(flags: Training) -> tokens.Limit:
    """Return the rule of --max_length and --long_prompts."""
    return tokens.Limit(flags.max_length, flags.long_prompts)


def data_order(num_rows: int, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """The rows of each optimizer step: every pass visits every row once, in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(num_rows, generator=generator).tolist() for _ in range(epochs)]
    return [order[i : i + batch_size] for order in orders for i in range(0, num_rows, batch_size)]


@dataclasses.dataclass(frozen=True)
class Rows:
    """What the loop knows of the data: a row is a response, a pair or a prompt with its responses."""

    prompt_ids: list[str]  # to name them where a step diverges
    lengths: list[int]  # in tokens, so that rows of similar length are batched together


Loss = Callable[[list[int], list[int]], tuple[torch.Tensor, dict[str, float]]]


def train(
    model,
    chat_format: Chat,
    rows: Rows,
    loss: Loss,
    flags: Training,
    made_by: dict,
    finish: Callable[[], dict | None] = lambda: None,
) -> list[dict]:
    """Train a model under `fit`, resuming where a killed run left off; write it and its log, and return the log.

    `finish` is called on the trained model, whose state is kept already; what it returns is the policy's memory.
    """
    with Checkpoints(flags.output, made_by) as checkpoints, _tracked(flags, model) as track:
        log = fit(model, rows, loss, flags, checkpoints, track)
        memory = finish()
        stop_as_trained(model, chat_format)
        artifacts.write_text(flags.log_output, pd.DataFrame(log).to_csv(index=False, lineterminator="\n"), made_by)
        policies.save(model, chat_format.tokenizer, flags.output, made_by, memory)
    return log


def stop_as_trained(model, chat_format: Chat) -> None:
    """Write the tokens that end a response into the generation config, which other tools stop at.

    The base model's sampling settings are kept unless the library refuses to save them. Some published folders set a
    temperature without do_sample, which the library refuses.
    """
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.eos_token_id = list(chat_format.stop_ids)
        try:
            model.generation_config.validate(strict=True)
        except ValueError as error:
            ids = {name: getattr(model.generation_config, name) for name in ("bos_token_id", "eos_token_id")}
            model.generation_config = GenerationConfig(**ids)
            print(f"the generation config keeps its token ids alone: {model_folders.reason(error)}")


def _tracked(flags: Training, model):
    """`trackers.tracked`, or where nothing is to be shown nothing: what is said of a row is heard by nobody."""
    if flags.report_to == "none":
        return contextlib.nullcontext(lambda row: None)
    from preference.running import trackers  # half of a trainer, which nothing else needs

    return trackers.tracked(flags, model)


def fit(
    model,
    rows: Rows,
    loss: Loss,
    flags: Training,
    checkpoints: Checkpoints,
    track: Callable[[dict], None],
) -> list[dict]:
    """Train a model in place.

    It stays in eval mode, which switches off dropout of every kind: the reference has none, a ratio of two networks
    under different masks is not a ratio of their probabilities, and no random number depends on where a run was killed.

    Args:
        model: its parameters are float32 and stay so.
        rows: the prompt and the length of each row.
        loss: (rows of this micro-batch, rows of the whole step) -> (this micro-batch's share of the step's loss,
            sums over its rows of what the log shows).
        flags: the shared training flags.
        checkpoints: where the state is kept while it trains.
        track: is told each row of the log as it comes, and those of a state that is resumed from before them.

    Returns:
        The log, a row per optimizer step: step, loss, learning_rate, gradient_norm, and the means that `loss` summed.

    Raises:
        InputError: a loss, a gradient or a weight is NaN or infinite, before a step or in a state that was to be kept;
            the line has the step, its prompts and the last good state.
    """
    order = data_order(len(rows.lengths), flags.batch_size, flags.epochs, flags.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=flags.learning_rate, weight_decay=flags.weight_decay)
    done, log = checkpoints.load(model, optimizer)
    for row in log:
        track(row)
    warmup = schedules.warmup_steps(flags.warmup_ratio, len(order))
    progress = Progress(len(order), "steps")
    progress.skip(done)
    model.eval()

    def check(fault: str | None, step: int, seen: list[int]) -> None:
        if fault:
            raise _diverged(step, fault, [rows.prompt_ids[i] for i in seen], flags, checkpoints)

    for step, of_step in enumerate(order[done:], start=done + 1):
        rate = flags.learning_rate * schedules.multiplier(step, len(order), warmup, flags.schedule)
        row = _step(model, of_step, rows.lengths, loss, flags)
        check(_fault(row), step, of_step)
        _update(optimizer, rate)
        log.append({"step": step, "learning_rate": rate, **row})
        logs.TRAINING.check(log[-1])
        track(log[-1])
        progress.update(1, f"loss {row['loss']:.4f}")
        last = step == len(order)
        if last or step % flags.checkpoint_steps == 0:
            longest = tokens.micro_batches(of_step, rows.lengths, flags.micro_batch_size)[-1]
            check(_fault_of_state(model, longest, of_step, loss, flags), step, longest)
            checkpoints.save(step, model, None if last else optimizer, log)
    return log


def arithmetic(flags: Training, device: torch.device) -> torch.autocast:
    """A context in which forward passes have the precision of --dtype."""
    return torch.autocast(device.type, DTYPES[flags.dtype], enabled=flags.dtype != "float32")


def _step(model, rows: list[int], lengths: list[int], loss: Loss, flags: Training) -> dict[str, float]:
    """Accumulate the gradient of one step, and return what the log shows of it."""
    total = 0.0
    sums: dict[str, float] = {}
    for micro in tokens.micro_batches(rows, lengths, flags.micro_batch_size):
        with arithmetic(flags, next(model.parameters()).device):
            share, seen = loss(micro, rows)
        share.backward()
        total += share.item()
        sums = {name: sums.get(name, 0.0) + value for name, value in seen.items()}
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), flags.max_grad_norm).item()
    return {"loss": total, "gradient_norm": norm, **{name: value / len(rows) for name, value in sums.items()}}


def _update(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Take one optimizer step at a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()


def _fault(numbers: dict[str, float]) -> str | None:
    """Return the loss and what else of a step's numbers is not finite, in words; None if all of them are finite."""
    wrong = {name: value for name, value in numbers.items() if not math.isfinite(value)}
    if not wrong:
        return None
    return ", ".join(f"the {name} is {value}" for name, value in ({"loss": numbers["loss"]} | wrong).items())


def _fault_of_state(model, micro: list[int], rows: list[int], loss: Loss, flags: Training) -> str | None:
    """Return what is not finite in the weights, or in what the model says of a micro-batch; None if all is finite.

    The loss of a step is that of the policy before its update, so that the last update shows in no row of the log.
    """
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"after the update, weight {name} is not finite"
    with torch.no_grad(), arithmetic(flags, next(model.parameters()).device):
        share, seen = loss(micro, rows)
    fault = _fault({"loss": share.item(), **seen})
    return fault and f"after the update, {fault}"


def _diverged(step: int, fault: str, prompt_ids: list[str], flags: Training, checkpoints: Checkpoints) -> InputError:
    distinct = list(dict.fromkeys(prompt_ids))
    prompts = ", ".join(distinct[:SHOWN]) + (f" and {len(distinct) - SHOWN} more" if distinct[SHOWN:] else "")
    state = checkpoints.latest()
    kept = f"the last good state is {state}" if state else "no state is kept yet"
    return InputError(
        f"step {step}: {fault}, on prompts {prompts}; no policy was written, {kept}; "
        f"lower --learning_rate (now {flags.learning_rate})"
    )
