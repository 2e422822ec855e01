"""The folders that a run writes to: why it could not, as one line and before it tries."""

import os
import sys
import tempfile
from pathlib import Path

ROOM = 2**20  # bytes: what the records and logs of a run may take


def refuse(folder: str) -> None:
    """End the program with one line where there is no room for `.snakemake/`, Snakemake's records, in a folder.

    It would end in a traceback, as it does where a disk fills up later.
    """
    try:
        with tempfile.TemporaryFile(dir=_there(f"{folder}/.snakemake")) as file:
            os.posix_fallocate(file.fileno(), 0, ROOM)
    except OSError as error:
        sys.exit(f"{folder}: cannot be written to: {error.strerror}; Snakemake keeps its records there, in .snakemake/")


def unwritable(folder: str) -> str | None:
    """Why nothing can be made in a folder, which need not be there yet; None where it can."""
    path = _there(folder)
    if os.access(path, os.W_OK | os.X_OK):
        return None
    return f"{path}: cannot be written to" + (f", so {folder} cannot be made" if path != Path(folder) else "")


def no_folder(folder: str) -> str | None:
    """Why a path can never be a folder: it, or one above it, is a file or a link to nothing; None where it can."""
    for link in (Path(folder), *Path(folder).parents):
        if link.is_symlink() and not link.exists():
            return f"{link}: is a link to {os.readlink(link)}, which does not exist; make that folder"
    path = _there(folder)
    return None if path.is_dir() else f"{path}: is a file, where {folder} must be a folder"


def _there(folder: str) -> Path:
    """The path itself, or of those above it the first that exists."""
    return next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
