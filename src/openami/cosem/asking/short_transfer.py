# SPDX-License-Identifier: Apache-2.0
"""Variables read and written by short name, whole or in blocks, from the client's side.

DLMS UA 1000-2 Ed. 10, 9.3.14 to 9.3.16.  Each function is a conversation of `asking.association`.
"""

from collections.abc import Sequence
from typing import Final

from openami.cosem.asking.association import LONGEST_VALUE_OCTETS, ClientAssociation, Steps
from openami.cosem.asking.transfer import fits
from openami.cosem.refusals import AccessError, TooLongError, UnexpectedAnswerError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.get import GetDataResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.read import ReadBlock, ReadBlockTaken, ReadRequest, ReadResponse
from openami.dlms.apdu.variables import (
    BlockNumberAccess,
    ParameterizedAccess,
    ReadDataBlockAccess,
    VariableAccess,
    VariableName,
    WriteDataBlockAccess,
)
from openami.dlms.apdu.write import (
    UnconfirmedWriteRequest,
    WriteBlockTaken,
    WriteRequest,
    WriteResponse,
)
from openami.dlms.data import Data, OctetString

READ_BLOCK_OCTETS: Final = 9
"""What the block of a ReadRequest holds beside its raw data: 05 01 06, last, number, length."""
WRITE_BLOCK_OCTETS: Final = 11
"""The same of a WriteRequest: 06 01 07, last, number, 01, octet-string, length."""
LARGEST_BLOCK_NUMBER: Final = 0xFFFF

_READ_ONE: Final = bytes((ReadRequest.TAG, 0x01, VariableName.CHOICE))
_ONE_VALUE: Final = b"\x0c\x01\x00"
_ONE_ERROR: Final = b"\x0c\x01\x01"
_ONE_BLOCK: Final = b"\x0c\x01\x02"
_RESPONSE: Final = bytes((ReadResponse.TAG,))


def read_one(
    client: ClientAssociation, variable: VariableName | ParameterizedAccess, what: str
) -> Steps[bytes | DataAccessResult]:
    """Return the encoded value of one variable, or why there is none; all blocks are joined."""
    answer = yield from _ask(client, (variable,), what)
    return (yield from _result(client, answer, what))


def read_name(client: ClientAssociation, name: int, what: str) -> Steps[bytes | DataAccessResult]:
    """Do the same for a whole attribute, which is asked for most."""
    answer = yield from client.exchange(_READ_ONE + name.to_bytes(2), "a read request")
    if answer[:3] == _ONE_VALUE:
        return answer[3:]
    return (yield from _result(client, answer, what))


def _result(client: ClientAssociation, answer: bytes, what: str) -> Steps[bytes | DataAccessResult]:
    """Return what a response says of one variable."""
    head = answer[:3]
    if head == _ONE_VALUE:
        return answer[3:]
    if head == _ONE_ERROR and len(answer) == 4:
        return DataAccessResult(answer[3])
    if head != _ONE_BLOCK:
        raise _no_response(what, answer)
    raw = yield from _blocks(client, answer, what)
    # The blocks hold a list of one result; those of some meters hold the value alone.  A list
    # begins with 01 00, and so does no value but an empty array, which ends there.
    if raw[:2] == b"\x01\x00" and len(raw) > 2:
        return raw[2:]
    if raw[:2] == b"\x01\x01" and len(raw) == 3:
        return DataAccessResult(raw[2])
    return raw


def read_several(
    client: ClientAssociation, variables: Sequence[VariableAccess], what: str
) -> Steps[list[GetDataResult]]:
    """Read two variables or more: for each its data, or why there is none."""
    answer = yield from _ask(client, tuple(variables), what)
    if answer[:3] == _ONE_BLOCK:
        answer = _RESPONSE + (yield from _blocks(client, answer, what))
    if answer[:1] != _RESPONSE:
        raise _no_response(what, answer)
    results = ReadResponse.decode(answer).results
    found: list[GetDataResult] = [
        each for each in results if not isinstance(each, ReadBlock | ReadBlockTaken)
    ]
    if len(found) == 1 and isinstance(found[0], DataAccessResult):
        return found * len(variables)  # what ended the request holds for all of it
    _check_count(len(found), len(variables), what)
    return found


