# SPDX-License-Identifier: Apache-2.0
"""What of a program's modules nobody in the program uses: left out, name by name.

A function, class or constant of a module goes when nothing else in the program says its name: as a
name, an attribute, a keyword, in an import, or as a word inside of a string.  That keeps more than
it must, and needs no knowledge of who means what.  What does something when it is made stays: a
class that joins a registry, a value from a call that is not in `PURE`, whatever stands under
another decorator.  A module stays imported wherever it was: only names go.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

PURE: Final = frozenset(
    {
        "MappingProxyType",
        "NewType",
        "TypeVar",
        "bytes",
        "bytes.fromhex",
        "contextmanager",
        "dataclass",
        "dict",
        "dict.fromkeys",
        "frozenset",
        "range",
        "re.compile",
        "struct.Struct",
        "tuple",
        "unique",
    }
)
"""What does nothing but return something, called or as a decorator."""
INERT_BASES: Final = frozenset(
    {"Enum", "Exception", "IntEnum", "IntFlag", "NamedTuple", "Protocol", "ValueError"}
)
"""What a class may be made of, and nobody notices that it is."""
OWN: Final = "openami"
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(slots=True)
class _Statement:
    """One statement of a module, and how often it says each name."""

    node: ast.stmt
    said: Counter[str] = field(init=False)
    names: frozenset[str] = field(init=False)
    """That it uses of its module."""
    name: str = field(init=False)
    """Of what it defines and may go with it; empty where it has to stay."""

    def __post_init__(self) -> None:
        self.said = Counter(_said(self.node))
        self.names = frozenset(
            each.id for each in ast.walk(self.node) if isinstance(each, ast.Name)
        )
        self.name = _defined(self.node)


def prune(trees: Mapping[str, ast.Module], entry: str) -> None:
    """Take out of the modules what nobody uses.

    Args:
        trees: The program's modules by name, a package's with a dot behind it; without annotations.
        entry: ``module:function``, where the program begins.
    """
    modules = {name: [_Statement(each) for each in tree.body] for name, tree in trees.items()}
    said = Counter[str]()
    for statements in modules.values():
        for each in statements:
            said.update(each.said)
    said[entry.partition(":")[2]] += 1
    while True:
        for name, statements in modules.items():
            if not name.endswith("."):  # a package hands names on
                _forget_imports(statements, said, modules)
        idle = [
            (statements, each)
            for statements in modules.values()
            for each in statements
            if each.name and said[each.name] <= each.said[each.name]
        ]
        for statements, each in idle:
            statements.remove(each)
            said.subtract(each.said)
        if not idle:
            break
    for name, tree in trees.items():
        tree.body = [each.node for each in modules[name] if not isinstance(each.node, ast.Pass)]


def _forget_imports(
    statements: list[_Statement], said: Counter[str], modules: Mapping[str, object]
) -> None:
    """Import modules without those of their names that are not used here."""
    used = set[str]().union(*(each.names for each in statements))
    for each in statements:
        match each.node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                used.update(_said(value))
            case _:
                pass

    def is_kept(module: str, alias: ast.alias) -> bool:
        whole = f"{module}.{alias.name}"
        return (alias.asname or alias.name) in used or whole in modules or f"{whole}." in modules

    for at, each in enumerate(statements):
        match each.node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                kept = [alias for alias in names if is_kept(module, alias)]
            case _:
                continue
        if len(kept) == len(names):
            continue
        node: ast.stmt = ast.ImportFrom(module=module, names=kept, level=0)
        if not kept:
            own = module.partition(".")[0] == OWN
            node = ast.Import(names=[ast.alias(name=module)]) if own else ast.Pass()
        said.subtract(each.said)
        statements[at] = _Statement(node)
        said.update(statements[at].said)


def _defined(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            inert = all(map(_is_pure, node.decorator_list))
        case ast.ClassDef(name=name, keywords=[]):
            inert = all(map(_is_pure, node.decorator_list)) and all(
                ast.unparse(base).partition("[")[0] in INERT_BASES for base in node.bases
            )
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            inert = all(
                ast.unparse(each.func) in PURE
                for each in ast.walk(value)
                if isinstance(each, ast.Call)
            )
        case _:
            return ""
    return name if inert and not name.startswith("__") else ""


def _is_pure(decorator: ast.expr) -> bool:
    made = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(made) in PURE


def _said(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name):
                yield name
            case ast.MatchClass(kwd_attrs=names) | ast.Global(names=names):
                yield from names
            case ast.Constant(value=str(text)):
                yield from _WORD.findall(text)
            case _:
                pass
