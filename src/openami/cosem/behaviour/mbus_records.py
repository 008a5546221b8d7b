# SPDX-License-Identifier: Apache-2.0
"""Data records of M-Bus: data information block, value information block, data.

EN 13757-3, 6.3 (variable data structure).  A record of an M-Bus meter is told apart by its two
blocks, octet for octet; that is how an M-Bus client names what it captures.  What a value means is
left to those who read it: here it becomes COSEM data of the same width.

=====  ======================================================================
field  octets
=====  ======================================================================
DIB    DIF; while bit 7 is set, a DIFE
VIB    VIF; while bit 7 is set, a VIFE; VIF 7C or FC: length and text first
data   as bits 3..0 of DIF say, least significant octet first
=====  ======================================================================
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from openami.dlms.axdr import Reader
from openami.dlms.data import (
    Data,
    DoubleLong,
    FixedInteger,
    Float32,
    Integer,
    Long,
    Long64,
    OctetString,
    VisibleString,
)

CLAUSE: Final = "EN 13757-3, 6.3"

MORE: Final = 0x80
_FILLER: Final = 0x2F
_MANUFACTURER: Final = frozenset({0x0F, 0x1F})
_TEXT_VIFS: Final = frozenset({0x7C, 0xFC})
_MOST_EXTENSIONS: Final = 10

_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 6: 6, 7: 8}
"""Octets of an integer, by bits 3..0 of DIF."""
_BCD: Final = {0x9: 1, 0xA: 2, 0xB: 3, 0xC: 4, 0xE: 6}
"""Octets of a number in binary coded decimals."""


class MbusRecord(NamedTuple):
    """One record: its two blocks and its value; null-data where it has none."""

    data_information_block: bytes
    value_information_block: bytes
    value: Data


def read_records(octets: bytes) -> tuple[MbusRecord, ...]:
    """Read the records of a response, up to what is the manufacturer's own.

    Raises:
        DecodeError: A record is cut off, or its form does not exist.
    """
    return tuple(_records(Reader(octets)))


def _records(reader: Reader) -> Iterator[MbusRecord]:
    while (dif := reader.peek()) is not None:
        if dif == _FILLER:
            reader.take(1, "idle filler")
            continue
        if dif in _MANUFACTURER:
            return
        dib = _block(reader, "DIF")
        vib = _vib(reader)
        yield MbusRecord(dib, vib, _value(reader, dif & 0x0F))


def _block(reader: Reader, what: str) -> bytes:
    found = reader.take(1, what)
    while found[-1] & MORE:
        if len(found) > _MOST_EXTENSIONS:
            problem = f"more than {_MOST_EXTENSIONS} extensions follow {what}"
            raise reader.refusal(problem, back=1, clause=CLAUSE)
        found += reader.take(1, f"{what}E")
    return found


def _vib(reader: Reader) -> bytes:
    first = reader.peek()
    if first not in _TEXT_VIFS:
        return _block(reader, "VIF")
    head = reader.take(2, "VIF and length of its text")
    text = reader.take(head[1], "text of the VIF")
    return head + text + (_block(reader, "VIFE") if head[0] & MORE else b"")


def _value(reader: Reader, form: int) -> Data:
    if form in {0x0, 0x8}:  # no data; selection for readout
        return None
    if (size := _INTEGERS.get(form)) is not None:
        return _integer(int.from_bytes(reader.take(size, "data"), "little", signed=True), size)
    if form == 0x5:
        return Float32(*struct.unpack("<f", reader.take(4, "data")))
    if (size := _BCD.get(form)) is not None:
        return _decimal(reader, size)
    if form == 0xD:
        return _variable(reader)
    raise reader.refusal(f"data field {form:X} has no form here", back=0, clause=CLAUSE)


def _integer(number: int, size: int) -> Data:
    if size == 1:
        return Integer(number)
    if size == 2:
        return Long(number)
    return DoubleLong(number) if size <= 4 else Long64(number)


def _decimal(reader: Reader, size: int, *, negative: bool = False) -> Data:
    digits = reader.take(size, "data")[::-1].hex()
    # A first digit F is a minus sign; other hexadecimal digits stand for a display that is dark.
    if digits[:1] == "f":
        negative, digits = True, digits[1:]
    if not digits.isdecimal():
        return OctetString(bytes.fromhex(digits.rjust(2 * size, "0")))
    return _integer(-int(digits) if negative else int(digits), size)


def _variable(reader: Reader) -> Data:
    length = reader.unsigned(1, "LVAR")
    if length <= 0xBF:
        return VisibleString(reader.take(length, "text")[::-1].decode("latin-1"))
    if length <= 0xDF:
        size = length & 0x0F
        if not 1 <= size <= 9:
            raise reader.refusal(f"LVAR {length:02X} has no form here", back=1, clause=CLAUSE)
        return _decimal(reader, size, negative=length >= 0xD0)
    if length <= 0xEF:
        return OctetString(reader.take(length & 0x0F, "binary number")[::-1])
    raise reader.refusal(f"LVAR {length:02X} has no form here", back=1, clause=CLAUSE)


def encode_record(record: MbusRecord) -> bytes:
    """Return a record as it travels to a slave.

    Raises:
        ValueError: The value does not fit the form that DIF names.
    """
    dib, vib, value = record
    form = dib[0] & 0x0F if dib else -1
    body: bytes
    match value:
        case None if form in {0x0, 0x8}:
            body = b""
        case FixedInteger() if form in _INTEGERS:
            try:
                body = int(value).to_bytes(_INTEGERS[form], "little", signed=value < 0)
            except OverflowError:
                raise ValueError(f"{value} does not fit data field {form:X}") from None
        case FixedInteger() if form in _BCD and 0 <= value < 100 ** _BCD[form]:
            body = bytes.fromhex(f"{int(value):0{2 * _BCD[form]}d}")[::-1]
        case Float32() if form == 0x5:
            body = struct.pack("<f", value)
        case OctetString() if form == 0xD and len(value) <= 0x0F:
            body = bytes((0xE0 | len(value),)) + value[::-1]
        case VisibleString() if form == 0xD and len(value) <= 0xBF:
            body = bytes((len(value),)) + value.encode("latin-1")[::-1]
        case _:
            raise ValueError(f"{value!r} does not fit data field {form:X}")
    return dib + vib + body
