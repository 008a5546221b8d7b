# SPDX-License-Identifier: Apache-2.0
"""The answer to Read: variables by their short names, whole, selected, or as the result of methods.

DLMS UA 1000-2 Ed. 10, 9.3.14.  Whatever is wrong with a ReadRequest is said in a ReadResponse, as
data-access-error.  A long answer travels in blocks (`05` asks for the next), a long request comes
in blocks (`06`); block numbers have 16 bits.
"""

from collections.abc import Callable, Sequence
from typing import Final

from openami.cosem.model import Refused
from openami.cosem.rights import readable
from openami.cosem.serving.services import Blocks
from openami.cosem.serving.short_name_terms import LongRequest, ShortNameTerms
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.read import ReadBlock, ReadBlockTaken, ReadRequest, ReadResponse
from openami.dlms.apdu.variables import (
    BlockNumberAccess,
    ParameterizedAccess,
    ReadDataBlockAccess,
    VariableAccess,
    VariableName,
)
from openami.dlms.axdr import encode_length
from openami.dlms.errors import DecodeError

READ: Final = ReadRequest.TAG
LARGEST_BLOCK_NUMBER: Final = 0xFFFF
_HEAD: Final = bytes((ReadResponse.TAG,))
_ONE_VALUE: Final = bytes((ReadResponse.TAG, 0x01, 0x00))
_BEFORE_NUMBER: Final = 4
"""Octets in front of the number of a block: tag, count, choice, last-block."""


def refused(result: int) -> bytes:
    """Return the ReadResponse of one data-access-error."""
    return ReadResponse(results=(DataAccessResult(result),)).encode()


class ReadService:
    """Answers ReadRequests; remembers what comes in and goes out in blocks."""

    __slots__ = ("_blocks", "_incoming", "_readers", "_terms")

    def __init__(self, terms: ShortNameTerms) -> None:
        self._terms = terms
        self._blocks: Blocks | None = None
        self._incoming = LongRequest(
            DataAccessResult.NO_LONG_GET_IN_PROGRESS, DataAccessResult.LONG_GET_ABORTED
        )
        self._readers: dict[bytes, Callable[[], bytes]] = {}

    def quick(self, apdu: bytes) -> bytes | None:
        """Return the answer to the read of one variable that was read before; else None."""
        if len(apdu) != 5 or apdu[:3] != b"\x05\x01\x02":
            return None
        reader = self._readers.get(apdu[3:])
        if reader is None:
            return None
        try:
            octets = reader()
        except Refused:
            return None
        if len(octets) + len(_ONE_VALUE) > self._terms.room_octets:
            return None
        self._end_long()
        return _ONE_VALUE + octets

    def answer(self, apdu: bytes) -> bytes:
        """Return the ReadResponse to a ReadRequest; never raises for what its octets are."""
        try:
            self._terms.require(Conformance.READ)
            variables = ReadRequest.decode(apdu).variables
        except DecodeError:
            return refused(DataAccessResult.OTHER_REASON)
        except Refused as error:
            return refused(error.result)
        match variables:
            case (BlockNumberAccess(block_number=number),):
                return self._next(number)
            case (ReadDataBlockAccess() as block,):
                return self._take(block)
        self._end_long()
        return self._read(variables)

    def _end_long(self) -> None:
        """Forget blocks: a new request ends the long one before it."""
        self._blocks = None
        self._incoming.drop()

    def _read(self, variables: Sequence[VariableAccess]) -> bytes:
        if not variables:
            return refused(DataAccessResult.OTHER_REASON)
        if len(variables) > 1 and not self._terms.conformance & Conformance.MULTIPLE_REFERENCES:
            denied = bytes((0x01, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED))
            return self._deliver([denied] * len(variables))
        return self._deliver([self._result(variable) for variable in variables])

    def _result(self, variable: VariableAccess) -> bytes:
        try:
            return b"\x00" + self._value(variable)
        except Refused as error:
            return bytes((0x01, error.result))

    def _value(self, access: VariableAccess) -> bytes:
        terms = self._terms
        if not isinstance(access, VariableName | ParameterizedAccess):
            raise Refused(DataAccessResult.OTHER_REASON)  # blocks stand alone in their request
        found = terms.find(access.name)
        if isinstance(access, ParameterizedAccess):
            terms.require(Conformance.PARAMETERIZED_ACCESS)
        if found.is_method:
            # The name of a method alone is no call: whoever tries out names must start nothing.
            if not isinstance(access, ParameterizedAccess) or access.selector:
                raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
            return axdr_data.encode(terms.invoke(found, access.parameter))
        index = found.row
        reader = readable(found.thing, found.rights, index, terms.exchange)
        if isinstance(access, VariableName):
            if index not in found.rights.attributes:  # what demands protection is asked every time
                self._readers[access.name.to_bytes(2)] = reader
            return reader()
        select = found.thing.selections.get(index)
        if select is None:
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        return select(SelectiveAccess(selector=access.selector, parameters=access.parameter))

    def _deliver(self, results: Sequence[bytes]) -> bytes:
        """Return a response with all results, or the first block of them if they are too long."""
        terms = self._terms
        octets = encode_length(len(results)) + b"".join(results)
        if len(_HEAD) + len(octets) <= terms.room_octets:
            return _HEAD + octets
        if not terms.conformance & Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ:
            return refused(DataAccessResult.OTHER_REASON)
        if terms.names.value_blocks and len(results) == 1:
            octets = results[0][1:]
        self._blocks = Blocks(octets, terms.exchange.response)
        return self._block(self._blocks)

    def _next(self, number: int) -> bytes:
        blocks = self._blocks
        if blocks is None:
            return refused(DataAccessResult.NO_LONG_GET_IN_PROGRESS)
        if number != blocks.number:
            self._blocks = None
            return refused(DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
        return self._block(blocks)

    def _block(self, blocks: Blocks) -> bytes:
        self._terms.exchange.response |= blocks.owed
        # Numbers have two octets here, not four: two stand for what comes before them.
        last, _, raw = blocks.next(self._terms.room_octets, _BEFORE_NUMBER - 2)
        if last or blocks.number > LARGEST_BLOCK_NUMBER:
            self._blocks = None
        if blocks.number > LARGEST_BLOCK_NUMBER:
            return refused(DataAccessResult.LONG_GET_ABORTED)
        block = ReadBlock(last_block=last, block_number=blocks.number, raw_data=raw)
        return ReadResponse(results=(block,)).encode()

    def _take(self, block: ReadDataBlockAccess) -> bytes:
        """Collect a long request; answer it when its last block has come."""
        self._blocks = None
        try:
            self._terms.require(Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ)
            octets = self._incoming.take(block.block_number, block.raw_data, last=block.last_block)
            if octets is None:
                taken = ReadBlockTaken(block_number=block.block_number)
                return ReadResponse(results=(taken,)).encode()
            return self._read(ReadRequest.decode(bytes((READ,)) + octets).variables)
        except Refused as error:
            return refused(error.result)
        except DecodeError:
            return refused(DataAccessResult.OTHER_REASON)
