# SPDX-License-Identifier: Apache-2.0
"""Event notices: one layout, decoded as it was encoded, refused by place otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.classes.push import PushMessage
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.exchange.events import EventCode
from openami.exchange.notice import EventNotice, is_notice

NOTICES = st.builds(
    EventNotice,
    confirmed=st.booleans(),
    at_s=st.integers(0, 2**32 - 1),
    code=st.integers(0, 255),
    seconds=st.integers(0, 2**32 - 1),
    push_setup=st.binary(min_size=6, max_size=6).map(Obis.decode),
)
GASP = EventNotice(confirmed=False, at_s=0x69123456, code=EventCode.POWER_FAILURE)


def test_a_last_gasp_is_these_28_octets() -> None:
    octets = "0f00000000 00 0204 0906 0004190900ff 0669123456 1101 0600000000"
    assert GASP.encode() == bytes.fromhex(octets)


@given(NOTICES)
def test_decode_inverts_encode(notice: EventNotice) -> None:
    assert EventNotice.decode(notice.encode()) == notice
    assert is_notice(notice.encode())


@pytest.mark.parametrize("cut", range(28))
def test_every_truncation_is_refused(cut: int) -> None:
    with pytest.raises(DecodeError, match=f"not {cut}"):
        EventNotice.decode(GASP.encode()[:cut])


@given(st.binary(max_size=40))
def test_any_octets_decode_or_are_refused(octets: bytes) -> None:
    try:
        notice = EventNotice.decode(octets)
    except DecodeError:
        return
    assert EventNotice.decode(notice.encode()) == notice


def test_another_tag_is_refused() -> None:
    for place in (0, 5, 6, 8, 16, 21, 23):
        octets = bytearray(GASP.encode())
        octets[place] ^= 0x40
        with pytest.raises(DecodeError, match="UNIX time"):
            EventNotice.decode(bytes(octets))


def test_rows_of_a_profile_are_no_notice() -> None:
    push = PushMessage(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(7),
        logical_device_name=b"OAM0000000000001",
        push_setup=Obis(0, 0, 25, 9, 0, 255),
        rows=b"\x01\x00",
    )
    assert not is_notice(push.encode())
