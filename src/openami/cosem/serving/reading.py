# SPDX-License-Identifier: Apache-2.0
"""The answers to GET, in one piece or in blocks (DLMS UA 1000-2 Ed. 10, 9.3.6)."""

from openami.cosem.model import Refused
from openami.cosem.serving import items
from openami.cosem.serving.services import CLAUSE, Blocks, ServiceContext
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.get import GetRequestNext, GetRequestNormal, GetRequestWithList
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.axdr import encode_length, encode_octet_string
from openami.dlms.errors import DecodeError


class GetService:
    """Answers get-requests; remembers the long answer that is on its way."""

    __slots__ = ("_blocks", "_context", "_readers")

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._blocks: Blocks | None = None
        # What quick() may answer; nothing if GET itself was not granted.
        self._readers = context.view.readers if context.conformance & Conformance.GET else {}

    def quick(self, apdu: bytes) -> bytes | None:
        """Return the answer to a get-request-normal that was answered before; else None.

        The hot path: no object is built, and one look-up says that the client may read it.
        """
        if len(apdu) != 13 or apdu[12] != 0 or apdu[:2] != b"\xc0\x01":
            return None
        reader = self._readers.get(apdu[3:12])
        if reader is None:
            return None
        try:
            octets = reader()
        except Refused:
            return None
        self._blocks = None
        if len(octets) + 4 > self._context.room_octets:  # read once, however long it is
            return self.deliver(b"\xc4\x01", apdu[2], b"\x00", octets)
        return b"\xc4\x01" + apdu[2:3] + b"\x00" + octets

    def answer(self, apdu: bytes) -> bytes:
        """Return the get-response to a get-request.

        Raises:
            DecodeError: The octets are no get-request.
            NotNegotiated: The client was not granted what it asks for.
        """
        self._context.require(Conformance.GET)
        choice = apdu[1] if len(apdu) > 1 else -1
        if choice == GetRequestNext.CHOICE:
            return self._next(GetRequestNext.decode(apdu))
        self._blocks = None  # a new request ends the long answer before it
        if choice == GetRequestNormal.CHOICE:
            return self._normal(apdu)
        if choice == GetRequestWithList.CHOICE:
            self._context.require(Conformance.MULTIPLE_REFERENCES)
            return self._with_list(GetRequestWithList.decode(apdu))
        raise DecodeError(f"Get-Request choice {choice} is not 1 to 3", apdu, 1, CLAUSE)

    def _normal(self, apdu: bytes) -> bytes:
        request = GetRequestNormal.decode(apdu)
        try:
            octets = items.read(self._context, request.attribute, request.access)
        except Refused as refused:
            return bytes((0xC4, 0x01, request.invoke_id_and_priority, 0x01, refused.result))
        return self.deliver(b"\xc4\x01", request.invoke_id_and_priority, b"\x00", octets)

    def _with_list(self, request: GetRequestWithList) -> bytes:
        results = [encode_length(len(request.attributes))]
        for row in request.attributes:
            try:
                results.append(b"\x00" + items.read(self._context, row.attribute, row.access))
            except Refused as refused:
                results.append(bytes((0x01, refused.result)))
        return self.deliver(b"\xc4\x03", request.invoke_id_and_priority, b"", b"".join(results))

    def deliver(self, head: bytes, invoke_id: int, choice: bytes, octets: bytes) -> bytes:
        """Return a response with `octets`, or the first block of them if they are too long."""
        context = self._context
        length = len(octets) + 3 + len(choice)
        if context.goes_whole(length, Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ):
            return head + bytes((invoke_id,)) + choice + octets
        if not context.conformance & Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ:
            # Without blocks nothing longer than the PDU can be given, whatever it is.
            return bytes((0xC4, 0x01, invoke_id, 0x01, DataAccessResult.OTHER_REASON))
        self._blocks = Blocks(octets, context.exchange.response)
        return self._block(invoke_id, self._blocks)

    def _next(self, request: GetRequestNext) -> bytes:
        blocks = self._blocks
        if blocks is None:
            return self._no_block(request, DataAccessResult.NO_LONG_GET_IN_PROGRESS)
        if request.block_number != blocks.number:
            self._blocks = None
            return self._no_block(request, DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
        return self._block(request.invoke_id_and_priority, blocks)

    def _block(self, invoke_id: int, blocks: Blocks) -> bytes:
        self._context.exchange.response |= blocks.owed
        last, number, raw = blocks.next(self._context.room_octets, 5)
        if last:
            self._blocks = None
        head = bytes((0xC4, 0x02, invoke_id, last)) + number
        return head + b"\x00" + encode_octet_string(raw)

    @staticmethod
    def _no_block(request: GetRequestNext, result: DataAccessResult) -> bytes:
        head = bytes((0xC4, 0x02, request.invoke_id_and_priority, 0x01))
        return head + request.block_number.to_bytes(4) + bytes((0x01, result))
