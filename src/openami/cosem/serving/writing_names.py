# SPDX-License-Identifier: Apache-2.0
"""The answers to Write and UnconfirmedWrite: attributes set, methods invoked without return data.

DLMS UA 1000-2 Ed. 10, 9.3.15 and 9.3.16.  Whatever is wrong with a WriteRequest is said in a
WriteResponse, as data-access-error; an UnconfirmedWriteRequest is never answered.  A long request
comes in blocks (`07`) whose numbers have 16 bits.
"""

from collections.abc import Sequence
from typing import Final

from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.cosem.rights import writable
from openami.cosem.serving.short_name_terms import LongRequest, ShortNameTerms
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.variables import VariableAccess, VariableName, WriteDataBlockAccess
from openami.dlms.apdu.write import (
    UnconfirmedWriteRequest,
    WriteBlockTaken,
    WriteRequest,
    WriteResponse,
    WriteResult,
)
from openami.dlms.axdr import encode_length
from openami.dlms.data import Data, OctetString
from openami.dlms.errors import DecodeError

WRITE: Final = WriteRequest.TAG
UNCONFIRMED_WRITE: Final = UnconfirmedWriteRequest.TAG


def refused(result: int) -> bytes:
    """Return the WriteResponse of one data-access-error."""
    return _response(DataAccessResult(result))


def _response(*results: WriteResult) -> bytes:
    return WriteResponse(results=results).encode()


class WriteService:
    """Answers WriteRequests; remembers the long request that is coming in."""

    __slots__ = ("_incoming", "_terms")

    def __init__(self, terms: ShortNameTerms) -> None:
        self._terms = terms
        self._incoming = LongRequest(
            DataAccessResult.NO_LONG_SET_IN_PROGRESS, DataAccessResult.LONG_SET_ABORTED
        )

    def answer(self, apdu: bytes) -> bytes:
        """Return the WriteResponse to a WriteRequest; never raises for what its octets are."""
        try:
            self._terms.require(Conformance.WRITE)
            request = WriteRequest.decode(apdu)
        except DecodeError:
            return refused(DataAccessResult.OTHER_REASON)
        except Refused as error:
            return refused(error.result)
        match request:
            case WriteRequest(
                variables=(WriteDataBlockAccess() as block,), values=(OctetString() as raw,)
            ):
                return self._take(block, raw)
        self._incoming.drop()  # a new request ends the long one before it
        return self._write(request)

    def unconfirmed(self, apdu: bytes) -> None:
        """Do what an UnconfirmedWriteRequest asks, as far as it can be done."""
        if not self._terms.conformance & Conformance.UNCONFIRMED_WRITE:
            return
        try:
            request = UnconfirmedWriteRequest.decode(apdu)
        except DecodeError:
            return  # nobody waits for an answer
        self._write(request)

    def _write(self, request: WriteRequest) -> bytes:
        variables = request.variables
        longest = 1 + len(encode_length(len(variables))) + 2 * len(variables)
        if not variables or longest > self._terms.room_octets:
            return refused(DataAccessResult.OTHER_REASON)
        return _response(*self._results(variables, request.values))

    def _results(
        self, variables: Sequence[VariableAccess], values: Sequence[Data]
    ) -> list[DataAccessResult]:
        if len(variables) != len(values):
            return [DataAccessResult.TYPE_UNMATCHED] * len(variables)
        if len(variables) > 1 and not self._terms.conformance & Conformance.MULTIPLE_REFERENCES:
            return [DataAccessResult.SCOPE_OF_ACCESS_VIOLATED] * len(variables)
        return list(map(self._result, variables, values))

    def _result(self, access: VariableAccess, value: Data) -> DataAccessResult:
        terms = self._terms
        if not isinstance(access, VariableName):
            return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
        try:
            found = terms.find(access.name)
            if found.is_method:
                terms.invoke(found, value)
            else:
                row = writable(found.thing, found.rights, found.row, terms.exchange)
                found.thing.write(row, value)
        except Refused as error:
            return DataAccessResult(error.result)
        except (KindError, DecodeError):
            return DataAccessResult.TYPE_UNMATCHED
        return DataAccessResult.SUCCESS

    def _take(self, block: WriteDataBlockAccess, raw: bytes) -> bytes:
        """Collect a long request; answer it when its last block has come."""
        try:
            self._terms.require(Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE)
            octets = self._incoming.take(block.block_number, raw, last=block.last_block)
            if octets is None:
                return _response(WriteBlockTaken(block_number=block.block_number))
            return self._write(WriteRequest.decode(bytes((WRITE,)) + octets))
        except Refused as error:
            return refused(error.result)
        except DecodeError:
            return refused(DataAccessResult.OTHER_REASON)
