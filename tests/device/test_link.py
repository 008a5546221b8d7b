# SPDX-License-Identifier: Apache-2.0
"""The link: in order and once within a session, whatever the line does."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.lines import Line
from openami.device.link import Event, Joined, Link, Lost, Message

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
    a, b = Link(number=100), Link(number=200)
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
    assert a.deadline_s == pytest.approx(0.25)

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


def test_an_idle_session_stays() -> None:
    a, b = pair()
    for tenth in range(300):
        assert exchange(a, b, tenth / 10) == ([], [])
    assert a.joined
    assert b.joined


@pytest.mark.parametrize("number", [300, 100])
def test_a_restarted_peer_is_joined_anew(number: int) -> None:
    """Also when it happens to draw the number it had."""
    a, b = pair()
    a.send(INTERVAL, b"before", 0.0)
    exchange(a, b, 0.0)
    b.send(STORED, b"old", 0.0)

    a = Link(number=number)
    at_a, at_b = exchange(a, b, 0.5)
    assert Joined() in at_a
    assert at_b == [Lost(), Joined()]
    a.send(INTERVAL, b"after", 0.5)
    assert exchange(a, b, 0.5)[1] == [Message(INTERVAL, b"after")]


def test_datagrams_pass_and_are_dropped_without_a_session() -> None:
    a, b = pair()
    a.datagram(MOMENT, b"230 V", 0.0)
    assert exchange(a, b, 0.0)[1] == [Message(MOMENT, b"230 V")]

    lonely = Link(number=5)
    lonely.datagram(MOMENT, b"230 V", 0.0)
    assert lonely.take_output() == b""


def test_mistakes_of_the_caller() -> None:
    a, _ = pair()
    with pytest.raises(ValueError, match="no numbered message"):
        a.send(MOMENT, b"", 0.0)
    with pytest.raises(ValueError, match="no datagram"):
        a.datagram(INTERVAL, b"", 0.0)
    with pytest.raises(ValueError, match="1 to 7"):
        Link(number=1, window=8)
    with pytest.raises(ValueError, match="1 to 65535"):
        Link(number=0)


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
    a, b = Link(number=1), Link(number=1001)
    to_a, to_b = Line(draw, badness), Line(draw, badness)
    source, store = Source(), Store()
    for step in range(400):
        now_s = step * 0.1
        if step in restarts_a:
            a, source.offered = Link(number=step + 2), source.known
        if step in restarts_b:
            b = Link(number=step + 1002)
        if step < 250:
            source.closed += step % 3 == 0
        else:
            to_a.badness = to_b.badness = 0.0
        source.act(a, a.tick(now_s) + a.receive(to_a.carry(b.take_output()), now_s), now_s)
        store.act(b, b.tick(now_s) + b.receive(to_b.carry(a.take_output()), now_s), now_s)

    assert store.kept == list(range(1, source.closed + 1))
    assert source.known == source.closed
