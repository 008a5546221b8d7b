# SPDX-License-Identifier: Apache-2.0
"""The trailer: what MCUboot keeps at the end of a slot, read from there backwards.

=========  =========  ==============================================================
from end   field      value; each fills `align` octets, the unused are FF
=========  =========  ==============================================================
16         magic      of alignment 8, or the alignment (u16) and 14 octets
align      image_ok   01 confirmed, FF not
align      copy_done  01 swapped, FF not
align      swap_info  swap type, and the image in the upper half
align      swap_size  u32, FFFFFFFF outside a swap
=========  =========  ==============================================================

Our banks are never swapped and have no trailer; an image that another tool padded to the size of
a slot brings one, which is read here and never believed.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

ERASED: Final = b"\xff"
MAGIC_8: Final = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
MAGIC_TAIL: Final = bytes.fromhex("2de15d29410b8d77679c110f1f8a")
ALIGNMENTS: Final = (8, 16, 32)
SET: Final = 0x01
SECTORS: Final = 128
"""How many sectors a swap is prepared for, unless somebody says otherwise."""


def trailer_octets(align: int = 8, *, encrypted: bool = False, sectors: int = SECTORS) -> int:
    """Return the room that a trailer takes in a slot, written in units of `align` octets."""
    unit = max(8, align)
    keys = 2 * _up(16, unit) if encrypted else 0
    return sectors * 3 * align + keys + 4 * unit + _up(16, unit)


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """A trailer that was found."""

    align: int
    image_ok: bool
    copy_done: bool
    swap_info: int | None
    swap_size: int | None

    @property
    def request(self) -> str:
        """What the trailer asks MCUboot for."""
        return "permanent" if self.image_ok else "test"

    @classmethod
    def find(cls, rest: bytes) -> Self | None:
        """Return the trailer at the end of `rest`; None without its magic number."""
        align = _alignment(rest[-16:])
        if align is None or len(rest) < cls.octets_of(align):
            return None
        places = [rest[at : at + align] for at in _places(len(rest), align)]
        image_ok, copy_done, swap_info, swap_size = places
        size = int.from_bytes(swap_size[:4], "little")
        return cls(
            align=align,
            image_ok=image_ok[0] == SET,
            copy_done=copy_done[0] == SET,
            swap_info=None if swap_info[0] == 0xFF else swap_info[0],
            swap_size=None if size == 0xFFFFFFFF else size,
        )

    @classmethod
    def octets_of(cls, align: int) -> int:
        """Octets from the first field to the end."""
        return _up(16, align) + 4 * align

    def encode(self) -> bytes:
        """Return the fields and the magic number."""
        size = 0xFFFFFFFF if self.swap_size is None else self.swap_size
        swap_info = 0xFF if self.swap_info is None else self.swap_info
        fields = [
            struct.pack("<I", size),
            bytes((swap_info,)),
            bytes((SET if self.copy_done else 0xFF,)),
            bytes((SET if self.image_ok else 0xFF,)),
        ]
        magic = MAGIC_8 if self.align == 8 else struct.pack("<H", self.align) + MAGIC_TAIL
        front = b"".join(value.ljust(self.align, ERASED) for value in fields)
        return front + magic.rjust(_up(16, self.align), ERASED)

    @classmethod
    def first_odd(cls, rest: bytes, trailer: Self | None) -> int | None:
        """Return the first octet of `rest` that is neither erased nor of the trailer."""
        plain = rest
        if trailer is not None:
            encoded = trailer.encode()
            erased = rest[: len(rest) - len(encoded)]
            plain = erased + (b"" if rest.endswith(encoded) else rest[len(erased) :])
        if not plain.strip(ERASED):
            return None
        return len(plain) - len(plain.lstrip(ERASED))


def _alignment(magic: bytes) -> int | None:
    if magic == MAGIC_8:
        return 8
    if len(magic) == 16 and magic.endswith(MAGIC_TAIL):
        align = int.from_bytes(magic[:2], "little")
        return align if align in ALIGNMENTS[1:] else None
    return None


def _places(end: int, align: int) -> list[int]:
    """Return the offsets of image_ok, copy_done, swap_info and swap_size."""
    first = end - _up(16, align) - align
    return [first - index * align for index in range(4)]
