# SPDX-License-Identifier: Apache-2.0
"""The TypeDescription of a compact-array: its element's types, told once (IEC 62056-5-3, 9.5).

An array says how many elements of which type it has, a structure lists its elements' types, and
every other type is its tag alone.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from openami.dlms.axdr import read_length
from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-5-3, 9.5, TypeDescription"
DEEPEST: Final = 32

ARRAY: Final = 0x01
STRUCTURE: Final = 0x02
COMPACT_ARRAY: Final = 0x13


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """One type: its tag, and the types inside when it is an array or a structure."""

    tag: int
    count: int = 0
    elements: tuple["TypeDescription", ...] = ()


_SCALARS: Final = tuple(TypeDescription(tag) for tag in range(0x100))


def read_type_description(
    octets: bytes, offset: int, known: Container[int], levels: int = DEEPEST
) -> tuple[TypeDescription, int]:
    """Return the type at `offset`, and the offset behind it; `known` are the tags of data types."""
    if offset >= len(octets):
        raise DecodeError("type description needs a tag", octets, offset, CLAUSE)
    tag = octets[offset]
    if tag not in known or tag == COMPACT_ARRAY:
        raise DecodeError(f"{tag:02X} is no type for a compact-array", octets, offset, CLAUSE)
    if tag not in {ARRAY, STRUCTURE}:
        return _SCALARS[tag], offset + 1
    if levels == 0:
        problem = f"type description is nested deeper than {DEEPEST} levels"
        raise DecodeError(problem, octets, offset, CLAUSE)
    if tag == ARRAY:
        if offset + 3 > len(octets):
            raise DecodeError("array type needs a count of 2 octets", octets, offset + 1, CLAUSE)
        count = int.from_bytes(octets[offset + 1 : offset + 3])
        element, end = read_type_description(octets, offset + 3, known, levels - 1)
        return TypeDescription(tag, count, (element,)), end
    count, end = read_length(octets, offset + 1, "structure type")
    elements = []
    for _ in range(count):
        element, end = read_type_description(octets, end, known, levels - 1)
        elements.append(element)
    return TypeDescription(tag, count, tuple(elements)), end