def write_several(
    client: ClientAssociation, names: Sequence[int], values: Sequence[Data], what: str
) -> Steps[list[DataAccessResult]]:
    """Write one variable or more: for each how it ended.  A value for a method is its argument."""
    variables = tuple(VariableName(name=name) for name in names)
    octets = WriteRequest(variables=variables, values=tuple(values)).encode()
    if fits(client, octets, Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE):
        answer = yield from client.exchange(octets, what)
        return _written(answer, len(names), what)
    pieces = _cut(octets[1:], client.pdu_room_octets - WRITE_BLOCK_OCTETS, what)
    answer = b""
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces)
        block = WriteDataBlockAccess(last_block=last, block_number=number)
        part = WriteRequest(variables=(block,), values=(OctetString(piece),))
        answer = yield from client.exchange(part.encode(), what)
        taken = WriteResponse(results=(WriteBlockTaken(block_number=number),)).encode()
        if not last and answer != taken:
            break
    return _written(answer, len(names), what)


def tell_to_write(client: ClientAssociation, name: int, value: Data, what: str) -> Steps[None]:
    """Write one variable, or invoke a method, without an answer."""
    client.require(Conformance.UNCONFIRMED_WRITE, what)
    request = UnconfirmedWriteRequest(variables=(VariableName(name=name),), values=(value,))
    yield from client.tell(request.encode(), what)


def _ask(
    client: ClientAssociation, variables: tuple[VariableAccess, ...], what: str
) -> Steps[bytes]:
    """Send a ReadRequest, in blocks if it is too long, and return the answer."""
    request, octets = "a read request", ReadRequest(variables=variables).encode()
    if fits(client, octets, Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ):
        return (yield from client.exchange(octets, request))
    answer = b""
    pieces = _cut(octets[1:], client.pdu_room_octets - READ_BLOCK_OCTETS, request)
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces)
        block = ReadDataBlockAccess(last_block=last, block_number=number, raw_data=piece)
        answer = yield from client.exchange(ReadRequest(variables=(block,)).encode(), request)
        taken = ReadResponse(results=(ReadBlockTaken(block_number=number),)).encode()
        if not last and answer != taken:
            if answer[:3] == _ONE_ERROR and len(answer) == 4:
                raise AccessError("read", what, DataAccessResult(answer[3]))
            raise _no_response(what, answer)
    return answer


def _blocks(client: ClientAssociation, answer: bytes, what: str) -> Steps[bytes]:
    """Collect the blocks of a long answer, of which `answer` is the first."""
    parts: list[bytes] = []
    length = 0
    for expected in range(1, LARGEST_BLOCK_NUMBER + 1):
        if answer[:3] == _ONE_ERROR and len(answer) == 4:
            raise AccessError("read", what, DataAccessResult(answer[3]))
        block = ReadResponse.decode(answer).results[0] if answer[:3] == _ONE_BLOCK else None
        if not isinstance(block, ReadBlock):
            raise _no_response(what, answer)
        if block.block_number != expected:
            problem = f"block {block.block_number} came where {expected} was due"
            raise UnexpectedAnswerError(f"read {what}", problem)
        parts.append(block.raw_data)
        length += len(block.raw_data)
        if block.last_block:
            return b"".join(parts)
        if length > LONGEST_VALUE_OCTETS or expected == LARGEST_BLOCK_NUMBER:
            break
        request = ReadRequest(variables=(BlockNumberAccess(block_number=expected),))
        answer = yield from client.exchange(request.encode(), "the next block")
    problem = f"it goes on behind {length} octets"
    raise UnexpectedAnswerError(f"read {what}", problem)


def _cut(octets: bytes, size: int, what: str) -> list[bytes]:
    step = max(size, 1)
    if len(octets) > step * LARGEST_BLOCK_NUMBER:
        raise TooLongError(what, len(octets), step * LARGEST_BLOCK_NUMBER)
    return [octets[start : start + step] for start in range(0, len(octets), step)]


def _written(answer: bytes, count: int, what: str) -> list[DataAccessResult]:
    if answer[:1] != bytes((WriteResponse.TAG,)):
        raise _no_response(what, answer)
    found = WriteResponse.decode(answer).results
    results = [each for each in found if isinstance(each, DataAccessResult)]
    if len(results) == 1 and results[0] is not DataAccessResult.SUCCESS:
        return results * count  # what ended the request holds for all of it
    _check_count(len(results), count, what)
    return results


def _check_count(found: int, asked: int, what: str) -> None:
    if found != asked:
        raise UnexpectedAnswerError(what, f"{found} results for {asked} of them")


def _no_response(what: str, answer: bytes) -> UnexpectedAnswerError:
    problem = f"{answer[:4].hex(' ').upper() or 'nothing'} is no response to it"
    return UnexpectedAnswerError(what, problem)
