# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is on a line: requests first, then events, then meters that are not there.

A line has one word to give, and a meter that is silent costs as much of it as all the repeats of a
frame last.  So whoever did not answer is asked nothing until a pause is over that doubles from
look to look, and addresses where no meter was ever met are looked at one in `look_s`.  Requests go
round: each meter gets one turn before any gets its second.

It does no input or output and is told the time.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from openami.concentrator.lines.config import LineConfig
from openami.concentrator.registry import Seen
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.primary import PrimaryLink

ROW: Final = 8  # turns for requests before one for something else that is due
MOST_REQUESTS: Final = 64  # of one meter that wait; beyond they are refused
NEVER_S: Final = float("inf")


class Request(NamedTuple):
    """An APDU for a meter."""

    client: int  # SAP of whoever asks
    server: int
    apdu: bytes


class What(Enum):
    """What a turn on the line is for."""

    REQUEST = auto()
    TELL = auto()  # unconfirmed, in UI frames
    EVENTS = auto()
    LOOK = auto()  # is it there again?
    SEARCH = auto()  # is there a meter that nobody knows?


@dataclass(slots=True, eq=False)
class Station:
    """A meter, or an address where one may be.

    Attributes:
        address: Its server address.
        title: Its system title; empty while nobody is known there.
        name: Its logical device name.
        is_there: Whether it answered last.
        misses: Looks in a row that nobody answered.
        due_s: When it is asked for events, or looked for.
        requests: What waits for its turn.
        tells: What it is to be told in UI frames.
        links: To it, by client SAP.
    """

    address: Address
    title: bytes = b""
    name: str = ""
    is_there: bool = False
    misses: int = 0
    due_s: float = 0.0
    requests: deque[Request] = field(default_factory=deque)
    tells: deque[Request] = field(default_factory=deque)
    links: dict[int, PrimaryLink] = field(default_factory=dict)
    round_trip_s: float | None = None  # smoothed: from our last octet to its first
    _counted: tuple[int, int] = (0, 0)
    _gone: tuple[int, int] = (0, 0)  # frames of links that were given up

    def timed(self, round_trip_s: float) -> None:
        """Take one more measured answer (smoothed as RFC 6298 does)."""
        known = self.round_trip_s
        self.round_trip_s = round_trip_s if known is None else 0.875 * known + 0.125 * round_trip_s

    def drop(self, link: PrimaryLink) -> None:
        """Give up one link: what it counted stays counted."""
        if self.links.get(link.pair.client.upper) is link:
            del self.links[link.pair.client.upper]
            sent, lost = self._gone
            self._gone = sent + link.frames, lost + link.repeated

    def forget_links(self) -> None:
        """Give up all links: what they counted stays counted."""
        self._gone = self._frames()
        self.links.clear()

    def look(self) -> Seen:
        """Return what the line showed since the last look."""
        before, self._counted = self._counted, self._frames()
        trip = None if self.round_trip_s is None else round(self.round_trip_s * 1_000_000)
        return Seen(trip, self._counted[0] - before[0], self._counted[1] - before[1])

    def _frames(self) -> tuple[int, int]:
        sent, lost = self._gone
        for link in self.links.values():
            sent, lost = sent + link.frames, lost + link.repeated
        return sent, lost


class Turn(NamedTuple):
    """Who is spoken to now, and what for."""

    what: What
    station: Station


class Roster:
    """The meters of a line.

    Attributes:
        stations: By address, those that were met.
    """

    def __init__(self, config: LineConfig, now_s: float) -> None:
        self.stations: dict[Address, Station] = {}
        self._config = config
        self._row = 0
        self._waiting: deque[Station] = deque()  # have requests or something to be told
        self._search = deque(config.address(physical) for physical in config.physical)
        self._search_s = now_s
        self._first = set(self._search)  # not looked at since the start

    @property
    def has_requests(self) -> bool:
        """Whether a meter is to be asked, or told, something of the head-end's."""
        return bool(self._waiting)

    def ask(self, station: Station, request: Request) -> bool:
        """Queue a request; False when too many of that meter wait."""
        if len(station.requests) >= MOST_REQUESTS:
            return False
        station.requests.append(request)
        self._wait(station)
        return True

    def tell(self, station: Station, request: Request) -> None:
        """Queue what goes in UI frames; the oldest is dropped where too much waits."""
        if len(station.tells) >= MOST_REQUESTS:
            station.tells.popleft()
        station.tells.append(request)
        self._wait(station)

    def next(self, now_s: float) -> Turn | None:
        """Return whose turn it is; None while nothing is due."""
        if self._waiting and self._row < ROW:
            self._row += 1
            return self._of_waiting()
        self._row = 0
        if (due := self._due(now_s)) is not None:
            return due
        return self._of_waiting() if self._waiting else None

    def due_s(self) -> float:
        """Return when the next turn is due."""
        if self._waiting:
            return 0.0
        first_s = min((each.due_s for each in self.stations.values()), default=NEVER_S)
        return min(first_s, self._search_s if self._search else NEVER_S)

    def answered(self, station: Station, now_s: float, *, again: bool = False) -> None:
        """Learn that a meter said something; it is asked `again` soon where it had news."""
        is_back, station.is_there = not station.is_there, True
        station.misses = 0
        pause_s = self._config.poll_events_s
        if again:
            station.due_s = now_s
        elif is_back or station.due_s <= now_s or not pause_s:
            station.due_s = now_s + pause_s if pause_s else NEVER_S

    def missed(self, station: Station, now_s: float) -> list[Request]:
        """Learn that nobody answered; return the requests that nobody will answer either."""
        station.is_there = False
        station.misses += 1
        longest_s = self._config.absent_most_s
        station.due_s = now_s + min(
            longest_s, self._config.absent_first_s * 2.0 ** min(station.misses - 1, 20)
        )
        station.forget_links()
        left = list(station.requests)
        station.requests.clear()
        station.tells.clear()
        return left

    def met(self, station: Station, now_s: float) -> None:
        """Learn that there is a meter at an address."""
        self.stations[station.address] = station
        if station.address in self._search:
            self._search.remove(station.address)
        self.answered(station, now_s)

    def searched(self, station: Station, now_s: float) -> None:
        """Learn that nobody, or nobody who could be named, answered at an address."""
        self._first.discard(station.address)
        if station.address in self._search:
            self._search.remove(station.address)
            self._search.append(station.address)
        # The first round is quick: a line that was just opened has meters to be found.
        self._search_s = now_s if self._first else now_s + self._config.look_s

    def present(self) -> Iterable[Station]:
        """Return the meters that answered last."""
        return [each for each in self.stations.values() if each.is_there]

    def _wait(self, station: Station) -> None:
        if station not in self._waiting:
            self._waiting.append(station)

    def _of_waiting(self) -> Turn | None:
        while self._waiting:
            station = self._waiting.popleft()
            if station.tells or station.requests:
                if len(station.tells) + len(station.requests) > 1:
                    self._waiting.append(station)
                return Turn(What.TELL if station.tells else What.REQUEST, station)
        return None

    def _due(self, now_s: float) -> Turn | None:
        due = [each for each in self.stations.values() if each.due_s <= now_s]
        if due:
            first = min(due, key=lambda each: each.due_s)
            return Turn(What.EVENTS if first.is_there else What.LOOK, first)
        if self._search and self._search_s <= now_s:
            return Turn(What.SEARCH, Station(self._search[0]))
        return None
