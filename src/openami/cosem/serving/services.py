# SPDX-License-Identifier: Apache-2.0
"""What the services of one association share (DLMS UA 1000-2 Ed. 10, 9.3).

Answers that do not fit into the client's PDU size travel in blocks, taken from octets that were
encoded once.  GET is `reading`, SET and ACTION are `writing`, ACCESS is `accessing`; what each
does to an object is `items`, and who may do what is `rights.View`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from openami.cosem.classes.access_control import AssociationLn, AssociationLnV3
from openami.cosem.model import InterfaceClass, Refused
from openami.cosem.rights import Exchange, Rights, View, index_of, readable
from openami.cosem.serving.faults import NotNegotiated
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.3"

SMALLEST_ROOM_OCTETS: Final = 12
"""A response block with one octet of raw data just fits."""

LONGEST_RESPONSE_OCTETS: Final = 2**20
"""A longer answer is not given in one piece, even in general blocks."""

AssociationObject: TypeAlias = AssociationLn | AssociationLnV3


@dataclass(slots=True, kw_only=True)
class ServiceContext:
    """What is fixed while an association lasts, and how long an answer may be now.

    Attributes:
        view: The objects as this client sees them.
        association: The object of the association itself.
        association_rights: What the client may do with that.
        associated_rights: What it may do once all passes of HLS are done.
        conformance: As negotiated.
        room_octets: The longest plain response; protection already subtracted.
        exchange: The protection of the request that is being answered.
    """

    view: View
    association: AssociationObject
    association_rights: Rights
    associated_rights: Rights
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
        return readable(thing, rights, index_of(descriptor), self.exchange)

    def goes_whole(self, octets: int, blocks: Conformance) -> bool:
        """Tell whether an answer goes in one piece, or can go no other way.

        Args:
            octets: Its length.
            blocks: The bit of the blocks that its service has of its own; 0 if it has none.
        """
        if octets <= self.room_octets:
            return True
        return bool(
            self.conformance & Conformance.GENERAL_BLOCK_TRANSFER
            and not self.conformance & blocks
            and octets <= LONGEST_RESPONSE_OCTETS
        )

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
