# SPDX-License-Identifier: Apache-2.0
"""What of a module runs: without comments, docstrings, and annotations that nobody reads.

Annotations stay where they declare: in the bodies of classes, where dataclasses and named tuples
are made of them.  A dataclass asks only whether there is one, so its fields are annotated with 0.
What comes out is the same for the same interpreter, octet for octet.
"""

import ast
import re
from typing import Final

_INDENTATION: Final = re.compile(r"^( {4})+", re.MULTILINE)
_READ: Final = re.compile("ClassVar|InitVar|KW_ONLY")
_STRING: Final = re.compile(r'"""|\'\'\'')


class _Stripper(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Leave out what is only said: a string behind the name that it explains."""
        said = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if said else self.generic_visit(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        _without_docstring(node.body, keep=False)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        _without_docstring(node.body)
        if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
            node.body = [_unread(each) for each in node.body]
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or ast.Pass()
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        _without_docstring(node.body)
        node.returns = None
        given = node.args
        for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if each is not None:
                each.annotation = None
        node.body = [_assigned(each) for each in node.body]
        return self.generic_visit(node)


def stripped(text: str) -> ast.Module:
    """Return what of a module's source runs.

    Raises:
        SyntaxError: It is no Python.
    """
    tree: ast.Module = _Stripper().visit(ast.parse(text))
    tree.body = [_assigned(each) for each in tree.body]
    return tree


def shortest(tree: ast.Module) -> str:
    """Return a module's source, indented by single spaces."""
    short = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    if _STRING.search(short):  # its lines may be inside of a string
        return short
    return _INDENTATION.sub(lambda found: " " * (len(found[0]) // 4), short)


def _assigned(node: ast.stmt) -> ast.stmt:
    """Return an annotated assignment without its annotation."""
    if isinstance(node, ast.AnnAssign):
        if node.value is None:
            return ast.Pass()
        return ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno)
    return node


def _unread(node: ast.stmt) -> ast.stmt:
    """Return a field of a dataclass with an annotation that says nothing."""
    if isinstance(node, ast.AnnAssign) and not _READ.search(ast.unparse(node.annotation)):
        node.annotation = ast.Constant(0)
    return node


def _without_docstring(body: list[ast.stmt], *, keep: bool = True) -> None:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *others]:
            body[:] = others or ([ast.Pass()] if keep else [])
