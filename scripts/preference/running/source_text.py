"""Source files as text: what each top-level definition says, and what it uses.

A summary holds only plain values and is cached on the disk by the content of its file. These parts of a definition
are left out, because they cannot change a result: docstrings, comments and formatting; annotations, but for those of
the fields of a class; the text of an InputError and of a failed assertion; messages to the terminal; descriptions,
ranges and rules of flags; what describes a column or a table; the traits of an engine.
"""

import ast
import hashlib
import json
import os
from functools import cache
from pathlib import Path

from preference.running import scopes

SCRIPTS = Path(__file__).resolve().parents[2]
RUNNING = "preference/running/"  # how a stage runs: command line, progress, resuming; no part of it counts
SHOWN = f"{RUNNING[:-1].replace('/', '.')}.stage.say"  # it shows a message and does nothing else
ERRORS = {"InputError", "damaged"}  # what is raised with a text for a person
DECLARED = {  # how many positional arguments of a declaration count, and which keywords do not
    "preference.files.columns.Column": (2, {"description", "unit"}),
    "preference.files.columns.Table": (1, {"description", "paths", "families"}),
}
TRAITS = "Traits"  # of an engine: where it is installed and what its jobs ask for
DYNAMIC = {"globals", "locals", "eval", "exec", "__import__"}  # nobody can tell what these reach
VERSION = 7  # of the summaries


def content(file: str) -> bytes:
    return (SCRIPTS / file).read_bytes()


def file_of(dotted: str) -> str | None:
    """Return the project's source file of a module, relative to scripts/; a package's is its __init__.py."""
    path = dotted.replace(".", "/")
    return next((file for file in (f"{path}/__init__.py", f"{path}.py") if _exists(file)), None)


def files_of(dotted: str) -> list[str]:
    """Return the project's files that `import dotted` executes: each package's on the way, then the module's."""
    names = dotted.split(".")
    return [file for end in range(1, len(names) + 1) if (file := file_of(".".join(names[:end])))]


def is_found_by_name(file: str) -> bool:
    """Say whether a module belongs to a package that imports its members by names which are known at run time."""
    package = str(Path(file).with_name("__init__.py"))
    if file == package or not _exists(package):
        return False
    found = summary(package)
    return any(part["is_dynamic"] for part in (found["statements"], *found["definitions"].values()))


def files_read(file: str, texts: list[str]) -> list[str]:
    """Return the files beside a source file, other than modules, that its texts name."""
    folder = Path(file).parent
    return [str(folder / text) for text in texts if _exists(str(folder / text))]


@cache
def _exists(file: str) -> bool:
    return (SCRIPTS / file).is_file()


@cache
def summary(file: str) -> dict:
    """Return what a source file defines: `definitions` by name, its other `statements`, and what its imports bind."""
    text = content(file)
    digest = hashlib.sha256(text).hexdigest()
    cached = _cached().get(file)
    if not cached or cached["digest"] != digest:
        cached = _cached()[file] = {"digest": digest, "summary": _summarized(text, file)}
        _new.add(file)
    return cached["summary"]


_new: set[str] = set()  # files whose summaries are not on the disk


@cache
def _cached() -> dict[str, dict]:
    try:
        kept = json.loads(_cache().read_bytes())
        return kept["files"] if kept["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _cache() -> Path:
    return SCRIPTS / "preference" / "__pycache__" / "summaries.json"


def keep() -> None:
    """Write the cache, if its folder can be written to: like Python's own, it only saves time."""
    if not _new:
        return
    _new.clear()
    temporary = _cache().with_name(f"summaries.{os.getpid()}.tmp")
    try:
        temporary.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps({"version": VERSION, "files": _cached()}))
        os.replace(temporary, _cache())
    except OSError:
        temporary.unlink(missing_ok=True)


def forget() -> None:
    """Read every file again (see `code.forget`)."""
    for cached in (_exists, summary, _cached):
        cached.cache_clear()


def _summarized(text: bytes, file: str) -> dict:
    tree = ast.parse(text, filename=file)
    bound: dict[str, str] = {}
    definitions: dict[str, list[ast.stmt]] = {}
    executes, statements = [], []
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            bound |= _bound(statement)
            executes += _modules(statement)
        elif _is_traits(statement):
            continue
        elif names := _defined(statement):
            for name in names:
                definitions.setdefault(name, []).append(statement)
        elif not _is_text(statement):
            statements.append(statement)
    others = _part(statements, bound)
    return {
        "definitions": {name: _part(parts, bound) for name, parts in definitions.items()},
        "statements": others,
        "bound": bound | others["bound"],
        "executes": executes,
    }


