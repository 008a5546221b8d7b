# SPDX-License-Identifier: Apache-2.0
"""A bearer between two processes in real time: they dial the relay, and it dials for them.

Whoever dials the relay is the device, and what the relay dials is the network; `--turned` relays
have it the other way round.  All connections of a relay share one medium, each over a link of its
own, as the meters of a transformer do.  It needs no rights and no kernel module, and octets pass
unread: TLS stays whole.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from openami.runtime.errors import UserError
from openami.transport.bearers.carriage import Carriage
from openami.transport.bearers.link import Link
from openami.transport.bearers.medium import Medium, Way, seeded
from openami.transport.bearers.sender import Counts, Flow, Sender
from openami.transport.endpoint import cannot_listen
from openami.transport.serial import PtyLine, SerialLine
from openami.transport.url import Url

log = logging.getLogger(__name__)

HIGH_WATER_OCTETS: Final = 64 * 1024
LOW_WATER_OCTETS: Final = 16 * 1024

Address = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """How a relay carries.

    Attributes:
        medium: What all its flows share.
        turned: The device is what the relay dials.
        speed: How many seconds of the bearer pass in one real second.
        begin_s: When the bearer began, by the clock of event loops.
    """

    medium: Medium
    turned: bool = False
    speed: float = 1.0
    begin_s: float = field(default_factory=time.monotonic)

    def sender(self, link: Link, *, from_dialler: bool, flow: Flow) -> Sender:
        """Return the sender of one direction."""
        return Sender(link, Way.UP if from_dialler is not self.turned else Way.DOWN, flow)

    def carriage(
        self,
        sender: Sender,
        deliver: Callable[[bytes], None],
        worked: Callable[[], None] = lambda: None,
    ) -> Carriage:
        """Return what carries one direction."""
        return Carriage(sender, deliver, worked, speed=self.speed, begin_s=self.begin_s)


class Relay:
    """An open relay.

    Attributes:
        url: Where it listens, with the port that the system chose.
        counts: Of each flow there was, from the dialler and towards it.
        ends: Connections that are open now.
    """

    def __init__(self, url: Url) -> None:
        self.url = url
        self.counts: list[tuple[Counts, Counts]] = []
        self.ends: set[_End] = set()
        self._closers: list[Callable[[], None]] = []

    def on_close(self, close: Callable[[], None]) -> None:
        """Have something closed along with the relay."""
        self._closers.append(close)

    async def close(self) -> None:
        """Close the relay and all that passes through it."""
        while self._closers:
            self._closers.pop()()
        for end in list(self.ends):
            end.abort()
        while self.ends:  # noqa: ASYNC110  no event tells of all of them
            await asyncio.sleep(0)  # the loop tells each in its next turn


# TCP ---------------------------------------------------------------------------------------


class _End(asyncio.Protocol):
    """One of the two connections that a relay joins."""

    def __init__(self, siblings: "set[_End]") -> None:
        self.transport: asyncio.Transport | None = None
        self._siblings = siblings
        self.other: _End | None = None
        self.carriage: Carriage | None = None
        self.forgets_s = 0.0
        self.used_s = 0.0
        self._ended = False
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._siblings.add(self)

    def join(self, other: "_End", carriage: Carriage, forgets_s: float) -> None:
        """Carry what comes here to the other end."""
        self.other, self.carriage, self.forgets_s = other, carriage, forgets_s
        self.used_s = asyncio.get_running_loop().time()
        early, self._early = bytes(self._early), bytearray()
        if early:
            self.data_received(early)
        self.worked()

    def data_received(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if self.carriage is None or self.other is None or self.transport is None:
            self._early += data  # the other side is not there yet
            if self.transport is not None and len(self._early) > HIGH_WATER_OCTETS:
                self.transport.pause_reading()
            return
        if self.forgets_s and now_s - max(self.used_s, self.other.used_s) > self.forgets_s:
            log.debug("the network has forgotten the connection")
            self.abort()
            self.other.abort()
            return
        self.used_s = now_s
        self.carriage.put(data)
        if self.carriage.waiting_octets > HIGH_WATER_OCTETS:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        self.worked()
        return True  # the other side may still have something to say

    def connection_lost(self, exc: Exception | None) -> None:
        self._siblings.discard(self)
        self._ended = True
        if exc is not None and self.other is not None:
            self.other.abort()
        self.worked()

    def write(self, octets: bytes) -> None:
        """Hand over what has arrived."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(octets)

    def worked(self) -> None:
        """Go on reading when there is room; end the other side once all has arrived there."""
        if self.carriage is None or self.other is None or self.transport is None:
            return
        if self.carriage.waiting_octets < LOW_WATER_OCTETS and not self.transport.is_closing():
            self.transport.resume_reading()
        if self._ended and self.carriage.is_empty:
            self.other.end()

    def end(self) -> None:
        """Close in order: what was written still goes out."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Break the connection."""
        if self.carriage is not None:
            self.carriage.stop()
        if self.transport is not None:
            self.transport.abort()


