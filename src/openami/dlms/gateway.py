# SPDX-License-Identifier: Apache-2.0
"""The gateway header: which device behind this one an APDU is for, or from.

DLMS UA 1000-2 Ed. 10, 10.10 (gateway protocol).  The header stands in front of an APDU, plain or
protected, inside the wrapper or HDLC; the device in between reads the header only.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Self

from openami.dlms.axdr import Reader
from openami.dlms.errors import DecodeError

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 10.10"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRequest:
    """An APDU for a device behind the gateway.

    ======  ================  ===========================
    octets  field             value
    ======  ================  ===========================
    1       tag               E6; E7 in a response
    1       network_id        which of the gateway's networks
    1       length            of the physical address
    1 up    physical_address  of the device
    1 up    apdu              to the end
    ======  ================  ===========================
    """

    TAG: ClassVar[int] = 0xE6

    network_id: int = 0
    physical_address: bytes
    apdu: bytes

    def encode(self) -> bytes:
        address = self.physical_address
        return bytes((self.TAG, self.network_id, len(address))) + address + self.apdu

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "gateway tag")
        network_id = reader.unsigned(1, "network-id")
        address = reader.take(reader.unsigned(1, "address length"), "physical address")
        if not reader.remaining:
            raise DecodeError("no APDU behind the gateway header", octets, len(octets), CLAUSE)
        return cls(network_id=network_id, physical_address=address, apdu=reader.rest())


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayResponse(GatewayRequest):
    """An APDU from a device behind the gateway: the same with tag E7."""

    TAG: ClassVar[int] = 0xE7


class GatewayRoute(NamedTuple):
    """A device behind a gateway, for a client that speaks with it through that gateway."""

    network_id: int
    physical_address: bytes

    def request(self, apdu: bytes) -> bytes:
        """Return what is sent to the gateway."""
        return GatewayRequest(
            network_id=self.network_id, physical_address=self.physical_address, apdu=apdu
        ).encode()

    def response(self, octets: bytes) -> bytes | None:
        """Return the APDU that came from the device; None if it came from another one.

        What has no header is the gateway's own word, e.g. an exception-response.

        Raises:
            DecodeError: The header is cut off.
        """
        if octets[:1] != bytes((GatewayResponse.TAG,)):
            return octets
        found = GatewayResponse.decode(octets)
        from_it = (found.network_id, found.physical_address) == tuple(self)
        return found.apdu if from_it else None
