"""What the experiments of a config ask for: the cells that each compares, its table, its figure, its target.

An experiment compares runs that the config has. Its axes cross levels as a lab's do: `task` names tasks, and the levels
of the others, joined by `_`, name a run. The cell min_length.ppo.b128 is the run ppo_b128 on the task min_length.
"""

import itertools

from preference.analysis import claims
from workflow.config import labs, runs

TASK = "task"  # the axis whose levels are tasks


def names(config: dict) -> list[str]:
    return list(config.get("experiments", {}))


def axes(config: dict, name: str) -> dict[str, list[str]]:
    """Axis -> its levels; where none names tasks, all of them are the first axis."""
    said = config["experiments"][name]["axes"]
    return said if TASK in said else {TASK: list(config["tasks"]), **said}


def cells(config: dict, name: str) -> dict[str, tuple[str, str]]:
    """Label, which is a level of each axis joined by dots -> (task, run)."""
    crossed = axes(config, name)
    found = {}
    for levels in itertools.product(*crossed.values()):
        of_axis = dict(zip(crossed, levels, strict=True))
        found[".".join(levels)] = (of_axis.pop(TASK), "_".join(of_axis.values()))
    return found


def metrics(config: dict, name: str) -> dict[str, str]:
    """LABEL/SEED -> metrics.csv of each seed of each cell."""
    return {
        f"{label}/{seed}": metrics_of(config, *cell, seed)
        for label, cell in cells(config, name).items()
        for seed in config["seeds"]
    }


def metrics_of(config: dict, task: str, run: str, seed: int) -> str:
    return f"{runs.results(config)}/{task}/{run}/seed{seed}/metrics.csv"


def metrics_of_claims(config: dict) -> dict[str, str]:
    """EXPERIMENT/LABEL/SEED -> metrics.csv of each seed of each cell that a claim is about."""
    named = dict.fromkeys(each for claim in claims.parse_all(config["claims"]) for each in claim.cell_names())
    places = (each.split("/") for each in named)
    return {
        f"{name}/{label}/{seed}": metrics_of(config, *cells(config, name)[label], seed)
        for name, label in places
        for seed in config["seeds"]
    }


def made(config: dict, name: str) -> list[str]:
    """What an experiment's target makes: its tables and its figure."""
    return labs.made_in(runs.results(config), name, f"curves_{name}")


def targets(config: dict) -> dict[str, list[str]]:
    """Name of a target -> the files that it makes."""
    return {f"{config['experiment']}_{name}": made(config, name) for name in names(config)}
