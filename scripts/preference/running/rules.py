"""Rules between the flags of a stage.

A script declares its rules in `Flags.rules`. The command line checks them, and so does the workflow while it plans: the
config's schema holds them under `x-rules`, because planning imports no script. Standard library only.
"""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class ReadUnless:
    """A flag is required, but if another flag has a certain value, it must not be given."""

    flag: str
    other: str
    value: str

    def problems(self, chosen: dict):
        is_given, other = chosen.get(self.flag) is not None, chosen.get(self.other)
        if is_given == (other == self.value):
            yield self.flag, f"{'is not read' if is_given else 'is missing'}: {self.other} is {other}"

    def sentence(self) -> str:
        return f"`{self.flag}` is required, but must not be given if `{self.other}` is `{self.value}`."


@dataclass(frozen=True)
class AtMostUnless:
    """A number is at most so large, unless another flag has a certain value; `reason` may name flags in braces."""

    flag: str
    most: int
    other: str
    value: str
    reason: str

    def problems(self, chosen: dict):
        if chosen.get(self.flag, self.most) > self.most and chosen.get(self.other) != self.value:
            yield self.flag, f"is {chosen[self.flag]}: {self.reason.format(**chosen)}"

    def sentence(self) -> str:
        return f"`{self.flag}` is at most {self.most}, unless `{self.other}` is `{self.value}`."


@dataclass(frozen=True)
class Different:
    """Two texts differ."""

    flag: str
    other: str
    reason: str

    def problems(self, chosen: dict):
        text = chosen.get(self.other)
        if text is not None and text == chosen.get(self.flag):
            yield self.flag, f"is the same text as {self.other}, {text!r}, so that {self.reason}"

    def sentence(self) -> str:
        return f"`{self.flag}` differs from `{self.other}`."


@dataclass(frozen=True)
class Together:
    """Two flags are given together or not at all; `reason` may name the {given} and the {missing} one."""

    flag: str
    other: str
    reason: str

    def problems(self, chosen: dict):
        for given, missing in ((self.flag, self.other), (self.other, self.flag)):
            if chosen.get(given) is not None and chosen.get(missing) is None:
                yield missing, f"is missing: {self.reason.format(given=given, missing=missing)}"

    def sentence(self) -> str:
        return f"`{self.flag}` and `{self.other}` are given together, or neither is."


KINDS = {kind.__name__: kind for kind in (ReadUnless, AtMostUnless, Different, Together)}


def of(flags_class) -> tuple:
    """Return the rules of a stage's flags."""
    return getattr(flags_class, "rules", ())


def written(rule) -> dict:
    """Return a rule as the schema holds it."""
    return {"rule": type(rule).__name__, **dataclasses.asdict(rule)}


def read(entries: list[dict]) -> list:
    """Return the rules that a schema holds."""
    told = [dict(entry) for entry in entries]
    return [KINDS[entry.pop("rule")](**entry) for entry in told]


def problems(rules, chosen: dict):
    """Yield (flag, what is wrong) for flags that contradict each other; None stands for a flag that is not given."""
    for rule in rules:
        yield from rule.problems(chosen)
