"""Which of the project's definitions a program really runs, and who calls them: with this folder on PYTHONPATH, each
program writes a file of $TRACE."""

import atexit
import inspect
import json
import os
import sys

SCRIPTS = os.environ["SCRIPTS"]
calls = set()  # of (file and definition of the caller, of the callee)


def note(frame, event, _):
    runs_function = frame.f_code.co_flags & inspect.CO_NEWLOCALS  # an import runs the bodies of modules and classes
    if event == "call" and runs_function and frame.f_code.co_filename.startswith(SCRIPTS):
        caller = frame.f_back
        while caller and not caller.f_code.co_filename.startswith(SCRIPTS):
            caller = caller.f_back
        calls.add((place(caller.f_code) if caller else ("", ""), place(frame.f_code)))


def place(code) -> tuple[str, str]:
    return code.co_filename[len(SCRIPTS) + 1 :], code.co_qualname.split(".")[0]


def write() -> None:
    sys.setprofile(None)
    script = os.path.relpath(os.path.abspath(sys.argv[0]), SCRIPTS)
    with open(f"{os.environ['TRACE']}/{os.getpid()}.json", "w") as file:
        json.dump({"script": script, "calls": sorted(calls)}, file)


if any(word.startswith(SCRIPTS) or "scripts/" in word for word in sys.orig_argv):
    sys.setprofile(note)
    atexit.register(write)
