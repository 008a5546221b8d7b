# SPDX-License-Identifier: Apache-2.0
"""Lengths and cursors of A-XDR."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.axdr import (
    Reader,
    encode_length,
    encode_octet_string,
    encode_optional_octet_string,
    read_length,
)
from openami.dlms.errors import DecodeError


@given(st.integers(0, 0xFFFFFFFF))
def test_a_length_comes_back(length: int) -> None:
    octets = encode_length(length)

    assert read_length(octets, 0, "length") == (length, len(octets))


@pytest.mark.parametrize(
    ("length", "octets"),
    [
        (0, "00"),
        (0x7F, "7f"),
        (0x80, "8180"),
        (0x100, "820100"),
        (0x10000, "83010000"),
        (0xFFFFFFFF, "84ffffffff"),
    ],
)
def test_lengths_take_the_shortest_form(length: int, octets: str) -> None:
    assert encode_length(length).hex() == octets


def test_longer_forms_are_accepted() -> None:
    assert read_length(bytes.fromhex("820005"), 0, "length") == (5, 3)


@pytest.mark.parametrize("length", [-1, 1 << 32])
def test_a_length_out_of_range_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="A-XDR length"):
        encode_length(length)


@pytest.mark.parametrize("octets", ["", "80", "85", "ff", "81", "8201", "84000000"])
def test_a_broken_length_is_refused(octets: str) -> None:
    with pytest.raises(DecodeError, match="length"):
        Reader(bytes.fromhex(octets)).length("value")


@given(st.binary(max_size=300), st.binary(max_size=300) | st.none())
def test_octet_strings_come_back(first: bytes, second: bytes | None) -> None:
    reader = Reader(encode_octet_string(first) + encode_optional_octet_string(second))

    assert reader.octet_string("first") == first
    assert reader.optional_octet_string("second") == second
    reader.end()


def test_integers_and_booleans() -> None:
    reader = Reader(bytes.fromhex("ff ff 00 02 01"))

    assert reader.peek() == 0xFF
    assert (reader.unsigned(1, "a"), reader.signed(1, "b")) == (255, -1)
    assert (reader.boolean("c"), reader.boolean("d"), reader.present("e")) == (False, True, True)
    assert (reader.peek(), reader.remaining, reader.rest()) == (None, 0, b"")


def test_a_presence_octet_is_00_or_01() -> None:
    with pytest.raises(DecodeError, match="is 02, neither 00 nor 01, at octet 0"):
        Reader(b"\x02").present("presence")


def test_a_count_cannot_ask_for_more_than_there_is() -> None:
    with pytest.raises(DecodeError, match="4294967295 elements do not fit into 2 octets"):
        Reader(bytes.fromhex("84ffffffff0000")).count("elements")


def test_what_is_left_over_is_refused() -> None:
    with pytest.raises(DecodeError, match="octets after the end, at octet 0"):
        Reader(b"\x00").end()


def test_an_expected_octet_is_named() -> None:
    with pytest.raises(DecodeError, match="APDU tag is C1, not C0, at octet 0"):
        Reader(b"\xc1").expect(0xC0, "APDU tag")
