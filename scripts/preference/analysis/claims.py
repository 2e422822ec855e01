"""A claim: a number made of the runs of an experiment, and the rule, fixed beforehand, that it has to satisfy.

    id: negative_gradient_far_not_near
    claim: "A negative gradient helps where the reward's peak is far from the reference."
    source: "takeaway 2"
    statistic:
      experiment: negative_gradient
      value: final reward
      of: "(far.ipo - far.best_of_n) - 3 * (near.ipo - near.best_of_n)"
    passes: {above: 0}

A cell is one of a bandit lab, or a run of a language model on a task. `value` is the number that the history of each
seed comes down to: `final M`, the last value of a measure M; `area M`, its mean over all steps; `change M`, since the
first step; `steps_to M X`, the first recorded step with M of at least X, and the last step where it never is.

`of` is arithmetic (+ - * /) on cells, seed by seed. A cell is named by its label; of another experiment than the
claim's as on_policy_rl[far.ppo]. The functions mean, min, max, slope and correlation have two terms or more: slope is
the least-squares slope of the terms against their places 0, 1, 2, …, correlation is Pearson's, of the terms with the
same terms of another value, that of `against`.

`passes` is {above: X}, {below: X} or {within: [A, B]}. The claim holds where the whole interval satisfies it, does not
hold where no part of it does, and is undecided otherwise.

Standard library only: the workflow checks claims while it plans.
"""

import ast
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from preference.analysis.measures import TITLES
from preference.running.stage import InputError

VALUES = {"final": "final {}", "area": "mean over steps of {}", "change": "change of {}", "steps_to": "steps to {} {}"}
FUNCTIONS = ("mean", "min", "max", "slope", "correlation")
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
KEYS = {"id", "claim", "source", "statistic", "passes"}
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


@dataclass(frozen=True)
class Value:
    """What a seed's history comes down to."""

    kind: str
    measure: str
    level: float | None = None  # of steps_to

    def __str__(self) -> str:
        return VALUES[self.kind].format(self.measure, f">= {self.level:g}" if self.kind == "steps_to" else "")


@dataclass(frozen=True)
class Claim:
    id: str
    claim: str
    source: str
    experiment: str
    value: Value
    against: Value | None
    words: str  # `of`, in one style
    of: ast.expr  # a cell is an ast.Name, EXPERIMENT/LABEL
    rule: str
    bounds: tuple[float, float]

    @property
    def statistic(self) -> str:
        """The statistic in words."""
        against = f", against {self.against}" if self.against else ""
        return f"{self.value}{against}: {self.words}"

    def cell_names(self) -> list[str]:
        """EXPERIMENT/LABEL of each cell that the statistic is made of."""
        return list(dict.fromkeys(_names_in(self.of)))


def parse_all(entries, measures: Collection[str] = TITLES) -> list[Claim]:
    """Read claims as a config has them; the first that is wrong is an InputError that names it.

    Args:
        measures: what can have been measured of the cells.
    """
    if not isinstance(entries, list):
        raise InputError("claims: not a list")
    found = [parse(entry, f"claims[{i}]", measures) for i, entry in enumerate(entries)]
    ids = [claim.id for claim in found]
    if twice := [name for name in ids if ids.count(name) > 1]:
        raise InputError(f"claims: the id '{twice[0]}' occurs twice")
    return found


def parse(entry, place: str = "claim", measures: Collection[str] = TITLES) -> Claim:
    """Read one claim; `place` is how an error calls it until its id is known."""
    _check_keys(entry, place, KEYS)
    place = f"claim '{entry['id']}'"
    if wrong := [key for key in ("id", "claim", "source") if not (isinstance(entry[key], str) and entry[key].strip())]:
        raise InputError(f"{place}: {wrong[0]} is not a text")
    texts = {key: entry[key] for key in ("id", "claim", "source")}
    rule, bounds = _rule(entry["passes"], f"{place}: passes")
    return Claim(**texts, **_statistic(entry["statistic"], f"{place}: statistic", measures), rule=rule, bounds=bounds)


def _statistic(given, place: str, measures: Collection[str]) -> dict:
    _check_keys(given, place, {"experiment", "value", "of"}, optional={"against"})
    if not isinstance(given["experiment"], str):
        raise InputError(f"{place}.experiment: {given['experiment']!r} is not a name")
    parsed = _parsed(given["of"], f"{place}.of")
    of = _resolved(parsed, given["experiment"], f"{place}.of")
    if not _names_in(of):
        raise InputError(f"{place}.of: '{given['of']}' names no cell")
    if ("against" in given) != ("correlation" in _functions(of)):
        raise InputError(f"{place}: 'against' and correlation(…) need each other")
    against = _value(given["against"], f"{place}.against", measures) if "against" in given else None
    value = _value(given["value"], f"{place}.value", measures)
    words = ast.unparse(parsed)
    return {"experiment": given["experiment"], "value": value, "against": against, "words": words, "of": of}


