# SPDX-License-Identifier: Apache-2.0
"""The first module of a program: finds the others in the same file, and nothing of them elsewhere.

It is the ``__main__`` of the file that `pack` writes, run as ``python -I -S FILE ROM ARGUMENTS``:
by an interpreter that knows neither the user's nor any installed packages.  The libraries of the
table in the file are found in the folder ROM; no other name is.
"""

import bz2
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from zipimport import zipimporter

PACKAGE = "openami"


class Finder:
    """Finds modules among those that were packed, and the libraries they may use."""

    def __init__(self, modules: dict[str, str], libraries: list[str], rom: str) -> None:
        """Take the sources by name; a package's name ends in a dot."""
        self.modules = modules
        self.libraries = libraries
        self.rom = rom

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  asked of every finder
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] == PACKAGE:
            package = name + "." in self.modules
            if not package and name not in self.modules:
                raise ModuleNotFoundError(f"{name} is not part of this program", name=name)
            return importlib.util.spec_from_loader(name, self, is_package=package)  # type: ignore[arg-type]
        if name in self.libraries:
            return importlib.machinery.PathFinder.find_spec(name, [self.rom])
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:  # noqa: ARG002
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102  what boot verified

    def get_code(self, name: str) -> CodeType:
        return compile(self.get_source(name), f"<{name}>", "exec", dont_inherit=True)

    def get_source(self, name: str) -> str:
        return self.modules.get(name) or self.modules.get(name + ".") or ""

    def is_package(self, name: str) -> bool:
        return name + "." in self.modules


def main(archive: zipimporter, arguments: list[str]) -> int:
    """Take the program out of its file and begin it."""
    table = json.loads(archive.get_data(f"{archive.archive}/table"))
    packed = archive.get_data(f"{archive.archive}/modules")
    texts = bz2.decompress(packed).decode().split("\0")
    modules = dict(zip(texts[::2], texts[1::2], strict=True))
    sys.path.remove(archive.archive)
    sys.meta_path.insert(0, Finder(modules, table["libraries"], arguments[0]))
    module, _, function = table["entry"].partition(":")
    began = importlib.import_module(module)
    return int(getattr(began, function)(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(__loader__, sys.argv[1:]))  # type: ignore[name-defined]
