"""Many calls of snakemake's command line, each in a process of its own that need not import snakemake again."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARIES = ["snakemake.cli", "snakemake.workflow", "snakemake.dag", "jsonschema"]


def call_all(calls: list[tuple[Path, list[str]]]) -> list[tuple[int, str]]:
    """(exit code, what it said) of each (folder, arguments), two at a time."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, *LIBRARIES])
    with ProcessPoolExecutor(2, processes, max_tasks_per_child=1) as pool:
        return list(pool.map(_call, calls))


def _call(call: tuple[Path, list[str]]) -> tuple[int, str]:
    import snakemake.cli

    folder, arguments = call
    os.chdir(folder)
    os.environ |= {"XDG_CACHE_HOME": str(folder.parent / "cache"), "HF_HUB_OFFLINE": "1"}
    said = folder.with_name(folder.name + ".said")
    sys.argv = ["snakemake", "-s", str(ROOT / "Snakefile"), *arguments]
    with said.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            snakemake.cli.main()
        except SystemExit as stopped:
            if isinstance(stopped.code, str):
                print(stopped.code, file=sys.stderr)  # as the interpreter does
            code = 1 if isinstance(stopped.code, str) else stopped.code or 0
    return code, said.read_text()


def call(folder: Path, arguments: list[str], environment: dict | None = None) -> tuple[int, str]:
    """(exit code, what it said) of one call, as it is typed."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(folder.parent / "cache"),
            "HF_HUB_OFFLINE": "1",
            **(environment or {}),
        },
    )
    return done.returncode, done.stdout
