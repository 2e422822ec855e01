"""Training states beside a declared output: a killed training resumes where it was, or not at all.

They lie in `<output>.checkpoints/<digest of what is being trained>/`, so a changed flag, input or line of code starts
afresh, and under a lock, so two jobs never train into one folder.
"""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from preference import records
from preference.stage import InputError, say


class Checkpoints:
    """The latest state of one training; use as a context manager, which holds the lock."""

    def __init__(self, output: str, made_by: dict, every: int):
        name = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
        self.root, self.every = Path(output + ".checkpoints"), every
        self.folder = self.root / name

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.folder}: another process is training this; wait for it or end it") from None
        return self

    def __exit__(self, *_):
        self._lock.close()

    def load(self, model, optimizer) -> tuple[int, list[dict]]:
        """Put the saved state into model and optimizer.

        Returns:
            The number of optimizer steps done, and the rows of the training log so far; (0, []) where nothing is saved.
        """
        marker = self.folder / "state.json"
        if not marker.is_file():
            return 0, []
        state = records.read_json(marker)
        try:
            tensors = load_file(self.folder / state["tensors"], device="cpu")
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.folder}: damaged ({error}); delete the folder to train from the start") from None
        names = [name for name, _ in model.named_parameters()]
        model.load_state_dict(
            {n: tensors[f"model.{n}"] for n in model.state_dict() if f"model.{n}" in tensors}, strict=False
        )
        moments = ("step", "exp_avg", "exp_avg_sq")
        saved = {i: {m: tensors[f"{m}.{n}"] for m in moments} for i, n in enumerate(names) if f"step.{n}" in tensors}
        optimizer.load_state_dict({"state": saved, "param_groups": optimizer.state_dict()["param_groups"]})
        say(f"resumes at step {state['step']}")
        return state["step"], state["log"]

    def save(self, step: int, model, optimizer, log: list[dict]) -> None:
        """Write weights and optimizer moments, then the marker that names them, then drop the older state."""
        names = [name for name, _ in model.named_parameters()]
        tensors = {f"model.{n}": p.detach().contiguous() for n, p in model.named_parameters()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{moment}.{names[index]}": value.contiguous() for moment, value in moments.items()}
        name = f"step{step}.safetensors"
        with records.atomic(self.folder / name) as temporary:
            save_file(tensors, temporary)
        records.write_json(self.folder / "state.json", {"step": step, "tensors": name, "log": log})
        for old in self.folder.glob("step*.safetensors"):
            if old.name != name:
                old.unlink()

    def remove(self) -> None:
        """Drop the states, once the model and its manifest are on disk."""
        shutil.rmtree(self.folder)
        if not os.listdir(self.root):
            self.root.rmdir()
