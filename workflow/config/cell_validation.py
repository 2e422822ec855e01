"""What is wrong with what a figure or a claim says of an experiment's cells, a lab's or those of language models."""

from preference.analysis import claims
from preference.analysis.measures import PROGRESS, REDUCED
from preference.running.stage import InputError


def figure_problems(figure: dict, axes: dict, measures: dict):
    """What is wrong with what a figure names; every axis has to be somewhere in it, and once."""
    of_curves = figure["kind"] == "curves"
    reduced = [f"{kind}_{name}" for kind, names in REDUCED.items() for name in names if name in measures]
    known = [*measures, *([] if of_curves else reduced)]
    for name in (name for name in names_of(figure["metric"]) if name not in known):
        yield f"metric: {name} is not one of {listed(known)}"
    if figure["x"] not in (places := PROGRESS if of_curves else axes):
        yield f"x: {figure['x']} is not one of {listed(places)}"
    panels, lines = (names_of(figure.get(key, [])) for key in ("panels", "lines"))
    for key, names in (("panels", panels), ("lines", lines)):
        yield from (f"{key}: {name} is not one of the axes {listed(axes)}" for name in names if name not in axes)
        yield from [f"{key}: {len(names)} axes are too many; two at most"] if len(names) > 2 else []
    for axis in axes:
        times = [*panels, *lines, *([] if of_curves else [figure["x"]])].count(axis)
        yield from [] if times == 1 else [f"lines: the axis {axis} is {times} times in panels, lines and x, not once"]
    if of_curves and (unread := [key for key in ("numbers", "log") if key in figure]):
        yield f"{unread[0]}: is of figures of the kind axis only"


def claim_problems(entries: list, known: dict, measures: dict) -> list[str]:
    """What is wrong with claims about these cells, experiment -> labels, and measures."""

    def check(number: int) -> None:
        claims.check_cells(claims.parse(entries[number], f"claims.{number}", measures), known)

    of_each = [problem for number in range(len(entries)) for problem in _raised(check, number)]
    return of_each or _raised(claims.parse_all, entries)


def _raised(check, given) -> list[str]:
    """The problem that a check raises, under the key of the claims."""
    try:
        check(given)
    except InputError as error:
        return [str(error) if str(error).startswith("claims") else f"claims: {error}"]
    return []


def names_of(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def listed(names) -> str:
    return ", ".join(names) or "none"
