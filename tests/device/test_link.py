# SPDX-License-Identifier: Apache-2.0
"""The link: in order and once within a session, whatever the line or a stranger on it does."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.lines import Line
from device.modules import MODULES, STRANGER, link
from openami.device.frame import Frame, FrameReader
from openami.device.handshake import ANSWER, CALL, OPEN
from openami.device.link import ALIVE, Event, Joined, Link, Lost, Message, Stranger
from openami.device.pairing import Pair

INTERVAL = 64
STORED = 65
MOMENT = 8


def exchange(a: Link, b: Link, now_s: float) -> tuple[list[Event], list[Event]]:
    """Let both ends talk over a perfect line until they are quiet."""
    at_a: list[Event] = []
    at_b: list[Event] = []
    at_a += a.tick(now_s)
    at_b += b.tick(now_s)
    while True:
        to_b, to_a = a.take_output(), b.take_output()
        if not to_a and not to_b:
            return at_a, at_b
        at_b += b.receive(to_b, now_s)
        at_a += a.receive(to_a, now_s)


def pair(now_s: float = 0.0) -> tuple[Link, Link]:
    a, b = link(opens=True), link(opens=False)
    assert exchange(a, b, now_s) == ([Joined()], [Joined()])
    return a, b


def test_messages_arrive_in_order_and_free_the_window() -> None:
    a, b = pair()
    for number in range(7):
        a.send(INTERVAL, bytes([number]), 0.0)
    assert a.room == 0
    with pytest.raises(ValueError, match="window is full"):
        a.send(INTERVAL, b"", 0.0)

    _, at_b = exchange(a, b, 0.0)
    exchange(a, b, 0.1)

    assert at_b == [Message(INTERVAL, bytes([number])) for number in range(7)]
    assert a.room == 7


def test_a_lost_frame_is_sent_again_on_time_out() -> None:
    a, b = pair()
    a.send(INTERVAL, b"1", 0.0)
    a.take_output()
    a.send(INTERVAL, b"2", 0.1)
    assert exchange(a, b, 0.1)[1] == []

    assert exchange(a, b, 0.25)[1] == [Message(INTERVAL, b"1"), Message(INTERVAL, b"2")]


def test_a_lost_acknowledgement_delivers_nothing_twice() -> None:
    a, b = pair()
    a.send(INTERVAL, b"1", 0.0)
    assert b.receive(a.take_output(), 0.0) == [Message(INTERVAL, b"1")]
    b.tick(0.0)
    b.take_output()

    assert exchange(a, b, 0.3)[1] == []
    exchange(a, b, 0.3)
    assert a.room == 7


def test_silence_ends_the_session_and_joining_begins_another() -> None:
    a, b = pair()
    a.send(INTERVAL, b"1", 0.0)
    a.take_output()

    assert a.tick(4.0) == [Lost()]
    assert a.room == 0
    at_a, at_b = exchange(a, b, 4.1)

    assert at_a == [Joined()]
    assert at_b == [Lost(), Joined()]
    assert a.room == 7


def test_an_idle_session_stays() -> None:
    a, b = pair()
    for tenth in range(300):
        assert exchange(a, b, tenth / 10) == ([], [])
    assert a.joined
    assert b.joined


def test_a_restarted_opener_is_joined_anew() -> None:
    a, b = pair()
    a.send(INTERVAL, b"before", 0.0)
    exchange(a, b, 0.0)
    b.send(STORED, b"old", 0.0)

    a = link(opens=True, seed=5)
    at_a, at_b = exchange(a, b, 0.5)
    assert at_a == [Joined()]
    assert at_b == [Lost(), Joined()]
    a.send(INTERVAL, b"after", 0.5)
    assert exchange(a, b, 0.5)[1] == [Message(INTERVAL, b"after")]


def test_a_restarted_answerer_calls_and_is_joined_anew() -> None:
    a, b = pair()
    a.send(INTERVAL, b"before", 0.0)
    exchange(a, b, 0.0)

    b = link(opens=False, seed=5)
    events = [exchange(a, b, tenth / 10) for tenth in range(1, 30)]
    assert [each for at_a, _ in events for each in at_a] == [Lost(), Joined()]
    assert [each for _, at_b in events for each in at_b] == [Joined()]


def test_datagrams_pass_and_are_dropped_without_a_session() -> None:
    a, b = pair()
    a.datagram(MOMENT, b"230 V", 0.0)
    assert exchange(a, b, 0.0)[1] == [Message(MOMENT, b"230 V")]

    lonely = link(opens=True)
    lonely.datagram(MOMENT, b"230 V", 0.0)
    assert lonely.take_output() == b""


def test_mistakes_of_the_caller() -> None:
    a, _ = pair()
    with pytest.raises(ValueError, match="no numbered message"):
        a.send(MOMENT, b"", 0.0)
    with pytest.raises(ValueError, match="no datagram"):
        a.datagram(INTERVAL, b"", 0.0)
    with pytest.raises(ValueError, match="1 to 7"):
        Link(pair=MODULES[0], opens=True, entropy=Random(1).randbytes, window=8)


def frames(octets: bytes) -> list[Frame]:
    return FrameReader().feed(octets)


def opening(a: Link, b: Link) -> Iterator[bytes]:
    """Yield what is said while a session is opened, and deliver it."""
    a.tick(0.0)
    yield (opened := a.take_output())
    b.receive(opened, 0.0)
    yield (answered := b.take_output())
    a.receive(answered, 0.0)
    yield (first := a.take_output())
    b.receive(first, 0.0)


def test_what_is_said_cannot_be_read() -> None:
    a, b = pair()
    a.send(INTERVAL, b"230 V, 4711 Wh", 0.0)
    a.datagram(MOMENT, b"230 V, 4711 Wh", 0.0)
    for frame in frames(a.take_output()):
        assert b"4711" not in frame.payload
        b.receive(frame.encode(), 0.0)
    assert b.refused_frames == 0


def test_the_same_message_is_never_sealed_twice_alike() -> None:
    a, b = pair()
    a.send(INTERVAL, b"1", 0.0)
    first = a.take_output()
    a.tick(0.3)
    second = a.take_output()

    assert frames(first)[0].payload != frames(second)[0].payload
    assert frames(second)[0].counter == frames(first)[0].counter + 1
    assert b.receive(first + second, 0.3) == [Message(INTERVAL, b"1")]


def test_replayed_and_overtaken_frames_are_refused() -> None:
    a, b = pair()
    a.datagram(MOMENT, b"1", 0.0)
    first = a.take_output()
    a.datagram(MOMENT, b"2", 0.0)
    second = a.take_output()

    assert b.receive(second, 0.0) == [Message(MOMENT, b"2")]
    assert b.receive(first + second, 0.0) == []
    assert b.refused_frames == 2


def forgeries(a: Link, b: Link) -> Iterator[Frame]:
    """Yield frames with sound CRCs that neither end of a session sent."""
    for kind in (CALL, OPEN, ANSWER, ALIVE, INTERVAL, 0, 255):
        for source in (a, b):
            name = bytes((1,)) + source.pair.name
            for payload in (b"", name, name + bytes(81), name + a.pair.own.public + bytes(16)):
                for number in (0, a._session.number if a._session else 0):
                    for counter in (0, 1, 10**9):
                        yield Frame(
                            kind=kind,
                            session=number,
                            counter=counter,
                            sequence=0,
                            ack=1,
                            payload=payload,
                        )


def test_no_forged_frame_ends_a_session_or_says_anything() -> None:
    a, b = pair()
    for number, frame in enumerate(forgeries(a, b)):
        now_s = number / 1000
        for end in (a, b):
            events = end.receive(frame.encode(), now_s)
            assert all(isinstance(event, Stranger) for event in events)
        if number % 100 == 0:
            exchange(a, b, now_s)

    a.send(INTERVAL, b"1", 1.0)
    b.send(STORED, b"2", 1.0)
    assert exchange(a, b, 1.0) == ([Message(STORED, b"2")], [Message(INTERVAL, b"1")])


def test_a_recorded_opening_opens_nothing() -> None:
    a, b = link(opens=True), link(opens=False)
    recorded = list(opening(a, b))

    assert b.receive(recorded[0], 1.0) == []
    assert frames(b.take_output())[0].kind == ANSWER  # which is of no use to whoever replays
    assert b.receive(recorded[2], 1.1) == []
    assert a.receive(recorded[1], 1.2) == []
    a.send(INTERVAL, b"1", 1.3)
    assert exchange(a, b, 1.3) == ([], [Message(INTERVAL, b"1")])


def test_the_old_session_stands_until_the_new_one_does() -> None:
    a, b = pair()
    again = link(opens=True, seed=7)
    again.tick(0.5)
    b.receive(again.take_output(), 0.5)
    answered = b.take_output()

    a.send(INTERVAL, b"in the old session", 0.6)
    assert b.receive(a.take_output(), 0.6) == [Message(INTERVAL, b"in the old session")]
    again.receive(answered, 0.7)
    assert b.receive(again.take_output(), 0.7) == [Lost(), Joined()]


def test_an_opening_outlives_the_loss_of_each_of_its_frames() -> None:
    for lost in range(3):
        a, b = link(opens=True), link(opens=False)
        a.tick(0.0)
        for number in range(3):
            octets = b"" if number == lost else (b if number == 1 else a).take_output()
            (a if number == 1 else b).receive(octets, 0.0)
            (b if number == 1 else a).take_output()
        for tenth in range(1, 20):
            exchange(a, b, tenth / 10)
        assert a.joined
        assert b.joined


def test_a_swapped_module_is_noticed_at_both_ends_and_never_joined() -> None:
    for swapped_opens in (False, True):
        left = link(opens=not swapped_opens)
        of_another_meter = Pair(STRANGER, STRANGER.public)
        swapped = link(opens=swapped_opens, pair=of_another_meter)
        a, b = (swapped, left) if swapped_opens else (left, swapped)
        seen = [exchange(a, b, tenth / 10) for tenth in range(30)]

        at_a, at_b = (
            [each for one in events for each in one] for events in zip(*seen, strict=True)
        )
        assert set(at_a) == {Stranger(b.pair.name)}
        assert set(at_b) == {Stranger(a.pair.name)}
        assert left.stranger == swapped.pair.name


def test_a_module_that_was_never_paired_is_noticed() -> None:
    for left_opens in (False, True):
        left = link(opens=left_opens)
        new = link(opens=not left_opens, pair=Pair(STRANGER, None))
        seen = [exchange(left, new, tenth / 10) for tenth in range(20)]

        assert {each for at_left, _ in seen for each in at_left} == {Stranger(new.pair.name)}
        assert not left.joined
        assert not new.joined


def test_who_claims_to_be_the_peer_and_has_not_its_key_is_a_stranger() -> None:
    for opens in (True, False):
        peer, own = MODULES if opens else MODULES[::-1]
        claimed = peer.own.public

        class Impostor:
            public = claimed
            agree = staticmethod(STRANGER.agree)

        impostor = link(opens=opens, pair=Pair(Impostor(), own.own.public))
        left = link(opens=not opens)
        if not opens:  # one that does not verify, and makes up its tag
            left.tick(0.0)
            left.take_output()
            payload = bytes((1,)) + impostor.pair.name + claimed + bytes(16)
            forged = Frame(kind=ANSWER, session=0, counter=0, sequence=0, ack=0, payload=payload)
            seen = left.receive(forged.encode(), 0.0)
        else:
            _, seen = exchange(impostor, left, 0.0)
        assert seen == [Stranger(peer.name)]
        assert not left.joined


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=60, deadline=None)
def test_unplugging_at_any_octet_costs_a_session_at_most(seed: int, data: st.DataObject) -> None:
    """The line is cut within what is said, and plugged in again: both ends join and go on."""
    a, b = link(opens=True, seed=seed), link(opens=False, seed=seed + 1)
    said = data.draw(st.integers(0, 3))
    for number in range(said):
        (b if number == 1 else a).tick(0.0)
        octets = (b if number == 1 else a).take_output()
        (a if number == 1 else b).receive(octets, 0.0)
    if a.room:
        a.send(INTERVAL, b"cut", 0.0)
    a.tick(0.0)
    for one, other in ((a, b), (b, a)):
        octets = one.take_output()
        cut = data.draw(st.integers(0, len(octets)))
        other.receive(octets[:cut], 0.0)
        other.take_output()
    away_s = data.draw(st.sampled_from((0.1, 2.0, 9.0)))
    for tenth in range(round(away_s * 10)):  # unplugged
        for end in (a, b):
            end.tick(tenth / 10)
            end.take_output()
    for tenth in range(80):
        exchange(a, b, away_s + tenth / 10)
    assert a.joined
    assert b.joined
    a.send(INTERVAL, b"plugged in", away_s + 8)
    assert exchange(a, b, away_s + 8)[1] == [Message(INTERVAL, b"plugged in")]


@given(st.lists(st.binary(max_size=200), max_size=10), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_any_octets_and_any_cuts_of_them_leave_the_session(pieces: list[bytes], seed: int) -> None:
    a, b = pair()
    draw = Random(seed)
    for number, piece in enumerate(pieces):
        noise = piece + b"\x00"
        marks = sorted({0, len(noise), draw.randrange(len(noise))})
        for start, end in pairwise(marks):
            assert b.receive(noise[start:end], number / 100) == []
    a.send(INTERVAL, b"1", 0.2)
    assert exchange(a, b, 0.2)[1] == [Message(INTERVAL, b"1")]


class Source:
    """Metrology's side: offers what the other has not said to have; from there again on joining."""

    def __init__(self) -> None:
        self.closed = self.offered = self.known = 0

    def act(self, link: Link, events: list[Event], now_s: float) -> None:
        for event in events:
            if isinstance(event, Message):
                self.known = int.from_bytes(event.payload)
            else:
                self.offered = self.known
        while link.room and self.offered < self.closed:
            self.offered += 1
            link.send(INTERVAL, self.offered.to_bytes(4), now_s)