def _bound(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Return the names that an import binds -> what each stands for."""
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "the project imports absolutely: from preference.x import y"
        return {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {
        alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
        for alias in node.names
    }


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the modules that an import executes; a name that is no module is none of the project's files."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names]


def _defined(statement: ast.stmt) -> list[str]:
    """Return the names that a statement defines if it does nothing else."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    flat = [each for target in targets for each in (target.elts if isinstance(target, ast.Tuple) else [target])]
    names = [each.id for each in flat if isinstance(each, ast.Name)]
    return names if len(names) == len(flat) else []


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_traits(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Assign) else None
    return isinstance(value, ast.Call) and _chain(value.func) == [TRAITS]


def _part(statements: list[ast.stmt], bound: dict[str, str]) -> dict:
    """Summarise the statements of one definition, or those of a module that define nothing."""
    plain = _Plain(bound)
    kept = [plain.visit(statement) for statement in statements]
    use = _Use()
    for statement in kept:
        use.visit(statement)
    named = bound | use.bound
    # Which library a name stands for is said by an import elsewhere in the file.
    foreign = sorted({(name, named[name]) for name, *_ in use.uses if name in named and not files_of(named[name])})
    said = [ast.dump(statement, annotate_fields=False) for statement in kept]
    digest = hashlib.sha256(json.dumps([said, foreign]).encode()).hexdigest()[:16] if said else ""
    return {
        "digest": digest,
        "uses": sorted(map(list, use.uses)),
        "bound": use.bound,
        "executes": sorted(set(use.executes)),
        "is_dynamic": use.is_dynamic,
        "lists_fields_of": sorted(map(list, use.lists_fields_of)),
        "names": sorted(use.names),
        "beginnings": sorted(use.beginnings),
        "texts": sorted(use.texts),
        "flags": sorted(plain.flags),
        "fields": sorted(plain.fields),
        "bases": plain.bases,
    }


class _Plain(ast.NodeTransformer):
    """Takes away what cannot change a result, and the flags of a class, which count one by one."""

    def __init__(self, bound: dict[str, str]):
        self.bound = bound
        self.flags: list[tuple[str, str]] = []
        self.fields: list[str] = []
        self.bases: list[list[str]] = []
        self.kinds: set[int] = set()  # annotations that count, by the identity of their statements

    def _body(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self._body(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        annotated = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        typed = [(each.target.id, each) for each in annotated if isinstance(each.target, ast.Name)]
        flags = [(name, each) for name, each in typed if _is_flag(each)]
        if flags:  # rules between them refuse values, and change none
            node.body = [each for each in node.body if _defined(each) != ["rules"]]
            typed = [(name, each) for name, each in typed if name != "rules"]
        self.fields += [name for name, _ in typed]
        self.flags += [(name, _default(each)) for name, each in flags]
        self.bases += [chain for base in node.bases if (chain := _chain(base))]
        node.body = [each for each in node.body if each not in [flag for _, flag in flags]]
        self.kinds.update(id(each) for each in annotated)  # of a field the type counts: a class may check it
        return self._body(node)

    def visit_AnnAssign(self, node):
        if id(node) not in self.kinds:
            if node.value:
                return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))
            node.annotation = ast.Constant(None)  # it still makes a name local
        return self.generic_visit(node)

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call) and (_chain(node.exc.func) or [""])[-1] in ERRORS:
            return ast.Raise(exc=node.exc.func, cause=None)
        return self.generic_visit(node)

    def visit_Assert(self, node):
        return self.generic_visit(ast.Assert(test=node.test, msg=None))

    def visit_Call(self, node):
        if known := DECLARED.get(self._called(node)):
            count, described = known
            words = [word for word in node.keywords if word.arg not in described]
            node = ast.Call(func=node.func, args=node.args[:count], keywords=words)
        return self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call) and self._called(node.value) == SHOWN:
            return ast.Pass()
        return self.generic_visit(node)

    def _called(self, node: ast.Call) -> str:
        """Return the dotted name of what a call calls, by the imports of its file."""
        chain = _chain(node.func)
        return ".".join([self.bound.get(chain[0], ""), *chain[1:]]) if chain else ""


def _is_flag(field: ast.AnnAssign) -> bool:
    """Say whether a field of a class declares a flag: `name: kind = flag(...)`."""
    return isinstance(field.value, ast.Call) and (_chain(field.value.func) or [""])[-1] == "flag"


def _default(field: ast.AnnAssign) -> str:
    """Return the kind and the default of a flag; its description and range do not change what is made."""
    call = field.value
    assert isinstance(call, ast.Call)
    given = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "default")]
    return "; ".join(ast.dump(each, annotate_fields=False) for each in (field.annotation, *given))


def _chain(node: ast.expr) -> list[str] | None:
    """Return a.b.c as [a, b, c]; None for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


class _Use(scopes.Visitor):
    """Collects what statements use: names with their attributes, imports, and texts that may name something."""

    def __init__(self):
        super().__init__()
        self.uses, self.bound, self.executes = set(), {}, []
        self.names, self.beginnings, self.texts = set(), set(), set()
        self.is_dynamic = False
        self.lists_fields_of = set()

    def visit_Import(self, node):
        self.bound |= _bound(node)
        self.executes += _modules(node)

    visit_ImportFrom = visit_Import

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            self._add(self.uses, [node.id])
            self.is_dynamic |= node.id in DYNAMIC

    def _add(self, uses: set[tuple[str, ...]], chain: list[str]) -> None:
        if not self.is_local(chain[0]):
            uses.add(tuple(chain))

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Name):
            self._add(self.uses, [node.target.id])
        self.generic_visit(node)

    def visit_Attribute(self, node):
        self.names.add(node.attr)
        chain = _chain(node)
        if chain is None:
            return self.generic_visit(node)
        self._add(self.uses, chain)
        self.names |= set(chain[1:])
        self.is_dynamic |= chain[-2:] in (["importlib", "import_module"], ["sys", "modules"])

    def visit_Call(self, node):
        if (_chain(node.func) or [""])[-1] == "fields" and node.args and (chain := _chain(node.args[0])):
            self._add(self.lists_fields_of, chain)
        if (_chain(node.func) or [""])[-1] == "getattr" and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
                self.beginnings.add(name.values[0].value)
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, str) and len(node.value) < 100:
            if node.value.isidentifier():
                self.names.add(node.value)
            elif "." in node.value[1:] and not node.value.endswith(".py") and "/" not in node.value:
                self.texts.add(node.value)
