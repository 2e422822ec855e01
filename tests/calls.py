"""Snakemake's command line, called often: it is imported once, and every call runs in a fork of its own.

A call costs a third of what a new process would; what runs is the same `snakemake.cli.main` in the same state.
"""

import json
import os
import queue
import runpy
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from snakemake import cli

ROOT = Path(__file__).resolve().parents[1]


class Calls:
    """Processes that wait for calls, one for each core; use as a context manager."""

    def __enter__(self):
        pipe, self.idle, count = subprocess.PIPE, queue.SimpleQueue(), os.cpu_count()
        command = [sys.executable, __file__]
        self.processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]
        for process in self.processes:
            self.idle.put(process)
        self.pool = ThreadPoolExecutor(count)
        return self

    def __exit__(self, *_):
        self.pool.shutdown()
        for process in self.processes:
            process.stdin.close()
            process.wait()

    def call(
        self, arguments: list[str], folder: Path, environment: dict[str, str], program: Path | None = None
    ) -> tuple[int, str]:
        """(exit status, standard output and error) of `snakemake arguments`, or of a program like it, in a folder."""
        process = self.idle.get()
        try:
            with tempfile.NamedTemporaryFile("r") as said:
                order = {"arguments": arguments, "folder": str(folder), "environment": environment, "said": said.name}
                order["program"] = program and str(program)
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
                return int(process.stdout.readline()), said.read()
        finally:
            self.idle.put(process)

    def submit(self, function, *arguments) -> Future:
        """Something that makes calls, to run beside others of its sort."""
        return self.pool.submit(function, *arguments)


def serve() -> None:
    cli.get_argument_parser()  # loads the plugins
    load_code()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            obey(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def obey(arguments: list[str], folder: str, environment: dict[str, str], said: str, program: str | None) -> None:
    if str(ROOT / "Snakefile") not in arguments:
        forget_code()
    output = os.open(said, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = [program or "snakemake", *arguments]
    runpy.run_path(program, run_name="__main__") if program else cli.main()


def load_code() -> None:
    """Import what the Snakefile does, and read the scripts; a third of what a call costs."""
    sys.path.insert(0, str(ROOT))
    from workflow import patches  # noqa: F401
    from workflow.cluster import slurm  # noqa: F401
    from workflow.code import fingerprint
    from workflow.config import lab_validation  # noqa: F401

    for script in (ROOT / "scripts").glob("*.py"):
        fingerprint(script.name)


def forget_code() -> None:
    """For a call that reads other code than this, under the same names."""
    ours = (str(ROOT), f"{ROOT}/workflow", f"{ROOT}/scripts")
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(ours[1:]):
            del sys.modules[name]
    sys.path[:] = [path for path in sys.path if path not in ours]


if __name__ == "__main__":
    serve()
