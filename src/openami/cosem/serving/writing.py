# SPDX-License-Identifier: Apache-2.0
"""The answers to SET and ACTION, in one piece or in blocks.

DLMS UA 1000-2 Ed. 10, 9.3.7 and 9.3.8.  Blocks are collected, never longer than
`LONGEST_VALUE_OCTETS`, and what they hold is written or invoked when the last has come.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from openami.cosem.serving import items
from openami.cosem.serving.services import CLAUSE, Blocks, ServiceContext
from openami.dlms import data as axdr_data
from openami.dlms.apdu.action import (
    ActionOutcome,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    Absent,
    AttributeSelection,
    DataBlock,
    MethodDescriptor,
    read_values,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.set import (
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
)
from openami.dlms.axdr import Reader
from openami.dlms.data import Data
from openami.dlms.errors import DecodeError

LONGEST_VALUE_OCTETS: Final = 65_536
"""How much a client may send in blocks."""

T = TypeVar("T")


@dataclass(slots=True)
class Incoming(Generic[T]):
    """A long value on its way in: for whom, what has come, which block is next."""

    targets: Sequence[T]
    is_list: bool
    octets: bytearray = field(default_factory=bytearray)
    expected_block: int = 1

    def take(self, block: DataBlock) -> bool:
        """Append a block; return False if it is not the one expected, or too much."""
        if block.block_number != self.expected_block:
            return False
        self.octets += block.raw_data
        self.expected_block += 1
        return len(self.octets) <= LONGEST_VALUE_OCTETS

    def values(self) -> Sequence[Data]:
        """Return the values that all blocks hold, one for each target."""
        reader = Reader(bytes(self.octets))
        found = read_values(reader) if self.is_list else (axdr_data.read(reader),)
        reader.end()
        if len(found) != len(self.targets):
            problem = f"{len(found)} values for {len(self.targets)} descriptors"
            raise DecodeError(problem, bytes(self.octets), 0, CLAUSE)
        return found


class SetService:
    """Answers set-requests; remembers the long value that is coming in."""

    __slots__ = ("_context", "_incoming")

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._incoming: Incoming[AttributeSelection] | None = None

    def answer(self, apdu: bytes) -> bytes:
        """Return the set-response to a set-request; raises as `GetService.answer`."""
        self._context.require(Conformance.SET)
        choice = apdu[1] if len(apdu) > 1 else -1
        handler = _SET_CHOICES.get(choice)
        if handler is None:
            raise DecodeError(f"Set-Request choice {choice} is not 1 to 5", apdu, 1, CLAUSE)
        return handler(self, apdu)

    def _normal(self, apdu: bytes) -> bytes:
        request = SetRequestNormal.decode(apdu)
        row = AttributeSelection(attribute=request.attribute, access=request.access)
        return SetResponseNormal(
            invoke_id_and_priority=request.invoke_id_and_priority,
            result=self._write(row, request.value),
        ).encode()

    def _with_list(self, apdu: bytes) -> bytes:
        self._context.require(Conformance.MULTIPLE_REFERENCES)
        request = SetRequestWithList.decode(apdu)
        if len(request.values) != len(request.attributes):
            problem = f"{len(request.values)} values for {len(request.attributes)} attributes"
            raise DecodeError(problem, apdu, len(apdu), CLAUSE)
        pairs = zip(request.attributes, request.values, strict=True)
        return SetResponseWithList(
            invoke_id_and_priority=request.invoke_id_and_priority,
            results=tuple(self._write(row, value) for row, value in pairs),
        ).encode()

    def _first_block(self, apdu: bytes) -> bytes:
        request = SetRequestWithFirstDatablock.decode(apdu)
        row = AttributeSelection(attribute=request.attribute, access=request.access)
        return self._begin((row,), request.invoke_id_and_priority, request.block, is_list=False)

    def _first_block_of_list(self, apdu: bytes) -> bytes:
        self._context.require(Conformance.MULTIPLE_REFERENCES)
        request = SetRequestWithListAndFirstDatablock.decode(apdu)
        rows = request.attributes
        return self._begin(rows, request.invoke_id_and_priority, request.block, is_list=True)

    def _begin(
        self,
        rows: Sequence[AttributeSelection],
        invoke_id: int,
        block: DataBlock,
        *,
        is_list: bool,
    ) -> bytes:
        self._context.require(Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE)
        self._incoming = Incoming(rows, is_list)
        return self._take(invoke_id, block, self._incoming)

    def _block(self, apdu: bytes) -> bytes:
        request = SetRequestWithDatablock.decode(apdu)
        incoming = self._incoming
        if incoming is None:
            return SetResponseLastDatablock(
                invoke_id_and_priority=request.invoke_id_and_priority,
                result=DataAccessResult.NO_LONG_SET_IN_PROGRESS,
                block_number=request.block.block_number,
            ).encode()
        return self._take(request.invoke_id_and_priority, request.block, incoming)

    def _take(
        self, invoke_id: int, block: DataBlock, incoming: Incoming[AttributeSelection]
    ) -> bytes:
        if not incoming.take(block):
            self._incoming = None
            in_order = block.block_number == incoming.expected_block - 1
            refusal = (
                DataAccessResult.LONG_SET_ABORTED
                if in_order
                else DataAccessResult.DATA_BLOCK_NUMBER_INVALID
            )
            return SetResponseLastDatablock(
                invoke_id_and_priority=invoke_id, result=refusal, block_number=block.block_number
            ).encode()
        if not block.last_block:
            return SetResponseDatablock(
                invoke_id_and_priority=invoke_id, block_number=block.block_number
            ).encode()
        self._incoming = None
        values = incoming.values()
        results = tuple(map(self._write, incoming.targets, values))
        if incoming.is_list:
            return SetResponseLastDatablockWithList(
                invoke_id_and_priority=invoke_id, results=results, block_number=block.block_number
            ).encode()
        return SetResponseLastDatablock(
            invoke_id_and_priority=invoke_id, result=results[0], block_number=block.block_number
        ).encode()

    def _write(self, row: AttributeSelection, value: Data) -> DataAccessResult:
        return items.write(self._context, row.attribute, row.access, value)


class ActionService:
    """Answers action-requests; remembers what comes in and goes out in blocks."""

    __slots__ = ("_blocks", "_context", "_incoming")

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._incoming: Incoming[MethodDescriptor] | None = None
        self._blocks: Blocks | None = None

    def answer(self, apdu: bytes) -> bytes:
        """Return the action-response to an action-request; raises as `GetService.answer`."""
        self._context.require(Conformance.ACTION)
        choice = apdu[1] if len(apdu) > 1 else -1
        handler = _ACTION_CHOICES.get(choice)
        if handler is None:
            raise DecodeError(f"Action-Request choice {choice} is not 1 to 6", apdu, 1, CLAUSE)
        return handler(self, apdu)

    def _normal(self, apdu: bytes) -> bytes:
        request = ActionRequestNormal.decode(apdu)
        outcome = self._invoke(request.method, request.parameters)
        return self._deliver(request.invoke_id_and_priority, (outcome,), is_list=False)

    def _with_list(self, apdu: bytes) -> bytes:
        self._context.require(Conformance.MULTIPLE_REFERENCES)
        request = ActionRequestWithList.decode(apdu)
        if len(request.parameters) != len(request.methods):
            problem = f"{len(request.parameters)} parameters for {len(request.methods)} methods"
            raise DecodeError(problem, apdu, len(apdu), CLAUSE)
        outcomes = tuple(map(self._invoke, request.methods, request.parameters))
        return self._deliver(request.invoke_id_and_priority, outcomes, is_list=True)

    def _first_block(self, apdu: bytes) -> bytes:
        request = ActionRequestWithFirstPblock.decode(apdu)
        invoke_id = request.invoke_id_and_priority
        return self._begin((request.method,), invoke_id, request.block, is_list=False)

    def _first_block_of_list(self, apdu: bytes) -> bytes:
        self._context.require(Conformance.MULTIPLE_REFERENCES)
        request = ActionRequestWithListAndFirstPblock.decode(apdu)
        invoke_id = request.invoke_id_and_priority
        return self._begin(request.methods, invoke_id, request.block, is_list=True)

    def _begin(
        self,
        methods: Sequence[MethodDescriptor],
        invoke_id: int,
        block: DataBlock,
        *,
        is_list: bool,
    ) -> bytes:
        self._context.require(Conformance.BLOCK_TRANSFER_WITH_ACTION)
        self._incoming = Incoming(methods, is_list)
        return self._take(invoke_id, block, self._incoming)

    def _block(self, apdu: bytes) -> bytes:
        request = ActionRequestWithPblock.decode(apdu)
        if self._incoming is None:
            return _failed(request.invoke_id_and_priority, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
        return self._take(request.invoke_id_and_priority, request.block, self._incoming)

    def _take(
        self, invoke_id: int, block: DataBlock, incoming: Incoming[MethodDescriptor]
    ) -> bytes:
        if not incoming.take(block):
            self._incoming = None
            return _failed(invoke_id, ActionResult.LONG_ACTION_ABORTED)
        if not block.last_block:
            return ActionResponseNextPblock(
                invoke_id_and_priority=invoke_id, block_number=block.block_number
            ).encode()
        self._incoming = None
        outcomes = tuple(map(self._invoke, incoming.targets, incoming.values()))
        return self._deliver(invoke_id, outcomes, is_list=incoming.is_list)

    def _next(self, apdu: bytes) -> bytes:
        request = ActionRequestNextPblock.decode(apdu)
        invoke_id, blocks = request.invoke_id_and_priority, self._blocks
        if blocks is None:
            return _failed(invoke_id, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
        if request.block_number != blocks.number:
            self._blocks = None
            return _failed(invoke_id, ActionResult.LONG_ACTION_ABORTED)
        return self._send_block(invoke_id, blocks)

    def _invoke(self, method: MethodDescriptor, parameters: Data | Absent) -> ActionOutcome:
        return items.invoke(self._context, method, parameters)

    def _deliver(
        self, invoke_id: int, outcomes: tuple[ActionOutcome, ...], *, is_list: bool
    ) -> bytes:
        self._blocks = None
        if is_list:
            response = ActionResponseWithList(invoke_id_and_priority=invoke_id, outcomes=outcomes)
            octets, raw = response.encode(), response.encode()[3:]
        else:
            outcome = outcomes[0]
            single = ActionResponseNormal(invoke_id_and_priority=invoke_id, outcome=outcome)
            # The blocks of one method hold its return parameters alone.
            octets, raw = single.encode(), outcome.encode()[3:]
        if self._context.goes_whole(len(octets), Conformance.BLOCK_TRANSFER_WITH_ACTION):
            return octets
        if not self._context.conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION:
            return _failed(invoke_id, ActionResult.OTHER_REASON)
        self._blocks = Blocks(raw, self._context.exchange.response)
        return self._send_block(invoke_id, self._blocks)

    def _send_block(self, invoke_id: int, blocks: Blocks) -> bytes:
        self._context.exchange.response |= blocks.owed
        last, number, raw = blocks.next(self._context.room_octets, 4)
        if last:
            self._blocks = None
        block = DataBlock(last_block=last, block_number=int.from_bytes(number), raw_data=raw)
        return ActionResponseWithPblock(invoke_id_and_priority=invoke_id, block=block).encode()


def _failed(invoke_id: int, result: ActionResult) -> bytes:
    outcome = ActionOutcome(result=result)
    return ActionResponseNormal(invoke_id_and_priority=invoke_id, outcome=outcome).encode()


_SET_CHOICES: Final[dict[int, Callable[[SetService, bytes], bytes]]] = {
    SetRequestNormal.CHOICE: SetService._normal,  # noqa: SLF001  the service's own table
    SetRequestWithFirstDatablock.CHOICE: SetService._first_block,  # noqa: SLF001
    SetRequestWithDatablock.CHOICE: SetService._block,  # noqa: SLF001
    SetRequestWithList.CHOICE: SetService._with_list,  # noqa: SLF001
    SetRequestWithListAndFirstDatablock.CHOICE: SetService._first_block_of_list,  # noqa: SLF001
}
_ACTION_CHOICES: Final[dict[int, Callable[[ActionService, bytes], bytes]]] = {
    ActionRequestNormal.CHOICE: ActionService._normal,  # noqa: SLF001
    ActionRequestNextPblock.CHOICE: ActionService._next,  # noqa: SLF001
    ActionRequestWithList.CHOICE: ActionService._with_list,  # noqa: SLF001
    ActionRequestWithFirstPblock.CHOICE: ActionService._first_block,  # noqa: SLF001
    ActionRequestWithListAndFirstPblock.CHOICE: ActionService._first_block_of_list,  # noqa: SLF001
    ActionRequestWithPblock.CHOICE: ActionService._block,  # noqa: SLF001
}
