"""Snakemake for many plans: it is imported once, and every command line that comes in runs in a fork of its own.

A plan costs half of what a new process would; what runs is the same `snakemake.cli.main` in the same state.
"""

import json
import os
import subprocess
import sys
import tempfile

from snakemake import cli


class Planner:
    """The other end: hands command lines to this program and says what they said."""

    def __init__(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True)

    def call(self, arguments: list[str], folder, environment: dict[str, str]) -> tuple[int, str]:
        """(exit status, standard output and error) of `snakemake arguments`, called in a folder."""
        with tempfile.NamedTemporaryFile("r") as said:
            order = {"arguments": arguments, "folder": str(folder), "environment": environment, "said": said.name}
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            status = int(self.process.stdout.readline())
            return status, said.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    cli.get_argument_parser()  # loads the plugins
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            obey(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def obey(arguments: list[str], folder: str, environment: dict[str, str], said: str) -> None:
    output = os.open(said, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    os.environ.update(environment)
    cli.main(arguments)


if __name__ == "__main__":
    serve()
