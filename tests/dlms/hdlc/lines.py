# SPDX-License-Identifier: Apache-2.0
"""A primary and a secondary station on a line in memory, with a clock that is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address, Station
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import (
    DEFAULT_TIMINGS,
    Connected,
    Disconnected,
    Event,
    LinkTimings,
    Message,
)
from openami.dlms.hdlc.parameters import GENEROUS, LinkParameters
from openami.dlms.hdlc.primary import PrimaryLink
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.hdlc.secondary import SecondaryStation
from openami.dlms.hdlc.states import State

CLIENT = Address.client(16)
SERVER = Address.server(1, 17)

Spoil = Callable[[bytes], bytes]
Answer = Callable[[bytes], bytes | None]


def echo(apdu: bytes) -> bytes | None:
    return apdu


def clean(octets: bytes) -> bytes:
    return octets


@dataclass
class Bench:
    """Two stations; what each sends passes `spoil` on its way to the other."""

    client: Address = CLIENT
    server: Address = SERVER
    proposal: LinkParameters = GENEROUS
    capabilities: LinkParameters = GENEROUS
    timings: LinkTimings = DEFAULT_TIMINGS
    answer: Answer = echo
    spoil: Spoil = clean
    now: float = 0.0
    sent: list[tuple[str, Frame]] = field(default_factory=list)
    at_client: list[Event] = field(default_factory=list)
    at_server: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        station = Station.of([self.server.upper], self.server.lower, self.server.size)
        self.primary = PrimaryLink(self.client, self.server, self.proposal, self.timings)
        self.secondary = SecondaryStation(station, self.capabilities, self.timings)

    def connect(self) -> None:
        self.primary.connect(self.now)
        self.run()

    def exchange(self, apdu: bytes) -> None:
        self.primary.send(apdu, self.now)
        self.run()

    def run(self) -> None:
        """Carry octets to and fro until nobody has any."""
        while True:
            upward, downward = self.primary.data_to_send(), self.secondary.data_to_send()
            if not upward and not downward:
                return
            self.note(">", upward)
            self.note("<", downward)
            if upward := self.spoil(upward):
                self.heard(self.secondary.receive(upward, self.now))
            if downward := self.spoil(downward):
                self.at_client += self.primary.receive(downward, self.now)

    def heard(self, events: list[Event]) -> None:
        self.at_server += events
        for event in events:
            if isinstance(event, Message):
                self.secondary.answer(event.pair, self.answer(event.apdu), self.now)

    def wait(self) -> bool:
        """Let time pass up to the next deadline; False if nobody waits for anything."""
        deadlines = [self.primary.deadline, self.secondary.deadline]
        due = [each for each in deadlines if each is not None]
        if not due:
            return False
        self.now = max(self.now, min(due))
        self.at_client += self.primary.tick(self.now)
        self.heard(self.secondary.tick(self.now))
        self.run()
        return True

    def note(self, way: str, octets: bytes) -> None:
        for found in FrameReader().feed(octets):
            assert not isinstance(found, DecodeError), found
            self.sent.append((way, found))

    @property
    def said(self) -> list[str]:
        return [f"{way} {frame.control}{' S' * frame.segmented}" for way, frame in self.sent]

    @property
    def answers(self) -> list[bytes]:
        return [event.apdu for event in self.at_client if isinstance(event, Message)]

    @property
    def requests(self) -> list[bytes]:
        return [event.apdu for event in self.at_server if isinstance(event, Message)]

    @property
    def downs(self) -> list[str]:
        return [event.reason for event in self.at_client if isinstance(event, Disconnected)]

    @property
    def is_up(self) -> bool:
        return self.primary.state is State.NRM

    def connections(self) -> Iterator[Connected]:
        yield from (each for each in self.at_client if isinstance(each, Connected))


def command(kind: Kind, information: bytes = b"", *, poll: bool = True, **numbers: int) -> bytes:
    """A frame of the client, as octets."""
    what = control(kind, poll_final=poll, **numbers)
    return Frame(SERVER, CLIENT, what, information).encode()
