# SPDX-License-Identifier: Apache-2.0
"""The relay: which way a frame goes, with lists in place of connections."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.concentrator.journal import Outcome, Put
from openami.concentrator.relay import Relay
from openami.dlms.errors import DecodeError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.exchange.uplink import Attachment

METER = bytes.fromhex("4F414D0000000001")
OTHER = bytes.fromhex("4F414D0000000002")
PUSH = bytes.fromhex("DD 04 4000002A 08") + b"ciphered"
CONFIRM = bytes.fromhex("10 4000002A 00")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

Frame = tuple[int, int, bytes]


@dataclass(eq=False)
class Line:
    """A connection that keeps what is sent on it."""

    open: bool = True
    sent: list[Frame] = field(default_factory=list)

    def send(self, source: int, destination: int, apdu: bytes) -> bool:
        if self.open:
            self.sent.append((source, destination, apdu))
        return self.open

    def supersede(self) -> None:
        self.open = False


@dataclass
class Setting:
    """A relay with one meter attached and a journal that answers when it is told."""

    accepts: bool = True
    kept: list[tuple[Put, Callable[[Outcome | None], None]]] = field(default_factory=list)
    changes: list[Attachment] = field(default_factory=list)
    confirms: list[tuple[bytes, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.relay = Relay(self._keep, lambda: 1_000_000, lambda: NOW)
        self.relay.on_change = self.changes.append
        self.relay.on_confirm = lambda title, invoke_id: self.confirms.append((title, invoke_id))
        self.meter, self.uplink = Line(), Line()
        self.relay.attach(METER, self.meter)
        self.relay.uplink = self.uplink

    def _keep(self, put: Put, done: Callable[[Outcome | None], None]) -> bool:
        self.kept.append((put, done))
        return self.accepts

    def push(self) -> None:
        self.relay.from_meter(METER, self.meter, 1, 64, PUSH)

    def answer(self, outcome: Outcome | None) -> None:
        self.kept.pop(0)[1](outcome)


def test_a_push_is_receipted_after_its_commit_and_not_before() -> None:
    it = Setting()
    it.push()
    assert it.kept[0][0] == Put(METER, 0x4000002A, PUSH, 1_000_000)
    assert it.meter.sent == []
    it.answer(Outcome.STORED)
    assert it.meter.sent == [(64, 1, CONFIRM)]
    assert it.uplink.sent == []  # the journal's drain sends it, not the relay


@pytest.mark.parametrize("outcome", [Outcome.STORED, Outcome.KNOWN])
def test_a_push_that_waits_already_is_receipted_again(outcome: Outcome) -> None:
    it = Setting()
    it.push()
    it.answer(outcome)
    assert it.meter.sent == [(64, 1, CONFIRM)]


def test_a_full_quota_gives_no_receipt_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    it = Setting()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            it.push()
            it.answer(Outcome.FULL)
    assert it.meter.sent == []
    assert it.relay.tally.full == 3
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "meter 4F414D0000000001"
    ]
    it.push()
    it.answer(Outcome.STORED)
    it.push()
    it.answer(Outcome.FULL)
    assert len(caplog.records) == 2  # room in between: a new alarm


def test_room_is_told_of_by_a_new_push_and_for_what_was_full() -> None:
    it = Setting()
    told: list[tuple[str, Outcome]] = []
    it.relay.on_full = lambda _title, outcome: told.append(("full", outcome))
    it.relay.on_room = lambda _title, outcome: told.append(("room", outcome))
    for outcome in (Outcome.FULL, Outcome.KNOWN, Outcome.FULL, Outcome.NO_ROOM, Outcome.STORED):
        it.push()
        it.answer(outcome)
    assert told == [  # one that lies in a full journal already makes no room there
        ("full", Outcome.FULL),
        ("full", Outcome.NO_ROOM),
        ("room", Outcome.NO_ROOM),
        ("room", Outcome.FULL),
    ]


def test_a_journal_has_room_again_whoever_finds_it() -> None:
    it = Setting()
    told: list[tuple[bytes, Outcome]] = []
    it.relay.on_room = lambda title, outcome: told.append((title, outcome))
    it.push()
    it.answer(Outcome.NO_ROOM)
    it.relay.from_meter(OTHER, Line(), 1, 64, PUSH)
    it.answer(Outcome.STORED)
    assert told == [(OTHER, Outcome.NO_ROOM)]


def test_a_journal_that_cannot_be_written_gives_no_receipt() -> None:
    it = Setting()
    it.push()
    it.answer(None)
    it.accepts = False
    it.push()
    assert it.meter.sent == []
    assert it.relay.tally.unkept == 2


def test_a_push_that_no_receipt_could_name_is_refused() -> None:
    it = Setting()
    with pytest.raises(DecodeError, match="long-invoke-id in the clear"):
        it.relay.from_meter(METER, it.meter, 1, 64, b"\xc4\x01")
    assert it.kept == []


def test_an_answer_goes_up_behind_a_gateway_header() -> None:
    it = Setting()
    it.relay.from_meter(METER, it.meter, 1, 16, b"\xc4\x01")
    up = GatewayResponse(physical_address=METER, apdu=b"\xc4\x01").encode()
    assert it.uplink.sent == [(1, 16, up)]
    assert it.kept == []


def test_an_answer_without_an_uplink_is_dropped() -> None:
    it = Setting()
    it.relay.uplink = None
    it.relay.from_meter(METER, it.meter, 1, 16, b"\xc4\x01")
    assert it.relay.tally.answers == 0


def test_a_command_goes_down_without_its_header() -> None:
    it = Setting()
    down = GatewayRequest(physical_address=METER, apdu=b"\xc0\x01").encode()
    it.relay.from_head_end(16, 1, down)
    assert it.meter.sent == [(16, 1, b"\xc0\x01")]


@pytest.mark.parametrize("attached", [True, False])
def test_a_meter_that_cannot_be_reached_is_answered_for(*, attached: bool) -> None:
    it = Setting()
    it.meter.open = False  # its connection breaks at this moment
    title = METER if attached else OTHER
    down = GatewayRequest(physical_address=title, apdu=b"\xc0\x01").encode()
    it.relay.from_head_end(16, 1, down)
    assert it.uplink.sent == [(1, 16, b"\xe7\x00\x08" + title + b"\xd8\x01\x01")]


def test_an_end_receipt_goes_to_the_journal_not_to_the_meter() -> None:
    it = Setting()
    it.relay.from_head_end(64, 1, b"\xe6\x00\x08" + METER + CONFIRM)
    assert it.confirms == [(METER, 0x4000002A)]
    assert it.meter.sent == []


@pytest.mark.parametrize("octets", ["", "E7000841", "E60008 4F414D0000000001", "0F"])
def test_what_has_no_gateway_request_is_refused(octets: str) -> None:
    it = Setting()
    with pytest.raises(DecodeError):
        it.relay.from_head_end(1, 1, bytes.fromhex(octets))


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=40))
def test_any_frame_is_carried_or_refused(source: int, destination: int, octets: bytes) -> None:
    it = Setting()
    with contextlib.suppress(DecodeError):
        it.relay.from_meter(METER, it.meter, source, destination, octets)
    for head in (b"", b"\xe6\x00\x08" + METER, b"\xe6\x00\x08" + METER + b"\x10"):
        with contextlib.suppress(DecodeError):
            it.relay.from_head_end(source, destination, head + octets)


def test_a_newer_connection_replaces_the_older_without_a_change_of_state() -> None:
    it = Setting()
    newer = Line()
    it.relay.attach(METER, newer)
    assert not it.meter.open
    it.relay.detach(METER, it.meter)  # the older one reports its end
    it.relay.from_head_end(16, 1, b"\xe6\x00\x08" + METER + b"\xc0")
    assert newer.sent == [(16, 1, b"\xc0")]
    assert [(c.title, c.attached) for c in it.changes] == [(METER, True)]


def test_coming_and_going_is_told() -> None:
    it = Setting()
    it.relay.attach(OTHER, Line())
    it.relay.detach(METER, it.meter)
    assert [(c.title, c.attached, c.since) for c in it.changes] == [
        (METER, True, NOW),
        (OTHER, True, NOW),
        (METER, False, NOW),
    ]
    assert [a.title for a in it.relay.attachments()] == [OTHER]
    assert it.relay.attached == 1
