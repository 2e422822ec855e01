"""What the workflow asks of the code of a stage: what makes its results stale, and which of its flags it reads."""

from collections.abc import Iterable

from preference.running import code  # standard library only: planning stays instant


def fingerprint(script: str, members: Iterable[str] = ()) -> dict[str, str]:
    """Return what a script reaches, source file -> digest (see `preference.running.code.record`)."""
    return code.record(script, members)


def read_by(script: str, flags: dict, members: Iterable[str] = ()) -> dict:
    """Return the flags that the code of a script reads; another flag cannot change what it makes."""
    names = code.flags_read(script, members)
    return {name: value for name, value in flags.items() if name in names}
