# SPDX-License-Identifier: Apache-2.0
"""Values to write and parameters of methods, whole or in blocks, and long answers.

DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.8.  Each function is a conversation of `asking.association`.
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.asking.association import LONGEST_VALUE_OCTETS, ClientAssociation, Steps
from openami.cosem.refusals import AccessError, TooLongError, UnexpectedAnswerError
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
from openami.dlms.apdu.fields import AttributeDescriptor, DataBlock, MethodDescriptor
from openami.dlms.apdu.get import GetRequestNext, GetResponseWithDatablock
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.apdu.set import (
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseNormal,
)
from openami.dlms.data import Data

IDS: Final = tuple(InvokeIdAndPriority.of(number) for number in range(16))
UNCONFIRMED_IDS: Final = tuple(
    InvokeIdAndPriority.of(number, confirmed=False) for number in range(16)
)

LENGTH_OCTETS: Final = 4
"""Of the raw data in a block, at most; that of an empty block is one octet long."""

MOST_EMPTY_BLOCKS: Final = 16
"""A meter that goes on sending blocks with nothing in them is stopped."""

FirstBlock = Callable[[DataBlock], bytes]
"""Returns the request that carries the first block."""


def blocks_of_get(client: ClientAssociation, answer: bytes, number: int, what: str) -> Steps[bytes]:
    """Collect the blocks of a long get-response, of which `answer` is the first."""
    parts: list[bytes] = []
    length = 0
    for expected in range(1, 2**32):
        if answer[:3] != bytes((0xC4, GetResponseWithDatablock.CHOICE, IDS[number])):
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
        _check_length(length, expected, f"read {what}")
        request = GetRequestNext(invoke_id_and_priority=IDS[number], block_number=expected)
        answer = yield from client.exchange(request.encode(), "the next block")
    return b"".join(parts)


def set_in_blocks(
    client: ClientAssociation, first: FirstBlock, octets: bytes, number: int
) -> Steps[bytes]:
    """Send a long value, or list of values, in blocks; return the answer that ends it."""
    for block in _cut(client, first, octets, "a write request"):
        request = (
            first(block)
            if block.block_number == 1
            else SetRequestWithDatablock(invoke_id_and_priority=IDS[number], block=block).encode()
        )
        answer = yield from client.exchange(request, "a write request")
        if answer[1:2] != bytes((SetResponseDatablock.CHOICE,)):
            return answer
        _check_taken(SetResponseDatablock.decode(answer), block, number, "a write request")
    raise UnexpectedAnswerError("a write request", "the last block was not answered with a result")


def act_in_blocks(
    client: ClientAssociation, first: FirstBlock, octets: bytes, number: int
) -> Steps[bytes]:
    """Send long parameters in blocks; return the answer to the last, or what ended it before."""
    for block in _cut(client, first, octets, "a method"):
        request = (
            first(block)
            if block.block_number == 1
            else ActionRequestWithPblock(invoke_id_and_priority=IDS[number], block=block).encode()
        )
        answer = yield from client.exchange(request, "a method")
        if answer[1:2] != bytes((ActionResponseNextPblock.CHOICE,)):
            return answer
        _check_taken(ActionResponseNextPblock.decode(answer), block, number, "a method")
    raise UnexpectedAnswerError("a method", "the last block was not answered with a result")


def blocks_of_action(
    client: ClientAssociation, answer: bytes, number: int
) -> Steps[bytes | ActionResult]:
    """Collect the blocks of a long action-response; a result is what ended it before its end."""
    raw = b""
    for expected in range(1, 2**32):
        block = ActionResponseWithPblock.decode(answer).block
        if block.block_number != expected:
            problem = f"block {block.block_number} came where {expected} was due"
            raise UnexpectedAnswerError("a method", problem)
        raw += block.raw_data
        if block.last_block:
            break
        _check_length(len(raw), expected, "a method")
        request = ActionRequestNextPblock(invoke_id_and_priority=IDS[number], block_number=expected)
        answer = yield from client.exchange(request.encode(), "the next block of a method")
        if answer[1:2] == bytes((ActionResponseNormal.CHOICE,)):
            return ActionResponseNormal.decode(answer).result
    return raw


def write(
    client: ClientAssociation, attribute: AttributeDescriptor, value: Data, number: int
) -> Steps[DataAccessResult]:
    """Write one attribute, whole or in blocks; `number` is the invoke-id."""
    request = _to_write(attribute, value, IDS[number])
    if fits(client, request, Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE):
        return set_result((yield from client.exchange(request, "a write request")), number)

    def first(block: DataBlock) -> bytes:
        return SetRequestWithFirstDatablock(
            invoke_id_and_priority=IDS[number], attribute=attribute, block=block
        ).encode()

    answer = yield from set_in_blocks(client, first, axdr_data.encode(value), number)
    return set_result(answer, number)


def set_result(answer: bytes, number: int) -> DataAccessResult:
    """Return the one result of a set-response, in one piece or to the last block."""
    if answer[1:2] == bytes((SetResponseLastDatablock.CHOICE,)):
        result = SetResponseLastDatablock.decode(answer).result
    else:
        result = SetResponseNormal.decode(answer).result
    if result == DataAccessResult.SUCCESS:
        check_invoke_id(answer, number, "a write request")
    return result


def check_invoke_id(answer: bytes, number: int, request: str) -> None:
    """Refuse what tells of the success of another request, such as a datagram that came twice.

    There are meters whose refusals do not repeat the invoke-id: those are not asked for it.
    """
    if len(answer) > 2 and answer[2] & 0x0F != number:
        problem = f"it answers the request with invoke-id {answer[2] & 0x0F}, not {number}"
        raise UnexpectedAnswerError(request, problem)


def _check_taken(
    answer: SetResponseDatablock | ActionResponseNextPblock,
    block: DataBlock,
    number: int,
    request: str,
) -> None:
    """Refuse what acknowledges another block than that which was sent last."""
    if answer.block_number != block.block_number:
        problem = f"block {answer.block_number} is acknowledged, not {block.block_number}"
        raise UnexpectedAnswerError(request, problem)
    check_invoke_id(answer.encode(), number, request)


def tell_to_write(
    client: ClientAssociation, attribute: AttributeDescriptor, value: Data, number: int
) -> Steps[None]:
    """Write one attribute without an answer."""
    request = _to_write(attribute, value, UNCONFIRMED_IDS[number])
    return client.tell(request, "a write request")


def _to_write(attribute: AttributeDescriptor, value: Data, invoke_id: InvokeIdAndPriority) -> bytes:
    return SetRequestNormal(
        invoke_id_and_priority=invoke_id, attribute=attribute, value=value
    ).encode()


def invoke(
    client: ClientAssociation, method: MethodDescriptor, argument: Data, number: int
) -> Steps[ActionOutcome]:
    """Invoke one method, whole or in blocks; `number` is the invoke-id."""
    request = _to_invoke(method, argument, IDS[number])
    if fits(client, request, Conformance.BLOCK_TRANSFER_WITH_ACTION):
        answer = yield from client.exchange(request, "a method")
    else:

        def first(block: DataBlock) -> bytes:
            return ActionRequestWithFirstPblock(
                invoke_id_and_priority=IDS[number], method=method, block=block
            ).encode()

        answer = yield from act_in_blocks(client, first, axdr_data.encode(argument), number)
    if answer[1:2] != bytes((ActionResponseWithPblock.CHOICE,)):
        outcome = ActionResponseNormal.decode(answer).outcome
        if outcome.result == ActionResult.SUCCESS:
            check_invoke_id(answer, number, "a method")
        return outcome
    check_invoke_id(answer, number, "a method")
    raw = yield from blocks_of_action(client, answer, number)
    if isinstance(raw, ActionResult):
        return ActionOutcome(result=raw)
    # Some meters put result and presence octets in front of the returned data.
    octets = raw[3:] if raw.startswith(b"\x00\x01\x00") and len(raw) > 3 else raw
    return ActionOutcome(result=ActionResult.SUCCESS, return_parameters=axdr_data.decode(octets))


def tell_to_invoke(
    client: ClientAssociation, method: MethodDescriptor, argument: Data, number: int
) -> Steps[None]:
    """Invoke one method without an answer."""
    return client.tell(_to_invoke(method, argument, UNCONFIRMED_IDS[number]), "a method")


def _to_invoke(method: MethodDescriptor, argument: Data, invoke_id: InvokeIdAndPriority) -> bytes:
    return ActionRequestNormal(
        invoke_id_and_priority=invoke_id, method=method, parameters=argument
    ).encode()


def fits(client: ClientAssociation, request: bytes, blocks: Conformance) -> bool:
    """Tell whether a request goes in one piece, or can go no other way."""
    return len(request) <= client.room_octets or not client.context.conformance & blocks


def _check_length(length: int, blocks: int, request: str) -> None:
    if blocks > length + MOST_EMPTY_BLOCKS:
        problem = f"{length} octets came in {blocks} blocks, and there is no end to them"
        raise UnexpectedAnswerError(request, problem)
    if length > LONGEST_VALUE_OCTETS:
        problem = f"it goes on behind {LONGEST_VALUE_OCTETS} octets"
        raise UnexpectedAnswerError(request, problem)


def _cut(
    client: ClientAssociation, first: FirstBlock, octets: bytes, request: str
) -> list[DataBlock]:
    """Return the blocks of a long value; all are as long as the first can be."""
    empty = first(DataBlock(last_block=False, block_number=1, raw_data=b""))
    room = client.pdu_room_octets
    size = room - len(empty) - LENGTH_OCTETS + 1
    if size < 1:  # the descriptors of a list must all stand in the first block
        raise TooLongError(request, len(empty), room)
    starts = range(0, len(octets), size)
    return [
        DataBlock(
            last_block=start + size >= len(octets),
            block_number=number,
            raw_data=octets[start : start + size],
        )
        for number, start in enumerate(starts, start=1)
    ]
