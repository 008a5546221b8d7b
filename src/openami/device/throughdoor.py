# SPDX-License-Identifier: Apache-2.0
"""The near side of the TLS partition: connections that end in it, as wires of this process.

The partition (`device.tlsrelay`) ends TLS and DTLS and passes wrapper frames through a local
stream socket.  Frames between no-stations (wPort 0 both ways) are its own words:

=====  ========  =======================================================
octet  from      rest
=====  ========  =======================================================
R      relay     who is at the other end, UTF-8: frames may go both ways
X      relay     why it ends, UTF-8
S      near      source and destination of what gets no answer, 2 each
=====  ========  =======================================================
"""

import asyncio
import socket
import struct
from pathlib import Path
from typing import Final

from openami.device.secure.door import knock, user_of
from openami.transport.carrier import AcceptCarrier
from openami.transport.wire import (
    DEFAULT_LIMITS,
    Accept,
    Limits,
    Wire,
    WireError,
    WireHandler,
)

NO_STATION: Final = 0
READY, OVER, SILENT = b"R", b"X", b"S"
ENDS: Final = struct.Struct(">cHH")
ANSWER_S: Final = 5.0
"""How much longer than its own time to dial the partition is waited for."""


class DoorWire(Wire):
    """A wire on a local stream socket.

    Attributes:
        user: Whom the system names for the other end.
    """

    user: int = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.user = user_of(transport.get_extra_info("socket"))
        super().connection_made(transport)

    def _start(self) -> None:
        self.address = "the TLS partition"
        super()._start()

    def word(self, kind: bytes, text: str = "") -> None:
        """Say something of our own; a peer that is gone does not hear it."""
        if self.is_open:
            self.send(NO_STATION, NO_STATION, kind + text.encode()[:1024])

    def silent(self, source: int, destination: int) -> None:
        """Say that a message gets no APDU (`carrier.Awaited`)."""
        self.send(NO_STATION, NO_STATION, ENDS.pack(SILENT, source, destination))

    @staticmethod
    def _tune(line: socket.socket | None) -> None:
        """A local socket has nothing to tune."""


class _Near:
    """Waits for the partition's first word, then hands frames to whom they are for."""

    def __init__(self, wire: Wire, accept: Accept | AcceptCarrier) -> None:
        self._wire, self._accept = wire, accept
        self._handler: WireHandler | None = None
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        if source == destination == NO_STATION:
            self._hear(apdu[:1], apdu[1:].decode(errors="replace"))
        elif self._handler is not None:
            self._handler.frame(source, destination, apdu)

    def closed(self, reason: str) -> None:
        if not self.stands.done():
            self.stands.set_exception(WireError(reason))
        elif self._handler is not None:
            self._handler.closed(reason)

    def _hear(self, kind: bytes, text: str) -> None:
        if kind == READY and self._handler is None:
            self._wire.address = text
            self._handler = self._accept(self._wire)
            self.stands.set_result(None)
        elif kind == OVER:
            self._wire.close(text)


async def dial_through(door: Path, accept: Accept, limits: Limits) -> Wire:
    """Let the partition dial; return the wire once the peer has proved who it is.

    Args:
        door: Of the partition.
        accept: Called then; returns the wire's handler.
        limits: What the wire may cost; the partition has `connect_timeout_s` for its part.

    Raises:
        WireError: The partition is not there, or why it has no connection.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        knock(line, door)
    except OSError as error:
        line.close()
        raise WireError(f"the TLS partition is not there ({error.strerror})") from error
    made: list[_Near] = []

    def near(wire: Wire) -> _Near:
        made.append(_Near(wire, accept))
        return made[0]

    wire = DoorWire(near, limits)
    await asyncio.get_running_loop().create_unix_connection(lambda: wire, sock=line)
    try:
        async with asyncio.timeout(limits.connect_timeout_s + ANSWER_S):
            await made[0].stands
    except TimeoutError as error:
        wire.close("no answer in time")
        raise WireError("the TLS partition does not answer") from error
    except asyncio.CancelledError:
        wire.close("no longer wanted")
        raise
    finally:
        if made[0].stands.done() and not made[0].stands.cancelled():
            made[0].stands.exception()  # seen, even where a time-out came first
    return wire


async def listen_inside(
    door: socket.socket, accept: AcceptCarrier, user: int, limits: Limits = DEFAULT_LIMITS
) -> asyncio.Server:
    """Take the connections that come in through the partition.

    Args:
        door: A listening socket of kind STREAM.
        accept: Called for each peer that has proved who it is; returns its handler.
        user: The partition's; nobody else is let in.
        limits: What one connection may cost.
    """

    def near(wire: Wire) -> _Near:
        if not isinstance(wire, DoorWire) or wire.user != user:
            raise WireError("a stranger stands at the partition's door")
        return _Near(wire, accept)

    return await asyncio.get_running_loop().create_unix_server(
        lambda: DoorWire(near, limits), sock=door
    )
