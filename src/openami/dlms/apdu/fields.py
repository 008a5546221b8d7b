# SPDX-License-Identifier: Apache-2.0
"""What the services' APDUs are made of: invoke ids, descriptors, selective access, blocks.

IEC 62056-5-3, 9.5: Invoke-Id-And-Priority, Long-Invoke-Id-And-Priority,
Cosem-Attribute-Descriptor, Cosem-Method-Descriptor, Selective-Access-Descriptor.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from openami.dlms import data
from openami.dlms.axdr import Reader, encode_length, encode_octet_string
from openami.dlms.data import Data
from openami.dlms.errors import DecodeError, in_octets
from openami.dlms.obis import Obis

CLAUSE: Final = "IEC 62056-5-3, 9.5"

_DATE_TIME_OCTETS: Final = 12
_DESCRIPTOR: Final = struct.Struct(">H6Bb")


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""An OPTIONAL Data that is not there; `None` is null-data, which is a value."""


def _encode_descriptor(class_id: int, instance_id: Obis, member_id: int) -> bytes:
    try:
        return _DESCRIPTOR.pack(class_id, *instance_id, member_id)
    except struct.error:
        raise ValueError(
            f"class {class_id}, object {instance_id}, attribute or method {member_id} does not fit:"
            " a class is 0 to 65535, a group of the name 0 to 255, a member -128 to 127"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeDescriptor:
    """Which attribute of which object: Cosem-Attribute-Descriptor.

    ======  ============  ==================================
    octets  field         value
    ======  ============  ==================================
    2       class_id      interface class
    6       instance_id   logical name
    1       attribute_id  integer; 0 stands for all of them
    ======  ============  ==================================
    """

    class_id: int
    instance_id: Obis
    attribute_id: int

    def encode(self) -> bytes:
        return _encode_descriptor(self.class_id, self.instance_id, self.attribute_id)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one descriptor off the front of `reader`."""
        return cls(
            class_id=reader.unsigned(2, "class-id"),
            instance_id=Obis(*reader.take(6, "instance-id")),
            attribute_id=reader.signed(1, "attribute-id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodDescriptor:
    """Which method of which object: Cosem-Method-Descriptor; octets as `AttributeDescriptor`."""

    class_id: int
    instance_id: Obis
    method_id: int

    def encode(self) -> bytes:
        return _encode_descriptor(self.class_id, self.instance_id, self.method_id)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one descriptor off the front of `reader`."""
        return cls(
            class_id=reader.unsigned(2, "class-id"),
            instance_id=Obis(*reader.take(6, "instance-id")),
            method_id=reader.signed(1, "method-id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveAccess:
    """Which part of an attribute: Selective-Access-Descriptor.

    The class of the object says what a selector means; those of the profile generic are
    `selective.ByRange` and `selective.ByEntry`.
    """

    selector: int
    parameters: Data

    def encode(self) -> bytes:
        return bytes((self.selector,)) + data.encode(self.parameters)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one descriptor off the front of `reader`."""
        return cls(selector=reader.unsigned(1, "access-selector"), parameters=data.read(reader))


def encode_access(access: SelectiveAccess | None) -> bytes:
    """Return the OPTIONAL selective access: 00 for none, else 01 and the descriptor."""
    return b"\x00" if access is None else b"\x01" + access.encode()


def read_access(reader: Reader) -> SelectiveAccess | None:
    """Take an OPTIONAL selective access off the front of `reader`."""
    return SelectiveAccess.read(reader) if reader.present("access-selection") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeSelection:
    """One row of a list: Cosem-Attribute-Descriptor-With-Selection."""

    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        return self.attribute.encode() + encode_access(self.access)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one row off the front of `reader`."""
        return cls(attribute=AttributeDescriptor.read(reader), access=read_access(reader))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataBlock:
    """One part of a long value: DataBlock-SA.

    ======  ============  ==================================================
    octets  field         value
    ======  ============  ==================================================
    1       last_block    00 more follow, 01 this is the last
    4       block_number  from 1
    n       raw_data      length, then this part of the encoded value
    ======  ============  ==================================================
    """

    last_block: bool
    block_number: int
    raw_data: bytes

    def encode(self) -> bytes:
        head = bytes((self.last_block,)) + self.block_number.to_bytes(4)
        return head + encode_octet_string(self.raw_data)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one block off the front of `reader`."""
        return cls(
            last_block=reader.boolean("last-block"),
            block_number=reader.unsigned(4, "block-number"),
            raw_data=reader.octet_string("raw-data"),
        )


def encode_values(values: tuple[Data, ...]) -> bytes:
    """Return a SEQUENCE OF Data: its count, then the values."""
    return encode_length(len(values)) + b"".join(map(data.encode, values))


def read_values(reader: Reader) -> tuple[Data, ...]:
    """Take a SEQUENCE OF Data off the front of `reader`."""
    return tuple(data.read(reader) for _ in range(reader.count("values")))


def read_date_time(reader: Reader) -> bytes:
    """Take an octet-string off the front of `reader` that holds a date-time or nothing."""
    start = reader.offset
    octets = reader.octet_string("date-time")
    if len(octets) not in {0, _DATE_TIME_OCTETS}:
        problem = f"date-time has {in_octets(len(octets))}, not 0 or 12"
        raise DecodeError(problem, reader.octets, start, CLAUSE)
    return octets
