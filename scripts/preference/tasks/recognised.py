"""The formats that a task's data have: only their code can change its tables, and only prepare_task can find them out.

So prepare_task leaves a note beside its tables, and the workflow reads it while it plans. The note says what counted as
the code of formats when the tables were planned, and the formats that were used with their code. As long as that code
is the same, what counts is what counted then, whatever formats there are; if it has changed, it is the new code.
Standard library only.
"""

import hashlib
import json
import os
from pathlib import Path

from preference.running import code, source_text

NOTE = ".formats.json"


def counting(folder: Path | str) -> dict[str, str]:
    """Return what counts as the code of formats for the tables in a folder: format -> digest."""
    note = _note(folder)
    now = _digests(note["used"])
    return note["counting"] if now == note["used"] else now


def keep(folder: Path | str, counted: dict[str, str], formats: list[str]) -> None:
    """Leave the note: what `counting` returned before the tables were made, and the formats that were used."""
    temporary = Path(folder) / f"{NOTE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps({"counting": counted, "used": _digests(formats)}, indent=1) + "\n")
    os.replace(temporary, Path(folder) / NOTE)


def file_of(name: str) -> str:
    """Return the source file of a format, relative to scripts/."""
    return f"preference/formats/{name}.py"


def _note(folder: Path | str) -> dict:
    try:
        note = json.loads((Path(folder) / NOTE).read_text())
        return {"counting": dict(note["counting"]), "used": dict(note["used"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"counting": {}, "used": {}}


def _digests(formats) -> dict[str, str]:
    """Return each format with a digest of the code that reads data of it, '' if the format is gone."""
    files = {name: file_of(name) for name in sorted(formats)}
    known = {name: file for name, file in files.items() if (source_text.SCRIPTS / file).is_file()}
    records = {name: json.dumps(code.record("prepare_task.py", [file])) for name, file in known.items()}
    return {name: hashlib.sha256(records.get(name, "").encode()).hexdigest()[:16] for name in files}
