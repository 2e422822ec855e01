"""A training's log while it grows, in TensorBoard or Weights & Biases, through the callbacks of transformers' trainer.

They are for looking on: each shows the rows of training.csv, its columns as train/<column>, and nothing that the table
will not hold. A training that resumes tells its whole log again from the first step: what a killed one has shown may
go beyond the state that it resumes from, and may have been shown elsewhere.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks

from preference.running.stage import InputError, say


class Settings(TrainingArguments):
    """What the callbacks ask of a trainer and note as its settings, which here are the stage's flags."""

    @classmethod
    def of(cls, flags) -> "Settings":
        # What is uploaded bears the run's name, in which no slash may be. use_cpu: nothing is placed by these settings,
        # so no GPU is looked for and no process group begun.
        name = flags.output.strip("/").replace("/", ".")
        settings = cls(output_dir=_folder(flags.output), run_name=name, report_to="none", use_cpu=True)
        settings.flags = dataclasses.asdict(flags)
        return settings

    def to_dict(self) -> dict:
        return self.flags


@contextlib.contextmanager
def tracked(flags, model) -> Iterator[Callable[[dict], None]]:
    """A function that is told each row of the training log, and shows it where --report_to says.

    Args:
        flags: those of a training stage; --report_to is not none.
        model: its config is noted beside the flags.

    Raises:
        InputError: Weights & Biases refuses, for want of a key or of a network.
    """
    callback, settings, state, control = _callback(flags), Settings.of(flags), TrainerState(), TrainerControl()
    with _refusals(flags.report_to):
        callback.on_train_begin(settings, state, control, model=model)

    def tell(row: dict) -> None:
        state.global_step = row["step"]
        shown = {name: float(value) for name, value in row.items() if name != "step"}
        callback.on_log(settings, state, control, model=model, logs=shown)

    yield tell
    callback.on_train_end(settings, state, control, model=model)  # not of a training that failed: some upload the model


def _callback(flags):
    (kind,) = get_reporting_integration_callbacks(flags.report_to)
    return kind(_event_file(flags.output)) if flags.report_to == "tensorboard" else kind()


def _event_file(output: str):
    """A writer of a new event file in <output>.tensorboard/, whose readers forget those of earlier attempts.

    Those stay: a TensorBoard that is open does not get over the loss of a file that it reads.
    """
    from torch.utils.tensorboard import SummaryWriter  # is there only where tensorboard is

    folder = _folder(output)
    say(f"to look on: tensorboard --logdir {folder}")
    return SummaryWriter(folder, purge_step=0)


def _folder(output: str) -> str:
    return f"{os.path.abspath(output)}.tensorboard"  # beside the model's folder, which is replaced as a whole


@contextlib.contextmanager
def _refusals(report_to: str) -> Iterator[None]:
    """What Weights & Biases says when it cannot begin, as an InputError."""
    if report_to != "wandb":
        yield
        return
    import wandb

    try:
        yield
    except wandb.Error as error:
        raise InputError(f"--report_to wandb: {error}") from error
