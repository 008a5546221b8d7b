# SPDX-License-Identifier: Apache-2.0
"""Opening lines for HDLC: `dial_hdlc` and `listen_hdlc` over TCP, and both over serial lines."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final, cast

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address, Station
from openami.dlms.hdlc.frame import FLAG
from openami.dlms.hdlc.link import Pair
from openami.dlms.mode_e import (
    OPENING_BAUD,
    ClientOpening,
    IdentificationMessage,
    ServerOpening,
    with_even_parity,
)
from openami.runtime.errors import ExitCode, UserError
from openami.transport.carrier import AcceptCarrier
from openami.transport.endpoint import BACKLOG, cannot_dial, cannot_listen
from openami.transport.hdlc import (
    DEFAULT_SETTINGS,
    LINGER_S,
    AcceptLine,
    HdlcClientWire,
    HdlcServerWire,
    HdlcSettings,
    HdlcWire,
)
from openami.transport.serial import PtyLine, SerialLine
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, WireError

BITS_PER_OCTET: Final = 10  # start, eight data, stop
POLL_S: Final = 0.02
IDENTIFICATION: Final = IdentificationMessage(manufacturer="OAM", baud="5", identification="1")
"""What a simulated optical port says of itself: 9600 baud, mode E."""


class TcpLine(asyncio.Protocol):
    """A TCP connection that carries the octets of a line."""

    def __init__(self, wire: HdlcWire, siblings: "set[TcpLine] | None" = None) -> None:
        self.wire = wire
        self._siblings = siblings
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._siblings is not None:
            self._siblings.add(self)
            host, port, *_ = transport.get_extra_info("peername") or ("unknown", 0)
            self.wire.name = f"{host}:{port}"
        self.wire.line = self

    def data_received(self, data: bytes) -> None:
        self.wire.octets(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._siblings is not None:
            self._siblings.discard(self)
        how = "closed" if exc is None else "reset"
        self.wire.line_lost(f"the peer {how} the connection")

    def send(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class SerialPort:
    """A serial line as a wire wants it: closing it ends the wire."""

    def __init__(self, wire: HdlcWire, line: SerialLine) -> None:
        self._wire = wire
        self._line = line
        self._loop = asyncio.get_running_loop()
        wire.line = self

    def send(self, octets: bytes) -> None:
        self._line.send(octets)

    def close(self) -> None:
        self._line.close()
        self._loop.call_soon(self._wire.line_lost, "the line is closed")


class HdlcListener:
    """An open port and the lines that came in through it."""

    def __init__(self, server: asyncio.Server, url: Url, lines: set[TcpLine]) -> None:
        self._server = server
        self._lines = lines
        self.url = url  # with the port the system chose

    async def close(self) -> None:
        """Stop listening and close every line."""
        self._server.close()
        for line in list(self._lines):
            line.wire.close("the service stops")  # type: ignore[attr-defined]  # a server's
            await line.wire.gone()
        await self._server.wait_closed()


def link_pair(client: int, logical: int, settings: HdlcSettings) -> Pair:
    """Return the addresses of a link.

    Raises:
        UserError: One of them does not fit into HDLC.
    """
    try:
        server = Address.server(logical, settings.physical, settings.address_octets)
        return Pair(Address.client(client), server)
    except ValueError as error:
        sentence = f"{error}: choose other addresses, or another address size"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None


async def dial_hdlc(
    url: Url,
    accept: AcceptCarrier,
    pair: Pair,
    *,
    settings: HdlcSettings = DEFAULT_SETTINGS,
    limits: Limits = DEFAULT_LIMITS,
) -> HdlcClientWire:
    """Open a line and a link on it.

    Args:
        url: `hdlc+tcp://` or `hdlc+serial://`.
        accept: Called when the link stands; returns the wire's handler.
        pair: Our address and the server's, of `link_pair`.
        settings: What to propose, how long to wait; the serial line's speed.
        limits: `connect_timeout_s` bounds this call.

    Raises:
        WireError: Nobody there, or no link.
    """
    name = url.path or f"{url.host}:{url.port}"
    wire = HdlcClientWire(pair, settings, name, accept)
    asked, remedy = f"server {pair.server}", "check line, speed, server address and its size"
    opens = settings.mode_e and url.scheme == "hdlc+serial"
    waited_for_s = limits.connect_timeout_s
    try:
        async with asyncio.timeout(limits.connect_timeout_s) as patience:
            if url.scheme == "hdlc+serial":
                await _open_serial(url, wire, settings)
                opens = False
            else:
                await _open_tcp(url, wire)
            if settings.link_s is not None:
                waited_for_s = settings.link_s
                until = asyncio.get_running_loop().time() + settings.link_s
                patience.reschedule(min(until, patience.when() or until))
            wire.connect()
            await wire.opened
    except TimeoutError as error:
        await _abandon(wire, "no answer in time")
        if opens:
            asked = "a meter that was called in mode E, at 300 baud,"
            remedy = "check that the head sits on the optical port, or try without --mode-e"
        late = f"{asked} did not answer within {waited_for_s:g} s"
        raise WireError(f"{url}: {late}: {remedy}") from error
    except (WireError, DecodeError) as error:
        await _abandon(wire, str(error))
        raise WireError(f"{url}: {error}") from error
    except asyncio.CancelledError:
        wire.close("no longer wanted")
        raise
    finally:
        if wire.opened.done() and not wire.opened.cancelled():
            wire.opened.exception()  # seen, even where another error came first
    return wire


async def _abandon(wire: HdlcClientWire, reason: str) -> None:
    """Close a line on which no link came up."""
    wire.close(reason)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await wire.gone()


async def _open_tcp(url: Url, wire: HdlcWire) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: TcpLine(wire), url.host, url.port)
    except OSError as error:
        plain = str(url)
        raise WireError(cannot_dial(url, error).removeprefix(plain).strip()) from error


async def _open_serial(url: Url, wire: HdlcWire, settings: HdlcSettings) -> None:
    """Open a serial line, in mode E if that is asked for."""
    opening = ClientOpening(fastest=settings.baud) if settings.mode_e else None
    chosen: list[tuple[bytes, int]] = []
    faults: list[DecodeError] = []

    def receive(octets: bytes) -> None:
        if opening is None or chosen:
            wire.octets(octets)
            return
        try:
            if (found := opening.receive(octets)) is not None:
                chosen.append(found)
        except DecodeError as error:
            faults.append(error)

    baud = OPENING_BAUD if opening else settings.baud
    line = SerialLine(Path(url.path), receive, baud)
    line.open()
    SerialPort(wire, line)
    if not line.is_open:
        raise WireError("cannot be opened: check that the device is there and may be used")
    if opening is None:
        return
    line.send(with_even_parity(opening.request()))
    while not chosen:
        await asyncio.sleep(POLL_S)
        if faults:
            raise faults[0]
    select, speed = chosen[0]
    reaction_s = opening.identification.reaction_s if opening.identification else 0.0
    await asyncio.sleep(reaction_s)
    line.send(with_even_parity(select))
    await asyncio.sleep(len(select) * BITS_PER_OCTET / OPENING_BAUD)
    line.set_speed(speed)
    await asyncio.sleep(reaction_s)  # the meter may repeat the message: noise to HDLC


async def listen_hdlc(
    url: Url,
    accept: AcceptLine,
    station: Station,
    *,
    settings: HdlcSettings = DEFAULT_SETTINGS,
    limits: Limits = DEFAULT_LIMITS,
) -> HdlcListener:
    """Open a TCP port; each connection is a line of its own.

    Args:
        url: `hdlc+tcp://`; port 0 lets the system choose.
        accept: Called for each line; returns who serves it.
        station: Our addresses on every line.
        settings: The most that we accept, and how long to wait.
        limits: How many lines at a time, and how long one may be silent.

    Raises:
        UserError: The port is taken or may not be opened.
    """
    lines: set[TcpLine] = set()

    def factory() -> asyncio.Protocol:
        if len(lines) >= limits.max_connections:
            return _Refused()
        idle_s = limits.idle_timeout_s
        return TcpLine(HdlcServerWire(station, settings, "a client", accept, idle_s), lines)

    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(factory, url.host, url.port, backlog=BACKLOG)
    except OSError as error:
        raise UserError(cannot_listen(url, error)) from error
    port = server.sockets[0].getsockname()[1]
    return HdlcListener(server, Url(url.scheme, url.host, port), lines)


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def serve_line(
    line_class: type[SerialLine],
    path: Path,
    accept: AcceptLine,
    station: Station,
    settings: HdlcSettings = DEFAULT_SETTINGS,
) -> HdlcServerWire:
    """Serve a serial line, or with `PtyLine` a pseudo-terminal that `path` will name.

    A pseudo-terminal is an optical port, too: it has no speed, so a client may open it in mode E
    or speak HDLC at once.
    """
    wire = HdlcServerWire(station, settings, str(path), accept)
    port = OpticalPort(wire)
    line = line_class(path, port.octets if line_class is PtyLine else wire.octets, settings.baud)
    port.line = line
    SerialPort(wire, line)
    line.open()
    return wire


class OpticalPort:
    """What comes before HDLC on an optical port: a meter that is opened in mode E.

    Attributes:
        line: The line, once it is there.
    """

    def __init__(self, wire: HdlcServerWire) -> None:
        self._wire = wire
        self._opening: ServerOpening | None = None
        self.line: SerialLine | None = None

    def octets(self, octets: bytes) -> None:
        """Take what the line brought; a request message counts only where no link stands."""
        if not self._wire.has_links:
            start = _request_starts(octets)
            if start is not None:
                if start:
                    self._wire.octets(octets[:start])
                    octets = octets[start:]
                self._opening = ServerOpening(IDENTIFICATION)
        if self._opening is None or self.line is None:
            self._wire.octets(octets)
            return
        answer, speed = self._opening.receive(octets)
        if speed is not None:
            self._opening = None
            self.line.set_speed(speed)
        self.line.send(with_even_parity(answer))


def _request_starts(octets: bytes) -> int | None:
    """Return where a request message begins, at the start or right behind a frame; None if nowhere.

    The client of before may have left with a frame that is read together with it.
    """
    for start, octet in enumerate(octets):
        if octet & 0x7F == ord("/") and (not start or octets[start - 1] == FLAG):
            return start
    return None
