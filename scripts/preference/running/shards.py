"""Finished parts of a long piece of work (responses, rewards, log-probabilities): a kill costs one part at most.

A part is always the same rows and is always computed by itself, whether or not the work was interrupted or shared by
several jobs, so the whole is the same to the last bit.
"""

import dataclasses
import re
from collections.abc import Callable

from preference.files import artifacts
from preference.running.flags import flag
from preference.running.stage import InputError, Progress, say
from preference.running.unfinished import Unfinished


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardFlags:
    """The flag of a stage that several jobs may share."""

    shard: str | None = flag("share of the work that this job does, 2-of-4; else all", None, runtime=True, config=False)


class Shards(Unfinished):
    """The parts of one output; use as a context manager. `made_by` then says, too, which job's share it is."""

    what = "shards"

    def __init__(self, output: str, made_by: dict, size: int, shard: str | None = None):
        self.made_by = made_by | ({"shard": shard} if shard else {})
        super().__init__(output, self.made_by)
        self.size = size
        self.number, self.count = share(shard)

    def own(self, items: list) -> list:
        """Those of the items whose parts fall to this job: whole parts, next to each other; none where jobs outnumber
        parts."""
        parts = -(-len(items) // self.size)
        first, last = (parts * number // self.count for number in (self.number - 1, self.number))
        return items[first * self.size : last * self.size]

    def map(self, name: str, items: list, work: Callable[[list, Progress], list], unit: str = "responses") -> list:
        """`work` on one part of the items after another.

        Args:
            name: of this piece of work among those of the stage.
            work: (the items of a part, progress to update) -> a result for each, as plain numbers, texts and lists.

        Returns:
            The results in the order of the items, those of finished parts from the disk.
        """
        results, progress = [], Progress(len(items), unit)
        for start in range(0, len(items), self.size):
            part = items[start : start + self.size]
            file = self.folder / f"{name}.{start}.json"
            found = _load(file)
            if found is None:
                found = work(part, progress)
                assert len(found) == len(part), f"{name}: {len(found)} results of {len(part)} {unit}"
                with artifacts.atomic(file) as temporary:
                    artifacts.write_sealed(temporary, {"results": found})
            else:
                progress.skip(len(found))
            results += found
            progress.done = start + len(part)
        if progress.skipped:
            say(f"{name}: {progress.skipped} of {len(items)} {unit} were finished before")
        return results


def share(shard: str | None) -> tuple[int, int]:
    """(2, 4) of "2-of-4": which of how many jobs; without a shard, one job does all."""
    if shard is None:
        return 1, 1
    found = re.fullmatch(r"(\d+)-of-(\d+)", shard, re.ASCII)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {shard}: write 2-of-4 for the second of four")
    return number, count


def _load(file) -> list | None:
    """The results of a part; None where it is not finished, or damaged, which costs no more than making it again."""
    if not file.is_file():
        return None
    try:
        return artifacts.read_sealed(file)["results"]
    except InputError as error:
        say(f"makes a part again: {error}")
        return None
