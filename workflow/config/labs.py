"""What a lab file asks for, as pure functions of it: which labs a call is about, an experiment's cells, their flags.

A lab is a file config/bandit*.yaml. Its experiments cross axes of levels; a cell is one level of each. Only the labs
that the command line names are read, so that the others cost nothing and may be broken.
"""

import itertools
import re
from pathlib import Path

from preference.analysis import claims
from preference.analysis.measures import TITLES
from workflow.config import runs

NAME = re.compile(r"bandit(_[a-z0-9_]+)?")
KL_DIRECTIONS = "kl_directions"  # the part of a lab that is no experiment: it has no cells


def files(folder: Path | str = "config") -> dict[str, Path]:
    """The labs that there are: name, which is also their target and that of the file -> file."""
    paths = sorted(Path(folder).glob("bandit*.yaml"))
    return {path.stem: path for path in paths if is_name(path.stem)}


def is_name(name: str) -> bool:
    """Whether a name is one that labs have, and so no experiment of the other sort can."""
    return NAME.fullmatch(name) is not None


def asked(target: str, found: list[str]) -> str | None:
    """The lab that a target is of, if any: `bandit`, `bandit_<experiment>`, or a file below results/bandit/.

    Where one lab's name begins with another's, a target is of the longer that fits.
    """
    name = re.sub("^results/([^/]*)/.*$", r"\1", target)
    fitting = [lab for lab in found if name == lab or (name.startswith(f"{lab}_") and name == target)]
    return max(fitting, key=len, default=None)


def results(lab: dict) -> str:
    """The folder that everything of a lab is made in."""
    return f"results/{lab['lab']}"


def targets(lab: dict) -> dict[str, list[str]]:
    """Name of a target -> the files that it makes."""
    parts = [*lab["experiments"], *([KL_DIRECTIONS] if KL_DIRECTIONS in lab else [])]
    of_parts = {part: made(lab, part) for part in parts}
    tables = ["seconds.csv", *(["claims.csv", "claims.txt"] if "claims" in lab else [])]
    whole = [*itertools.chain(*of_parts.values()), *(f"{results(lab)}/tables/{table}" for table in tables)]
    return {lab["lab"]: whole, **{f"{lab['lab']}_{part}": files for part, files in of_parts.items()}}


def axes(lab: dict, experiment: str) -> dict[str, list[str]]:
    """Axis -> its levels, in the order of the file."""
    return {axis: list(levels) for axis, levels in lab["experiments"][experiment]["axes"].items()}


def cells(lab: dict, experiment: str) -> dict[str, dict]:
    """Label, which is a level of each axis joined by dots -> the flags of the cell."""
    crossed = itertools.product(*axes(lab, experiment).values())
    return {".".join(levels): flags(lab, experiment, levels) for levels in crossed}


def files_of_cells(lab: dict, name: str, experiment: str | None = None) -> dict[str, str]:
    """Label -> a file of each cell of an experiment; of all experiments, the labels are experiment/label."""
    if experiment:
        return {label: f"{results(lab)}/{experiment}/{label}/{name}" for label in cells(lab, experiment)}
    of_each = {each: files_of_cells(lab, name, each) for each in lab["experiments"]}
    return {f"{each}/{label}": path for each, paths in of_each.items() for label, path in paths.items()}


def files_of_claims(lab: dict) -> dict[str, str]:
    """Experiment/label -> the history of each cell that a claim is about."""
    named = dict.fromkeys(name for claim in claims.parse_all(lab.get("claims", [])) for name in claim.cell_names())
    return {label: f"{results(lab)}/{label}/history.parquet" for label in named}


def made(lab: dict, part: str) -> list[str]:
    """What a target has made of a part of a lab: its tables and its figure."""
    return made_in(results(lab), part, f"{part}_checks" if part == KL_DIRECTIONS else f"curves_{part}")