def check_cells(claim: Claim, known: Mapping[str, Collection[str]]) -> None:
    """Raise an InputError where a claim speaks of an experiment or a cell that there is not.

    Args:
        known: the labels of the cells of each experiment.
    """
    for name in claim.cell_names():
        experiment, _, label = name.partition("/")
        place = f"claim '{claim.id}': statistic"
        if experiment not in known:
            raise InputError(f"{place}: there is no experiment '{experiment}'")
        if label not in known[experiment]:
            raise InputError(f"{place}.of: experiment '{experiment}' has no cell '{label}'")


def verdict(low: float, high: float, bounds: tuple[float, float]) -> str:
    """Whether an interval lies between two bounds, outside them, or on both sides of one."""
    least, most = bounds
    if least < low and high < most:
        return HOLDS
    return FAILS if high <= least or low >= most else UNDECIDED


def tally(verdicts: list[str]) -> str:
    """How many claims hold, in words."""
    said = ", ".join(f"{verdicts.count(word)} {word}" for word in (HOLDS, FAILS, UNDECIDED))
    return f"{len(verdicts)} claims: {said}."


def _names_in(tree: ast.expr) -> list[str]:
    return [tree.id] if isinstance(tree, ast.Name) else [name for part in parts_of(tree) for name in _names_in(part)]


def parts_of(tree: ast.expr) -> list[ast.expr]:
    """The expressions that an operation or a function is made of."""
    if isinstance(tree, ast.BinOp):
        return [tree.left, tree.right]
    if isinstance(tree, ast.UnaryOp):
        return [tree.operand]
    return tree.args if isinstance(tree, ast.Call) else []


def _functions(tree: ast.expr) -> set[str]:
    own = {tree.func.id} if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) else set()
    return own.union(*map(_functions, parts_of(tree)))


def _parsed(text, place: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, TypeError, RecursionError):
        raise InputError(f"{place}: '{text}' is not arithmetic on cells") from None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _resolved(tree: ast.expr, experiment: str, place: str) -> ast.expr:
    """An expression whose cells have their full names; what is no such expression is an InputError."""
    if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name) and _is_label(tree.slice):
        return ast.Name(f"{tree.value.id}/{ast.unparse(tree.slice)}")
    if _is_label(tree):
        return ast.Name(f"{experiment}/{ast.unparse(tree)}")
    if isinstance(tree, ast.Constant) and _is_finite(tree.value):
        return tree
    parts = [_resolved(part, experiment, place) for part in parts_of(tree)]
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, OPERATORS):
        return ast.BinOp(parts[0], tree.op, parts[1])
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return ast.UnaryOp(tree.op, parts[0])
    if isinstance(tree, ast.Call):
        if isinstance(tree.func, ast.Name) and tree.func.id in FUNCTIONS and len(parts) > 1 and not tree.keywords:
            return ast.Call(tree.func, parts, [])
        raise InputError(f"{place}: '{ast.unparse(tree)}' is none of {', '.join(FUNCTIONS)}, of two terms or more")
    raise InputError(f"{place}: '{ast.unparse(tree)}' is neither a cell, a number, nor + - * / of them")


def _is_label(tree: ast.AST) -> bool:
    return isinstance(tree, ast.Name) or (isinstance(tree, ast.Attribute) and _is_label(tree.value))


def _value(text, place: str, measures: Collection[str]) -> Value:
    kind, measure, *rest = words if len(words := str(text).split()) > 1 else ("", "")
    if kind not in VALUES or measure not in measures or len(rest) != (kind == "steps_to"):
        raise InputError(f"{place}: '{text}' is not one of {', '.join(VALUES)}, a measure, and for steps_to a number")
    return Value(kind, measure, *(_number(each, place) for each in rest))


def _rule(given, place: str) -> tuple[str, tuple[float, float]]:
    """The rule in words, and the bounds that it sets."""
    if not isinstance(given, dict) or len(given) != 1 or not given.keys() <= {"above", "below", "within"}:
        raise InputError(f"{place}: {given!r} is none of above: X, below: X, within: [A, B]")
    ((name, numbers),) = given.items()
    if name != "within":
        bound = _number(numbers, f"{place}.{name}")
        return f"{name} {bound:g}", (bound, math.inf) if name == "above" else (-math.inf, bound)
    if not isinstance(numbers, list) or len(numbers) != 2:
        raise InputError(f"{place}.within: {numbers!r} is not two numbers")
    low, high = (_number(each, f"{place}.within") for each in numbers)
    if low >= high:
        raise InputError(f"{place}.within: {low:g} is not less than {high:g}")
    return f"within [{low:g}, {high:g}]", (low, high)


def _number(given, place: str) -> float:
    try:
        found = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{place}: {given!r} is not a number")
    return found


def _check_keys(given, place: str, wanted: set[str], optional: Collection[str] = ()) -> None:
    if not isinstance(given, dict):
        raise InputError(f"{place}: not keys and values")
    if missing := sorted(wanted - given.keys()):
        raise InputError(f"{place}: has no '{missing[0]}'")
    if unknown := [str(key) for key in given if key not in wanted and key not in optional]:
        raise InputError(f"{place}: has no use for '{unknown[0]}'")