async def relay_tcp(listen: Url, to: Url, between: Between) -> Relay:
    """Open a relay of TCP connections.

    Args:
        listen: Where; port 0 lets the system choose.
        to: What to dial for each connection.
        between: The bearer.

    Raises:
        UserError: The port is taken or may not be opened.
    """
    loop = asyncio.get_running_loop()
    relay = Relay(listen)
    tasks: set[asyncio.Task[None]] = set()

    def accepted() -> _End:
        end = _End(relay.ends)
        task = loop.create_task(_joined(relay, end, to, between))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return end

    try:
        server = await loop.create_server(accepted, listen.host, listen.port)
    except OSError as error:
        raise UserError(cannot_listen(listen, error)) from error
    relay.url = Url(listen.scheme, listen.host, server.sockets[0].getsockname()[1])
    relay.on_close(server.close)
    return relay


async def _joined(relay: Relay, dialler: _End, to: Url, between: Between) -> None:
    """Dial for a connection that came in, and join both."""
    loop = asyncio.get_running_loop()
    number = len(relay.counts) + 1
    try:
        _, network = await loop.create_connection(lambda: _End(relay.ends), to.host, to.port)
    except OSError as error:
        log.warning("%s cannot be reached (%s): is the other side up?", to, error)
        dialler.abort()
        return
    link = Link(between.medium, f"connection {number}")
    drawn = seeded(f"{between.medium.seed} connection {number}").random()
    forgets_s = between.medium.bearer.nat_tcp_s.at(drawn) / between.speed
    there = between.sender(link, from_dialler=True, flow=Flow.STREAM)
    back = between.sender(link, from_dialler=False, flow=Flow.STREAM)
    relay.counts.append((there.counts, back.counts))
    dialler.join(network, between.carriage(there, network.write, dialler.worked), forgets_s)
    network.join(dialler, between.carriage(back, dialler.write, network.worked), forgets_s)


# UDP ---------------------------------------------------------------------------------------


class _Datagrams(asyncio.DatagramProtocol):
    """A socket that hands over each datagram with its sender."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data, addr)


async def relay_udp(listen: Url, to: Url, between: Between) -> Relay:
    """Open a relay of datagrams; each address that sends is a flow of its own.

    Raises:
        UserError: The port is taken or may not be opened.
    """
    loop = asyncio.get_running_loop()
    relay = Relay(listen)
    flows: dict[Address, Carriage] = {}

    def outward(data: bytes, address: Address) -> None:
        carriage = flows.get(address)
        if carriage is None:
            carriage = flows[address] = _new_flow(relay, front, address, to, between)
        carriage.put(data)

    try:
        front, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(outward), local_addr=(listen.host, listen.port)
        )
    except OSError as error:
        raise UserError(cannot_listen(listen, error)) from error
    relay.url = Url(listen.scheme, listen.host, front.get_extra_info("sockname")[1])
    relay.on_close(front.close)
    return relay


def _new_flow(
    relay: Relay, front: asyncio.DatagramTransport, address: Address, to: Url, between: Between
) -> Carriage:
    """Return what carries an address's datagrams outward, over a socket of its own."""
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, target = socket.getaddrinfo(
        to.host, to.port, type=socket.SOCK_DGRAM
    )[0]
    back_socket = socket.socket(family, kind, protocol)
    back_socket.setblocking(False)  # noqa: FBT003  the socket module's own
    back_socket.connect(target)
    link = Link(between.medium, f"flow {len(relay.counts) + 1}")
    there = between.sender(link, from_dialler=True, flow=Flow.DATAGRAMS)
    back = between.sender(link, from_dialler=False, flow=Flow.DATAGRAMS)
    relay.counts.append((there.counts, back.counts))

    def deliver(octets: bytes) -> None:
        try:
            back_socket.send(octets)
        except OSError as error:  # nobody there: a datagram is lost, as on any network
            log.debug("%s: %s", to, error.strerror)

    homeward = between.carriage(back, lambda octets: front.sendto(octets, address))

    def readable() -> None:
        try:
            homeward.put(back_socket.recv(65_536))
        except OSError as error:
            log.debug("%s: %s", to, error.strerror)

    def close() -> None:
        loop.remove_reader(back_socket)
        back_socket.close()

    loop.add_reader(back_socket, readable)
    relay.on_close(close)
    return between.carriage(there, deliver)


# Serial lines --------------------------------------------------------------------------------


def relay_serial(listen: Path, to: Path, between: Between) -> Relay:
    """Open a relay between a pseudo-terminal, linked to at `listen`, and a serial line.

    Octets keep their order; what is lost or damaged is not repeated.

    Raises:
        UserError: The link cannot be made, or no line is behind it.
    """
    relay = Relay(Url.serial(str(listen)))
    link = Link(between.medium, "line")
    there = between.sender(link, from_dialler=True, flow=Flow.LINE)
    back = between.sender(link, from_dialler=False, flow=Flow.LINE)
    relay.counts.append((there.counts, back.counts))

    carriages: list[Carriage] = []

    def outward(octets: bytes) -> None:
        carriages[0].put(octets)

    def homeward(octets: bytes) -> None:
        carriages[1].put(octets)

    front, behind = PtyLine(listen, outward), SerialLine(to, homeward)
    carriages += between.carriage(there, behind.send), between.carriage(back, front.send)
    for line, remedy in ((behind, "give a serial line"), (front, "permit making a link there")):
        line.open()
        relay.on_close(line.close)
        if not line.is_open:  # it would be tried again for ever
            for close in (behind.close, front.close):
                close()
            raise UserError(f"{line.path} cannot be opened: {remedy}")
    return relay
