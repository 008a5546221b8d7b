# SPDX-License-Identifier: Apache-2.0
"""One way of one flow over a link: what waits, what is under way, what arrives when.

As a stream octets arrive whole, in order, however often a packet has to be repeated; pauses
between repetitions double as TCP's do (RFC 6298, 5.5).  On a line they arrive in order too, but
what is lost or damaged stays so.  As datagrams each packet stands for itself: it is lost, late, or
overtaken.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from openami.transport.bearers.link import STREAM_HEADER_OCTETS, Fate, Link, Loss
from openami.transport.bearers.medium import Way

LEAST_TIMEOUT_S: Final = 1.0  # RFC 6298, 2.4
MOST_TIMEOUT_S: Final = 60.0
DATAGRAM_HEADER_OCTETS: Final = 28  # IP and UDP


class Flow(Enum):
    """What a flow promises."""

    STREAM = "stream"
    LINE = "line"
    DATAGRAMS = "datagrams"

    @property
    def header_octets(self) -> int:
        """What IP and the protocol above it add to a packet; a line has neither."""
        return {Flow.STREAM: STREAM_HEADER_OCTETS, Flow.DATAGRAMS: DATAGRAM_HEADER_OCTETS}.get(
            self, 0
        )


@dataclass(slots=True)
class Counts:
    """What a sender has seen, for people."""

    packets: int = 0
    octets: int = 0
    repeated: int = 0
    lost: int = 0
    damaged: int = 0


class Sender:
    """Sends what it is given over a link.

    Args:
        link: Shared with the other way, and with other flows of the device.
        way: Which way.
        flow: What it promises.

    Attributes:
        counts: What was sent, and what became of it.
        waiting_octets: What was not yet sent, or not for good: beyond some, ask for less.
    """

    def __init__(self, link: Link, way: Way, flow: Flow) -> None:
        self.counts = Counts()
        self.waiting_octets = 0
        self._link = link
        self._way = way
        self._is_stream = flow is Flow.STREAM
        self._flow = flow
        self._waiting: deque[bytes] = deque()
        self._under_way: list[tuple[float, int, bytes]] = []
        self._next_s = 0.0
        self._last_s = 0.0
        self._timeout_s = self._first_timeout_s = max(
            LEAST_TIMEOUT_S, 2 * link.bearer.round_trip_s.high
        )

    def put(self, octets: bytes) -> None:
        """Queue octets, or one datagram."""
        self.waiting_octets += len(octets)
        if self._flow is Flow.DATAGRAMS:
            self._waiting.append(octets)
            return
        size = max(1, self._link.bearer.mtu_octets - self._flow.header_octets)
        self._waiting += [octets[start : start + size] for start in range(0, len(octets), size)]

    def due_s(self) -> float | None:
        """Return when `step` has something to do; None while nothing is here."""
        moments = [self._next_s] if self._waiting else []
        if self._under_way:
            moments.append(self._under_way[0][0])
        return min(moments, default=None)

    def step(self, now_s: float) -> list[bytes]:
        """Send what may be sent by now; return what has arrived by now."""
        while self._waiting and self._next_s <= now_s:
            self._send(max(self._next_s, now_s))
        arrived = []
        while self._under_way and self._under_way[0][0] <= now_s:
            arrived.append(heapq.heappop(self._under_way)[2])
        return arrived

    def _send(self, now_s: float) -> None:
        packet = self._waiting[0]
        octets = len(packet) + self._flow.header_octets
        fate = self._link.send(self._way, octets, now_s, acknowledged=self._is_stream)
        if fate.again_s is not None:
            self._next_s = fate.again_s
            return
        self.counts.packets += 1
        self.counts.octets += len(packet)
        if fate.loss is not None and self._is_stream:
            self._repeat_later(fate, now_s)
            return
        self._waiting.popleft()
        self.waiting_octets -= len(packet)
        self._timeout_s = self._first_timeout_s
        # The next packet waits until this one is off the device, but no datagram for the network.
        self._next_s = now_s if fate.loss is Loss.OUTAGE else fate.over_s
        if fate.arrival_s is None:
            self.counts.lost += 1
            return
        self.counts.damaged += bool(fate.damaged)
        self._last_s = max(fate.arrival_s, 0.0 if self._flow is Flow.DATAGRAMS else self._last_s)
        heapq.heappush(
            self._under_way, (self._last_s, self.counts.packets, _damaged(packet, fate.damaged))
        )

    def _repeat_later(self, fate: Fate, now_s: float) -> None:
        self.counts.repeated += 1
        self._next_s = fate.over_s
        if fate.loss is not Loss.OUTAGE:
            self._next_s = max(fate.over_s, now_s + self._timeout_s)
            self._timeout_s = min(2 * self._timeout_s, MOST_TIMEOUT_S)


def _damaged(octets: bytes, positions: tuple[int, ...]) -> bytes:
    """Return octets with the bits at these positions turned."""
    if not positions:
        return octets
    changed = bytearray(octets)
    for position in positions:
        changed[position // 8] ^= 1 << position % 8
    return bytes(changed)
