# SPDX-License-Identifier: Apache-2.0
"""What the programs stand on: the interpreter, its own library, and the libraries of `parts.ROM`.

A device has them as ROM: nobody changes them in the field.  Here they are files, so each start
measures them, and the attestation says the measurement.  Caches of compiled modules are not
measured, and not used: the programs run with `NO_CACHES`.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from openami.device.payload.parts import ROM

NO_CACHES: Final = ("-X", "pycache_prefix=/dev/null", "-B")
ISOLATED: Final = ("-I", "-S", *NO_CACHES)
LEFT_OUT: Final = frozenset(
    {"__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages", "test"}
)
CHUNK: Final = 1 << 20


def interpreter() -> Path:
    """Return the interpreter itself, outside of any virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable) or sys.executable).resolve()


def libraries() -> Path:
    """Return the folder of the libraries."""
    return Path(sysconfig.get_path("platlib"))


def command(descriptor: int, libraries: Path, *arguments: object) -> Sequence[str]:
    """Return the command that runs the program in a sealed memory file."""
    program = f"/proc/self/fd/{descriptor}"
    words = (*ISOLATED, program, libraries, *arguments)
    return [str(interpreter()), *map(str, words)]


def measure(libraries: Path) -> bytes:
    """Return the SHA-256 over the names and octets of all that is ROM.

    Args:
        libraries: Their folder; a program is told it.
    """
    total = hashlib.sha256()
    for name, path in _files(libraries):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        total.update(len(name).to_bytes(2) + name.encode() + digest)
    return total.digest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "interpreter", interpreter()
    yield from _below("library", Path(sysconfig.get_path("stdlib")))
    for name in ROM:
        for path in sorted(folder.glob(name)) + sorted(folder.glob(f"{name}.*")):
            if path.is_dir():
                yield from _below(path.name, path)
            elif path.suffix in {".py", ".so"}:
                yield path.name, path


def _below(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in LEFT_OUT:
                yield from _below(f"{name}/{path.name}", path)
        elif path.suffix == ".py" or ".so" in path.name:
            yield f"{name}/{path.name}", path