class Store:
    """Management's side: takes only the next interval, says what it has."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.owes = True

    def act(self, link: Link, events: list[Event], now_s: float) -> None:
        for event in events:
            self.owes = True
            if isinstance(event, Message) and int.from_bytes(event.payload) == len(self.kept) + 1:
                self.kept.append(len(self.kept) + 1)
        if self.owes and link.room:
            self.owes = False
            link.send(STORED, len(self.kept).to_bytes(4), now_s)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.floats(min_value=0.0, max_value=0.6),
    st.lists(st.integers(min_value=0, max_value=249), max_size=4),
    st.lists(st.integers(min_value=0, max_value=249), max_size=4),
)
def test_no_interval_is_lost_doubled_or_swapped(
    seed: int, badness: float, restarts_a: list[int], restarts_b: list[int]
) -> None:
    """A bad line and restarts of both ends; then a good line: everything has arrived once."""
    draw = Random(seed)
    a, b = link(opens=True, seed=1), link(opens=False, seed=2)
    to_a, to_b = Line(draw, badness), Line(draw, badness)
    source, store = Source(), Store()
    for step in range(400):
        now_s = step * 0.1
        if step in restarts_a:
            a, source.offered = link(opens=True, seed=step + 10), source.known
        if step in restarts_b:
            b = link(opens=False, seed=step + 1000)
        if step < 250:
            source.closed += step % 3 == 0
        else:
            to_a.badness = to_b.badness = 0.0
        source.act(a, a.tick(now_s) + a.receive(to_a.carry(b.take_output()), now_s), now_s)
        store.act(b, b.tick(now_s) + b.receive(to_b.carry(a.take_output()), now_s), now_s)

    assert store.kept == list(range(1, source.closed + 1))
    assert source.known == source.closed
