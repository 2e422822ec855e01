"""What profiles/default calls, which is read before the Snakefile and before Snakemake writes anything."""

import re
from pathlib import Path

from workflow import folders
from workflow.config import yaml_text


def refuse(options) -> None:
    """End the program with one line if a config file is missing or damaged, or Snakemake's folder has no room.

    Snakemake reads config files, and meets a full disk, with a traceback before it reads the Snakefile.
    """
    yaml_text.refuse(options.configfile, options.config)
    folders.refuse(str(options.directory or "."))


def is_for_cluster(options) -> bool:
    """Say whether the command line, or a profile that it names, asks for an executor other than this machine."""
    if options.executor is not None:
        return options.executor != "local"
    files = [Path(name) for name in options.profile or []]
    files += [file / name for file in files for name in ("config.yaml", "profile.yaml", "config.v8+.yaml")]
    texts = (file.read_text(encoding="utf-8") for file in files if file.is_file())
    return any(re.search(r"executor: (?!local)", text) for text in texts)


def has_gpu() -> bool:
    """Say whether this machine has a GPU."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
