# SPDX-License-Identifier: Apache-2.0
"""Notifications that are stored on their way: opened in any order, each known again."""

from typing import Any

import pytest

from openami.cosem.device import (
    Ciphering,
)
from openami.cosem.serving.notices import Sender, blocks_of, seal
from openami.dlms.apdu.notification import (
    DataNotification,
    EventNotification,
)
from openami.dlms.errors import (
    DecodeError,
    SecurityError,
)
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, NotificationIdentity
from openami.dlms.security.suites import AUTHENTICATED, SecurityControl
from playbooks.demo_meter import (
    CLIENT_TITLE,
    KEYS,
    METER_TITLE,
)
from playbooks.standing import EVENT, PUSH, STANDING, standing

SENDER_TERMS: dict[str, Any] = {
    "cipher": Cipher(KEYS),
    "title": METER_TITLE,
    "own_title": CLIENT_TITLE,
    "key_epoch": 3,
}


def sealed(apdu: EventNotification | DataNotification, counter: int = 7) -> bytes:
    ciphering = Ciphering(cipher=Cipher(KEYS), counters=CounterBlock(counter, 2**32 - 1))
    return seal(apdu, ciphering, originator=METER_TITLE, recipient=CLIENT_TITLE)


@pytest.mark.parametrize("apdu", [EVENT, PUSH])
def test_a_stored_notification_is_opened_in_any_order_and_known_again(
    apdu: EventNotification | DataNotification,
) -> None:
    sender = Sender(**SENDER_TERMS)
    seen = set()
    for counter in (9, 7, 8, 7):
        notice = sender.open(sealed(apdu, counter))
        assert notice is not None
        assert notice.apdu == apdu
        assert notice.identity == NotificationIdentity(METER_TITLE, 3, counter)  # type: ignore[arg-type]
        seen.add(notice.identity)
    assert len(seen) == 3


def test_the_clear_part_of_a_push_tells_its_number() -> None:
    assert sealed(PUSH)[:6] == bytes.fromhex("DD04 40000005")


def test_blocks_of_a_stored_notification() -> None:
    sender = Sender(**SENDER_TERMS)
    octets = sealed(PUSH)
    assert blocks_of(octets, 500) == [octets]
    *first, last = blocks_of(octets, 60)
    assert [sender.open(each) for each in first] == [None] * len(first)
    notice = sender.open(last)
    assert notice is not None
    assert notice.apdu == PUSH


def test_the_forms_of_an_association_are_opened_too() -> None:
    link = standing()
    sender = Sender(**SENDER_TERMS)
    for apdu in (EVENT, PUSH):
        (octets,) = link.server.notify(STANDING, apdu)
        notice = sender.open(octets)
        assert notice is not None
        assert notice.apdu == apdu


def test_what_is_not_protected_is_taken_where_that_is_asked_for() -> None:
    notice = Sender(**SENDER_TERMS | {"required": 0}).open(EVENT.encode())
    assert notice is not None
    assert (notice.apdu, notice.identity) == (EVENT, None)
    with pytest.raises(SecurityError, match="authentication and encryption, which the APDU lacks"):
        Sender(**SENDER_TERMS).open(EVENT.encode())


@pytest.mark.parametrize(
    ("octets", "changes", "error", "sentence"),
    [
        (sealed(EVENT), {"title": b"OAM\0\0\0\0\x08"}, SecurityError, "it is by 4F414D0000000007"),
        (sealed(EVENT), {"own_title": b"OAM\0\0\0\0\x09"}, SecurityError, "not for us"),
        (sealed(EVENT)[:-1] + b"\0", {}, SecurityError, "do not match|does not match|is wrong"),
        (sealed(EVENT)[:-1], {}, DecodeError, "octet"),
        (b"", {"required": 0}, DecodeError, "nothing is no tag of a notification"),
        (b"\xc4\x01\xc1\x00\x00", {"required": 0}, DecodeError, "C4 is no tag"),
        (b"\xca\x00", {}, DecodeError, "octet"),
    ],
)
def test_what_is_no_notification_of_this_device_for_us(
    octets: bytes, changes: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Sender(**SENDER_TERMS | changes).open(octets)


def test_a_wrong_tag_around_a_notification_is_refused() -> None:
    cipher = Cipher(KEYS)
    inside = cipher.seal(SecurityControl(0x30), 1, METER_TITLE, PUSH.encode())
    octets = b"\xca\x81" + bytes((len(inside),)) + inside
    with pytest.raises(SecurityError, match="it holds an APDU with tag 0F"):
        Sender(**SENDER_TERMS).open(octets)
    inside = cipher.seal(SecurityControl(0x10), 1, METER_TITLE, EVENT.encode())
    octets = b"\xca" + bytes((len(inside),)) + inside
    with pytest.raises(SecurityError, match="encryption, which the APDU lacks"):
        Sender(**SENDER_TERMS).open(octets)
    assert Sender(**SENDER_TERMS | {"required": AUTHENTICATED}).open(octets)
