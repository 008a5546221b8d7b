# SPDX-License-Identifier: Apache-2.0
"""ACTION service: invoke methods of COSEM objects.

DLMS UA 1000-2 Ed. 10, 9.3.8 (service) and 9.5 (abstract syntax, APDU tags C3 and C7).
Long parameters and long answers travel in blocks (pblocks): the raw data of all blocks, one
after the other, is the encoded Data (for a list of methods: the encoded list with its count).
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from openami.dlms import data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    ABSENT,
    Absent,
    DataBlock,
    MethodDescriptor,
    encode_values,
    read_values,
)
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.axdr import Reader, encode_length
from openami.dlms.data import Data

_REQUEST: Final = 0xC3
_RESPONSE: Final = 0xC7

ReturnParameters: TypeAlias = Data | DataAccessResult | Absent
"""What a method gives back: a value, why there is none, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequestNormal:
    """Invoke one method: Action-Request-Normal.

    ======  ======================  ========================================
    octets  field                   value
    ======  ======================  ========================================
    1       tag                     C3
    1       choice                  01
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    9       method                  class-id 2, instance-id 6, method-id 1
    1 + n   parameters              00 none, 01 and Data
    ======  ======================  ========================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x01

    invoke_id_and_priority: int
    method: MethodDescriptor
    parameters: Data | Absent = ABSENT

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x01, self.invoke_id_and_priority)) + self.method.encode()
        if isinstance(self.parameters, Absent):
            return head + b"\x00"
        return head + b"\x01" + data.encode(self.parameters)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            method=MethodDescriptor.read(reader),
            parameters=data.read(reader) if reader.present("presence of parameters") else ABSENT,
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequestNextPblock:
    """Ask for the next block of a long answer: Action-Request-Next-Pblock.

    ======  ======================  ================================
    octets  field                   value
    ======  ======================  ================================
    1       tag                     C3
    1       choice                  02
    1       invoke_id_and_priority  as in the request
    4       block_number            the last block that arrived
    ======  ======================  ================================
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
class ActionRequestWithList:
    """Invoke several methods: Action-Request-With-List.

    ======  ======================  =========================================
    octets  field                   value
    ======  ======================  =========================================
    1       tag                     C3
    1       choice                  03
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    n       methods                 count, then a descriptor for each
    n       parameters              count, then Data for each; none is 00
    ======  ======================  =========================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x03

    invoke_id_and_priority: int
    methods: tuple[MethodDescriptor, ...]
    parameters: tuple[Data, ...]

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x03, self.invoke_id_and_priority))
        return head + _encode_methods(self.methods) + encode_values(self.parameters)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            methods=_read_methods(reader),
            parameters=read_values(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequestWithFirstPblock:
    """Begin to send long parameters: Action-Request-With-First-Pblock.

    ======  ======================  ========================================
    octets  field                   value
    ======  ======================  ========================================
    1       tag                     C3
    1       choice                  04
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    9       method                  class-id 2, instance-id 6, method-id 1
    n       block                   last-block, block-number 1, raw data
    ======  ======================  ========================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x04

    invoke_id_and_priority: int
    method: MethodDescriptor
    block: DataBlock

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x04, self.invoke_id_and_priority))
        return head + self.method.encode() + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            method=MethodDescriptor.read(reader),
            block=DataBlock.read(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequestWithListAndFirstPblock:
    """Begin to send a long list of parameters: Action-Request-With-List-And-First-Pblock.

    ======  ======================  ======================================
    octets  field                   value
    ======  ======================  ======================================
    1       tag                     C3
    1       choice                  05
    1       invoke_id_and_priority  bit 7 priority, 6 confirmed, 3..0 id
    n       methods                 count, then a descriptor for each
    n       block                   last-block, block-number 1, raw data
    ======  ======================  ======================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x05

    invoke_id_and_priority: int
    methods: tuple[MethodDescriptor, ...]
    block: DataBlock

    def encode(self) -> bytes:
        head = bytes((_REQUEST, 0x05, self.invoke_id_and_priority))
        return head + _encode_methods(self.methods) + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            methods=_read_methods(reader),
            block=DataBlock.read(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequestWithPblock:
    """Go on with long parameters: Action-Request-With-Pblock.

    ======  ======================  ===================================
    octets  field                   value
    ======  ======================  ===================================
    1       tag                     C3
    1       choice                  06
    1       invoke_id_and_priority  as in the first block
    n       block                   last-block, block-number, raw data
    ======  ======================  ===================================
    """

    TAG: ClassVar = _REQUEST
    CHOICE: ClassVar = 0x06

    invoke_id_and_priority: int
    block: DataBlock

    def encode(self) -> bytes:
        return bytes((_REQUEST, 0x06, self.invoke_id_and_priority)) + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _request(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), block=DataBlock.read(reader)
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """How one method ended: Action-Response-With-Optional-Data.

    ======  ==================  ==================================================
    octets  field               value
    ======  ==================  ==================================================
    1       result              action-result
    1 + n   return_parameters   00 none; 01 00 and Data; 01 01 data-access-result
    ======  ==================  ==================================================
    """

    result: ActionResult
    return_parameters: ReturnParameters = ABSENT

    def encode(self) -> bytes:
        if isinstance(self.return_parameters, Absent):
            return bytes((self.result, 0x00))
        if isinstance(self.return_parameters, DataAccessResult):
            return bytes((self.result, 0x01, 0x01, self.return_parameters))
        return bytes((self.result, 0x01, 0x00)) + data.encode(self.return_parameters)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one outcome off the front of `reader`."""
        result = ActionResult(reader.unsigned(1, "action-result"))
        parameters: ReturnParameters = ABSENT
        if reader.present("presence of return parameters"):
            if reader.present("return parameters choice"):
                parameters = DataAccessResult(reader.unsigned(1, "data-access-result"))
            else:
                parameters = data.read(reader)
        return cls(result=result, return_parameters=parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResponseNormal:
    """How one method ended, and what it gave back: Action-Response-Normal.

    ======  ======================  =================================
    octets  field                   value
    ======  ======================  =================================
    1       tag                     C7
    1       choice                  01
    1       invoke_id_and_priority  as in the request
    2 + n   outcome                 action-result, return parameters
    ======  ======================  =================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x01

    invoke_id_and_priority: int
    outcome: ActionOutcome

    @property
    def result(self) -> ActionResult:
        """The action-result of the outcome."""
        return self.outcome.result

    @property
    def return_parameters(self) -> ReturnParameters:
        """The return parameters of the outcome."""
        return self.outcome.return_parameters

    def encode(self) -> bytes:
        return bytes((_RESPONSE, 0x01, self.invoke_id_and_priority)) + self.outcome.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader),
            outcome=ActionOutcome.read(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResponseWithPblock:
    """One block of a long answer: Action-Response-With-Pblock.

    ======  ======================  ===================================
    octets  field                   value
    ======  ======================  ===================================
    1       tag                     C7
    1       choice                  02
    1       invoke_id_and_priority  as in the request
    n       block                   last-block, block-number, raw data
    ======  ======================  ===================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x02

    invoke_id_and_priority: int
    block: DataBlock

    def encode(self) -> bytes:
        return bytes((_RESPONSE, 0x02, self.invoke_id_and_priority)) + self.block.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        apdu = cls(
            invoke_id_and_priority=InvokeIdAndPriority.read(reader), block=DataBlock.read(reader)
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResponseWithList:
    """How each method of a list ended: Action-Response-With-List.

    ======  ======================  ==========================================
    octets  field                   value
    ======  ======================  ==========================================
    1       tag                     C7
    1       choice                  03
    1       invoke_id_and_priority  as in the request
    n       outcomes                count, then result and parameters of each
    ======  ======================  ==========================================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x03

    invoke_id_and_priority: int
    outcomes: tuple[ActionOutcome, ...]

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x03, self.invoke_id_and_priority))
        rows = b"".join(outcome.encode() for outcome in self.outcomes)
        return head + encode_length(len(self.outcomes)) + rows

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = _response(octets, cls.CHOICE)
        invoke_id = InvokeIdAndPriority.read(reader)
        count = reader.count("outcomes", least_octets=2)
        outcomes = tuple(ActionOutcome.read(reader) for _ in range(count))
        reader.end()
        return cls(invoke_id_and_priority=invoke_id, outcomes=outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResponseNextPblock:
    """A block of parameters that is not the last was taken: Action-Response-Next-Pblock.

    ======  ======================  =====================
    octets  field                   value
    ======  ======================  =====================
    1       tag                     C7
    1       choice                  04
    1       invoke_id_and_priority  as in the request
    4       block_number            of the block taken
    ======  ======================  =====================
    """

    TAG: ClassVar = _RESPONSE
    CHOICE: ClassVar = 0x04

    invoke_id_and_priority: int
    block_number: int

    def encode(self) -> bytes:
        head = bytes((_RESPONSE, 0x04, self.invoke_id_and_priority))
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


ActionRequest: TypeAlias = (
    ActionRequestNormal
    | ActionRequestNextPblock
    | ActionRequestWithList
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
    | ActionRequestWithPblock
)
ActionResponse: TypeAlias = (
    ActionResponseNormal
    | ActionResponseWithPblock
    | ActionResponseWithList
    | ActionResponseNextPblock
)


def _request(octets: bytes, choice: int) -> Reader:
    return Reader(octets).expect(_REQUEST, "APDU tag").expect(choice, "Action-Request choice")


def _response(octets: bytes, choice: int) -> Reader:
    return Reader(octets).expect(_RESPONSE, "APDU tag").expect(choice, "Action-Response choice")


def _encode_methods(methods: tuple[MethodDescriptor, ...]) -> bytes:
    return encode_length(len(methods)) + b"".join(method.encode() for method in methods)


def _read_methods(reader: Reader) -> tuple[MethodDescriptor, ...]:
    count = reader.count("methods", least_octets=9)
    return tuple(MethodDescriptor.read(reader) for _ in range(count))
