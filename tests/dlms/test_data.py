# SPDX-License-Identifier: Apache-2.0
"""COSEM data: each type's octets, every value, every truncation, hostile input."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmsvalues import scalars, values
from openami.dlms import data
from openami.dlms.axdr import Reader
from openami.dlms.data import (
    DEEPEST,
    DONT_CARE,
    Array,
    BitString,
    CompactArray,
    DoubleLongUnsigned,
    Float64,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.errors import DecodeError

# Written by hand from IEC 62056-5-3, 9.5.
EXAMPLES = [
    (None, "00"),
    (Array([Unsigned(1), Unsigned(2)]), "01 02 11 01 11 02"),
    (Structure((LongUnsigned(3), None)), "02 02 12 00 03 00"),
    (True, "03 01"),
    (BitString.from_bits("101"), "04 03 a0"),
    (data.DoubleLong(-2), "05 ff ff ff fe"),
    (DoubleLongUnsigned(5), "06 00 00 00 05"),
    (OctetString(b"\x01\x00"), "09 02 01 00"),
    (VisibleString("ab"), "0a 02 61 62"),
    (data.Utf8String("ä"), "0c 02 c3 a4"),
    (data.Bcd(0x42), "0d 42"),
    (data.Integer(-1), "0f ff"),
    (data.Long(-2), "10 ff fe"),
    (data.Long64(-1), "14 ff ff ff ff ff ff ff ff"),
    (data.Long64Unsigned(1), "15 00 00 00 00 00 00 00 01"),
    (data.Enum(30), "16 1e"),
    (data.Float32(1.5), "17 3f c0 00 00"),
    (Float64(1.5), "18 3f f8 00 00 00 00 00 00"),
    (data.DateTimeOctets(bytes(12)), "19" + "00" * 12),
    (data.DateOctets(bytes(5)), "1a" + "00" * 5),
    (data.TimeOctets(bytes(4)), "1b" + "00" * 4),
    (DONT_CARE, "ff"),
]


@pytest.mark.parametrize(("value", "octets"), EXAMPLES, ids=[repr(row[0]) for row in EXAMPLES])
def test_examples(value: Any, octets: str) -> None:
    decoded = data.decode(bytes.fromhex(octets))

    assert data.encode(value) == bytes.fromhex(octets)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize("kind", scalars, ids=lambda kind: kind.__name__)
def test_every_type_comes_back_as_itself(kind: type) -> None:
    @given(scalars[kind])
    def comes_back(value: Any) -> None:
        decoded = data.decode(data.encode(value))

        assert type(decoded) is kind
        assert decoded == value

    comes_back()


@given(values)
def test_decode_inverts_encode(value: Any) -> None:
    octets = data.encode(value)
    decoded = data.decode(octets)

    assert decoded == value
    assert data.encode(decoded) == octets


@given(values, st.data())
def test_every_truncation_is_refused_by_place(value: Any, draw: st.DataObject) -> None:
    octets = data.encode(value)
    cut = draw.draw(st.integers(0, len(octets) - 1))

    with pytest.raises(DecodeError) as caught:
        data.decode(octets[:cut])

    assert caught.value.offset <= cut


@given(values, st.binary(min_size=1, max_size=3))
def test_what_follows_a_value_is_refused(value: Any, more: bytes) -> None:
    with pytest.raises(DecodeError, match="octets after the end"):
        data.decode(data.encode(value) + more)


@given(st.binary(max_size=64))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        value = data.decode(octets)
        assert data.encode(data.decode(data.encode(value))) == data.encode(value)


def test_a_reader_is_left_behind_the_value() -> None:
    reader = Reader(bytes.fromhex("11 05 12 00 06"))

    assert data.read(reader) == 5
    assert reader.offset == 2
    assert data.read(reader) == 6


def test_not_a_number_comes_back() -> None:
    decoded = data.decode(data.encode(Float64(math.nan)))

    assert isinstance(decoded, Float64)
    assert math.isnan(decoded)


def test_any_octet_but_00_is_true() -> None:
    assert data.decode(b"\x03\xff") is True


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (5, "Unsigned"),
        (0.5, "Float32"),
        ("text", "VisibleString"),
        (b"octets", "OctetString"),
        ([1], "Array"),
        ((1,), "Structure"),
        ({}, "openami.dlms.data"),
    ],
)
def test_a_value_without_a_type_is_refused_with_a_remedy(value: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy):
        data.encode(value)


def test_a_subclass_is_encoded_as_its_type() -> None:
    class Status(Unsigned, tag=Unsigned.TAG, form="B"):
        """A type of an application."""

    assert data.encode(Status(3)) == data.encode(Unsigned(3))


@pytest.mark.parametrize("tag", [tag for tag in range(0x100) if tag not in data._READERS])
def test_every_other_tag_is_refused(tag: int) -> None:
    with pytest.raises(DecodeError, match=f"{tag:02X} is no type of data"):
        data.decode(bytes((tag, 0, 0)))


def test_nesting_is_limited() -> None:
    deepest = b"\x02\x01" * DEEPEST + b"\x00"

    assert data.encode(data.decode(deepest)) == deepest
    with pytest.raises(DecodeError, match=f"deeper than {DEEPEST} levels"):
        data.decode(b"\x02\x01" + deepest)
    with pytest.raises(DecodeError, match="levels"):
        data.decode(b"\x01\x01" * 100_000)


@pytest.mark.parametrize("octets", ["0184ffffffff00", "0284ffffffff00", "0984ffffffff00", "047f"])
def test_a_count_asks_for_no_memory(octets: str) -> None:
    with pytest.raises(DecodeError):
        data.decode(bytes.fromhex(octets))


def test_a_text_that_is_not_utf8_is_refused_by_place() -> None:
    with pytest.raises(DecodeError, match="not UTF-8, at octet 4") as caught:
        data.decode(bytes.fromhex("0c04 6162 ff63"))

    assert caught.value.offset == 4


def test_a_compact_array_expands_to_the_array_it_stands_for() -> None:
    octets = bytes.fromhex("13  02 02 11 09  09  01 02 61 62  02 00  03 01 63")
    compact = data.decode(octets)

    assert isinstance(compact, CompactArray)
    assert data.encode(compact) == octets
    assert data.expand(compact) == [(1, b"ab"), (2, b""), (3, b"c")]


def test_a_compact_array_of_arrays() -> None:
    compact = CompactArray(bytes.fromhex("01 00 02 12"), bytes.fromhex("0001 0002 0003 0004"))

    assert data.expand(compact) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("description", "contents", "problem"),
    [
        ("00", "00", "repeat for ever"),
        ("01ffff01ffff00", "00", "more than"),
        ("020200", "00", "needs a tag"),
        ("12", "00", "needs 2 octets"),
        ("13", "00", "no type for a compact-array"),
        ("07", "00", "no type for a compact-array"),
    ],
)
def test_a_broken_compact_array_is_refused(description: str, contents: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        data.expand(CompactArray(bytes.fromhex(description), bytes.fromhex(contents)))


def test_a_type_description_nests_so_deep_and_no_deeper() -> None:
    with pytest.raises(DecodeError, match="levels"):
        data.decode(b"\x13" + b"\x02\x01" * 40 + b"\x11\x00")
