# SPDX-License-Identifier: Apache-2.0
"""The services that a client asks for: GET, SET and ACTION, whole or in blocks.

DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.8.  Each service is a generator after the contract of
`client_association`: it yields APDUs to send and is sent those that came back.  A row of an
interface class says what travels and what comes back: ``get(Register.value, at=energy)`` returns
an `int`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from openami.cosem.access_control import CURRENT_ASSOCIATION, AssociationLn, ObjectListElement
from openami.cosem.client_association import (
    ClientAssociation,
    ClientParameters,
    Entropy,
    Steps,
)
from openami.cosem.client_short_names import Report, ShortNameServices
from openami.cosem.kinds import KindError
from openami.cosem.measurement import ProfileGeneric
from openami.cosem.model import Attribute, Method
from openami.cosem.refusals import AccessError, UnexpectedAnswerError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.action import (
    ActionOutcome,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithPblock,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    Absent,
    AttributeDescriptor,
    AttributeSelection,
    DataBlock,
    InvokeIdAndPriority,
    MethodDescriptor,
    SelectiveAccess,
    encode_access,
)
from openami.dlms.apdu.get import (
    GetDataResult,
    GetRequestNext,
    GetRequestWithList,
    GetResponseWithDatablock,
    GetResponseWithList,
    decode_results,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.apdu.set import (
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseNormal,
)
from openami.dlms.association import Primitive
from openami.dlms.data import Data, OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import LocalProtocolError
from openami.dlms.obis import Obis
from openami.dlms.security.counters import CounterBlock, ReceiveWindow

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

Selection: TypeAlias = ByRange | ByEntry | SelectiveAccess
"""Which part of an attribute."""

Row: TypeAlias = Attribute[Any] | Method[Any, Any]

__all__ = ["Client", "ClientParameters", "Selection", "Steps", "name_of"]

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
LONGEST_VALUE_OCTETS: Final = 64 * 2**20
"""A meter that sends more than this in blocks is stopped."""

FIRST_BLOCK_OCTETS: Final = 32
"""What a first block holds beside its raw data: descriptor, block head, longest length."""

_IDS: Final = tuple(InvokeIdAndPriority.of(number) for number in range(16))
_GET_HEADS: Final = tuple(bytes((0xC0, 0x01, octet)) for octet in _IDS)
_VALUE_HEADS: Final = tuple(bytes((0xC4, 0x01, octet, 0x00)) for octet in _IDS)


def name_of(class_id: int, at: Obis, index: int, kind: str = "attribute") -> str:
    """Return the words for a row of an object that no class declares."""
    return f"{kind} {index} of {at} (class {class_id})"


def _row_name(row: Row, at: Obis) -> str:
    kind = "attribute" if isinstance(row, Attribute) else "method"
    owner = row.owner
    return f"{owner.__name__}.{row.name} of {at} (class {owner.class_id}, {kind} {row.index})"


class ListedObject(NamedTuple):
    """One object that a client can see."""

    class_id: int
    version: int
    logical_name: Obis


class Client(ClientAssociation):
    """A client's association with its services.

    They travel by logical name, or by short name where the parameters say so; the same calls do
    the same either way.
    """

    _invoke_id = 0

    def __init__(
        self,
        parameters: ClientParameters,
        *,
        entropy: Entropy,
        counters: CounterBlock | None = None,
        window: ReceiveWindow | None = None,
    ) -> None:
        """Prepare a client; see `ClientAssociation`."""
        super().__init__(parameters, entropy=entropy, counters=counters, window=window)
        names = parameters.short_names
        self._short = None if names is None else ShortNameServices(self, names)

    def get(
        self, attribute: Attribute[T], *, at: Obis, selection: Selection | None = None
    ) -> Steps[T]:
        """Read one attribute, as the value its class declares.

        Raises:
            AccessError: The meter refuses.
            UnexpectedAnswerError: The value has another type than declared.
        """
        octets = yield from self.get_raw(
            attribute.owner.class_id, at, attribute.index, selection=selection
        )
        value = axdr_data.decode(octets)
        try:
            return attribute.kind.from_data(value)
        except KindError as error:
            raise UnexpectedAnswerError(f"read {_row_name(attribute, at)}", str(error)) from None

    def get_data(
        self, class_id: int, at: Obis, index: int, *, selection: Selection | None = None
    ) -> Steps[Data]:
        """Read one attribute of any class, as COSEM data."""
        octets = yield from self.get_raw(class_id, at, index, selection=selection)
        return axdr_data.decode(octets)

    def get_raw(
        self, class_id: int, at: Obis, index: int, *, selection: Selection | None = None
    ) -> Steps[bytes]:
        """Read one attribute, as the octets of its encoded data; all blocks are joined."""
        if (short := self._short) is not None:
            part = None if selection is None else _selective(selection)
            what = name_of(class_id, at, index)
            return (yield from short.read((class_id, at, index), part, what))
        number = self._next_id()
        descriptor = class_id.to_bytes(2) + bytes(at) + bytes((index & 0xFF,))
        access = b"\x00" if selection is None else encode_access(_selective(selection))
        answer = yield from self.exchange(
            _GET_HEADS[number] + descriptor + access, "a read request"
        )
        head = answer[:4]
        if head == _VALUE_HEADS[number]:
            return answer[4:]
        what = name_of(class_id, at, index)
        # There are meters whose refusals do not repeat the invoke-id.
        if len(answer) == 5 and answer[:2] == b"\xc4\x01" and answer[3] == 1:
            raise AccessError("read", what, DataAccessResult(answer[4]))
        return (yield from self._blocks(answer, number, what))

    def get_list(self, rows: Sequence[tuple[Attribute[Any], Obis]]) -> Steps[list[GetDataResult]]:
        """Read several attributes: for each its data, or why there is none.

        As many as fit go into one request; a meter without multiple references is asked for one
        at a time.
        """
        if (short := self._short) is not None:
            return (
                yield from short.read_list(
                    [(attribute.owner.class_id, at, attribute.index) for attribute, at in rows]
                )
            )
        found: list[GetDataResult] = []
        fit = (self.room_octets - 6) // 10
        if not self.context.conformance & Conformance.MULTIPLE_REFERENCES or fit < 2:
            for attribute, at in rows:
                found.append((yield from self._get_or_reason(attribute, at)))
            return found
        for start in range(0, len(rows), fit):
            part = rows[start : start + fit]
            results = yield from self._list(part)
            if len(results) != len(part):
                problem = f"{len(results)} results for {len(part)} attributes"
                raise UnexpectedAnswerError("a list of attributes", problem)
            found.extend(results)
        return found

    def set(self, attribute: Attribute[T], value: T, *, at: Obis) -> Steps[None]:
        """Write one attribute; in blocks if the value is too long for one request."""
        place = attribute.owner.class_id, at, attribute.index
        yield from self.set_data(*place, attribute.kind.to_data(value), _row_name(attribute, at))

    def set_data(
        self, class_id: int, at: Obis, index: int, data: Data, what: str = ""
    ) -> Steps[None]:
        """Write one attribute of any class, as COSEM data; `what` names it in a refusal."""
        what = what or name_of(class_id, at, index)
        if (short := self._short) is not None:
            return (yield from short.write((class_id, at, index), data, what))
        number = self._next_id()
        descriptor = AttributeDescriptor(class_id=class_id, instance_id=at, attribute_id=index)
        request = SetRequestNormal(
            invoke_id_and_priority=_IDS[number], attribute=descriptor, value=data
        ).encode()
        if len(request) <= self.room_octets:
            answer = yield from self.exchange(request, "a write request")
            result = SetResponseNormal.decode(answer).result
        else:
            result = yield from self._set_in_blocks(descriptor, axdr_data.encode(data), number)
        if result != DataAccessResult.SUCCESS:
            raise AccessError("write", what, result)
        return None

    def act(self, method: Method[A, R], argument: A, *, at: Obis) -> Steps[R]:
        """Invoke a method and return what its class declares.

        Raises:
            AccessError: The meter refuses, or the method failed.
            UnexpectedAnswerError: What it gave back has another type than declared.
        """
        name, data = _row_name(method, at), method.argument.to_data(argument)
        given = yield from self.act_data(method.owner.class_id, at, method.index, data, name)
        try:
            return method.result.from_data(given)
        except KindError as error:
            raise UnexpectedAnswerError(f"invoke {name}", str(error)) from None

    def act_data(
        self, class_id: int, at: Obis, index: int, argument: Data, what: str = ""
    ) -> Steps[Data]:
        """Invoke a method of any class and return its data; `what` names it in a refusal."""
        name = what or name_of(class_id, at, index, "method")
        if (short := self._short) is not None:
            return (yield from short.invoke((class_id, at, index), argument, name))
        descriptor = MethodDescriptor(class_id=class_id, instance_id=at, method_id=index)
        outcome = yield from self._invoke(descriptor, argument)
        if outcome.result != ActionResult.SUCCESS:
            raise AccessError("invoke", name, outcome.result)
        given = outcome.return_parameters
        if isinstance(given, DataAccessResult):
            raise AccessError("return from", name, given)
        return None if isinstance(given, Absent) else given

    def objects(self) -> Steps[tuple[ListedObject, ...]]:
        """Read which objects this client can see."""
        if (short := self._short) is not None:
            listed = yield from short.objects()
            return tuple(ListedObject(*each[1:]) for each in listed)
        elements = yield from self.object_list()
        return tuple(ListedObject(*each[:3]) for each in elements)

    def object_list(self) -> Steps[tuple[ObjectListElement, ...]]:
        """Read the same with what this client may do with each."""
        if (short := self._short) is not None:
            return (yield from short.object_list())
        return (yield from self.get(AssociationLn.object_list, at=CURRENT_ASSOCIATION))

    def profile(
        self, at: Obis, start: datetime, end: datetime, *, clock: Obis = CLOCK
    ) -> Steps[bytes]:
        """Read the rows of a profile from `start` to `end`, both included, as encoded array.

        `dlms.columns` makes columns of the octets.
        """
        selection = ByRange(
            restricting_object=CaptureObject(class_id=8, instance_id=clock, attribute_id=2),
            from_value=OctetString(CosemDateTime.from_utc(start).encode()),
            to_value=OctetString(CosemDateTime.from_utc(end).encode()),
        )
        return (
            yield from self.get_raw(
                ProfileGeneric.class_id, at, ProfileGeneric.buffer.index, selection=selection
            )
        )

    def reported(self, octets: bytes) -> Report:
        """Read an InformationReport that the meter sent by itself, protected as agreed.

        Raises:
            LocalProtocolError: This client does not refer by short name.
            DecodeError: It is no InformationReport.
            SecurityError: It is not protected as agreed.
        """
        if self._short is None:
            raise LocalProtocolError(Primitive.NOTIFICATION.name, "referring by logical name")
        self._machine.received(Primitive.NOTIFICATION)
        if self.channel is not None:
            octets, _ = self.channel.unprotect(octets)
        return self._short.reported(octets)

    def _next_id(self) -> int:
        self._invoke_id = (self._invoke_id + 1) & 0x0F
        return self._invoke_id

    def _get_or_reason(self, attribute: Attribute[Any], at: Obis) -> Steps[GetDataResult]:
        try:
            return (yield from self.get_data(attribute.owner.class_id, at, attribute.index))
        except AccessError as refused:
            return DataAccessResult(refused.result)

    def _list(
        self, rows: Sequence[tuple[Attribute[Any], Obis]]
    ) -> Steps[tuple[GetDataResult, ...]]:
        number = self._next_id()
        request = GetRequestWithList(
            invoke_id_and_priority=_IDS[number],
            attributes=tuple(
                AttributeSelection(
                    attribute=AttributeDescriptor(
                        class_id=row.owner.class_id, instance_id=at, attribute_id=row.index
                    )
                )
                for row, at in rows
            ),
        )
        answer = yield from self.exchange(request.encode(), "a list of attributes")
        if answer[:3] == bytes((0xC4, GetResponseWithList.CHOICE, _IDS[number])):
            return GetResponseWithList.decode(answer).results
        return decode_results((yield from self._blocks(answer, number, "a list of attributes")))

    def _blocks(self, answer: bytes, number: int, what: str) -> Steps[bytes]:
        """Collect the blocks of a long answer, of which `answer` is the first."""
        parts: list[bytes] = []
        length = 0
        for expected in range(1, 2**32):
            if answer[:3] != bytes((0xC4, GetResponseWithDatablock.CHOICE, _IDS[number])):
                problem = f"{answer[:4].hex(' ').upper() or 'nothing'} is no response to it"
                raise UnexpectedAnswerError(f"read {what}", problem)
            block = GetResponseWithDatablock.decode(answer)
            if isinstance(block.result, DataAccessResult):
                raise AccessError("read", what, block.result)
            if block.block_number != expected:
                problem = f"block {block.block_number} came where {expected} was due"
                raise UnexpectedAnswerError(f"read {what}", problem)
            parts.append(block.result)
            length += len(block.result)
            if block.last_block:
                break
            if length > LONGEST_VALUE_OCTETS:
                problem = f"it goes on behind {LONGEST_VALUE_OCTETS} octets"
                raise UnexpectedAnswerError(f"read {what}", problem)
            request = GetRequestNext(invoke_id_and_priority=_IDS[number], block_number=expected)
            answer = yield from self.exchange(request.encode(), "the next block")
        return b"".join(parts)

    def _set_in_blocks(
        self, descriptor: AttributeDescriptor, octets: bytes, number: int
    ) -> Steps[DataAccessResult]:
        answer = b""
        for block in _cut(octets, self.room_octets - FIRST_BLOCK_OCTETS):
            request: SetRequestWithFirstDatablock | SetRequestWithDatablock
            if block.block_number == 1:
                request = SetRequestWithFirstDatablock(
                    invoke_id_and_priority=_IDS[number], attribute=descriptor, block=block
                )
            else:
                request = SetRequestWithDatablock(invoke_id_and_priority=_IDS[number], block=block)
            answer = yield from self.exchange(request.encode(), "a write request")
            if answer[1:2] == bytes((SetResponseNormal.CHOICE,)):
                return SetResponseNormal.decode(answer).result
            if answer[1:2] == bytes((SetResponseLastDatablock.CHOICE,)):
                return SetResponseLastDatablock.decode(answer).result
            SetResponseDatablock.decode(answer)
        raise UnexpectedAnswerError(
            "a write request", "the last block was not answered with a result"
        )

    def _invoke(self, descriptor: MethodDescriptor, argument: Data) -> Steps[ActionOutcome]:
        number = self._next_id()
        request = ActionRequestNormal(
            invoke_id_and_priority=_IDS[number], method=descriptor, parameters=argument
        ).encode()
        if len(request) <= self.room_octets:
            answer = yield from self.exchange(request, "a method")
        else:
            octets = axdr_data.encode(argument)
            answer = yield from self._act_in_blocks(descriptor, octets, number)
        if answer[1:2] == bytes((ActionResponseWithPblock.CHOICE,)):
            return (yield from self._outcome_in_blocks(answer, number))
        return ActionResponseNormal.decode(answer).outcome

    def _act_in_blocks(
        self, descriptor: MethodDescriptor, octets: bytes, number: int
    ) -> Steps[bytes]:
        answer = b""
        for block in _cut(octets, self.room_octets - FIRST_BLOCK_OCTETS):
            request: ActionRequestWithFirstPblock | ActionRequestWithPblock
            if block.block_number == 1:
                request = ActionRequestWithFirstPblock(
                    invoke_id_and_priority=_IDS[number], method=descriptor, block=block
                )
            else:
                request = ActionRequestWithPblock(invoke_id_and_priority=_IDS[number], block=block)
            answer = yield from self.exchange(request.encode(), "a method")
            if block.last_block or answer[1:2] != bytes((ActionResponseNextPblock.CHOICE,)):
                break
        return answer

    def _outcome_in_blocks(self, answer: bytes, number: int) -> Steps[ActionOutcome]:
        raw = b""
        while True:
            block = ActionResponseWithPblock.decode(answer).block
            raw += block.raw_data
            if block.last_block:
                break
            request = ActionRequestNextPblock(
                invoke_id_and_priority=_IDS[number], block_number=block.block_number
            )
            answer = yield from self.exchange(request.encode(), "the next block of a method")
            if answer[1:2] == bytes((ActionResponseNormal.CHOICE,)):
                return ActionResponseNormal.decode(answer).outcome
        # Some meters put result and presence octets in front of the returned data.
        octets = raw[3:] if raw.startswith(b"\x00\x01\x00") and len(raw) > 3 else raw
        return ActionOutcome(
            result=ActionResult.SUCCESS, return_parameters=axdr_data.decode(octets)
        )


def _selective(selection: Selection) -> SelectiveAccess:
    return selection if isinstance(selection, SelectiveAccess) else selection.access()


def _cut(octets: bytes, size: int) -> list[DataBlock]:
    """Return the blocks of a long value."""
    starts = range(0, len(octets), max(size, 1))
    return [
        DataBlock(
            last_block=start + max(size, 1) >= len(octets),
            block_number=number,
            raw_data=octets[start : start + max(size, 1)],
        )
        for number, start in enumerate(starts, start=1)
    ]
