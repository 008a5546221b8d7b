# SPDX-License-Identifier: Apache-2.0
"""The little of BER that ACSE needs: tag, definite length, contents (ITU-T X.690, 8.1).

Tags are one octet here: all that ACSE uses are below 31.  A length of 80 (indefinite) is refused.
"""

from typing import Final

from openami.dlms.axdr import Reader
from openami.dlms.errors import in_octets

CLAUSE: Final = "ITU-T X.690, 8.1"


def encode_tlv(tag: int, contents: bytes) -> bytes:
    """Return tag, length (definite, shortest form) and contents."""
    size = len(contents)
    if size < 0x80:
        return bytes((tag, size)) + contents
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def read_tlv(reader: Reader, what: str) -> tuple[int, Reader]:
    """Take one tag, length and contents; return the tag and a reader of the contents alone."""
    tag = reader.unsigned(1, f"tag of {what}")
    length = reader.length(what)
    end = reader.offset + length
    if end > len(reader.octets):
        problem = f"{what} needs {in_octets(length)}, {reader.remaining} are left"
        raise reader.refusal(problem, clause=CLAUSE)
    # The octets before stay, so that a refusal inside names its place in the whole APDU.
    inside = Reader(reader.octets[:end], reader.offset)
    reader.offset = end
    return tag, inside


def expect_tlv(reader: Reader, tag: int, what: str) -> Reader:
    """Take one tag, length and contents; the tag can only be `tag`."""
    start = reader.offset
    found, inside = read_tlv(reader, what)
    if found != tag:
        reader.offset = start
        raise reader.refusal(f"tag of {what} is {found:02X}, not {tag:02X}", clause=CLAUSE)
    return inside
