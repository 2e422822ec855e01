"""Scopes of Python: which names are a function's own, and so stand for nothing that their module defines or imports.

In doubt a name is not taken for a function's own. Too much code counts then, never too little.
"""

import ast
from collections.abc import Iterable


class Visitor(ast.NodeVisitor):
    """Visits nodes in the scopes that Python evaluates them in: the default of a parameter outside its function."""

    def __init__(self):
        self._scopes: list[_Scope] = []

    def is_local(self, name: str) -> bool:
        """Say whether a name that is read here belongs to a function or a comprehension around it."""
        for scope in reversed(self._scopes):
            if scope.is_class:  # not even read from inside a method; what a class has not yet bound is the module's
                if scope is self._scopes[-1] and name in scope.bound | scope.foreign:
                    return False
            elif name in scope.foreign:
                return False
            elif name in scope.bound:
                return True
        return False

    def _visit_all(self, nodes: Iterable[ast.AST], scope: "_Scope | None" = None) -> None:
        self._scopes += [scope] if scope else []
        for node in nodes:
            self.visit(node)
        if scope:
            self._scopes.pop()

    def visit_FunctionDef(self, node):
        returned = [node.returns] if node.returns else []
        self._visit_all([*node.decorator_list, *getattr(node, "type_params", ()), node.args, *returned])
        self._visit_all(node.body, _Scope(node.body, node.args))

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self.visit(node.args)
        self._visit_all([node.body], _Scope([node.body], node.args))

    def visit_ClassDef(self, node):
        self._visit_all([*node.decorator_list, *getattr(node, "type_params", ()), *node.bases, *node.keywords])
        self._visit_all(node.body, _Scope(node.body, is_class=True))

    def visit_ListComp(self, node):
        first, *others = node.generators
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.visit(first.iter)
        inner = [first.target, *first.ifs, *others, *values]
        self._visit_all(inner, _Scope(each.target for each in node.generators))

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp


class _Scope(ast.NodeVisitor):
    """The names that nodes bind, without those of the scopes inside them."""

    def __init__(self, nodes: Iterable[ast.AST], parameters: ast.arguments | None = None, is_class: bool = False):
        self.is_class = is_class
        self.bound: set[str] = set()
        self.foreign: set[str] = set()  # imports, whose names stand for modules, and global names
        self._nonlocal: set[str] = set()
        if parameters:
            named = [*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs]
            self.bound |= {each.arg for each in (*named, parameters.vararg, parameters.kwarg) if each}
        for node in nodes:
            self.visit(node)
        self.bound -= self._nonlocal

    def visit_Name(self, node):
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def visit_FunctionDef(self, node):
        self.bound.add(node.name)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Lambda(self, node):
        """Leave out what is inside, as of comprehensions."""

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_Lambda

    def visit_Import(self, node):
        self.foreign |= {alias.asname or alias.name.split(".")[0] for alias in node.names}

    visit_ImportFrom = visit_Import

    def visit_Global(self, node):
        self.foreign |= set(node.names)

    def visit_Nonlocal(self, node):
        self._nonlocal |= set(node.names)

    def visit_ExceptHandler(self, node):
        self.bound |= {node.name} - {None}
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_ExceptHandler

    def visit_MatchMapping(self, node):
        self.bound |= {node.rest} - {None}
        self.generic_visit(node)
