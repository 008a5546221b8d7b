# SPDX-License-Identifier: Apache-2.0
"""What a concentrator says of itself, there and back."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import Enum, Structure
from openami.dlms.errors import DecodeError
from openami.exchange.field import (
    NOTICE_TEXT,
    ClockState,
    FirmwareState,
    Heartbeat,
    LinkState,
    Notice,
    NoticeCode,
    decode_word,
    encode_clock,
    encode_firmware,
    encode_heartbeat,
    encode_links,
    encode_notices,
    notice_text,
)
from openami.exchange.uplink import tells_attachments

moments = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001  the zone is added
    max_value=datetime(2090, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))
counts = st.integers(0, 2**63 - 1)
titles = st.binary(min_size=8, max_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
confirmed = st.integers(0, LongInvokeIdAndPriority.LARGEST_ID)

heartbeats = st.builds(
    Heartbeat,
    at=moments,
    started=moments,
    entries=counts,
    octets=counts,
    most_octets=counts,
    oldest_s=counts,
    meters=counts,
    attached=counts,
    at_quota=counts,
    refused=counts,
    alarm=texts,
)
links = st.builds(
    LinkState,
    title=titles,
    bearer=texts,
    address=texts,
    attached=st.booleans(),
    first_seen=moments,
    last_seen=moments,
    round_trip_us=st.none() | st.integers(0, 2**32 - 1),
    sent=counts,
    lost=counts,
)
notices = st.builds(
    Notice,
    number=counts,
    at=moments,
    code=st.integers(0, 255),
    title=st.just(b"") | titles,
    text=texts,
)


firmwares = st.builds(
    FirmwareState,
    version=texts,
    digest=st.binary(max_size=64),
    signer=st.binary(max_size=64),
    counter=st.integers(0, 2**32 - 1),
    bank=st.integers(0, 1),
    trial=st.booleans(),
    problem=texts,
)


clocks = st.builds(
    lambda near, **fields: ClockState(
        offset_us=near and near[0], uncertainty_us=near and near[1], **fields
    ),
    near=st.none() | st.tuples(st.integers(-(2**63), 2**63 - 1), counts),
    round_trip_us=st.none() | counts,
    limit_us=counts,
    past_limit=st.booleans(),
    kept=st.none() | st.booleans(),
)


@given(clocks, confirmed)
def test_how_the_clock_is_comes_back(clock: ClockState, number: int) -> None:
    apdu = encode_clock(clock, number)
    assert not tells_attachments(apdu)
    assert decode_word(apdu) == (number | 1 << 30, clock)


@given(firmwares, confirmed)
def test_what_runs_comes_back(firmware: FirmwareState, number: int) -> None:
    apdu = encode_firmware(firmware, number)
    assert not tells_attachments(apdu)
    assert decode_word(apdu) == (number | 1 << 30, firmware)


@given(heartbeats, confirmed)
def test_a_heartbeat_comes_back(heartbeat: Heartbeat, number: int) -> None:
    apdu = encode_heartbeat(heartbeat, number)
    assert not tells_attachments(apdu)
    assert decode_word(apdu) == (number | 1 << 30, heartbeat)


@given(st.lists(links, max_size=3), confirmed)
def test_links_come_back(said: list[LinkState], number: int) -> None:
    assert decode_word(encode_links(said, number)) == (number | 1 << 30, said)


@given(st.lists(notices, max_size=3), confirmed)
def test_notices_come_back(said: list[Notice], number: int) -> None:
    assert decode_word(encode_notices(said, number)) == (number | 1 << 30, said)


@given(heartbeats, st.data())
def test_what_is_cut_or_changed_is_a_word_or_refused(said: Heartbeat, data: st.DataObject) -> None:
    octets = bytearray(encode_heartbeat(said, 1))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        decode_word(bytes(octets))
    with pytest.raises(DecodeError):
        decode_word(encode_heartbeat(said, 1)[: data.draw(st.integers(0, 60))])


def test_a_kind_of_a_later_version_has_nothing_to_say_and_an_unknown_body_is_refused() -> None:
    def apdu(body: Structure) -> bytes:
        return DataNotification(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.of(1), notification_body=body
        ).encode()

    assert decode_word(apdu(Structure((Enum(9), True)))) == (1 | 1 << 30, None)
    with pytest.raises(DecodeError, match="begins with its kind"):
        decode_word(apdu(Structure((True,))))
    with pytest.raises(DecodeError, match="firmware is not"):
        decode_word(apdu(Structure((Enum(4), True))))
    with pytest.raises(DecodeError, match="a heartbeat has"):
        decode_word(apdu(Structure((Enum(1), True))))


def test_every_code_has_its_text() -> None:
    assert set(NOTICE_TEXT) == set(NoticeCode)
    assert notice_text(NoticeCode.STARTED) == "the concentrator started"
    assert notice_text(99) == "notice 99"
