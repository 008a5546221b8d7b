# SPDX-License-Identifier: Apache-2.0
"""The concentrators' side: routes, answers to whom they belong, and words of strangers."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.exchange.field import ClockState, encode_clock
from openami.exchange.orders import TimeAnswer, decode_order
from openami.exchange.uplink import Attachment, encode_attachments
from openami.headend.uplinks import Carrier, Uplinks
from openami.transport.wire import PeerIdentity, WireError

METER = bytes.fromhex("4F414D0000000001")
OTHER = bytes.fromhex("4F414D0000000002")
NORTH = bytes.fromhex("4F414DC000000001")
SOUTH = bytes.fromhex("4F414DC000000002")
BELONGS = {METER: NORTH, OTHER: SOUTH}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class FakeWire:
    """A wire that keeps what is sent."""

    def __init__(self, title: bytes | None = NORTH) -> None:
        self.peer = PeerIdentity(title, "concentrator") if title else None
        self.name = "concentrator"
        self.sent: list[tuple[int, int, bytes]] = []
        self.reason: str | None = None

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        if self.reason is not None:
            raise WireError("closed")
        self.sent.append((source, destination, apdu))

    def close(self, reason: str) -> None:
        self.reason = reason


class FakeNotifications:
    """Takes pushes and confirms each at once."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, bytes, bytes]] = []

    def receive(self, concentrator: bytes, title: bytes, apdu: bytes, confirm: Any) -> None:
        self.taken.append((concentrator, title, apdu))
        confirm(0x40000001)


class Setting:
    def __init__(self) -> None:
        self.notifications = FakeNotifications()
        self.belongs = dict(BELONGS)
        self.uplinks = Uplinks(
            cast("Any", self.notifications),
            lambda title, concentrator: self.belongs.get(title) == concentrator,
        )
        self.changes: list[tuple[bytes, bool]] = []
        self.uplinks.on_attachment = lambda title, up: self.changes.append((title, up))
        self.answers: list[bytes] = []
        self.lost: list[str] = []
        self.wire, self.carrier = self.connect(NORTH)

    def connect(self, title: bytes) -> tuple[FakeWire, Carrier]:
        wire = FakeWire(title)
        return wire, self.uplinks.accept(cast("Any", wire))

    def announce(self, carrier: Carrier, title: bytes, *, attached: bool = True) -> None:
        told = [Attachment(title=title, attached=attached, since=NOW)]
        (apdu,) = encode_attachments(told, 0)
        carrier.frame(1, 64, apdu)

    def session(self, title: bytes = METER) -> Callable[[bytes], None]:
        return self.uplinks.open_session(title, 1, self.answers.append, self.lost.append)


def test_a_push_is_taken_and_its_confirm_travels_down() -> None:
    it = Setting()
    it.carrier.frame(1, 64, GatewayResponse(physical_address=METER, apdu=b"\xdd\x04").encode())
    assert it.notifications.taken == [(NORTH, METER, b"\xdd\x04")]
    confirm = b"\xe6\x00\x08" + METER + bytes.fromhex("10 40000001 00")
    assert it.wire.sent == [(64, 1, confirm)]


def test_a_confirm_for_a_connection_that_is_gone_is_dropped() -> None:
    it = Setting()
    it.wire.reason = "gone"
    it.carrier.confirm(METER, 1)
    assert it.wire.sent == []


def test_a_session_asks_through_the_meters_concentrator_and_gets_its_answers() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    send = it.session()
    send(b"\x60\x00")
    request = GatewayRequest(physical_address=METER, apdu=b"\x60\x00").encode()
    assert it.wire.sent == [(1, 1, request)]
    it.carrier.frame(1, 1, GatewayResponse(physical_address=METER, apdu=b"\x61\x00").encode())
    it.carrier.frame(1, 16, GatewayResponse(physical_address=METER, apdu=b"other").encode())
    it.carrier.frame(1, 1, GatewayResponse(physical_address=OTHER, apdu=b"other").encode())
    assert it.answers == [b"\x61\x00"]
    it.uplinks.close_session(METER, 1)
    it.carrier.frame(1, 1, GatewayResponse(physical_address=METER, apdu=b"late").encode())
    assert it.answers == [b"\x61\x00"]


def test_an_answer_over_another_concentrator_is_not_delivered() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    it.session()
    _, south = it.connect(SOUTH)
    south.frame(1, 1, GatewayResponse(physical_address=METER, apdu=b"forged").encode())
    assert it.answers == []


def test_a_concentrator_cannot_announce_the_meters_of_another() -> None:
    it = Setting()
    it.announce(it.carrier, OTHER)
    assert not it.uplinks.has_route(OTHER)
    assert it.changes == []


def test_a_meter_without_a_route_cannot_be_asked() -> None:
    with pytest.raises(WireError, match="not attached"):
        Setting().session()


