"""Ranges of numbers as types, for the flags and config keys that share one.

A flag with a range of its own writes `Annotated[float, Interval(ge=0, lt=0.5)]`. pydantic checks an interval and writes
it into the schema.
"""

import typing
from typing import Annotated

from annotated_types import Interval

Count = Annotated[int, Interval(ge=1, le=10**9)]
Repeats = Annotated[int, Interval(ge=1, le=10**4)]
Index = Annotated[int, Interval(ge=0)]
Resamples = Annotated[int, Interval(ge=1, le=10**6)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Share = Annotated[float, Interval(ge=0, le=1)]
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
Positive = Annotated[float, Interval(gt=0)]
NotNegative = Annotated[float, Interval(ge=0)]
Smoothing = Annotated[float, Interval(ge=0, lt=0.5)]
LearningRate = Annotated[float, Interval(gt=0, le=10**6)]
Finite = Annotated[float, Interval()]  # any number: the command line takes neither infinity nor NaN


def of(kind) -> Interval | None:
    """Return the range in a type such as `Count`, `Count | None` or `tuple[Count, ...]`; None if it has none."""
    own = [each for each in getattr(kind, "__metadata__", ()) if isinstance(each, Interval)]
    below = (of(part) for part in typing.get_args(kind) if part is not ...)
    return own[0] if own else next(filter(None, below), None)


def words(interval: Interval) -> str:
    """Return a range as messages state it, such as "from 1 to 10000"; empty if every number is in it."""
    if interval.ge is not None and interval.le is not None:
        return f"from {interval.ge} to {interval.le}"
    bounds = {"at least": interval.ge, "more than": interval.gt, "at most": interval.le, "less than": interval.lt}
    return " and ".join(f"{bound} {value}" for bound, value in bounds.items() if value is not None)
