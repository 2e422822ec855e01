"""What the stages of a run really do, as seen from inside: with this folder on PYTHONPATH, a line of $JOURNAL each time
that a stage starts, computes an optimizer step or a part, or ends. A line is written before the work that it names.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time

OUTPUT = sys.orig_argv[sys.orig_argv.index("--output") + 1] if "--output" in sys.orig_argv else None


def note(what: str, unit: str = "") -> None:
    line = {"session": int(os.environ["SESSION"]), "time": time.time(), "output": OUTPUT, "what": what, "unit": unit}
    file = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


def notes_the_end(stage) -> None:
    run = stage.run

    def noting(main, flags_class):
        run(main, flags_class)
        note("end")

    stage.run = noting


def notes_steps(fit) -> None:
    take = fit._step

    def noting(model, rows, *others):
        note("step", str(rows))  # its rows in their order, which no other step of a training has
        return take(model, rows, *others)

    fit._step = noting


def notes_parts(shards) -> None:
    map_parts = shards.Shards.map

    def noting(self, name, items, work, unit="responses"):
        def noted(part, progress):
            start = next(i for i, item in enumerate(items) if item is part[0])
            note("part", f"{name}.{start}")
            return work(part, progress)

        return map_parts(self, name, items, noted, unit)

    shards.Shards.map = noting


class Watch(importlib.abc.MetaPathFinder):
    """Changes these modules as they are loaded."""

    changes = {
        "preference.running.stage": notes_the_end,
        "preference.training.fit": notes_steps,
        "preference.running.shards": notes_parts,
    }

    def find_spec(self, name, path, target=None):
        if name not in self.changes:
            return None
        change = self.changes.pop(name)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


if OUTPUT and os.path.basename(os.path.dirname(sys.orig_argv[1])) == "scripts":  # not what asks the store
    note("start")
    sys.meta_path.insert(0, Watch())
