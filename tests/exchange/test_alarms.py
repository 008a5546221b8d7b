# SPDX-License-Identifier: Apache-2.0
"""The bits of our registers, and the octets of an alarm push."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.classes.push import PushMessage
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.exchange.alarms import (
    ALARM_BITS,
    ERROR_BITS,
    AlarmBit,
    AlarmNotice,
    bits_in,
    ended_by,
    is_alarm,
    raised_by,
)
from openami.exchange.events import EventCode
from openami.exchange.notice import EventNotice, is_notice

WORD = st.integers(0, 2**32 - 1)
NOTICE = AlarmNotice(at_s=0x69123456, code=40, descriptor=1, register=0x80000001, error=2)


@given(WORD, st.integers(0, 255), WORD, WORD, WORD)
def test_decode_inverts_encode(at_s: int, code: int, rose: int, stands: int, error: int) -> None:
    notice = AlarmNotice(at_s=at_s, code=code, descriptor=rose, register=stands, error=error)
    assert AlarmNotice.decode(notice.encode()) == notice
    assert is_alarm(notice.encode())


def test_its_octets_are_those_of_the_table() -> None:
    assert NOTICE.encode().hex(" ") == (
        "0f 40 00 00 00 00 02 06 09 06 00 04 19 09 00 ff 06 69 12 34 56 11 28 "
        "06 00 00 00 01 06 80 00 00 01 06 00 00 00 02"
    )


@pytest.mark.parametrize("cut", range(len(NOTICE.encode())))
def test_every_truncation_is_refused(cut: int) -> None:
    with pytest.raises(DecodeError, match="octets"):
        AlarmNotice.decode(NOTICE.encode()[:cut])


@given(st.binary(max_size=60))
def test_any_octets_decode_or_are_refused(octets: bytes) -> None:
    try:
        notice = AlarmNotice.decode(octets)
    except DecodeError:
        return
    again = notice.encode()
    assert (again[:1], again[5:]) == (octets[:1], octets[5:])


@pytest.mark.parametrize("place", [0, 5, 6, 7, 8, 9, 16, 21, 23, 28, 33])
def test_another_tag_is_refused(place: int) -> None:
    octets = bytearray(NOTICE.encode())
    octets[place] ^= 0x10
    with pytest.raises(DecodeError, match="an alarm notice is"):
        AlarmNotice.decode(bytes(octets))


def test_the_three_notifications_are_told_apart() -> None:
    push = PushMessage(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(0, confirmed=True),
        logical_device_name=b"OAM0000000000001",
        push_setup=Obis(0, 0, 25, 9, 0, 255),
        rows=b"\x01\x00",
    )
    event = EventNotice(confirmed=True, at_s=1, code=2)
    found = [(is_alarm(each.encode()), is_notice(each.encode())) for each in (push, event, NOTICE)]
    assert found == [(False, False), (False, True), (True, False)]


@pytest.mark.parametrize("bits", [ALARM_BITS, ERROR_BITS])
def test_a_table_names_each_bit_and_kind_once_and_no_event_both_ways(
    bits: tuple[AlarmBit, ...],
) -> None:
    assert len({each.bit for each in bits}) == len({each.kind for each in bits}) == len(bits)
    assert all(0 <= each.bit < 32 for each in bits)
    for each in bits:
        assert not each.raised_by & each.ended_by
        for code in each.raised_by:
            assert raised_by(bits, code) == each.mask
        for code in each.ended_by:
            assert ended_by(bits, code) == each.mask


def test_tamper_and_attacks_are_latched() -> None:
    latched = {code for each in ALARM_BITS if not each.ended_by for code in each.raised_by}
    assert {
        EventCode.TERMINAL_COVER_REMOVED,
        EventCode.METER_COVER_REMOVED,
        EventCode.STRONG_FIELD,
        EventCode.FAILED_LOGIN,
    } <= latched


@given(WORD)
def test_the_bits_of_a_word_are_its_bits(word: int) -> None:
    assert sum(1 << bit for bit in bits_in(word)) == word