def made_in(folder: str, part: str, other: str) -> list[str]:
    """The tables, of which `other` is the second, and the figure of a part of what is made in a folder."""
    made_of = (f"tables/{part}.csv", f"tables/{other}.csv", f"figures/{part}.svg", f"figures/{part}.png")
    return [f"{folder}/{path}" for path in made_of]


def kl_flags(lab: dict) -> dict[str, object]:
    """The flags of compare_kl_directions, apart from its files: NAME=START:TARGET, and a published figure's bars."""
    said = {key: value for key, value in lab[KL_DIRECTIONS].items() if key != "figure"}
    points = said.pop("points")
    chosen = said | {"points": [_typed(name, point["start"], point["target"]) for name, point in points.items()]}
    bars = [_typed(name, point["forward"], point["reverse"]) for name, point in points.items() if "forward" in point]
    return {key: chosen[key] for key in sorted(chosen)} | ({"published": bars[0]} if bars else {})


def _typed(name: str, *distributions: list[float]) -> str:
    return f"{name}={':'.join(','.join(map(str, each)) for each in distributions)}"


def flags(lab: dict, experiment: str, levels: tuple[str, ...]) -> dict[str, object]:
    """The flags of a cell, apart from its files: what its parts say, the last one winning; sorted."""
    merged: dict[str, object] = {}
    for _, settings in parts(lab, experiment, levels):
        merged |= settings
    return {key: merged[key] for key in sorted(merged) if merged[key] is not False}  # a switch that is off is not typed


def figure(lab: dict, experiment: str) -> tuple[str, dict[str, object]]:
    """The script that draws an experiment, of a lab or of a config, and its flags apart from its files."""
    said = {"title": lab["experiments"][experiment]["title"], **lab["experiments"][experiment]["figure"]}
    chosen = {
        key: [value] if key in ("metric", "panels", "lines") and isinstance(value, str) else value
        for key, value in said.items()
    }
    if (kind := chosen.pop("kind")) == "axis":
        chosen["metric"] = [f"final_{name}" if name in TITLES else name for name in chosen["metric"]]
        chosen = {"numbers": numbers(lab["experiments"][experiment]["axes"].get(said["x"], {})), **chosen}
    return f"plot_{kind}", {key: chosen[key] for key in sorted(chosen) if chosen[key] not in (False, [])}


def numbers(choice: dict | list) -> list[float]:
    """Where the levels of an axis stand, if each of them is one number and nothing else."""
    settings = [] if isinstance(choice, list) else [level for level in choice.values() if isinstance(level, dict)]
    found = [value for level in settings for value in level.values() if type(value) in (int, float)]
    return found if len(found) == len(choice) == sum(map(len, settings)) else []


def parts(lab: dict, experiment: str, levels: tuple[str, ...]) -> list[tuple[str, dict]]:
    """(the key that says them, settings) of a cell: seeds, defaults, its experiment's, its methods', its levels'."""
    place, methods, own = f"experiments.{experiment}", [], []
    for (axis, choice), level in zip(lab["experiments"][experiment]["axes"].items(), levels, strict=True):
        if method := named_method(choice, level):
            methods.append((f"methods.{method}", lab["methods"][method]))
        else:
            own.append((f"{place}.axes.{axis}.{level}", choice[level]))
    seeds = {key: lab[key] for key in ("seeds", "tuning_seeds") if key in lab}
    cell = lab["experiments"][experiment].get("cell", {})
    return [("", seeds), ("defaults", lab.get("defaults", {})), (f"{place}.cell", cell), *methods, *own]


def named_method(choice: dict | list, level: str) -> str | None:
    """The method that a level names: a level of a list is one, a level of a mapping is one or settings of its own."""
    said = level if isinstance(choice, list) else choice[level]
    return said if isinstance(said, str) else None


def as_flags(chosen: dict[str, object]) -> str:
    """Options as they are typed; a switch has no value."""
    return runs.as_flags({key: [] if value is True else value for key, value in chosen.items()})
