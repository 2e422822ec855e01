"""Training states beside a declared output: a killed training resumes where it was, or not at all.

A state is the weights, the optimizer's moments (but for the last one's) and the log so far. The schedule and the data
order are functions of the step, and nothing draws random numbers while it trains, so there is nothing else to keep.
"""

from safetensors.torch import load_file, save_file

from preference.files import artifacts, provenance
from preference.running.stage import InputError, say
from preference.running.unfinished import Unfinished


class Checkpoints(Unfinished):
    """The latest state of one training; use as a context manager."""

    what = "checkpoints"

    def load(self, model, optimizer) -> tuple[int, list[dict]]:
        """Put the saved state into model and optimizer.

        Returns:
            The number of optimizer steps done, and the rows of the training log so far; (0, []) where nothing is saved.
        """
        if (state := self._state()) is None:
            return 0, []
        tensors = load_file(self.folder / state["tensors"], device="cpu")
        names = [name for name, _ in model.named_parameters()]
        model.load_state_dict(
            {n: tensors[f"model.{n}"] for n in model.state_dict() if f"model.{n}" in tensors}, strict=False
        )
        moments = ("step", "exp_avg", "exp_avg_sq")
        saved = {i: {m: tensors[f"{m}.{n}"] for m in moments} for i, n in enumerate(names) if f"step.{n}" in tensors}
        optimizer.load_state_dict({"state": saved, "param_groups": optimizer.state_dict()["param_groups"]})
        say(f"resumes at step {state['step']}")
        return state["step"], state["log"]

    def latest(self) -> str | None:
        """The file with the weights of the last state that was kept."""
        state = self._state()
        return str(self.folder / state["tensors"]) if state else None

    def _state(self) -> dict | None:
        """What was saved last; None where nothing was, or where it is damaged, which costs no more than time."""
        marker = self.folder / "state.json"
        if not marker.is_file():
            return None
        try:
            state = artifacts.read_sealed(marker)
            if provenance.digest(self.folder / state["tensors"]) != state["sha256"]:
                raise InputError(f"{self.folder / state['tensors']}: is damaged")
        except (InputError, FileNotFoundError) as error:
            say(f"trains from the start: {error}")
            return None
        return state

    def save(self, step: int, model, optimizer, log: list[dict]) -> None:
        """Write weights and optimizer moments, then the marker that names them, then drop the older state.

        The optimizer is None after the last step, whose state takes a third of the room for that.
        """
        names = [name for name, _ in model.named_parameters()]
        tensors = {f"model.{n}": p.detach().contiguous() for n, p in model.named_parameters()}
        for index, moments in optimizer.state_dict()["state"].items() if optimizer else ():
            tensors |= {f"{moment}.{names[index]}": value.contiguous() for moment, value in moments.items()}
        file = self.folder / f"step{step}.safetensors"
        with artifacts.atomic(file) as temporary:
            save_file(tensors, temporary)
        state = {"step": step, "tensors": file.name, "sha256": provenance.digest(file), "log": log}
        with artifacts.atomic(self.folder / "state.json") as temporary:
            artifacts.write_sealed(temporary, state)
        for old in self.folder.glob("step*.safetensors"):
            if old != file:
                old.unlink()
