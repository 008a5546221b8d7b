# SPDX-License-Identifier: Apache-2.0
"""One connection that carries wrapper frames (IEC 62056-47), plain or inside TLS.

A wire hands each whole frame to its handler in the same call in which the octets arrived: there is
no queue and no task a connection, which is what lets one process hold twenty thousand of them.
Octets are received into one buffer that all connections of a loop share; the selector loop fills
it and hands it over before it turns to the next connection.

`Wire` is the plain one; `tls.TlsWire` adds the handshake; `endpoint` listens and dials.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary

from openami.dlms.errors import DlmsError
from openami.dlms.wrapper import WrapperReader
from openami.runtime.errors import UserError
from openami.transport.doors import Doors, Network
from openami.transport.tcpinfo import TcpFigures, tcp_figures

log = logging.getLogger(__name__)

HEADER: Final = struct.Struct(">HHHH")  # version, source wPort, destination wPort, length
HEADER_OCTETS: Final = 8
VERSION: Final = 1
RECEIVE_OCTETS: Final = 256 * 1024
HIGH_WATER_OCTETS: Final = 64 * 1024
LINGER_S: Final = 1.0  # what is already sent may be read by the peer before we close


class WireError(UserError):
    """A connection that could not be made, was refused, or broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, and one listener, may cost."""

    connect_timeout_s: float = 10.0  # dialling: TCP and TLS handshake together
    handshake_timeout_s: float = 20.0  # listening
    frame_timeout_s: float = 30.0  # a frame that has begun is whole by then
    idle_timeout_s: float | None = None  # without a frame; None trusts TCP keep-alive
    max_apdu_octets: int = 65_535  # the wrapper can say no more
    max_buffered_octets: int = 4 * 1024 * 1024  # for a peer that does not read
    max_connections: int = 20_000  # of one listener
    half_open_per_address: int | None = None  # TLS handshakes under way; None: no bound of its own
    gateways: tuple[Network, ...] = ()  # whose addresses many peers share: without that bound


DEFAULT_LIMITS: Final = Limits()


class PeerIdentity(NamedTuple):
    """Who the certificate says it is: the subject's CN and OU."""

    title: bytes  # system title, 8 octets
    role: str

    def __str__(self) -> str:
        return f"{self.role} {self.title.hex().upper()}"


class WireHandler(Protocol):
    """Who uses a wire; bound by `Accept`."""

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        """Take one frame; a `DlmsError` raised here closes the connection with a warning."""

    def closed(self, reason: str) -> None:
        """Learn that the connection is gone; called once."""


Accept = Callable[["Wire"], WireHandler]  # called when a wire is ready; WireError refuses the peer

