# SPDX-License-Identifier: Apache-2.0
"""Tags, lengths, contents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.axdr import Reader
from openami.dlms.ber import encode_tlv, expect_tlv, read_tlv
from openami.dlms.errors import DecodeError


@given(st.integers(0, 0xFF), st.binary(max_size=70_000))
def test_contents_come_back(tag: int, contents: bytes) -> None:
    reader = Reader(encode_tlv(tag, contents) + b"more")

    found, inside = read_tlv(reader, "field")

    assert (found, inside.rest(), reader.rest()) == (tag, contents, b"more")


@pytest.mark.parametrize(
    ("octets", "problem"), [("", "tag"), ("04", "length"), ("0402ff", "needs 2")]
)
def test_a_truncation_is_refused(octets: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        read_tlv(Reader(bytes.fromhex(octets)), "field")


def test_another_tag_is_refused_by_place() -> None:
    with pytest.raises(DecodeError, match="tag of title is 03, not 04, at octet 0"):
        expect_tlv(Reader(bytes.fromhex("0300")), 0x04, "title")
