# SPDX-License-Identifier: Apache-2.0
"""HDLC addresses: who a frame is for and who sent it (IEC 62056-46, 6.4.2.3 and 6.4.2.4).

Seven bits of an address stand in an octet; its least significant bit is 1 in the last octet::

    octets  upper                   lower
    1       logical device, 7 bits  none
    2       logical device, 7 bits  physical device, 7 bits
    4       logical device, 14 bits physical device, 14 bits

A client has one octet.  The upper part names the logical device (its SAP), the lower one the
physical device on a line that several share.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple, Self

from openami.dlms.errors import DecodeError
from openami.dlms.sap import Sap

CLAUSE: Final = "IEC 62056-46, 6.4.2.3"

SIZES: Final = (1, 2, 4)
LONGEST_OCTETS: Final = 4

NO_STATION: Final = 0x00
LAST_RESERVED: Final = 0x0F
"""Upper addresses 2 to 15 and lower ones 1 to 15 are kept for later use (6.4.2.4, table 4)."""
_SHORT_CALLING: Final = 0x7E
_LONG_CALLING: Final = 0x3FFE
_SHORT_ALL: Final = 0x7F
_LONG_ALL: Final = 0x3FFF


class Address(NamedTuple):
    """One address of a frame.

    Attributes:
        upper: Client SAP, or logical device; 7 bits, 14 in an address of 4 octets.
        lower: Physical device; 0 in an address of 1 octet, which has none.
        size: How many octets it takes: 1, 2 or 4.
    """

    upper: int
    lower: int = 0
    size: int = 1

    @classmethod
    def client(cls, sap: int) -> Self:
        """Return the address of a client.

        Raises:
            ValueError: The SAP does not fit into 7 bits.
        """
        return cls(sap).checked()

    @classmethod
    def server(cls, logical: int, physical: int = 0, size: int | None = None) -> Self:
        """Return the address of a logical device.

        Args:
            logical: Its SAP.
            physical: Of the device on a shared line; 0 for none.
            size: In octets; None takes the smallest that holds both.

        Raises:
            ValueError: One of them does not fit.
        """
        if size is None:
            size = 4 if max(logical, physical) > _SHORT_ALL else 2 if physical else 1
        return cls(logical, physical, size).checked()

    def checked(self) -> Self:
        """Return the address itself if it can be sent."""
        if self.size not in SIZES:
            raise ValueError(f"an HDLC address has 1, 2 or 4 octets, not {self.size}")
        most = _LONG_ALL if self.size == LONGEST_OCTETS else _SHORT_ALL
        for part, value in (("logical", self.upper), ("physical", self.lower)):
            if not 0 <= value <= most:
                one = f"an address of {self.size} octet{'s' * (self.size > 1)}"
                raise ValueError(f"{part} address {value} does not fit into {one}: 0 to {most}")
        if self.size == 1 and self.lower:
            raise ValueError(f"physical address {self.lower} needs an address of 2 or 4 octets")
        return self

    def __str__(self) -> str:
        return str(self.upper) if self.size == 1 else f"{self.upper}/{self.lower}"

    @property
    def sap(self) -> Sap:
        """The service access point that the upper part is."""
        return Sap(self.upper)

    @property
    def is_nobody(self) -> bool:
        """Whether this is NO_STATION, to which nobody answers."""
        return self.upper == NO_STATION

    @property
    def is_all(self) -> bool:
        """Whether several may be meant: frames to it carry P = 0 and are not answered."""
        everyone = _all_station(self.size)
        return self.upper == everyone or (self.size > 1 and self.lower == everyone)

    @property
    def all_logical(self) -> bool:
        """Whether every logical device is meant."""
        return self.upper == _all_station(self.size)

    @property
    def all_physical(self) -> bool:
        """Whether every physical device is meant."""
        return self.size > 1 and self.lower == _all_station(self.size)

    @property
    def is_calling(self) -> bool:
        """Whether the device is meant that called us, whatever its physical address is."""
        calling = _LONG_CALLING if self.size == LONGEST_OCTETS else _SHORT_CALLING
        return self.size > 1 and self.lower == calling

    @property
    def is_reserved(self) -> bool:
        """Whether the standard keeps this server address for later; meters are found there yet."""
        upper = 0x02 <= self.upper <= LAST_RESERVED
        return upper or 0x01 <= self.lower <= LAST_RESERVED

    def encode(self) -> bytes:
        """Return its octets; `checked` says beforehand whether it has any."""
        return _encode(self)


def _all_station(size: int) -> int:
    return _LONG_ALL if size == LONGEST_OCTETS else _SHORT_ALL


@lru_cache(maxsize=1024)
def _encode(address: Address) -> bytes:
    address.checked()
    upper, lower, size = address
    parts: tuple[int, ...]
    if size == 1:
        parts = (upper,)
    elif size == 2:
        parts = (upper, lower)
    else:
        parts = (upper >> 7, upper & 0x7F, lower >> 7, lower & 0x7F)
    return bytes(part << 1 for part in parts[:-1]) + bytes((parts[-1] << 1 | 1,))


@lru_cache(maxsize=1024)
def _decoded(octets: bytes) -> Address:
    parts = [octet >> 1 for octet in octets]
    match parts:
        case [upper]:
            return Address(upper)
        case [upper, lower]:
            return Address(upper, lower, 2)
        case [upper, upper_low, lower, lower_low]:
            return Address(upper << 7 | upper_low, lower << 7 | lower_low, 4)
        case _:
            raise ValueError(len(parts))


def read_address(octets: bytes, offset: int, what: str) -> tuple[Address, int] | None:
    """Return the address at `offset` and the offset behind it; None if more octets are needed.

    Raises:
        DecodeError: It has three octets, or more than four.
    """
    end = offset
    length = len(octets)
    while end < length:
        last = octets[end] & 1
        end += 1
        if last:
            try:
                return _decoded(octets[offset:end]), end
            except ValueError:
                problem = f"{what} has 3 octets, not 1, 2 or 4"
                raise DecodeError(problem, octets, offset, CLAUSE) from None
        if end - offset == LONGEST_OCTETS:
            problem = f"{what} has more than 4 octets"
            raise DecodeError(problem, octets, offset, CLAUSE)
    return None


class Station(NamedTuple):
    """The addresses of one physical device, and which frames are for it.

    Attributes:
        logical: Its logical devices; more than one where they share a line.
        physical: Its own physical address.
        size: Of its addresses, in octets.
    """

    logical: frozenset[int]
    physical: int = 0
    size: int = 1

    @classmethod
    def of(cls, logical: Iterable[int], physical: int = 0, size: int | None = None) -> Self:
        """Return a station; raises `ValueError` as `Address.server`."""
        numbers = frozenset(logical)
        sizes = [Address.server(number, physical, size).size for number in numbers]
        return cls(numbers, physical, max(sizes, default=1))

    def recognizes(self, received: Address, *, calling: bool = False) -> frozenset[int]:
        """Return the logical devices that a frame to `received` is for.

        The rules for addresses of another size than ours are those of IEC 62056-46, table 5.

        Args:
            received: The destination of the frame.
            calling: Whether we called and have not been answered yet.
        """
        if received.is_nobody or not self._is_here(received, calling=calling):
            return frozenset()
        return self.logical if received.all_logical else self.logical & {received.upper}

    def _is_here(self, received: Address, *, calling: bool) -> bool:
        """Tell whether the physical device meant is this one."""
        called = received.is_calling and calling and received.upper == 1
        match self.size, received.size:
            case (1, 1):
                return True
            case (2, 2) | (4, 4) | (4, 2):
                return received.all_physical or called or received.lower == self.physical
            case (1, 2):
                return received.all_physical
            case (1, 4):
                return received.all_physical and received.all_logical
            case (2, 4):
                return (received.all_physical and received.all_logical) or called
            case _:  # one octet cannot say which of several devices is meant
                return False
