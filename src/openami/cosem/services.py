# SPDX-License-Identifier: Apache-2.0
"""What the services of one association share, and the answer to GET.

DLMS UA 1000-2 Ed. 10, 9.3.6.  Answers that do not fit into the client's PDU size travel in
blocks, taken from octets that were encoded once.  SET and ACTION are `writing`; who may do what
is `device.View`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from openami.cosem.access_control import AssociationLn, AssociationLnV3
from openami.cosem.device import Exchange, Rights, View, readable
from openami.cosem.faults import NotNegotiated
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.get import GetRequestNext, GetRequestNormal, GetRequestWithList
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.axdr import encode_length, encode_octet_string
from openami.dlms.errors import DecodeError

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.3"

SMALLEST_ROOM_OCTETS: Final = 12
"""A response block with one octet of raw data just fits."""


AssociationObject: TypeAlias = AssociationLn | AssociationLnV3


@dataclass(slots=True, kw_only=True)
class ServiceContext:
    """What is fixed while an association lasts, and how long an answer may be now.

    Attributes:
        view: The objects as this client sees them.
        association: The object of the association itself.
        association_rights: What the client may do with that.
        conformance: As negotiated.
        room_octets: The longest plain response; protection already subtracted.
        exchange: The protection of the request that is being answered.
    """

    view: View
    association: AssociationObject
    association_rights: Rights
    conformance: Conformance
    room_octets: int
    exchange: Exchange = field(default_factory=Exchange)
    _own_name: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._own_name = self.association.logical_name.encode()

    def find(self, descriptor: bytes) -> tuple[InterfaceClass, Rights]:
        """Return the object of a descriptor, and the client's rights to it.

        Raises:
            Refused: There is none for this client, or its class is another.
        """
        if descriptor[2:8] != self._own_name:
            thing = self.view.find(descriptor)
            return thing, self.view.rights(thing)
        if int.from_bytes(descriptor[:2]) != AssociationLn.class_id:
            raise Refused(DataAccessResult.OBJECT_CLASS_INCONSISTENT)
        return self.association, self.association_rights

    def reader(self, descriptor: bytes) -> Callable[[], bytes]:
        """Return what gives the encoded value of an attribute; raises `Refused`."""
        if descriptor[2:8] != self._own_name:
            return self.view.reader(descriptor, self.exchange)
        thing, rights = self.find(descriptor)
        return readable(thing, rights, descriptor[8], self.exchange)

    def require(self, wanted: Conformance) -> None:
        """Accept only what was negotiated.

        Raises:
            NotNegotiated: A bit of `wanted` is missing.
        """
        if wanted & ~self.conformance:
            raise NotNegotiated(wanted)


class Blocks:
    """A long answer on its way out: octets and how far they have been sent."""

    __slots__ = ("_number", "_octets", "_offset", "owed")

    def __init__(self, octets: bytes, owed: int) -> None:
        """Send `octets`; every block is protected with `owed`, as the answer in one piece is."""
        self.owed = owed
        self._octets = memoryview(octets)
        self._offset = 0
        self._number = 0

    @property
    def number(self) -> int:
        """Number of the block sent last; 0 before the first."""
        return self._number

    def next(self, room_octets: int, overhead_octets: int) -> tuple[bool, bytes, bytes]:
        """Return whether the next block is the last, its number in four octets, its raw data.

        Args:
            room_octets: The longest APDU.
            overhead_octets: What stands in it before the block number.
        """
        size = room_octets - overhead_octets - 4
        size -= 1 if size <= 0x80 else 2 if size <= 0x101 else 3
        end = self._offset + max(size, 1)
        raw = bytes(self._octets[self._offset : end])
        self._offset = end
        self._number += 1
        return end >= len(self._octets), self._number.to_bytes(4), raw


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
        if len(octets) + 4 > self._context.room_octets:
            return None
        self._blocks = None
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
            octets = self._value(request.attribute.encode(), request.access)
        except Refused as refused:
            return bytes((0xC4, 0x01, request.invoke_id_and_priority, 0x01, refused.result))
        return self.deliver(b"\xc4\x01", request.invoke_id_and_priority, b"\x00", octets)

    def _with_list(self, request: GetRequestWithList) -> bytes:
        results = [encode_length(len(request.attributes))]
        for row in request.attributes:
            try:
                results.append(b"\x00" + self._value(row.attribute.encode(), row.access))
            except Refused as refused:
                results.append(bytes((0x01, refused.result)))
        return self.deliver(b"\xc4\x03", request.invoke_id_and_priority, b"", b"".join(results))

    def _value(self, descriptor: bytes, access: SelectiveAccess | None) -> bytes:
        context = self._context
        reader = context.reader(descriptor)
        if access is None:
            return reader()
        context.require(Conformance.SELECTIVE_ACCESS)
        thing, _ = context.find(descriptor)
        select = thing.selections.get(descriptor[8])
        if select is None:
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        return select(access)

    def deliver(self, head: bytes, invoke_id: int, choice: bytes, octets: bytes) -> bytes:
        """Return a response with `octets`, or the first block of them if they are too long."""
        context = self._context
        if len(octets) + 3 + len(choice) <= context.room_octets:
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
