# SPDX-License-Identifier: Apache-2.0
"""Which modules a program needs: what its entry imports, what that imports, and so on.

Imports are read from the source, those inside of functions too; nothing is run.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.device.payload.errors import PayloadError
from openami.device.payload.parts import Program

PACKAGE: Final = "openami"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and whether a module cannot be imported without it."""

    module: str
    at_once: bool


@dataclass(frozen=True, slots=True)
class Source:
    """One module: a package has others below it."""

    name: str
    package: bool
    text: str


class Library:
    """The modules of a package on the disk."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the package `openami`."""
        self._folder = folder

    def find(self, name: str) -> Source | None:
        """Return a module; None for a name that is none, such as a class."""
        at = self._folder.joinpath(*name.split(".")[1:])
        for path, package in ((at / "__init__.py", True), (at.with_suffix(".py"), False)):
            if path.is_file():
                return Source(name, package, path.read_text(encoding="utf-8"))
        return None


def here() -> Library:
    """Return the package that this module belongs to."""
    return Library(Path(__file__).resolve().parents[2])


def needed(program: Program, library: Library) -> dict[str, Source]:
    """Return the modules of a program by name, in the order of their names.

    Raises:
        PayloadError: One needs what the program is denied, or what no library brings.
    """
    found: dict[str, Source] = {}
    todo = [program.entry.partition(":")[0]]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        source = library.find(name)
        if source is None:
            raise PayloadError(f"program {program.name}: there is no module {name}")
        found[name] = source
        todo += [parent for parent in [name.rpartition(".")[0]] if parent]
        todo += _followed(program, library, source)
    return dict(sorted(found.items()))


def _followed(program: Program, library: Library, source: Source) -> Iterator[str]:
    for wanted in imports(source):
        if wanted.module.partition(".")[0] != PACKAGE:
            _allowed(program, source, wanted.module.partition(".")[0])
            continue
        if library.find(wanted.module) is None:
            continue
        if (reason := program.denies(wanted.module)) is None:
            yield wanted.module
        elif wanted.at_once:
            raise PayloadError(
                f"program {program.name}: {source.name} imports {wanted.module}, which is denied "
                f"({reason}): import it where it is used, or move what is needed out of it"
            )


def _allowed(program: Program, source: Source, library: str) -> None:
    if library not in sys.stdlib_module_names and library not in program.libraries:
        problem = f"{source.name} imports {library}, which is not in the ROM of this program"
        raise PayloadError(f"program {program.name}: {problem}")


def imports(source: Source) -> Iterator[Import]:
    """Yield what a module imports; names that are imported from a package may be modules."""
    package = source.name if source.package else source.name.rpartition(".")[0]
    yield from _imports(ast.parse(source.text).body, package, at_once=True)


def _imports(nodes: list[ast.stmt], package: str, *, at_once: bool) -> Iterator[Import]:
    for node in nodes:
        match node:
            case ast.Import():
                yield from (Import(alias.name, at_once) for alias in node.names)
            case ast.ImportFrom():
                base = _absolute(node, package)
                yield Import(base, at_once)
                yield from (Import(f"{base}.{alias.name}", at_once) for alias in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _imports(node.orelse, package, at_once=at_once)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _imports(node.body, package, at_once=False)
            case _:
                for _, value in ast.iter_fields(node):
                    if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                        yield from _imports(value, package, at_once=at_once)
                for handler in getattr(node, "handlers", ()):
                    yield from _imports(handler.body, package, at_once=at_once)
                for case in getattr(node, "cases", ()):
                    yield from _imports(case.body, package, at_once=at_once)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def sizes(modules: Mapping[str, int]) -> list[tuple[int, str]]:
    """Return sizes and names, the largest first."""
    return sorted(((octets, name) for name, octets in modules.items()), reverse=True)
