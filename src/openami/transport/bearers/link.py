# SPDX-License-Identifier: Apache-2.0
"""The fate of each packet between one device and its network.

A packet waits for the device to listen and for its share of sending time, then for the medium; it
is cut into frames, and each frame is tried until it arrives or the link gives up.  Only sizes and
times count; the octets stay outside.  Nothing here reads a clock: times are seconds since the
medium's beginning.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from openami.transport.bearers.medium import Medium, Way, seeded

STREAM_HEADER_OCTETS: Final = 40  # IP and TCP; an acknowledgement is nothing else


class Loss(Enum):
    """Why a packet does not arrive."""

    TOO_LONG = "longer than the MTU"
    OUTAGE = "no connection"
    ATTEMPTS = "all attempts failed"
    FORGOTTEN = "the network has forgotten the flow"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a packet: it arrives, it is lost, or it has to wait.

    Attributes:
        arrival_s: When it arrives.
        over_s: When the last attempt is over, or the outage: a lost packet may be sent again then.
        loss: Why it does not arrive.
        again_s: It cannot be sent yet: ask again then.
        damaged: Positions of bits that arrive wrong.
    """

    arrival_s: float | None = None
    over_s: float = 0.0
    loss: Loss | None = None
    again_s: float | None = None
    damaged: tuple[int, ...] = ()


class Link:
    """One device's link over a medium.

    Args:
        medium: Shared or its own.
        name: Tells the links of a medium apart, for what is drawn.
    """

    def __init__(self, medium: Medium, name: str = "device") -> None:
        self.medium = medium
        self.bearer = medium.bearer
        self._random = seeded(f"{medium.seed} link {name}")
        self._sent: deque[tuple[float, float]] = deque()  # end and length of each time on the air
        self._sent_s = 0.0
        self._spoke_s = 0.0
        self._flow_s: float | None = None  # when the flow of datagrams was last used
        self._forgets_s = self.bearer.nat_udp_s.at(self._random.random())

    def send(self, way: Way, octets: int, now_s: float, *, acknowledged: bool = False) -> Fate:
        """Send a packet.

        Args:
            way: Which way.
            octets: Its length, with all headers above the frame's.
            now_s: Now.
            acknowledged: The other end answers at once, which costs a half-duplex medium time;
                and the flow is a connection, which is looked after elsewhere.
        """
        if (fate := self._before(way, octets, now_s, flow=not acknowledged)) is not None:
            return fate
        airtime_s, arrived = self._on_air(way, octets, now_s)
        if (may_s := self._may_send_s(now_s, airtime_s)) > now_s:
            return Fate(again_s=may_s)
        contention_s = self.bearer.contention_s
        wait_s = self._random.expovariate(1 / contention_s) if contention_s else 0.0
        over_s = self.medium.occupy(way, now_s + wait_s, airtime_s)
        self._note_sent(over_s, airtime_s)
        if way is Way.UP:
            self._spoke_s = over_s
        if not arrived:
            return Fate(over_s=over_s, loss=Loss.ATTEMPTS)
        if acknowledged and self.bearer.half_duplex:
            self._acknowledge(Way.DOWN if way is Way.UP else Way.UP, over_s)
        latency_s = self.bearer.round_trip_s.at(self._random.random()) / 2
        return Fate(over_s + latency_s, over_s, damaged=self._damage(octets))

    # Inside ---------------------------------------------------------------------------------

    def _before(self, way: Way, octets: int, now_s: float, *, flow: bool) -> Fate | None:
        """Return the fate of a packet that does not get onto the medium now."""
        if octets > self.bearer.mtu_octets:
            return Fate(over_s=now_s, loss=Loss.TOO_LONG)
        if flow and self._is_forgotten(way, now_s):
            return Fate(over_s=now_s, loss=Loss.FORGOTTEN)
        if (back_s := self.medium.back_s(now_s)) > now_s:
            return Fate(over_s=back_s, loss=Loss.OUTAGE)
        if way is Way.DOWN and (listens_s := self._listens_s(now_s)) > now_s:
            return Fate(again_s=listens_s)
        return None

    def _on_air(self, way: Way, octets: int, now_s: float) -> tuple[float, bool]:
        """Return how long a packet is on the air, all attempts together, and whether it arrives."""
        bearer = self.bearer
        loss = self.medium.loss(now_s)
        size = bearer.frame_octets or bearer.mtu_octets
        airtime_s, left = 0.0, octets
        while left > 0:
            tries = 1
            while self._random.random() < loss:
                if tries == bearer.attempts:
                    return airtime_s + tries * self._frame_s(way, min(left, size), now_s), False
                tries += 1
            airtime_s += tries * self._frame_s(way, min(left, size), now_s)
            left -= size
        return airtime_s, True

    def _frame_s(self, way: Way, octets: int, now_s: float) -> float:
        return 8 * (octets + self.bearer.overhead_octets) / self.medium.rate_bit_s(way, now_s)

    def _acknowledge(self, way: Way, now_s: float) -> None:
        airtime_s = self._frame_s(way, STREAM_HEADER_OCTETS, now_s)
        self._note_sent(self.medium.occupy(way, now_s, airtime_s), airtime_s)

    def _may_send_s(self, now_s: float, airtime_s: float) -> float:
        """Return when a packet fits the share of the window in which sending is allowed.

        A packet that is longer than the whole share goes out once nothing else is in the window.
        """
        if self.bearer.duty >= 1:
            return now_s
        window_s = self.bearer.duty_window_s
        while self._sent and self._sent[0][0] <= now_s - window_s:
            self._sent_s -= self._sent.popleft()[1]
        budget_s = max(self.bearer.duty * window_s - airtime_s, 0.0)
        sent_s, moment_s = self._sent_s, now_s
        for end_s, length_s in self._sent:
            if sent_s <= budget_s:
                break
            moment_s, sent_s = end_s + window_s, sent_s - length_s
        return moment_s

    def _note_sent(self, over_s: float, airtime_s: float) -> None:
        if self.bearer.duty < 1:
            self._sent.append((over_s, airtime_s))
            self._sent_s += airtime_s

    def _listens_s(self, now_s: float) -> float:
        """Return when the device listens: after it has spoken, and after each sleep."""
        sleep_s, awake_s = self.bearer.sleep_s, self.bearer.awake_s
        since_s = now_s - self._spoke_s
        if not sleep_s or since_s <= awake_s:
            return now_s
        into_s = (since_s - awake_s) % (sleep_s + awake_s)
        return now_s if into_s >= sleep_s else now_s + sleep_s - into_s

    def _is_forgotten(self, way: Way, now_s: float) -> bool:
        """Tell whether address translation has forgotten the flow of datagrams.

        What the device sends begins it anew; what is sent to the device then finds no way.
        """
        idle_s = None if self._flow_s is None else now_s - self._flow_s
        if self._forgets_s and way is Way.DOWN and (idle_s is None or idle_s > self._forgets_s):
            return True
        self._flow_s = now_s
        return False

    def _damage(self, octets: int) -> tuple[int, ...]:
        """Return which bits arrive wrong: each with the same probability, whatever the others."""
        share = self.bearer.bit_errors
        found: list[int] = []
        position = -1
        while (
            share and (position := position + 1 + int(self._random.expovariate(share))) < 8 * octets
        ):
            found.append(position)
        return tuple(found)
