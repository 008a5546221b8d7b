# SPDX-License-Identifier: Apache-2.0
"""Pushes: what is sent, when it is sent again, what a receipt does."""

from pathlib import Path

import pytest

from meter.house import CIPHER, HEAD_END, open_push
from openami.dlms.security.agreement import Parties
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.notification import seal_notification
from openami.meter.metrology import ClosedInterval
from openami.meter.outbox import MOST_ROWS, Outbox, Sender
from openami.meter.profile import RingBuffer, open_profile

TITLE = b"OAM\x00\x00\x00\x00\x01"


@pytest.fixture
def profile(tmp_path: Path) -> RingBuffer:
    return open_profile(tmp_path / "profile.ring", 100)[0]


def outbox_of(profile: RingBuffer, *, receipted: int = 0, first_counter: int = 1) -> Outbox:
    counters = CounterBlock(first_counter, first_counter + 1000)

    def notify(recipient: bytes, apdu: bytes) -> tuple[bytes, int]:
        return seal_notification(CIPHER, counters, Parties(u=TITLE, v=recipient), apdu)

    sender = Sender(recipient=HEAD_END, ldn=b"OAM0000000000001", notify=notify)
    return Outbox(profile, sender, receipted=receipted, pauses_s=(5.0, 60.0))


def close_intervals(profile: RingBuffer, first: int, last: int) -> None:
    profile.ring.append(
        [
            ClosedInterval(sequence=n, end_s=1800 * n, import_wh=n).encode()
            for n in range(first, last + 1)
        ]
    )


def sequences(push: bytes) -> list[int]:
    return [int(wh) for wh in open_push(push)[1].values[2]]


def invoke_id(push: bytes) -> int:
    return int.from_bytes(push[2:6])


def test_rows_go_out_in_order_at_most_48_at_a_time(profile: RingBuffer) -> None:
    close_intervals(profile, 1, 60)
    outbox, sent = outbox_of(profile), list[bytes]()
    outbox.attached(sent.append, 0.0)
    outbox.tick(0.0)
    outbox.tick(0.1)
    assert len(sent) == 1
    assert sequences(sent[0]) == list(range(1, MOST_ROWS + 1))

    assert outbox.confirm(invoke_id(sent[0]), 0.2)
    outbox.tick(0.2)

    assert sequences(sent[1]) == list(range(MOST_ROWS + 1, 61))
    assert outbox.pending == 12
    assert outbox.confirm(invoke_id(sent[1]), 0.3)
    assert (outbox.pending, outbox.receipted, outbox.deadline_s) == (0, 60, None)


def test_pauses_double_up_to_the_longest(profile: RingBuffer) -> None:
    close_intervals(profile, 1, 1)
    outbox, sent = outbox_of(profile), list[tuple[float, bytes]]()
    now_s = 0.0

    def send(octets: bytes) -> None:
        sent.append((now_s, octets))

    outbox.attached(send, 0.0)
    for tenth in range(3000):
        now_s = tenth / 10
        outbox.tick(now_s)

    assert [moment for moment, _ in sent] == [0, 5, 15, 35, 75, 135, 195, 255]
    assert len({octets for _, octets in sent}) == 1


def test_a_new_connection_sends_the_same_octets_at_once(profile: RingBuffer) -> None:
    close_intervals(profile, 1, 2)
    outbox, sent = outbox_of(profile), list[bytes]()
    outbox.attached(sent.append, 0.0)
    outbox.tick(0.0)
    outbox.detached()
    outbox.tick(20.0)
    close_intervals(profile, 3, 3)
    outbox.attached(sent.append, 21.0)
    outbox.tick(21.0)

    assert sent[0] == sent[1]
    assert outbox.confirm(invoke_id(sent[1]), 21.1)
    outbox.tick(21.1)
    assert sequences(sent[2]) == [3]


def test_a_foreign_or_late_receipt_changes_nothing(profile: RingBuffer) -> None:
    close_intervals(profile, 1, 2)
    outbox, sent = outbox_of(profile), list[bytes]()
    assert not outbox.confirm(7, 0.0)
    outbox.attached(sent.append, 0.0)
    outbox.tick(0.0)

    assert not outbox.confirm(invoke_id(sent[0]) + 1, 0.1)
    assert outbox.pending == 2
    assert outbox.confirm(invoke_id(sent[0]), 0.2)
    assert not outbox.confirm(invoke_id(sent[0]), 0.3)


def test_rows_that_the_ring_has_lost_are_not_waited_for(profile: RingBuffer) -> None:
    close_intervals(profile, 1, 250)
    outbox, sent = outbox_of(profile, receipted=20), list[bytes]()
    assert outbox.pending == 100
    outbox.attached(sent.append, 0.0)
    outbox.tick(0.0)

    assert sequences(sent[0])[0] == 151


def test_every_push_has_an_invoke_id_of_its_own(profile: RingBuffer) -> None:
    """Also where the invocation counter is above what the 24 bits of the id hold."""
    close_intervals(profile, 1, 1)
    outbox, sent = outbox_of(profile, first_counter=2**24 + 9), list[bytes]()
    outbox.attached(sent.append, 0.0)
    outbox.tick(0.0)

    message, _ = open_push(sent[0])
    assert message.long_invoke_id_and_priority.long_invoke_id == 9
    assert message.long_invoke_id_and_priority.confirmed
    assert message.logical_device_name == b"OAM0000000000001"