def test_a_meter_that_comes_over_loses_its_session_on_the_old_way_at_once() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    it.session()
    wire, south = it.connect(SOUTH)
    it.belongs[METER] = SOUTH  # as the registry says now
    it.announce(south, METER)
    assert it.lost == ["the meter has come over to concentrator"]
    assert it.uplinks.attached(NORTH) == set()
    assert it.uplinks.attached(SOUTH) == {METER}
    it.announce(it.carrier, METER, attached=False)  # the old way notices last
    assert it.uplinks.has_route(METER)
    it.session()(b"\x60\x00")
    assert len(wire.sent) == 1
    it.carrier.frame(1, 1, GatewayResponse(physical_address=METER, apdu=b"late").encode())
    assert it.answers == []
    it.announce(south, METER)  # said again: nothing has changed
    assert len(it.lost) == 1


def test_nobody_takes_a_meter_by_answering_pushing_or_announcing_for_it() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    send = it.session()
    wire, south = it.connect(SOUTH)
    for destination in (1, 64):
        told = GatewayResponse(physical_address=METER, apdu=b"\xdd\x04forged")
        south.frame(1, destination, told.encode())
    it.announce(south, METER)
    it.announce(south, METER, attached=False)
    assert (it.lost, it.answers) == ([], [])
    send(b"\xc0")
    assert (len(it.wire.sent), [sent[2][-1:] for sent in wire.sent]) == (1, [b"\x00"])
    assert it.uplinks.attached(SOUTH) == set()


def test_a_meter_that_leaves_ends_its_sessions() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    it.session()
    it.announce(it.carrier, METER, attached=False)
    assert it.lost == ["the meter left its concentrator"]
    assert it.changes == [(METER, True), (METER, False)]


def test_an_uplink_that_is_lost_takes_its_routes_along() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    it.session()
    it.carrier.closed("cut")
    assert it.lost == ["cut"]
    assert (it.uplinks.up, it.uplinks.reachable) == (0, 0)
    assert it.changes[-1] == (METER, False)


def test_a_newer_uplink_replaces_the_older_and_keeps_its_own_routes() -> None:
    it = Setting()
    it.announce(it.carrier, METER)
    wire, newer = it.connect(NORTH)
    assert it.wire.reason is not None
    it.announce(newer, METER)
    it.carrier.closed("replaced")  # the older one reports its end late
    assert it.uplinks.has_route(METER)
    assert it.uplinks.up == 1
    it.session()(b"\xc0")
    assert len(wire.sent) == 1


@pytest.mark.parametrize("octets", ["", "00", "E7", "E70008", "E600084F414D0000000001C0", "0F"])
def test_other_frames_are_refused(octets: str) -> None:
    with pytest.raises(DecodeError):
        Setting().carrier.frame(1, 64, bytes.fromhex(octets))


@given(st.integers(0, 0xFFFF), st.sampled_from([1, 16, 64]), st.binary(max_size=60))
def test_any_frame_is_taken_or_refused(source: int, destination: int, octets: bytes) -> None:
    it = Setting()
    told = b"\x0f\x00\x00\x00\x01\x00\x01\x01\x02\x03\x09\x08" + METER + b"\x03\x01\x09\x0c"
    for head in (b"", b"\xe7\x00\x08" + METER, told):
        with contextlib.suppress(DecodeError):
            it.carrier.frame(source, destination, head + octets)


@given(st.binary(min_size=12, max_size=12))
@example(b"\xff" * 12)  # every field left open
@example(bytes.fromhex("07EA0301070C1E0000800000"))  # deviation left open
def test_any_date_time_of_an_announcement_is_read_or_refused(since: bytes) -> None:
    it = Setting()
    told = b"\x0f\x00\x00\x00\x01\x00\x01\x01\x02\x03\x09\x08" + METER + b"\x03\x01\x09\x0c"
    with contextlib.suppress(DecodeError):
        it.carrier.frame(1, 64, told + since)


def test_a_plain_connection_is_no_concentrator() -> None:
    with pytest.raises(WireError, match="certificate"):
        Setting().uplinks.accept(cast("Any", FakeWire(None)))


def test_a_question_for_the_time_is_answered_at_once_and_confirmed_when_it_is_stored() -> None:
    it = Setting()
    it.uplinks.real_us = lambda: 1_800_000_000_000_000
    stored: list[Callable[[], None]] = []
    it.uplinks.on_word = lambda _title, _word, confirm: stored.append(confirm)
    it.carrier.frame(1, 64, encode_clock(ClockState(limit_us=5, past_limit=False), 7))
    ((source, destination, octets),) = it.wire.sent
    assert (source, destination) == (64, 1)
    request = GatewayRequest.decode(octets)
    assert request.physical_address == NORTH
    _, answer = decode_order(request.apdu)
    assert isinstance(answer, TimeAnswer)
    assert answer.asked == 7 | 1 << 30
    assert answer.received_us == 1_800_000_000_000_000
    assert 0 <= answer.answered_us - answer.received_us < 60_000_000
    stored[0]()  # only now, so that who hears a confirm alone knows that no answer comes
    assert it.wire.sent[1][2] == b"\xe6\x00\x08" + NORTH + bytes.fromhex("10 40000007 00")


def test_a_question_over_a_connection_that_is_gone_is_not_answered() -> None:
    it = Setting()
    it.wire.reason = "gone"
    it.carrier.frame(1, 64, encode_clock(ClockState(limit_us=5, past_limit=False), 7))
    assert it.wire.sent == []
