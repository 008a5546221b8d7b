# SPDX-License-Identifier: Apache-2.0
"""A program as one file that the interpreter runs: a zip archive with three members.

============  ==========================================================================
member        content
============  ==========================================================================
__main__.py   `start`, stripped
table         JSON: entry, libraries
modules       names and stripped sources by turns, between zeros, bzip2 over all of them
============  ==========================================================================

All modules are compressed together: they repeat one another's words, and a third of the room is
won over an archive that compresses each by itself.  Nothing in the file depends on when or where
it was made.
"""

import bz2
import inspect
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final

from openami.device.payload import start
from openami.device.payload.parts import Program
from openami.device.payload.prune import prune
from openami.device.payload.sources import Library, Source, needed
from openami.device.payload.strip import shortest, stripped

WHEN: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A program's file, and what each module takes of it.

    Attributes:
        octets: The file.
        modules: Octets of each module, compressed by itself; together they are more than the file.
    """

    program: Program
    octets: bytes
    modules: dict[str, int]

    @property
    def spare_octets(self) -> int:
        """What the program's room has left; below 0 it does not fit."""
        return self.program.room_octets - len(self.octets)


def pack(program: Program, library: Library) -> Packed:
    """Make a program's file out of the modules that it needs.

    Raises:
        PayloadError: It needs what it may not have.
    """
    sources = needed(program, library)
    trees = {_key(source): stripped(source.text) for source in sources.values()}
    prune(trees, program.entry)
    texts = {name: shortest(tree) for name, tree in trees.items()}
    joined = "\0".join(part for pair in texts.items() for part in pair)
    table = {"entry": program.entry, "libraries": list(program.libraries)}
    members = {
        "__main__.py": shortest(stripped(inspect.getsource(start))).encode(),
        "table": json.dumps(table, separators=(",", ":")).encode(),
        "modules": bz2.compress(joined.encode()),
    }
    sizes = {name: len(zlib.compress(text.encode(), 9)) for name, text in texts.items()}
    return Packed(program=program, octets=_archive(members), modules=sizes)


def _key(source: Source) -> str:
    return f"{source.name}." if source.package else source.name


def _archive(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, octets in members.items():
            member = zipfile.ZipInfo(name, WHEN)
            member.create_system, member.external_attr = 3, 0o444 << 16
            kind = zipfile.ZIP_STORED if name == "modules" else zipfile.ZIP_DEFLATED
            archive.writestr(member, octets, compress_type=kind, compresslevel=9)
    return target.getvalue()
