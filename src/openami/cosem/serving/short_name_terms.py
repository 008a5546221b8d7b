# SPDX-License-Identifier: Apache-2.0
"""What the services of one short name association share: variables, rights, negotiated bits.

DLMS UA 1000-2 Ed. 10, 9.3.12.  A short name is looked up here and nowhere else; who may do what is
`rights.View`, as it is for logical names.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openami.cosem.kinds import KindError
from openami.cosem.model import InterfaceClass, Method, Refused
from openami.cosem.rights import Exchange, Rights, View, invocable
from openami.cosem.serving.short_names import CURRENT_ASSOCIATION_NAME, ShortNames
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import Data
from openami.dlms.errors import DecodeError

LONGEST_REQUEST_OCTETS: Final = 65_536
"""How much a client may send in blocks."""


class Variable(NamedTuple):
    """What a short name stands for."""

    thing: InterfaceClass
    rights: Rights
    row: int
    """Index of the attribute or method."""
    is_method: bool


class LongRequest:
    """A request that comes in blocks."""

    __slots__ = ("_aborted", "_expected", "_none", "_octets")

    def __init__(self, none: DataAccessResult, aborted: DataAccessResult) -> None:
        """Expect a first block.

        Args:
            none: Refuses a later block while nothing is coming in.
            aborted: Refuses what grows too long.
        """
        self._none, self._aborted = none, aborted
        self._octets: bytearray | None = None
        self._expected = 1

    def drop(self) -> None:
        """Forget what has come."""
        self._octets = None

    def take(self, number: int, raw: bytes, *, last: bool) -> bytes | None:
        """Take a block; return the whole if it was the last one.  Block 1 begins anew.

        Raises:
            Refused: The block is not the one expected, or it all grows too long; it is dropped.
        """
        if number == 1:
            self._octets, self._expected = bytearray(), 1
        octets = self._octets
        if octets is None:
            raise Refused(self._none)
        octets += raw
        in_turn, self._expected = number == self._expected, self._expected + 1
        if last or not in_turn or len(octets) > LONGEST_REQUEST_OCTETS:
            self._octets = None
        if not in_turn:
            raise Refused(DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
        if len(octets) > LONGEST_REQUEST_OCTETS:
            raise Refused(self._aborted)
        return bytes(octets) if last else None


@dataclass(slots=True, kw_only=True)
class ShortNameTerms:
    """What is fixed while an association lasts, and what is told of each request.

    Attributes:
        view: The objects as this client sees them.
        names: Their base names.
        association: The object of the association itself, at FA00.
        association_rights: What the client may do with that.
        conformance: As negotiated.
        room_octets: The longest plain response; protection already subtracted.
        exchange: The protection of the request that is being answered.
    """

    view: View
    names: ShortNames
    association: InterfaceClass
    association_rights: Rights
    conformance: Conformance
    room_octets: int
    exchange: Exchange = field(default_factory=Exchange)

    def find(self, name: int) -> Variable:
        """Return what a short name stands for.

        Raises:
            Refused: It stands for nothing that this client can see.
        """
        offsets = self.names.offsets
        base, thing, rights = CURRENT_ASSOCIATION_NAME, self.association, self.association_rights
        row = offsets.rows(type(thing)).get(name - base)
        if row is not None:
            return Variable(thing, rights, row.index, isinstance(row, Method))
        held = self.names.holder(name)
        if held is not None:
            row = offsets.rows(type(held.thing)).get(name - held.base_name)
            rights = self.view.rights(held.thing)
        if held is None or row is None or not rights:
            raise Refused(DataAccessResult.OBJECT_UNDEFINED)
        return Variable(held.thing, rights, row.index, isinstance(row, Method))

    def require(self, wanted: Conformance) -> None:
        """Accept only what was negotiated.

        Raises:
            Refused: A bit of `wanted` is missing.
        """
        if wanted & ~self.conformance:
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)

    def invoke(self, variable: Variable, parameter: Data) -> Data:
        """Carry out a method and return its data; null-data where it gives none.

        Raises:
            Refused: The client may not, or the method refuses.
        """
        # A method without parameter takes the standard's integer 0; null-data stands for it too.
        if parameter is None:
            parameter = axdr_data.Integer(0)
        row = invocable(variable.thing, variable.rights, variable.row, self.exchange)
        try:
            return variable.thing.invoke(row, parameter)
        except (KindError, DecodeError):
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
