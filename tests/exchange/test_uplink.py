# SPDX-License-Identifier: Apache-2.0
"""The announcement of attachments."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.exchange.uplink import (
    MOST_IN_ONE,
    Attachment,
    decode_attachments,
    encode_attachments,
)

START = datetime(2026, 3, 1, tzinfo=UTC)

attachments = st.builds(
    Attachment,
    title=st.binary(min_size=8, max_size=8),
    attached=st.booleans(),
    since=st.integers(0, 10**9).map(lambda n: START + timedelta(seconds=n / 100)),
)


def test_octets() -> None:
    one = Attachment(title=b"OAM\x00\x00\x00\x00\x01", attached=True, since=START)
    (apdu,) = encode_attachments([one], 5)
    assert apdu.hex(" ").upper() == (
        "0F 00 00 00 05 00 01 01 02 03 09 08 4F 41 4D 00 00 00 00 01 03 01"
        " 09 0C 07 EA 03 01 07 00 00 00 00 00 00 00"
    )


@given(st.lists(attachments, max_size=5))
def test_decode_inverts_encode(told: list[Attachment]) -> None:
    apdus = list(encode_attachments(told, 0))
    assert [one for apdu in apdus for one in decode_attachments(apdu)] == told


def test_a_long_list_is_told_in_frames_of_bounded_size() -> None:
    told = [
        Attachment(title=n.to_bytes(8), attached=True, since=START)
        for n in range(2 * MOST_IN_ONE + 1)
    ]
    apdus = list(encode_attachments(told, 0xFFFFFF))
    assert [len(decode_attachments(apdu)) for apdu in apdus] == [MOST_IN_ONE, MOST_IN_ONE, 1]
    assert max(map(len, apdus)) < 0xFFFF
    assert [apdu[2:5].hex() for apdu in apdus] == ["ffffff", "000000", "000001"]


@pytest.mark.parametrize(
    "body", ["0F 00000000 00 00", "0F 00000000 00 01 01 00", "0F 00000000 00 01 01 02 01 03 01"]
)
def test_another_body_is_refused(body: str) -> None:
    with pytest.raises(DecodeError):
        decode_attachments(bytes.fromhex(body))
