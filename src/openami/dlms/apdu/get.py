# SPDX-License-Identifier: Apache-2.0
"""GET service: read attributes of COSEM objects.

DLMS UA 1000-2 Ed. 10, 9.3.6 (service) and 9.5 (abstract syntax, APDU tags C0 and C4).
Each class is one CHOICE of the abstract syntax and carries its name.  A long answer travels in
blocks: the raw data of all blocks, one after the other, is the encoded value (for a list of
attributes: the encoded list of results, see `decode_results`).
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from openami.dlms import data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import (
    AttributeDescriptor,
    AttributeSelection,
    SelectiveAccess,
    encode_access,
    read_access,
)
from openami.dlms.apdu.invocation import INVOKE_IDS, InvokeIdAndPriority
from openami.dlms.axdr import Reader, encode_length, encode_octet_string
from openami.dlms.data import Data
from openami.dlms.obis import Obis

__all__ = [
    "AttributeDescriptor",
    "AttributeSelection",
    "DataAccessResult",
    "GetDataResult",
    "GetRequest",
    "GetRequestNext",
    "GetRequestNormal",
    "GetRequestWithList",
    "GetResponse",
    "GetResponseNormal",
    "GetResponseWithDatablock",
    "GetResponseWithList",
    "InvokeIdAndPriority",
    "SelectiveAccess",
    "decode_results",
    "encode_results",
    "split_normal",
]

GetDataResult: TypeAlias = Data | DataAccessResult
"""Get-Data-Result: the value, or why there is none."""

_REQUEST: Final = 0xC0
_RESPONSE: Final = 0xC4
_PLAIN_REQUEST: Final = struct.Struct(">HBH6BbB")


def encode_result(result: GetDataResult) -> bytes:
    """Return one Get-Data-Result: 00 and the value, or 01 and the reason."""
    if isinstance(result, DataAccessResult):
        return bytes((0x01, result))
    return b"\x00" + data.encode(result)


def read_result(reader: Reader) -> GetDataResult:
    """Take one Get-Data-Result off the front of `reader`."""
    if reader.present("Get-Data-Result choice"):
        return DataAccessResult(reader.unsigned(1, "data-access-result"))
    return data.read(reader)


def encode_results(results: tuple[GetDataResult, ...]) -> bytes:
    """Return a list of results: its count, then the results."""
    return encode_length(len(results)) + b"".join(map(encode_result, results))


def decode_results(octets: bytes) -> tuple[GetDataResult, ...]:
    """Return the list of results that the raw data of all blocks hold."""
    reader = Reader(octets)
    results = _read_results(reader)
    reader.end()
    return results


def _read_results(reader: Reader) -> tuple[GetDataResult, ...]:
    return tuple(read_result(reader) for _ in range(reader.count("results", least_octets=2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRequestNormal:
    """Ask for one attribute: Get-Request-Normal.

    ======  ======================  ============================================
    octets  field                   value
    ======  ======================  ============================================
    1       tag                     C0
    1       choice                  01
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    9       attribute               class-id 2, instance-id 6, attribute-id 1
    1 + n   access                  00 none, 01 selector and parameters
    ======  ======================  ============================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x01

    invoke_id_and_priority: int
    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x01, self.invoke_id_and_priority)) + self.attribute.encode()
        return head + (b"\x00" if self.access is None else encode_access(self.access))

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        # Nearly every request has no selective access: its 13 octets are taken in one step.
        if len(octets) == _PLAIN_REQUEST.size and octets[12] == 0x00 and octets[:2] == b"\xc0\x01":
            _, invoke_id, class_id, *name, attribute_id, _ = _PLAIN_REQUEST.unpack(octets)
            descriptor = AttributeDescriptor(
                class_id=class_id, instance_id=Obis(*name), attribute_id=attribute_id
            )
            return cls(invoke_id_and_priority=INVOKE_IDS[invoke_id], attribute=descriptor)
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            attribute=AttributeDescriptor.read(reader),
            access=read_access(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRequestNext:
    """Ask for the next block of a long answer: Get-Request-Next.

    ======  ======================  =====================================
    octets  field                   value
    ======  ======================  =====================================
    1       tag                     C0
    1       choice                  02
    1       invoke_id_and_priority  as in the request
    4       block_number            the last block that arrived
    ======  ======================  =====================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x02

    invoke_id_and_priority: int
    block_number: int

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x02, self.invoke_id_and_priority))
        return head + self.block_number.to_bytes(4)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            block_number=reader.unsigned(4, "block-number"),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRequestWithList:
    """Ask for several attributes at once: Get-Request-With-List.

    ======  ======================  ==========================================
    octets  field                   value
    ======  ======================  ==========================================
    1       tag                     C0
    1       choice                  03
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    n       attributes              count, then descriptor and access of each
    ======  ======================  ==========================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x03

    invoke_id_and_priority: int
    attributes: tuple[AttributeSelection, ...]

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x03, self.invoke_id_and_priority))
        rows = b"".join(row.encode() for row in self.attributes)
        return head + encode_length(len(self.attributes)) + rows

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        invoke_id = InvokeIdAndPriority.read(reader)
        count = reader.count("attributes", least_octets=10)
        rows = tuple(AttributeSelection.read(reader) for _ in range(count))
        reader.end()
        return cls(invoke_id_and_priority=invoke_id, attributes=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResponseNormal:
    """One value, or why there is none: Get-Response-Normal.

    ======  ======================  ============================================
    octets  field                   value
    ======  ======================  ============================================
    1       tag                     C4
    1       choice                  01
    1       invoke_id_and_priority  as in the request
    1 + n   result                  00 and Data, or 01 and data-access-result
    ======  ======================  ============================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x01

    invoke_id_and_priority: int
    result: GetDataResult

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x01, self.invoke_id_and_priority))
        return head + encode_result(self.result)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        # The most frequent APDU of all, so the good case comes first and without a cursor.
        if len(octets) > 4 and octets[3] == 0x00 and octets[0] == _RESPONSE and octets[1] == 0x01:
            return cls(invoke_id_and_priority=INVOKE_IDS[octets[2]], result=data.decode(octets, 4))
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), result=read_result(reader)
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResponseWithDatablock:
    """One block of a long answer: Get-Response-With-Datablock.

    ======  ======================  ==============================================
    octets  field                   value
    ======  ======================  ==============================================
    1       tag                     C4
    1       choice                  02
    1       invoke_id_and_priority  as in the request
    1       last_block              00 more follow, 01 this is the last
    4       block_number            from 1
    1 + n   result                  00, length, raw data; 01 data-access-result
    ======  ======================  ==============================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x02

    invoke_id_and_priority: int
    last_block: bool
    block_number: int
    result: bytes | DataAccessResult

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x02, self.invoke_id_and_priority, self.last_block))
        head += self.block_number.to_bytes(4)
        if isinstance(self.result, DataAccessResult):
            return head + bytes((0x01, self.result))
        return head + b"\x00" + encode_octet_string(self.result)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        invoke_id = InvokeIdAndPriority.read(reader)
        last_block = reader.boolean("last-block")
        block_number = reader.unsigned(4, "block-number")
        result: bytes | DataAccessResult
        if reader.present("block result choice"):
            result = DataAccessResult(reader.unsigned(1, "data-access-result"))
        else:
            result = reader.octet_string("raw-data")
        reader.end()
        return cls(
            invoke_id_and_priority=invoke_id,
            last_block=last_block,
            block_number=block_number,
            result=result,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResponseWithList:
    """Several values, in the order they were asked for: Get-Response-With-List.

    ======  ======================  =======================================================
    octets  field                   value
    ======  ======================  =======================================================
    1       tag                     C4
    1       choice                  03
    1       invoke_id_and_priority  as in the request
    n       results                 count, then 00 and Data or 01 and the reason, for each
    ======  ======================  =======================================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x03

    invoke_id_and_priority: int
    results: tuple[GetDataResult, ...]

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x03, self.invoke_id_and_priority))
        return head + encode_results(self.results)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), results=_read_results(reader)
        )
        reader.end()
        return apdu


GetRequest: TypeAlias = GetRequestNormal | GetRequestNext | GetRequestWithList
GetResponse: TypeAlias = GetResponseNormal | GetResponseWithDatablock | GetResponseWithList


def split_normal(octets: bytes) -> tuple[InvokeIdAndPriority, bytes | DataAccessResult]:
    """Return invoke id and the still encoded value of a Get-Response-Normal.

    For large values that `columns` or a store take as octets, without decoding them twice.
    """
    reader = _response(octets, GetResponseNormal.CHOICE)
    invoke_id = InvokeIdAndPriority.read(reader)
    if not reader.present("Get-Data-Result choice"):
        return invoke_id, reader.rest()
    reason = DataAccessResult(reader.unsigned(1, "data-access-result"))
    reader.end()
    return invoke_id, reason


def _request(octets: bytes, choice: int) -> Reader:
    return Reader(octets).expect(_REQUEST, "APDU tag").expect(choice, "Get-Request choice")


def _response(octets: bytes, choice: int) -> Reader:
    return Reader(octets).expect(_RESPONSE, "APDU tag").expect(choice, "Get-Response choice")
