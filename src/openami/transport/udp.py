# SPDX-License-Identifier: Apache-2.0
"""Wrapper frames in UDP datagrams (IEC 62056-47): each datagram holds whole frames.

Nothing is repeated here: a lost datagram is a time-out of the session above.  A datagram that
breaks a rule is dropped, since anybody can send one.
"""

import asyncio
import logging
from typing import Final, cast

from openami.dlms.errors import DlmsError
from openami.dlms.sap import Sap
from openami.dlms.wrapper import HEADER_OCTETS, WrapperFrame, WrapperReader
from openami.runtime.errors import UserError
from openami.transport.carrier import AcceptCarrier
from openami.transport.endpoint import cannot_dial, cannot_listen
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, WireError, WireHandler

log = logging.getLogger(__name__)

LONGEST_APDU_OCTETS: Final = 65_507 - HEADER_OCTETS
"""Of a datagram on IPv4."""
LISTENER_IDLE_S: Final = 600.0
"""A peer that says nothing for so long is forgotten, unless the limits say otherwise."""

Address = tuple[str, int]


class UdpWire:
    """What one peer and we say to each other."""

    def __init__(self, port: "UdpPort", address: Address | None, name: str) -> None:
        self.name = name
        self.heard_s = 0.0
        self.handler: WireHandler | None = None
        self._port = port
        self._address = address
        self._reason: str | None = None

    @property
    def is_open(self) -> bool:
        return self.handler is not None and self._reason is None

    @property
    def reason(self) -> str | None:
        """Why the wire is closed; None while it is not."""
        return self._reason

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Send one frame in a datagram of its own.

        Raises:
            WireError: The wire is closed, or the APDU does not fit.
        """
        if not self.is_open:
            raise WireError(f"nothing can be sent to {self.name}: {self._reason or 'not open yet'}")
        if len(apdu) > LONGEST_APDU_OCTETS:
            longest = LONGEST_APDU_OCTETS
            raise WireError(f"an APDU of {len(apdu)} octets does not fit a datagram of {longest}")
        self._port.transmit(
            WrapperFrame(Sap(source), Sap(destination), apdu).encode(), self._address
        )

    def datagram(self, octets: bytes) -> None:
        """Take a datagram of the peer."""
        reader = WrapperReader()
        try:
            frames = reader.feed(octets)
            reader.end()
            for frame in frames:
                if self.handler is not None and self._reason is None:
                    self.handler.frame(frame.source, frame.destination, frame.apdu)
        except DlmsError as error:
            log.warning("%s: a datagram is dropped: %s", self.name, error)

    def close(self, reason: str = "closed here") -> None:
        """Say no more; UDP knows no farewell."""
        if self._reason is None:
            self._reason = reason
            if self.handler is not None:
                self.handler.closed(reason)
            self._port.closed(self, self._address)

    async def gone(self) -> None:
        """Return at once: there is nothing to wait for."""


class UdpPort(asyncio.DatagramProtocol):
    """A socket: of one peer where we dialled, of many where we listen.

    Attributes:
        url: Where it listens, with the port that the system chose; or whom it dials.
        wires: By the address of the peer; None for the one that was dialled.
    """

    def __init__(self, url: Url, accept: AcceptCarrier, limits: Limits, *, dialled: bool) -> None:
        self.url = url
        self.wires: dict[Address | None, UdpWire] = {}
        self._accept = accept
        self._limits = limits
        self._dialled = dialled
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        if not self._dialled:
            self.url = Url("udp", host, port)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        key = None if self._dialled else addr[:2]
        wire = self.wires.get(key)
        if wire is None and not self._dialled:
            wire = self._admit(addr[:2])
        if wire is not None:
            wire.heard_s = self._loop.time()
            wire.datagram(data)

    def error_received(self, exc: Exception) -> None:
        """Take note that the peer's system refused a datagram: nobody listens there."""
        for wire in list(self.wires.values()) if self._dialled else ():
            wire.close(f"nobody listens there ({exc})")

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the socket is closed" if exc is None else f"the socket broke ({exc})"
        for wire in list(self.wires.values()):
            wire.close(reason)

    def open(self, address: Address | None, name: str) -> UdpWire:
        """Begin a wire; raises `WireError` if it is refused."""
        wire = UdpWire(self, address, name)
        wire.handler = self._accept(wire)
        self.wires[address] = wire
        return wire

    def transmit(self, octets: bytes, address: Address | None) -> None:
        """Send one datagram."""
        if self._transport is not None:
            self._transport.sendto(octets, address)

    def closed(self, wire: UdpWire, address: Address | None) -> None:
        """Forget a wire."""
        if self.wires.get(address) is wire:
            del self.wires[address]
        if self._dialled and self._transport is not None:
            self._transport.close()

    async def close(self) -> None:
        """Close every wire and the socket."""
        for wire in list(self.wires.values()):
            wire.close("the service stops")
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)

    def _admit(self, address: Address) -> UdpWire | None:
        if len(self.wires) >= self._limits.max_connections:
            self._forget_idle()
        if len(self.wires) >= self._limits.max_connections:
            log.warning("%s:%d is not heard: %d peers speak already", *address, len(self.wires))
            return None
        try:
            return self.open(address, f"{address[0]}:{address[1]}")
        except WireError as refusal:
            log.warning("%s:%d refused: %s", *address, refusal)
            return None

    def _forget_idle(self) -> None:
        limit_s = self._limits.idle_timeout_s or LISTENER_IDLE_S
        now_s = self._loop.time()
        for wire in list(self.wires.values()):
            if now_s - wire.heard_s > limit_s:
                wire.close(f"no datagram for {limit_s:g} s")


async def dial_udp(url: Url, accept: AcceptCarrier, limits: Limits = DEFAULT_LIMITS) -> UdpWire:
    """Return a wire to a peer; whether it is there shows with its first answer.

    Raises:
        WireError: The address cannot be used.
    """
    loop = asyncio.get_running_loop()
    try:
        _, port = await loop.create_datagram_endpoint(
            lambda: UdpPort(url, accept, limits, dialled=True), remote_addr=(url.host, url.port)
        )
    except OSError as error:
        raise WireError(cannot_dial(url, error)) from error
    return port.open(None, f"{url.host}:{url.port}")


async def listen_udp(url: Url, accept: AcceptCarrier, limits: Limits = DEFAULT_LIMITS) -> UdpPort:
    """Open a port; each address that sends to it becomes a wire.

    Raises:
        UserError: The port is taken or may not be opened.
    """
    loop = asyncio.get_running_loop()
    try:
        _, port = await loop.create_datagram_endpoint(
            lambda: UdpPort(url, accept, limits, dialled=False), local_addr=(url.host, url.port)
        )
    except OSError as error:
        raise UserError(cannot_listen(url, error)) from error
    return port