_receive_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def shared_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Return the receive buffer that all connections of `loop` share."""
    if (buffer := _receive_buffers.get(loop)) is None:
        buffer = _receive_buffers[loop] = memoryview(bytearray(RECEIVE_OCTETS))
    return buffer


class Wire(asyncio.BufferedProtocol):
    """A plain TCP connection that carries wrapper frames.

    Attributes:
        peer: Who is at the other end, by certificate; None on a plain connection.
        address: Where it is, `host:port`.
        opened: Set by whoever dials, to be told of the end of the handshake or its failure.
        siblings: All wires of the same listener, or None for a dialled one.
        doors: Of the same listener; None for a dialled one.
    """

    def __init__(self, accept: Accept, limits: Limits) -> None:
        self.peer: PeerIdentity | None = None
        self.address = "nowhere"
        self.opened: asyncio.Future[None] | None = None
        self.siblings: set[Wire] | None = None
        self.doors: Doors | None = None
        self._accept = accept
        self._limits = limits
        self._handler: WireHandler | None = None
        self._reader = WrapperReader(max_apdu_octets=limits.max_apdu_octets)
        self._transport: asyncio.Transport | None = None
        self._write: Callable[[bytes], None]  # puts octets on the connection
        self._reason: str | None = None  # why it closes; set once
        self._paused = False  # the peer reads more slowly than we write
        self._waiters: list[asyncio.Future[None]] = []
        self._gone: list[asyncio.Future[None]] = []
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._longest = limits.max_apdu_octets
        self._is_timed = limits.idle_timeout_s is not None
        self._begun_s: float | None = None  # when the frame now arriving began
        self._last_frame_s = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{'' if self.is_open else ', closed'}>"

    # What users of a wire call ------------------------------------------------------------

    @property
    def name(self) -> str:
        """Who and where the peer is, for sentences."""
        return f"{self.peer} at {self.address}" if self.peer else self.address

    @property
    def local_host(self) -> str:
        """Our own address on the connection; empty while there is none."""
        line = self._transport.get_extra_info("sockname") if self._transport else None
        return "" if line is None else str(line[0])

    @property
    def is_open(self) -> bool:
        return self._handler is not None and self._reason is None

    @property
    def reason(self) -> str | None:
        """Why the wire is closed; None while it is not."""
        return self._reason

    @property
    def writable(self) -> bool:
        """Whether the peer keeps up: False asks the sender to wait for `drain`."""
        return not self._paused

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Send one frame; never blocks.

        Raises:
            WireError: The connection is closed, or the peer has left too much unread.
        """
        if self._handler is None or self._reason is not None:
            raise WireError(f"nothing can be sent to {self.name}: {self._reason or 'not open yet'}")
        length = len(apdu)
        if length > self._longest:
            longest = self._longest
            raise WireError(f"an APDU of {length} octets does not fit a frame of {longest}")
        self._write(HEADER.pack(VERSION, source, destination, length) + apdu)
        if self._paused:
            self._check_buffered()

    def tcp_figures(self) -> TcpFigures | None:
        """Return round trip and losses of the connection; None where they are not known."""
        line = self._transport.get_extra_info("socket") if self._transport else None
        return None if line is None else tcp_figures(line)

    async def drain(self) -> None:
        """Wait until the peer has read enough for more to be sent, or the wire is closed."""
        while self._paused and self._reason is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def pause_reading(self) -> None:
        """Stop taking octets, so that the peer feels back-pressure."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take octets again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, reason: str = "closed here") -> None:
        """Close in order: what was sent still goes out."""
        if self._reason is None:
            self._finish(reason)
            if self._transport is not None:
                self._hang_up(self._transport)
                self._schedule(LINGER_S, self._abort)

    def refuse(self, reason: str) -> None:
        """Close because of the peer's fault, with one warning."""
        if self._reason is None:
            self._warn(reason)
            self.close(reason)

    async def gone(self) -> None:
        """Wait until the connection is closed on both sides."""
        if not self._lost:
            waiter = asyncio.get_running_loop().create_future()
            self._gone.append(waiter)
            await waiter

    # What asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write
        self._transport.set_write_buffer_limits(high=HIGH_WATER_OCTETS)
        self._loop = asyncio.get_running_loop()
        self._buffer = shared_buffer(self._loop)
        self._tune(transport.get_extra_info("socket"))
        host, port, *_ = transport.get_extra_info("peername") or ("unknown", 0)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.siblings is not None:
            if len(self.siblings) >= self._limits.max_connections:
                most = self._limits.max_connections
                self.refuse(f"{most} connections are open already: raise max_connections")
                return
            self.siblings.add(self)
        self._start()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's signature
        return self._buffer

    def buffer_updated(self, nbytes: int, plain: bytes | None = None) -> None:
        """Deliver what has arrived: exactly one frame, as nearly all reads are, or anything.

        Args:
            nbytes: How many octets.
            plain: The octets where they are not those in the buffer, as within TLS.
        """
        octets = self._buffer if plain is None else plain
        handler = self._handler
        if nbytes > HEADER_OCTETS and handler is not None and self._begun_s is None:
            version, source, destination, length = HEADER.unpack_from(octets)
            whole = nbytes == HEADER_OCTETS + length <= HEADER_OCTETS + self._longest
            if whole and version == VERSION and self._reason is None:
                if self._is_timed:
                    self._last_frame_s = self._loop.time()
                try:
                    handler.frame(source, destination, bytes(octets[HEADER_OCTETS:nbytes]))
                except DlmsError as error:
                    self.refuse(str(error))
                return
        self._receive(bytes(octets[:nbytes]))

    def eof_received(self) -> bool:
        if self._reason is None:
            begun = " in the middle of a frame" if self._reader.pending else ""
            self._finish(f"the peer closed the connection{begun}")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reason is None:
            self._finish(_loss(exc))
        self._cancel_timer()
        if self.siblings is not None:
            self.siblings.discard(self)
        self._lost = True
        _release(self._gone)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    # What TlsWire replaces --------------------------------------------------------------------

    def _start(self) -> None:
        """Begin: a plain wire is ready at once."""
        self._ready()

    def _hang_up(self, transport: asyncio.Transport) -> None:
        """End in order what stands below; plain TCP says nothing."""
        transport.close()

    # Inside -----------------------------------------------------------------------------------

    def _ready(self) -> None:
        """The peer is known: bind the handler and tell whoever dialled."""
        try:
            self._handler = self._accept(self)
        except WireError as refusal:
            self.refuse(str(refusal))
            return
        if self._limits.idle_timeout_s is not None:
            self._last_frame_s = self._loop.time()
            self._schedule(self._limits.idle_timeout_s, self._watch)
        if self.opened is not None and not self.opened.done():
            self.opened.set_result(None)

    def _receive(self, octets: bytes) -> None:
        """Deliver the frames in `octets`."""
        if (handler := self._handler) is None or self._reason is not None:
            return
        reader = self._reader
        try:
            for frame in reader.feed(octets):
                if self._reason is not None:
                    return
                self._last_frame_s = self._loop.time()
                handler.frame(frame.source, frame.destination, frame.apdu)
            reader.feed(b"")  # raises what stood behind the frames just delivered
        except DlmsError as error:
            self.refuse(str(error))
            return
        self._note_begun()

    def _note_begun(self) -> None:
        """Start or stop the clock of a frame that has begun to arrive."""
        if not self._reader.pending:
            self._begun_s = None
        elif self._begun_s is None:
            self._begun_s = self._loop.time()
            if self._timer is None:
                self._schedule(self._limits.frame_timeout_s, self._watch)

    def _watch(self) -> None:
        """Close a connection that is stuck in a frame, or idle for too long."""
        self._timer = None
        now_s, limits = self._loop.time(), self._limits
        deadlines = []
        if self._begun_s is not None:
            if (due_s := self._begun_s + limits.frame_timeout_s) <= now_s:
                self.refuse(f"a frame was not whole after {limits.frame_timeout_s:g} s")
                return
            deadlines.append(due_s)
        if limits.idle_timeout_s is not None:
            if (due_s := self._last_frame_s + limits.idle_timeout_s) <= now_s:
                self.close(f"no frame for {limits.idle_timeout_s:g} s")
                return
            deadlines.append(due_s)
        if deadlines:
            self._schedule(min(deadlines) - now_s, self._watch)

    def _check_buffered(self) -> None:
        waiting = self._transport.get_write_buffer_size() if self._transport else 0
        if waiting > self._limits.max_buffered_octets:
            sentence = f"{waiting} octets wait for a peer that does not read"
            self._warn(sentence)
            self._finish(sentence)
            self._abort()
            raise WireError(f"nothing more can be sent to {self.name}: {sentence}")

    def _warn(self, sentence: str) -> None:
        """Log a peer's fault; whoever still waits for `dial` is told by its exception instead."""
        dialling = self.opened is not None and not self.opened.done()
        level = logging.DEBUG if dialling else logging.WARNING
        log.log(level, "%s refused: %s", self.name, sentence)

    def _finish(self, reason: str) -> None:
        """Note why the wire is closed and tell everyone who waits for it, once."""
        self._reason = reason
        self._cancel_timer()
        log.debug("%s closed: %s", self.name, reason)
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(WireError(reason))
        self._wake()
        if self._handler is not None:
            self._handler.closed(reason)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        _release(waiters)

    def _schedule(self, delay_s: float, action: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(delay_s, action)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @staticmethod
    def _tune(line: socket.socket | None) -> None:
        """Send small frames at once, and notice a peer that vanished without a word."""
        if line is None:
            return
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", 60),
            ("TCP_KEEPINTVL", 15),
            ("TCP_KEEPCNT", 4),
            ("TCP_USER_TIMEOUT", 90_000),  # ms that sent octets may stay unacknowledged
        ):
            if (number := getattr(socket, option, None)) is not None:
                line.setsockopt(socket.IPPROTO_TCP, number, value)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _loss(error: Exception | None) -> str:
    match error:
        case None:
            return "the peer closed the connection"
        case ConnectionResetError() | BrokenPipeError():
            return "the peer reset the connection"
        case TimeoutError():
            return "the peer does not answer any more (TCP time-out)"
        case OSError():
            return f"the connection broke ({error.strerror or error})"
        case _:
            return f"a fault here ended the connection ({error!r})"
