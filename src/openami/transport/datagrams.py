# SPDX-License-Identifier: Apache-2.0
"""Datagrams between us and one peer each: plain UDP here, DTLS in `dtlsport`.

A `Channel` carries whole datagrams to one peer and says nothing about what is in them: wrapper
frames (`udp`) or CoAP messages (`coapwire`).  Nothing is repeated here.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

from openami.runtime.errors import UserError
from openami.transport.endpoint import cannot_dial, cannot_listen
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, PeerIdentity, WireError, WireHandler

log = logging.getLogger(__name__)

LONGEST_DATAGRAM_OCTETS: Final = 65_507
"""On IPv4; the network cuts one that is longer than its MTU, and loses it whole."""
LISTENER_IDLE_S: Final = 600.0
"""A peer that says nothing for so long is forgotten, unless the limits say otherwise."""

Address = tuple[str, int]


class Channel(Protocol):
    """What one peer and we say to each other, datagram by datagram."""

    @property
    def name(self) -> str:
        """Who and where the peer is, for sentences."""

    @property
    def peer(self) -> PeerIdentity | None:
        """Who it is, by certificate; None where it shows none."""

    @property
    def longest_octets(self) -> int:
        """How many octets fit into one datagram."""

    @property
    def reason(self) -> str | None:
        """Why it is closed; None while it is not."""

    def send(self, octets: bytes) -> None:
        """Send one datagram; raises `WireError` if the channel is closed."""

    def close(self, reason: str = "closed here") -> None:
        """Say no more; the peer is told where the protocol has a word for it."""


class ChannelUser(Protocol):
    """Who uses a channel; bound by `AcceptChannel`."""

    def datagram(self, octets: bytes) -> None:
        """Take one datagram."""

    def closed(self, reason: str) -> None:
        """Learn that the channel is closed; called once."""


class ChannelWire:
    """What every carrier over a channel tells of its peer; the framing is its own."""

    _channel: Channel
    _handler: WireHandler | None

    @property
    def name(self) -> str:
        return self._channel.name

    @property
    def peer(self) -> PeerIdentity | None:
        """Who is at the other end, by certificate; None without DTLS."""
        return self._channel.peer

    @property
    def is_open(self) -> bool:
        return self._handler is not None and self._channel.reason is None

    @property
    def reason(self) -> str | None:
        """Why the wire is closed; None while it is not."""
        return self._channel.reason


AcceptChannel = Callable[[Channel], ChannelUser]
"""Called when a channel is ready; `WireError` refuses the peer."""

Fault = Callable[[bytes], str | None]
"""Says what is wrong with the first datagram of a stranger; None lets it in."""


def any_datagram(_octets: bytes) -> str | None:
    """Let in everybody."""
    return None


class UdpChannel:
    """A peer on plain UDP."""

    def __init__(self, port: "UdpPort", address: Address | None, name: str) -> None:
        self.name = name
        self.peer: PeerIdentity | None = None
        self.longest_octets = LONGEST_DATAGRAM_OCTETS
        self.reason: str | None = None
        self.heard_s = 0.0
        self.user: ChannelUser | None = None
        self._port = port
        self._address = address

    def send(self, octets: bytes) -> None:
        """Send one datagram.

        Raises:
            WireError: The channel is closed.
        """
        if self.reason is not None:
            raise WireError(f"nothing can be sent to {self.name}: {self.reason}")
        self._port.transmit(octets, self._address)

    def close(self, reason: str = "closed here") -> None:
        """Say no more; UDP knows no farewell."""
        if self.reason is None:
            self.reason = reason
            if self.user is not None:
                self.user.closed(reason)
            self._port.closed(self, self._address)


class UdpPort(asyncio.DatagramProtocol):
    """A socket: of one peer where we dialled, of many where we listen.

    Attributes:
        url: Where it listens, with the port that the system chose; or whom it dials.
        wires: The channels by the address of the peer; None for the one that was dialled.
    """

    def __init__(
        self,
        url: Url,
        accept: AcceptChannel,
        limits: Limits,
        *,
        dialled: bool,
        fault: Fault = any_datagram,
    ) -> None:
        self.url = url
        self._fault = fault
        self.wires: dict[Address | None, UdpChannel] = {}
        self._accept = accept
        self._limits = limits
        self._dialled = dialled
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        if not self._dialled:
            self.url = Url(self.url.scheme, host, port)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        key = None if self._dialled else addr[:2]
        channel = self.wires.get(key)
        if channel is None and not self._dialled:
            channel = self._admit(addr[:2], data)
        if channel is not None and channel.user is not None:
            channel.heard_s = self._loop.time()
            channel.user.datagram(data)

    def error_received(self, exc: Exception) -> None:
        """Take note that the peer's system refused a datagram: nobody listens there."""
        for channel in list(self.wires.values()) if self._dialled else ():
            channel.close(f"nobody listens there ({exc})")

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the socket is closed" if exc is None else f"the socket broke ({exc})"
        for channel in list(self.wires.values()):
            channel.close(reason)

    def open(self, address: Address | None, name: str) -> UdpChannel:
        """Begin a channel; raises `WireError` if it is refused."""
        channel = UdpChannel(self, address, name)
        channel.user = self._accept(channel)
        self.wires[address] = channel
        return channel

    def transmit(self, octets: bytes, address: Address | None) -> None:
        """Send one datagram."""
        if self._transport is not None:
            self._transport.sendto(octets, address)

    def closed(self, channel: UdpChannel, address: Address | None) -> None:
        """Forget a channel."""
        if self.wires.get(address) is channel:
            del self.wires[address]
        if self._dialled and self._transport is not None:
            self._transport.close()

    async def close(self) -> None:
        """Close every channel and the socket."""
        for channel in list(self.wires.values()):
            channel.close("the service stops")
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)

    def _admit(self, address: Address, data: bytes) -> UdpChannel | None:
        """Begin a channel with a stranger who makes sense: nonsense leaves nothing behind."""
        if (fault := self._fault(data)) is not None:
            log.warning("%s:%d: a datagram is dropped: %s", *address, fault)
            return None
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
        for channel in list(self.wires.values()):
            if now_s - channel.heard_s > limit_s:
                channel.close(f"no datagram for {limit_s:g} s")


async def dial_datagrams(url: Url, accept: AcceptChannel, limits: Limits = DEFAULT_LIMITS) -> None:
    """Open a channel to a peer on UDP; whether it is there shows with its first answer.

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
    port.open(None, f"{url.host}:{url.port}")


async def listen_datagrams(
    url: Url,
    accept: AcceptChannel,
    limits: Limits = DEFAULT_LIMITS,
    fault: Fault = any_datagram,
) -> UdpPort:
    """Open a port on UDP; each address that sends sense to it becomes a channel.

    Raises:
        UserError: The port is taken or may not be opened.
    """
    loop = asyncio.get_running_loop()
    try:
        _, port = await loop.create_datagram_endpoint(
            lambda: UdpPort(url, accept, limits, dialled=False, fault=fault),
            local_addr=(url.host, url.port),
        )
    except OSError as error:
        raise UserError(cannot_listen(url, error)) from error
    return port
