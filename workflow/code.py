"""What the workflow asks of the code of a stage: what makes its results stale, and which of its flags it reads."""

from collections.abc import Iterable
from functools import cache

from preference.running import code, source_text  # standard library only: planning stays instant


def fingerprint(script: str, members: Iterable[str] = ()) -> dict[str, str]:
    """Return what a script reaches, source file -> digest (see `preference.running.code.record`)."""
    return code.record(script, members)


def read_by(script: str, flags: dict, members: Iterable[str] = ()) -> dict:
    """Return the flags that the code of a script reads; another flag cannot change what it makes."""
    names = code.flags_read(script, members)
    return {name: value for name, value in flags.items() if name in names}


def flags_read(stages: dict[str, dict]) -> dict[str, dict]:
    """Return the flags of all stages, script -> flags, without those that the code of the script never reads."""
    members = _found_by_name()
    return {script: read_by(f"{script}.py", flags, members) for script, flags in stages.items()}


@cache
def _found_by_name() -> tuple[str, ...]:
    """Return the modules that some flag may name."""
    files = (str(path.relative_to(source_text.SCRIPTS)) for path in source_text.SCRIPTS.glob("preference/**/*.py"))
    return tuple(sorted(filter(source_text.is_found_by_name, files)))
