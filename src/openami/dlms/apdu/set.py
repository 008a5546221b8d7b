# SPDX-License-Identifier: Apache-2.0
"""SET service: write attributes of COSEM objects.

DLMS UA 1000-2 Ed. 10, 9.3.7 (service) and 9.5 (abstract syntax, APDU tags C1 and C5).
A long value travels in blocks: the raw data of all blocks, one after the other, is the encoded
value (for a list of attributes: the encoded list of values with its count).
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from openami.dlms import data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import (
    AttributeDescriptor,
    AttributeSelection,
    DataBlock,
    SelectiveAccess,
    encode_access,
    encode_values,
    read_access,
    read_values,
)
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.axdr import Reader, encode_length
from openami.dlms.data import Data

_REQUEST: Final = 0xC1
_RESPONSE: Final = 0xC5


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequestNormal:
    """Write one attribute: Set-Request-Normal.

    ======  ======================  ============================================
    octets  field                   value
    ======  ======================  ============================================
    1       tag                     C1
    1       choice                  01
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    9       attribute               class-id 2, instance-id 6, attribute-id 1
    1 + n   access                  00 none, 01 selector and parameters
    n       value                   Data
    ======  ======================  ============================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x01

    invoke_id_and_priority: int
    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None
    value: Data

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x01, self.invoke_id_and_priority)) + self.attribute.encode()
        return head + encode_access(self.access) + data.encode(self.value)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            attribute=AttributeDescriptor.read(reader),
            access=read_access(reader),
            value=data.read(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequestWithFirstDatablock:
    """Begin to write one long value: Set-Request-With-First-Datablock.

    ======  ======================  ============================================
    octets  field                   value
    ======  ======================  ============================================
    1       tag                     C1
    1       choice                  02
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    9       attribute               class-id 2, instance-id 6, attribute-id 1
    1 + n   access                  00 none, 01 selector and parameters
    n       block                   last-block, block-number 1, raw data
    ======  ======================  ============================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x02

    invoke_id_and_priority: int
    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None
    block: DataBlock

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x02, self.invoke_id_and_priority)) + self.attribute.encode()
        return head + encode_access(self.access) + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            attribute=AttributeDescriptor.read(reader),
            access=read_access(reader),
            block=DataBlock.read(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequestWithDatablock:
    """Go on with a long value: Set-Request-With-Datablock.

    ======  ======================  ===================================
    octets  field                   value
    ======  ======================  ===================================
    1       tag                     C1
    1       choice                  03
    1       invoke_id_and_priority  as in the first block
    n       block                   last-block, block-number, raw data
    ======  ======================  ===================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x03

    invoke_id_and_priority: int
    block: DataBlock

    def encode(self) -> bytes:
        return bytes((_REQUEST, 0x03, self.invoke_id_and_priority)) + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), block=DataBlock.read(reader)
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequestWithList:
    """Write several attributes at once: Set-Request-With-List.

    ======  ======================  ==========================================
    octets  field                   value
    ======  ======================  ==========================================
    1       tag                     C1
    1       choice                  04
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    n       attributes              count, then descriptor and access of each
    n       values                  count, then Data for each
    ======  ======================  ==========================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x04

    invoke_id_and_priority: int
    attributes: tuple[AttributeSelection, ...]
    values: tuple[Data, ...]

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x04, self.invoke_id_and_priority))
        return head + _encode_attributes(self.attributes) + encode_values(self.values)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            attributes=_read_attributes(reader),
            values=read_values(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequestWithListAndFirstDatablock:
    """Begin to write a long list: Set-Request-With-List-And-First-Datablock.

    ======  ======================  ==========================================
    octets  field                   value
    ======  ======================  ==========================================
    1       tag                     C1
    1       choice                  05
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    n       attributes              count, then descriptor and access of each
    n       block                   last-block, block-number 1, raw data
    ======  ======================  ==========================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x05

    invoke_id_and_priority: int
    attributes: tuple[AttributeSelection, ...]
    block: DataBlock

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x05, self.invoke_id_and_priority))
        return head + _encode_attributes(self.attributes) + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            attributes=_read_attributes(reader),
            block=DataBlock.read(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResponseNormal:
    """How writing one attribute ended: Set-Response-Normal.

    ======  ======================  =====================
    octets  field                   value
    ======  ======================  =====================
    1       tag                     C5
    1       choice                  01
    1       invoke_id_and_priority  as in the request
    1       result                  data-access-result
    ======  ======================  =====================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x01

    invoke_id_and_priority: int
    result: DataAccessResult

    def encode(self) -> bytes:
        return bytes((_RESPONSE, 0x01, self.invoke_id_and_priority, self.result))

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), result=_read_result(reader)
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResponseDatablock:
    """A block that is not the last was taken: Set-Response-Datablock.

    ======  ======================  =====================
    octets  field                   value
    ======  ======================  =====================
    1       tag                     C5
    1       choice                  02
    1       invoke_id_and_priority  as in the request
    4       block_number            of the block taken
    ======  ======================  =====================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x02

    invoke_id_and_priority: int
    block_number: int

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x02, self.invoke_id_and_priority))
        return head + self.block_number.to_bytes(4)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            block_number=reader.unsigned(4, "block-number"),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResponseLastDatablock:
    """How writing one long value ended: Set-Response-Last-Datablock.

    ======  ======================  =====================
    octets  field                   value
    ======  ======================  =====================
    1       tag                     C5
    1       choice                  03
    1       invoke_id_and_priority  as in the request
    1       result                  data-access-result
    4       block_number            of the last block
    ======  ======================  =====================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x03

    invoke_id_and_priority: int
    result: DataAccessResult
    block_number: int

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x03, self.invoke_id_and_priority, self.result))
        return head + self.block_number.to_bytes(4)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            result=_read_result(reader),
            block_number=reader.unsigned(4, "block-number"),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResponseLastDatablockWithList:
    """How writing a long list ended: Set-Response-Last-Datablock-With-List.

    ======  ======================  =========================================
    octets  field                   value
    ======  ======================  =========================================
    1       tag                     C5
    1       choice                  04
    1       invoke_id_and_priority  as in the request
    n       results                 count, then data-access-result for each
    4       block_number            of the last block
    ======  ======================  =========================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x04

    invoke_id_and_priority: int
    results: tuple[DataAccessResult, ...]
    block_number: int

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x04, self.invoke_id_and_priority))
        return head + _encode_results(self.results) + self.block_number.to_bytes(4)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            results=_read_results(reader),
            block_number=reader.unsigned(4, "block-number"),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResponseWithList:
    """How writing each attribute of a list ended: Set-Response-With-List.

    ======  ======================  =========================================
    octets  field                   value
    ======  ======================  =========================================
    1       tag                     C5
    1       choice                  05
    1       invoke_id_and_priority  as in the request
    n       results                 count, then data-access-result for each
    ======  ======================  =========================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x05

    invoke_id_and_priority: int
    results: tuple[DataAccessResult, ...]

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x05, self.invoke_id_and_priority))
        return head + _encode_results(self.results)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), results=_read_results(reader)
        )
        reader.end()
        return apdu


SetRequest: TypeAlias = (
    SetRequestNormal
    | SetRequestWithFirstDatablock
    | SetRequestWithDatablock
    | SetRequestWithList
    | SetRequestWithListAndFirstDatablock
)
SetResponse: TypeAlias = (
    SetResponseNormal
    | SetResponseDatablock
    | SetResponseLastDatablock
    | SetResponseLastDatablockWithList
    | SetResponseWithList
)


def _request(octets: bytes, choice: int) -> Reader:
    return Reader(octets).expect(_REQUEST, "APDU tag").expect(choice, "Set-Request choice")


def _response(octets: bytes, choice: int) -> Reader:
    return Reader(octets).expect(_RESPONSE, "APDU tag").expect(choice, "Set-Response choice")


def _encode_attributes(attributes: tuple[AttributeSelection, ...]) -> bytes:
    return encode_length(len(attributes)) + b"".join(row.encode() for row in attributes)


def _read_attributes(reader: Reader) -> tuple[AttributeSelection, ...]:
    count = reader.count("attributes", least_octets=10)
    return tuple(AttributeSelection.read(reader) for _ in range(count))


def _read_result(reader: Reader) -> DataAccessResult:
    return DataAccessResult(reader.unsigned(1, "data-access-result"))


def _encode_results(results: tuple[DataAccessResult, ...]) -> bytes:
    return encode_length(len(results)) + bytes(results)


def _read_results(reader: Reader) -> tuple[DataAccessResult, ...]:
    return tuple(_read_result(reader) for _ in range(reader.count("results")))
