# SPDX-License-Identifier: Apache-2.0
"""What carries APDUs between two ends, whatever the framing: wrapper, HDLC, TCP, UDP or serial.

`wire.Wire` is one, `hdlc.HdlcClientWire` and `udp.DatagramWire` are others.  Who uses one is a
`wire.WireHandler` and cannot tell the difference.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from openami.transport.wire import WireHandler


class Carrier(Protocol):
    """One connection that takes and brings whole APDUs."""

    @property
    def name(self) -> str:
        """Who and where the peer is, for sentences."""

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""

    @property
    def reason(self) -> str | None:
        """Why it is closed; None while it is not."""

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Send an APDU; raises `WireError` if it cannot be."""

    def close(self, reason: str = "closed here") -> None:
        """Close in order: what was sent still goes out."""

    async def gone(self) -> None:
        """Wait until it is closed on both sides."""


@runtime_checkable
class Polled(Protocol):
    """A carrier whose peer speaks only when it is polled."""

    def expect(self) -> None:
        """Poll for an APDU that is to come without being asked for."""


@runtime_checkable
class Awaited(Protocol):
    """A carrier whose peer waits for something to each message, be it nothing."""

    def silent(self, source: int, destination: int) -> None:
        """Say that the message of `destination` to `source` gets no APDU."""


AcceptCarrier = Callable[[Carrier], WireHandler]
"""Called when a carrier is ready; `WireError` refuses the peer."""
