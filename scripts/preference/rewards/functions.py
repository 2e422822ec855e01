"""Rewards that are a Python function of the user's own: `file.py:function`. Standard library only.

The function is called as `function(messages, response, fields)`:

* `messages`: the prompt, a list of mappings with role and content
* `response`: the text of the response
* `fields`: the other columns of the data's row, by name; an empty mapping if there are none

It returns a finite number. The file may import installed packages. It must not import a file beside it: changes of that
one would rerun nothing.
"""

import ast
import copy
import math
import numbers
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path

from preference.files import conversations
from preference.running.stage import InputError


def check(subject: str) -> None:
    """Raise an InputError if the file cannot be read, is not Python, or defines no such function. It is not run."""
    file, name = _split(subject)
    tree = _parsed(file)
    defined = [found for node in tree.body for found in _names(node)]
    if name not in defined:
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        there = f"it defines {', '.join(functions)}" if functions else "it defines no function"
        raise InputError(f"{file}: has no function '{name}'; {there}")


def _split(subject: str) -> tuple[str, str]:
    file, _, name = subject.rpartition(":")
    if not file or not name.isidentifier():
        raise InputError(f"{subject}: is not file.py:function, such as rewards.py:score")
    return file, name


def _source(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{file}: is not UTF-8 text") from None


def _parsed(file: str) -> ast.Module:
    try:
        return ast.parse(_source(file), filename=file)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise InputError(f"{file}{line}: is not Python: {getattr(error, 'msg', error)}") from None


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    return [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]


def load(subject: str) -> Callable[[dict], float]:
    """Run the file and return its function as one of a row of kind "responses".

    Raises:
        InputError: the file fails, or what it defines cannot be called. So does the returned function, with the file,
            the function and the row, if a call fails or returns anything but a finite number.
    """
    check(subject)
    file, name = _split(subject)
    module = types.ModuleType(f"reward_function_{Path(file).stem}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(_source(file), file, "exec"), module.__dict__)  # an import would leave __pycache__ beside it
    except Exception as error:
        raise InputError(f"{file}: fails as it is run: {_reason(error, file)}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"{file}: '{name}' is {type(function).__name__}, not a function")
    return lambda row: _called(function, f"{file}: {name}", file, row)


def _called(function, what: str, file: str, row: dict) -> float:
    messages, fields = copy.deepcopy(row["prompt"]), copy.deepcopy(row.get("fields") or {})
    where = f"{what}: prompt_id {row['prompt_id']}, sample_id {row['sample_id']}"
    try:
        value = function(messages, conversations.text(row["response"]), fields)
    except Exception as error:
        raise InputError(f"{where}: {_reason(error, file)}") from None
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InputError(f"{where}: returned {value!r:.80}; a reward is a finite number")
    return float(value)


def _reason(error: Exception, file: str) -> str:
    """Return the type and the text of an error, with the last line of the file that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{text} (line {lines[-1]})" if lines else text
