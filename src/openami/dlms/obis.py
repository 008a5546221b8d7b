# SPDX-License-Identifier: Apache-2.0
"""OBIS codes: the six value groups A to F that name a COSEM object (IEC 62056-6-1)."""

import re
from functools import lru_cache
from typing import Final, NamedTuple, Self

_GROUPS: Final = re.compile(
    r"(\d{1,3})[.\-](\d{1,3})[.:](\d{1,3})\.(\d{1,3})\.(\d{1,3})[.*](\d{1,3})"
)
_SHORT: Final = re.compile(r"(\d{1,3})[.\-](\d{1,3})[.:](\d{1,3})\.(\d{1,3})\.(\d{1,3})")
"""As bills and displays print a code: without F, which is mostly 255."""


def _remedy(text: str) -> str:
    if (short := _SHORT.fullmatch(text.strip())) is not None:
        return f"its sixth number is missing, mostly 255: write {'.'.join(short.groups())}.255"
    return "write six numbers of 0 to 255, such as 1.0.1.8.0.255"


class Obis(NamedTuple):
    """The logical name of a COSEM object, e.g. ``1.0.1.8.0.255``: active energy import, total."""

    a: int
    b: int
    c: int
    d: int
    e: int
    f: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the dotted form ``A.B.C.D.E.F`` or the printed form ``A-B:C.D.E*F``."""
        found = _GROUPS.fullmatch(text.strip())
        groups = tuple(int(group) for group in found.groups()) if found else ()
        if not groups or max(groups) > 0xFF:
            raise ValueError(f"{text!r} is no OBIS code: {_remedy(text)}")
        return cls(*groups)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the six octets of a logical name."""
        if len(octets) != 6:
            raise ValueError(f"a logical name has 6 octets, not {len(octets)}")
        return cls(*octets)

    def encode(self) -> bytes:
        """Return the six octets of the logical name."""
        return _octets(self)

    def __str__(self) -> str:
        return ".".join(map(str, self))


@lru_cache(maxsize=4096)
def _octets(name: Obis) -> bytes:
    """Return six octets; those of thousands of meters, whose objects are alike, are the same."""
    return bytes(name)
