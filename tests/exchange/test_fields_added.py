# SPDX-License-Identifier: Apache-2.0
"""Words and orders between versions: fields that were added are ignored, what was said stays."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import Array, Data, Structure, Utf8String
from openami.exchange.field import (
    ClockState,
    FirmwareState,
    Heartbeat,
    LinkState,
    Notice,
    decode_word,
    encode_clock,
    encode_firmware,
    encode_heartbeat,
    encode_links,
    encode_notices,
)
from openami.exchange.orders import (
    Broadcast,
    Plan,
    SealedRequest,
    TimeAnswer,
    decode_order,
    encode_broadcast,
    encode_plan,
    encode_time,
)
from openami.exchange.uplink import Attachment, decode_attachments, encode_attachments

AT = datetime(2026, 3, 1, tzinfo=UTC)
TITLE = b"OAM\x00\x00\x00\x00\x01"
ADDED = Utf8String("of a later version")

SAID = {
    "heartbeat": encode_heartbeat(
        Heartbeat(
            at=AT,
            started=AT,
            entries=1,
            octets=2,
            most_octets=3,
            oldest_s=4,
            meters=5,
            attached=6,
            at_quota=7,
            refused=8,
            alarm="disk full",
        ),
        1,
    ),
    "links": encode_links(
        [
            LinkState(
                title=TITLE,
                bearer="tls",
                address="192.0.2.1",
                attached=True,
                first_seen=AT,
                last_seen=AT,
                round_trip_us=9,
                sent=2,
                lost=1,
            )
        ],
        1,
    ),
    "notices": encode_notices([Notice(number=1, at=AT, code=2, title=TITLE, text="so")], 1),
    "firmware": encode_firmware(
        FirmwareState(version="1.0", digest=b"d", signer=b"s", counter=1, bank=0, trial=False), 1
    ),
    "clock": encode_clock(ClockState(limit_us=5, past_limit=False), 1),
    "plan": encode_plan(
        Plan(
            title=TITLE,
            offline_only=True,
            requests=(SealedRequest(due=AT, octets=b"\xdd\x04\x00\x00\x00\x01"),),
        ),
        1,
    ),
    "broadcast": encode_broadcast(Broadcast(client=102, apdu=b"\xdb", titles=(TITLE,)), 1),
    "time": encode_time(TimeAnswer(asked=1, received_us=2, answered_us=3, kept=None)),
    "attachments": next(encode_attachments([Attachment(title=TITLE, attached=True, since=AT)], 1)),
}
READ: dict[str, Callable[[bytes], object]] = {
    **dict.fromkeys(("heartbeat", "links", "notices", "firmware", "clock"), decode_word),
    **dict.fromkeys(("plan", "broadcast", "time"), decode_order),
    "attachments": decode_attachments,
}
FIRST: dict[str, str] = {
    "heartbeat": (
        "0f4000000100020c1601090c07ea03010700000000000000090c07ea030107000000000000001500"
        "00000000000001150000000000000002150000000000000003150000000000000004150000000000"
        "0000051500000000000000061500000000000000071500000000000000080c096469736b2066756c"
        "6c"
    ),
    "links": (
        "0f4000000100020216020101020909084f414d00000000010c03746c730c093139322e302e322e31"
        "0301090c07ea03010700000000000000090c07ea0301070000000000000006000000091500000000"
        "00000002150000000000000001"
    ),
    "notices": (
        "0f40000001000202160301010205150000000000000001090c07ea03010700000000000000160209"
        "084f414d00000000010c02736f"
    ),
    "firmware": ("0f4000000100020816040c03312e30090164090173150000000000000001160003000c00"),
    "clock": ("0f400000010002071605000000150000000000000005030000"),
    "plan": (
        "0f40000001000204164109084f414d0000000001030101010202090c07ea03010700000000000000"
        "0906dd0400000001"
    ),
    "broadcast": ("0f4000000100020416421200660901db09084f414d0000000001"),
    "time": ("0f000000010002051643060000000115000000000000000215000000000000000300"),
    "attachments": ("0f00000001000101020309084f414d00000000010301090c07ea03010700000000000000"),
}
"""Each as it was said when fields began to be added: a reader of any version takes it."""


def grown(data: Data) -> Data:
    """Return it with a field behind the last one, and one behind each row of its arrays."""
    if isinstance(data, Array):
        return Array(grown(row) for row in data)
    if isinstance(data, Structure):
        return Structure(
            (*(grown(each) if isinstance(each, Array) else each for each in data), ADDED)
        )
    return data


@pytest.mark.parametrize("name", SAID)
def test_fields_of_a_later_version_are_ignored(name: str) -> None:
    said = DataNotification.decode(SAID[name])
    later = DataNotification(
        long_invoke_id_and_priority=said.long_invoke_id_and_priority,
        notification_body=grown(said.notification_body),
    ).encode()
    assert len(later) > len(SAID[name])
    assert READ[name](later) == READ[name](SAID[name])


@pytest.mark.parametrize("name", SAID)
def test_what_an_older_version_says_is_understood(name: str) -> None:
    assert READ[name](bytes.fromhex(FIRST[name])) == READ[name](SAID[name])
