"""Names in functions: what is a function's own stands for nothing of its module; everything else counts as read."""

import argparse
import ast
import dataclasses
import dis
import enum
import inspect
import typing
from pathlib import Path

import pytest

from preference.running import source_text
from preference.running.source_text import _Use

OWN = {  # `name` is the function's own wherever it is read
    "a parameter": "def f(name): return name.x",
    "every kind of parameter": "def f(a, /, name, *b, c, **d): return name, a, b, c, d",
    "a name that is assigned": "def f():\n    name = 1\n    return name.x",
    "a name that is assigned later": "def f():\n    print(name)\n    name = 1",
    "a name of a tuple": "def f():\n    (a, [name, *b]) = g()\n    return name",
    "a name that is only added to": "def f():\n    name += 1",
    "the target of a loop": "def f():\n    for name in (): print(name)",
    "the target of a with statement": "def f():\n    with open('') as name: name.read()",
    "an error that is caught": "def f():\n    try: pass\n    except OSError as name: print(name)",
    "a name that a match binds": "def f(x):\n    match x:\n        case {'a': [name, *b], **c}: print(name, b, c)",
    "a named expression": "def f():\n    if (name := g()): print(name)",
    "the target of a comprehension": "def f(): return [name for name in () if name]",
    "the second target of a comprehension": "def f(a): return {k: name for k in a for name in k}",
    "a parameter of a lambda": "f = lambda name: name.x",
    "a function in the function": "def f():\n    def name(): pass\n    return name()",
    "a name of the function around it": "def f(name):\n    def g(): return name\n    return g",
    "a name of the function around a class": "def f(name):\n"
    "    class A:\n        x = name\n        def g(self): return name",
    "a name that is not local to an inner function": "def f(name):\n"
    "    def g():\n        nonlocal name\n        name += name",
    "a name in a comprehension of a function": "def f(name): return [name for _ in ()]",
}
OF_THE_MODULE = {  # `name` is read of the module, or may be
    "a name that is read": "def f(): return name.x",
    "a global name": "def f():\n    global name\n    name = 1\n    return name",
    "a global name in a function of one with the same": "def f(name):\n"
    "    def g():\n        global name\n        return name",
    "the default of a parameter": "def f(name=name): pass",
    "the default of a lambda's parameter": "def f(): return lambda name=name: 1",
    "a parameter of a lambda in a default": "def f(a=lambda name: 1): return name",
    "a decorator": "@name\ndef f(name): pass",
    "a base": "def f():\n    class A(name):\n        name = 1",
    "what a comprehension goes through": "def f(): return [name for name in name]",
    "the target of a comprehension outside of it": "def f():\n    [name for name in ()]\n    return name",
    "an attribute of a class, in its method": "class A:\n    name = 1\n    def f(self): return name",
    "an attribute of a class, before it is set": "def f(name):\n    class A:\n        name = name",
    "an attribute of a class, in a comprehension": "class A:\n    name = ()\n    x = [name for _ in (1,)]",
    "a local name of another function": "def f():\n    def g(): name = 1\n    return name",
    "a local name of a class in the function": "def f():\n    class A: name = 1\n    return name",
    "a name outside of functions": "name = 1\nprint(name)",
    "an import in the function": "def f():\n    import name\n    return name",
    "an import in a function of one with the same": "def f(name):\n"
    "    def g():\n        from x import name\n        return name",
    "a global name that is added to": "def f():\n    global name\n    name += 1",
    "an attribute that is set": "def f(): name.x = 1",
    "an item that is set": "def f(): name[0] = 1",
}


def read(text: str) -> set[str]:
    """Return the names that the statements of a text read of their module."""
    use = _Use()
    use.visit(ast.parse(text))
    return {name for name, *_ in use.uses}


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
def test_a_name_of_a_function_is_not_read_of_the_module(text):
    compile(text, "", "exec")
    assert "name" not in read(text)


@pytest.mark.parametrize("text", OF_THE_MODULE.values(), ids=OF_THE_MODULE)
def test_any_other_name_is(text):
    compile(text, "", "exec")
    assert "name" in read(text)


def loaded(code) -> set[str]:
    """Return the names that compiled code reads of its module, or may read of it, and of Python itself."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    return names.union(*(loaded(each) for each in code.co_consts if inspect.iscode(each)))


LIBRARY = [Path(module.__file__) for module in (argparse, ast, dataclasses, enum, inspect, typing)]


@pytest.mark.parametrize("path", [*LIBRARY, *sorted(source_text.SCRIPTS.rglob("*.py"))], ids=str)
def test_every_name_that_python_reads_of_the_module_is_among_those(path):
    text = path.read_text(encoding="utf-8")
    implicit = {"__name__", "__module__", "__qualname__", "__annotations__", "__conditional_annotations__"}
    assert loaded(compile(text, str(path), "exec")) - implicit <= read(text)
