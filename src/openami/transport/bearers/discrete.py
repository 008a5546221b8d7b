# SPDX-License-Identifier: Apache-2.0
"""Both ends of a connection on simulated time: hours over a slow bearer in a moment.

`DiscreteLoop` is an event loop whose clock stands still while something can be done and then jumps
to the next timer; `connected` joins two protocols of asyncio by a link in the same loop.  What runs
there must take its time from the loop (`loop.time`), and from nowhere else.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from openami.transport.bearers.carriage import Carriage
from openami.transport.bearers.link import Link
from openami.transport.bearers.medium import Way
from openami.transport.bearers.sender import Flow, Sender

DEFAULT_HIGH_WATER_OCTETS: Final = 64 * 1024
READ_OCTETS: Final = 64 * 1024

T = TypeVar("T")


class Stuck(Exception):  # noqa: N818  a state, not an error of somebody's
    """Nothing will ever happen any more, and the work is not done."""


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: what it should have waited is added to the clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is due, and nobody has anything to send")
        if timeout > 0:
            self.now_s += timeout
        return super().select(0)


class DiscreteLoop(asyncio.SelectorEventLoop):
    """An event loop on simulated time, which begins at 0.  No threads, no sockets."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


def run_discrete(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on simulated time, as `asyncio.run` does on real time.

    Raises:
        Stuck: It waits for what never comes.
    """
    with asyncio.Runner(loop_factory=DiscreteLoop) as runner:
        return runner.run(main)


class LinkTransport(asyncio.Transport):
    """One end of a connection, or of a flow of datagrams, over a link.

    Attributes:
        counts: Of what this end sends.
    """

    def __init__(self, sender: Sender, peer: str) -> None:
        super().__init__({"peername": (peer, 0)})
        self.counts = sender.counts
        self.peer: LinkTransport | None = None
        self._carriage = Carriage(sender, self._hand_over, self._worked)
        self._protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self._held: list[bytes] | None = None  # while reading is paused
        self._high, self._low = DEFAULT_HIGH_WATER_OCTETS, DEFAULT_HIGH_WATER_OCTETS // 4
        self._paused = False
        self._closing = False
        self._lost = False

    # What a protocol calls --------------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        self._carriage.put(bytes(data))
        if self._carriage.waiting_octets > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def sendto(self, data: bytes, addr: object = None) -> None:  # noqa: ARG002  there is one peer
        """Send a datagram."""
        self.write(data)

    def get_write_buffer_size(self) -> int:
        return self._carriage.waiting_octets

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 4 * (low or DEFAULT_HIGH_WATER_OCTETS // 4)
        self._low = low if low is not None else self._high // 4

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._held is None

    def pause_reading(self) -> None:
        self._held = self._held if self._held is not None else []

    def resume_reading(self) -> None:
        held, self._held = self._held or [], None
        for octets in held:
            self.deliver(octets)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """Close; what was written still arrives, and then the other end learns of it."""
        if not self._closing:
            self._closing = True
            self._worked()

    def abort(self) -> None:
        """Break the connection; the other end learns of it at once."""
        self._closing = True
        self._end(ConnectionAbortedError("aborted"))

    # Inside -------------------------------------------------------------------------------------

    def _hand_over(self, octets: bytes) -> None:
        if self.peer is not None:
            self.peer.deliver(octets)

    def deliver(self, octets: bytes) -> None:
        """Hand the protocol what has arrived."""
        if self._lost:
            return
        if self._held is not None:
            self._held.append(octets)
            return
        protocol = self._protocol
        if isinstance(protocol, asyncio.DatagramProtocol):
            protocol.datagram_received(octets, self.get_extra_info("peername"))
        elif isinstance(protocol, asyncio.BufferedProtocol):
            for start in range(0, len(octets), READ_OCTETS):
                part = octets[start : start + READ_OCTETS]
                buffer = memoryview(protocol.get_buffer(len(part)))
                buffer[: len(part)] = part
                protocol.buffer_updated(len(part))
        else:
            cast("asyncio.Protocol", protocol).data_received(octets)

    def _worked(self) -> None:
        waiting = self._carriage.waiting_octets
        if self._paused and waiting <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and self._carriage.is_empty:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._carriage.stop()
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)
        if self.peer is not None and not isinstance(self._protocol, asyncio.DatagramProtocol):
            self.peer.hung_up(error)

    def hung_up(self, error: Exception | None) -> None:
        """Learn that the other end is gone."""
        self._closing = True
        if error is None and isinstance(
            self._protocol, asyncio.Protocol | asyncio.BufferedProtocol
        ):
            self._protocol.eof_received()
        self._end(error)


Pair = tuple[LinkTransport, LinkTransport]


def connected(
    link: Link,
    device: Callable[[], asyncio.BaseProtocol],
    network: Callable[[], asyncio.BaseProtocol],
    *,
    flow: Flow = Flow.STREAM,
) -> Pair:
    """Join two protocols by a link, inside a running loop; return the transports of both.

    Args:
        link: The device's.
        device: Makes the protocol at the device.
        network: Makes the protocol at the other end.
        flow: A connection, a line, or datagrams.
    """
    up = LinkTransport(Sender(link, Way.UP, flow), "network")
    down = LinkTransport(Sender(link, Way.DOWN, flow), "device")
    up.peer, down.peer = down, up
    for transport, make in ((down, network), (up, device)):
        protocol = make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
    return up, down
