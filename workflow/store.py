"""Show what the store holds, or free what no config needs.

    python workflow/store.py show [STORE]
    python workflow/store.py prune [STORE] [CONFIG ...]

An entry is needed if a config, by default each of config/, has a job of its stage with its flags and its code, and if
the entries that made its inputs are needed, too. What lies in results/ is never touched: the store has links or copies.
"""

import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this folder's names would hide others
sys.path.insert(1, str(ROOT / "scripts"))

from preference.running.stage import InputError  # noqa: E402
from preference.running.store import Output, Store  # noqa: E402
from workflow.config.store import FOLDER  # noqa: E402


@dataclass(frozen=True)
class Entry:
    """What an entry says of itself, and the room that it takes."""

    key: str
    stage: str  # digest
    script: str
    inputs: frozenset[str]  # contents
    outputs: frozenset[str]
    size: int  # bytes
    freed: int  # of them, those that no other name has: what its removal frees

    @property
    def is_model(self) -> bool:
        return self.script.startswith(("train_", "initialize_"))


def read(store: Store) -> Iterator[Entry]:
    """Yield the entries of a store; a damaged one has no stage, so that nothing needs it."""
    for folder in store.entries():
        found = [path.stat() for path in folder.rglob("*") if path.is_file()]
        size, freed = sum(each.st_size for each in found), sum(each.st_size for each in found if each.st_nlink == 1)
        try:
            told = store.read(folder.name) or {}
            outputs = frozenset(Output(**each).content for each in told["outputs"])
            inputs = frozenset(content for _, _, content in told["inputs"])
            yield Entry(folder.name, told["stage"], told["script"], inputs, outputs, size, freed)
        except (InputError, OSError, KeyError, TypeError, ValueError):
            yield Entry(folder.name, "", "damaged", frozenset(), frozenset(), size, freed)


def needed(entries: Iterable[Entry], planned: set[str]) -> set[Entry]:
    """Return the entries of planned stages, without those that read what only unneeded entries make."""
    entries = set(entries)
    found = {entry for entry in entries if entry.stage in planned}
    while True:
        made = {content for entry in entries for content in entry.outputs}
        whole = {content for entry in found for content in entry.outputs}
        left = {entry for entry in found if not entry.inputs & (made - whole)}
        if left == found:
            return found
        found = left


def planned(config: str, store: str) -> set[str]:
    """Return the stages, as digests, of all jobs that a config file has.

    A dry run prints each job's command, which names the stage.
    """
    lab = Path(config).stem if Path(config).stem.startswith("bandit") else None
    typed = ["-s", str(ROOT / "Snakefile"), "--dry-run", "--printshellcmds", "--forceall", "--config", f"store={store}"]
    command = [sys.executable, "-m", "snakemake", *typed, *([lab] if lab else ["--configfile", config])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{config}: cannot be planned, so nothing was removed")
    return set(re.findall(rf"run_once\.py {re.escape(shlex.quote(store))} ([0-9a-f]{{64}}) ", done.stdout))


def shown(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def show(store: Store) -> str:
    """Return what a store holds, a line per script."""
    of_scripts = defaultdict(list)
    for entry in read(store):
        of_scripts[entry.script].append(entry)
    rows = [("stage", "entries", "size", "only here")]
    for script, entries in sorted(of_scripts.items(), key=lambda each: -sum(entry.size for entry in each[1])):
        rows.append((script.removesuffix(".py"), str(len(entries)), *_sizes(entries)))
    everything = [entry for entries in of_scripts.values() for entry in entries]
    rows.append(("all", str(len(everything)), *_sizes(everything)))
    lines = [f"{name:<24}{count:>8}{size:>12}{own:>12}" for name, count, size, own in rows]
    return "\n".join([f"{store.folder}: what results/ no longer has is only here", *lines])


def _sizes(entries: list[Entry]) -> tuple[str, str]:
    return shown(sum(entry.size for entry in entries)), shown(sum(entry.freed for entry in entries))


def prune(store: Store, configs: list[str]) -> str:
    """Remove the entries that no config needs, models first; return what was freed."""
    entries = set(read(store))
    keep = needed(entries, set().union(*(planned(config, str(store.folder)) for config in configs)))
    gone = sorted(entries - keep, key=lambda entry: (not entry.is_model, -entry.freed))
    for entry in gone:
        store.remove(entry.key)
    store.clean()
    freed = shown(sum(entry.freed for entry in gone))
    return f"{store.folder}: {len(gone)} of {len(entries)} entries removed, which no config needs; {freed} freed"


def main(argv: list[str]) -> int | str:
    if argv[:1] not in (["show"], ["prune"]):
        return __doc__
    task, *named = argv
    folder = named.pop(0) if named and not named[0].endswith(".yaml") else FOLDER
    store, configs = Store(folder), named or sorted(map(str, Path("config").glob("*.yaml")))
    if why := store.problem() or (None if store.folder.is_dir() else "no such folder"):
        return f"{folder}: {why}"
    print(show(store) if task == "show" else prune(store, configs))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main(sys.argv[1:]))
