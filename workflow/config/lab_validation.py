"""What is wrong with a lab file, one line each, found before any job starts; `validation` does it for experiments.

What a lab is and which parts it has is in `labs`.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

from preference.analysis.measures import OF_BANDITS
from preference.bandits import cells
from preference.files.tables import RESERVED
from workflow.config import labs, validation, yaml_text
from workflow.config.cell_validation import claim_problems, figure_problems, listed

SCHEMA = Path(__file__).parents[1] / "schemas" / "bandit.schema.yaml"
TAKEN = {"tables", "figures", "claims", "seconds", labs.KL_DIRECTIONS}  # names that the results of a lab use


def asked_for(targets: list[str], folder: Path | str = "config") -> tuple[dict[str, dict], list[str]]:
    """The labs that a call's targets are of, name -> lab, and what is wrong with these or with the targets."""
    files = labs.files(folder)
    of_lab = {target: labs.asked(target, list(files)) for target in targets}
    found = [f"{target}: there is no {folder}/{target}.yaml" for target in of_lab if _is_of_no_lab(target, of_lab)]
    read = {}
    for name in dict.fromkeys(filter(None, of_lab.values())):
        read[name], wrong = _read(files[name])
        asked = [target for target, lab in of_lab.items() if lab == name]
        found += wrong or filter(None, (_no_target(target, read[name], files[name]) for target in asked))
    return read, found


def _is_of_no_lab(target: str, of_lab: dict[str, str | None]) -> bool:
    return of_lab[target] is None and labs.is_name(target)


def _read(path: Path) -> tuple[dict, list[str]]:
    """A lab and its problems, each with the file before it; a lab with problems may be anything."""
    found = [problem] if (problem := yaml_text.problem_of(path)) else []
    lab = {} if found else yaml_text.read(path)
    return lab, [f"{path}: {problem}" for problem in found or problems(lab, path.stem, list(labs.files(path.parent)))]


def problems(lab: dict, name: str, others: Sequence[str] = ()) -> list[str]:
    """Every problem as `key.path: what is wrong`: shape first, then what names what, then the flags of each cell.

    Args:
        name: that of its file; `others`: those of all labs.
    """
    shape = validation.misshapen(lab, yaml_text.read(SCHEMA))
    return list(dict.fromkeys(shape or _misnamed(lab, name, others) or _cell_problems(lab) or _other_problems(lab)))


def _no_target(target: str, lab: dict, path: Path) -> str | None:
    """Why a target that begins with a lab's name is none; that of a file is left to the workflow."""
    known = labs.targets(lab)
    if target in known or "/" in target:
        return None
    near = difflib.get_close_matches(target, known, 1, 0.5)
    return f"{target}: {path} has no such target; " + (
        f"did you mean {near[0]}?" if near else f"it has {listed(known)}"
    )


def _misnamed(lab: dict, name: str, others: Sequence[str]) -> list[str]:
    found = []
    if lab["lab"] != name:
        found.append(f"lab: {lab['lab']} is not the name of the file; write {name}")
    for experiment, said in lab["experiments"].items():
        place = f"experiments.{experiment}"
        if experiment in TAKEN or experiment.startswith("curves_"):
            found.append(f"{place}: the name is taken by the results' own")
        if (target := f"{lab['lab']}_{experiment}") in others:
            found.append(f"{place}: its target {target} is the lab of another file; rename one of the two")
        for axis, choice in said["axes"].items():
            if axis in RESERVED:
                found.append(f"{place}.axes.{axis}: is another column of the tables; give the axis another name")
            found += [f"{place}.axes.{axis}{problem}" for problem in _unknown_methods(choice, lab.get("methods", {}))]
        found += [f"{place}.figure.{problem}" for problem in figure_problems(said["figure"], said["axes"], OF_BANDITS)]
    return found


def _unknown_methods(choice: dict | list, methods: dict) -> list[str]:
    named = {level: labs.named_method(choice, level) for level in choice}
    return [
        ("" if isinstance(choice, list) else f".{level}")
        + f": there is no method {method}; there are {listed(methods)}"
        for level, method in named.items()
        if method and method not in methods
    ]


def _cell_problems(lab: dict) -> list[str]:
    """What is wrong with the flags of each cell, under the key that says them."""
    found = []
    for experiment in lab["experiments"]:
        for label, flags in labs.cells(lab, experiment).items():
            parts = labs.parts(lab, experiment, tuple(label.split(".")))
            found += [f"{_said_by(parts, flag)}: {reason}" for flag, reason in _faults(flags)]
    return found


def _faults(flags: dict):
    for flag, reason in cells.faults(flags):
        yield flag, f"{cells.shown(flags, flag)} {reason}".strip()


def _said_by(parts: list[tuple[str, dict]], flag: str) -> str:
    """The key whose value of a flag counts; of one that nothing says, the key where it would best be said."""
    speaks = [place for place, settings in parts if flag in settings]
    if not speaks and flag in cells.OF_ALGORITHM:
        speaks = [place for place, settings in parts if "algorithm" in settings]
    seeds, _, cell, *_ = (place for place, _ in parts)
    place = speaks[-1] if speaks else seeds if flag == "tuning_seeds" else cell
    return f"{place}.{flag}" if place else flag


def _other_problems(lab: dict) -> list[str]:
    directions = _direction_problems(**lab[labs.KL_DIRECTIONS]) if labs.KL_DIRECTIONS in lab else []
    return [*_claim_problems(lab), *(f"{labs.KL_DIRECTIONS}.{problem}" for problem in directions)]


def _direction_problems(points: dict, steps: int, figure: dict, **_):
    if figure["steps"] > steps:
        yield f"figure.steps: {figure['steps']} is more than steps, which is {steps}"
    for name, point in points.items():
        for key, shares in point.items():
            if len(shares) != len(point["start"]):
                yield f"points.{name}.{key}: has {len(shares)} categories, and start has {len(point['start'])}"
            if abs(sum(shares) - 1) > 1e-6:
                yield f"points.{name}.{key}: sums to {sum(shares):g}, not to 1"
    published = [
        f"points.{name}.{key}" for name, point in points.items() for key in ("forward", "reverse") if key in point
    ]
    if len(published) not in (0, 2):
        yield f"{published[-1]}: bars of a figure are forward and reverse, of one point"


def _claim_problems(lab: dict) -> list[str]:
    known = {name: labs.cells(lab, name).keys() for name in lab["experiments"]}
    return claim_problems(lab.get("claims", []), known, OF_BANDITS)
