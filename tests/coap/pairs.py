# SPDX-License-Identifier: Apache-2.0
"""Two CoAP peers in memory, with a clock that is told and a line that may lose."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from openami.coap.message import Message, path_options
from openami.coap.numbers import Code
from openami.coap.peer import (
    Answered,
    CoapPeer,
    Failed,
    PeerEvent,
    PeerSettings,
    Requested,
)

PATH = path_options("/d")
Fate = Callable[[Message, str], list[int]]
"""Given a message and its way, return the delays in ticks at which copies arrive."""


def at_once(_message: Message, _way: str) -> list[int]:
    return [0]


def entropy(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


@dataclass
class Bench:
    """A client and a server; the server answers at once, unless `answer` returns None."""

    client_settings: PeerSettings = field(default_factory=PeerSettings)
    server_settings: PeerSettings = field(default_factory=PeerSettings)
    answer: Callable[[bytes], bytes | None] = lambda payload: payload
    fate: Fate = at_once
    now: float = 0.0
    said: list[str] = field(default_factory=list)
    at_client: list[PeerEvent] = field(default_factory=list)
    at_server: list[PeerEvent] = field(default_factory=list)
    late: list[tuple[float, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = CoapPeer(self.client_settings, entropy(1))
        self.server = CoapPeer(self.server_settings, entropy(2))

    def ask(self, payload: bytes, *, confirmable: bool = True) -> int:
        handle = self.client.request(Code.POST, PATH, payload, self.now, confirmable=confirmable)
        self.run()
        return handle

    def run(self) -> None:
        """Carry datagrams to and fro until nobody has any."""
        while True:
            upward, downward = self.client.data_to_send(), self.server.data_to_send()
            if not upward and not downward:
                return
            for way, datagrams in ((">", upward), ("<", downward)):
                for datagram in datagrams:
                    message = Message.decode(datagram)
                    self.said.append(f"{way} {message.type.name} {_code(message)}")
                    for delay in self.fate(message, way):
                        if delay:
                            self.late.append((self.now + delay, way, datagram))
                        else:
                            self.arrive(way, datagram)

    def arrive(self, way: str, datagram: bytes) -> None:
        if way == "<":
            self.at_client += self.client.receive(datagram, self.now)
            return
        self.heard(self.server.receive(datagram, self.now))

    def heard(self, events: list[PeerEvent]) -> None:
        self.at_server += events
        for event in events:
            if isinstance(event, Requested):
                answer = self.answer(event.message.payload)
                if answer is not None:
                    self.server.respond(event.handle, Code.CHANGED, answer, self.now)

    def wait(self) -> bool:
        """Let time pass up to what is due first; False if nothing is."""
        times = [self.client.deadline, self.server.deadline, *(each[0] for each in self.late)]
        due = [each for each in times if each is not None]
        if not due:
            return False
        self.now = max(self.now, min(due))
        arrived = [each for each in self.late if each[0] <= self.now]
        self.late = [each for each in self.late if each[0] > self.now]
        for _, way, datagram in arrived:
            self.arrive(way, datagram)
        self.at_client += self.client.tick(self.now)
        self.heard(self.server.tick(self.now))
        self.run()
        return True

    def finish(self) -> None:
        """Wait until nothing is due any more."""
        for _ in range(10_000):
            if not self.wait():
                return
        raise AssertionError("it never ends")

    @property
    def answers(self) -> list[bytes]:
        return [event.payload for event in self.at_client if isinstance(event, Answered)]

    @property
    def requests(self) -> list[bytes]:
        return [event.message.payload for event in self.at_server if isinstance(event, Requested)]

    @property
    def failures(self) -> list[str]:
        return [event.reason for event in self.at_client if isinstance(event, Failed)]


def _code(message: Message) -> str:
    if message.is_empty:
        return "empty"
    if message.code < 0x20:
        return Code(message.code).name
    return f"{message.code >> 5}.{message.code & 31:02}"
