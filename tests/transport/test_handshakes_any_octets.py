# SPDX-License-Identifier: Apache-2.0
"""Handshakes on a line where somebody alters, cuts, repeats, swallows and invents octets.

Nothing raises; whoever is let in is the one that holds the key; a listener serves the next one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openami.transport.dtls import dialling
from openami.transport.dtlsport import DtlsPort
from openami.transport.tls import Secured
from openami.transport.tlspolicy import Version
from openami.transport.tlswire import TlsWire
from openami.transport.udp import wrapped
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, PeerIdentity
from transport.encounters import STREAMS, Kind
from transport.parties import CONCENTRATOR, METER, Party, Pki
from transport.test_wire_any_octets import FakeTransport

PEERS = {"meter": PeerIdentity(METER, "meter"), "there": PeerIdentity(CONCENTRATOR, "concentrator")}
ROUNDS = 12

Change = Callable[[bytes], list[bytes]]
places = st.integers(0, 2**16)


def altered(place: int, mask: int) -> Change:
    def change(octets: bytes) -> list[bytes]:
        found = bytearray(octets)
        found[place % len(found)] ^= mask
        return [bytes(found)]

    return change


def cut(place: int) -> Change:
    return lambda octets: [octets[: place % len(octets)], octets[place % len(octets) :]]


def shortened(place: int) -> Change:
    return lambda octets: [octets[: place % len(octets)]]


def preceded(garbage: bytes) -> Change:
    return lambda octets: [garbage, octets]


def swallowed() -> Change:
    return lambda _octets: []


def repeated() -> Change:
    return lambda octets: [octets, octets]


changes = st.one_of(
    st.builds(altered, places, st.integers(1, 255)),
    st.builds(cut, places),
    st.builds(shortened, places),
    st.builds(preceded, st.binary(max_size=40)),
    st.builds(swallowed),
    st.builds(repeated),
)
plans = st.dictionaries(st.integers(0, 8), changes, max_size=4)
"""What happens to which of the flights, or datagrams, in their order."""


@dataclass
class Line:
    """Carries what both ends say to each other, after a plan."""

    plan: dict[int, Change]
    count: int = 0

    def carry(self, octets: bytes) -> list[bytes]:
        change = self.plan.get(self.count)
        self.count += 1
        return [each for each in change(octets) if each] if change else [octets]


def play(act: Callable[[], None]) -> None:
    """Run in a loop that forgives nothing."""
    faults: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        act()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert faults == []


SECURED: dict[tuple[Version, str], Secured] = {}  # settings are made once for all examples


def secured(pki: Pki, version: Version) -> tuple[Secured, Secured]:
    policy = Kind(version).policy
    if (version, "there") not in SECURED:
        SECURED[version, "there"] = pki.concentrator(policy)
        SECURED[version, "here"] = pki.meter(policy)
    return SECURED[version, "there"], SECURED[version, "here"]


def over_a_stream(line: Line, there: Secured, here: Secured) -> tuple[Party, Party]:
    parties = Party(), Party()
    wires, pipes = [], []
    for party, side in zip(parties, (there, here), strict=True):
        wires.append(TlsWire(party.accept, DEFAULT_LIMITS, side))
        pipes.append(FakeTransport())
    for wire, pipe in zip(wires, pipes, strict=True):
        wire.connection_made(pipe)  # type: ignore[arg-type]  # as far as a wire looks
    for _ in range(ROUNDS):
        for end in (0, 1):
            octets, pipes[1 - end].written = pipes[1 - end].written, b""
            for piece in line.carry(octets) if octets else ():
                wires[end].get_buffer(-1)[: len(piece)] = piece
                wires[end].buffer_updated(len(piece))
    for wire in wires:
        wire.eof_received()
        wire.connection_lost(None)
    assert [side.tls.tally.half_open for side in (there, here)] == [0, 0]
    return parties


@dataclass
class Mailbox:
    """A socket for datagrams that nobody empties but the test."""

    sent: list[bytes] = field(default_factory=list)
    closed: bool = False

    def sendto(self, octets: bytes, _address: object) -> None:
        self.sent.append(octets)

    def get_extra_info(self, _name: str) -> Any:
        return ("192.0.2.1", 4059)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def over_datagrams(line: Line, there: Secured, here: Secured) -> tuple[Party, Party]:
    parties = Party(), Party()
    url = Url("dtls", "192.0.2.1", 4059)
    ports, boxes = [], []
    for party, side, dialled in zip(parties, (there, here), (False, True), strict=True):
        accept = wrapped(party.accept)  # type: ignore[arg-type]  # any carrier will do
        ports.append(DtlsPort(url, accept, side, DEFAULT_LIMITS, dialled=dialled))
        boxes.append(Mailbox())
        ports[-1].connection_made(boxes[-1])  # type: ignore[arg-type]
    ports[1].begin(dialling(here.tls, str(url)))
    for _ in range(ROUNDS):
        for end in (0, 1):
            box = boxes[1 - end]
            octets, box.sent = box.sent, []
            for datagram in octets:
                for piece in line.carry(datagram):
                    ports[end].datagram_received(piece, ("192.0.2.2", 40_000))
    for port in ports:
        port.connection_lost(None)
    return parties


CARRIED = {Version.DTLS_1_2: over_datagrams}


@pytest.mark.parametrize("version", Version)
@given(plan=plans)
@example(plan={})
@settings(max_examples=60, deadline=None)
def test_whatever_happens_to_a_handshake(
    pki: Pki, version: Version, plan: dict[int, Change]
) -> None:
    there, here = secured(pki, version)
    carried = CARRIED.get(version, over_a_stream)

    def act() -> None:
        parties = carried(Line(plan), there, here)
        for party, peer in zip(parties, PEERS.values(), strict=True):
            for handler in party.handlers:
                assert handler.wire.peer == peer
                assert len(handler.reasons) == 1
        if not plan:
            assert [len(party.handlers) for party in parties] == [1, 1]
        again = carried(Line({}), there, here)
        assert [len(party.handlers) for party in again] == [1, 1], "the next one is served"

    play(act)


@given(datagrams=st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=60, deadline=None)
def test_garbage_makes_a_listener_with_dtls_remember_nothing(
    pki: Pki, datagrams: list[bytes]
) -> None:
    there, _ = secured(pki, Version.DTLS_1_2)

    def act() -> None:
        party = Party()
        url = Url("dtls", "192.0.2.1", 4059)
        port = DtlsPort(url, wrapped(party.accept), there, DEFAULT_LIMITS, dialled=False)  # type: ignore[arg-type]
        box = Mailbox()
        port.connection_made(box)  # type: ignore[arg-type]
        for number, datagram in enumerate(datagrams):
            for octets in (datagram, b"\x16\xfe\xff" + bytes(8) + datagram):
                port.datagram_received(octets, ("192.0.2.2", 1024 + number))
        assert port.channels == port.beginning == {}
        assert party.handlers == []

    play(act)


def test_streams_and_datagrams_are_all_there_is() -> None:
    assert {*CARRIED, *(kind.version for kind in STREAMS)} == set(Version)
