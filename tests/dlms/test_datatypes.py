# SPDX-License-Identifier: Apache-2.0
"""Values know their type, behave like Python's, and keep to their range."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmsvalues import values
from openami.dlms import data
from openami.dlms.data import (
    Array,
    BitString,
    DoubleLongUnsigned,
    FixedInteger,
    Float32,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)


@pytest.mark.parametrize("kind", data.INTEGER_TYPES)
def test_integers_hold_their_range_and_no_more(kind: type[FixedInteger]) -> None:
    assert kind(kind.LOW) == kind.LOW
    assert kind(kind.HIGH) == kind.HIGH
    for value in (kind.LOW - 1, kind.HIGH + 1):
        with pytest.raises(ValueError, match=f"{kind.__name__} holds .* not {value}"):
            kind(value)


def test_the_widths_are_those_of_the_standard() -> None:
    ranges = {kind.__name__: (kind.TAG, kind.LOW, kind.HIGH) for kind in data.INTEGER_TYPES}

    assert ranges["Integer"] == (0x0F, -128, 127)
    assert ranges["Long"] == (0x10, -0x8000, 0x7FFF)
    assert ranges["DoubleLong"] == (0x05, -0x80000000, 0x7FFFFFFF)
    assert ranges["Long64"] == (0x14, -(2**63), 2**63 - 1)
    assert ranges["Unsigned"] == (0x11, 0, 0xFF)
    assert ranges["LongUnsigned"] == (0x12, 0, 0xFFFF)
    assert ranges["DoubleLongUnsigned"] == (0x06, 0, 0xFFFFFFFF)
    assert ranges["Long64Unsigned"] == (0x15, 0, 2**64 - 1)
    assert ranges["Enum"] == (0x16, 0, 0xFF)
    assert ranges["Bcd"] == (0x0D, 0, 0xFF)


def test_values_behave_like_those_of_python() -> None:
    assert DoubleLongUnsigned(5) == 5
    assert DoubleLongUnsigned(5) + 1 == 6
    assert f"{Unsigned(5)} {Unsigned(5)!r}" == "5 Unsigned(5)"
    assert Structure((Unsigned(1), None)) == (1, None)
    assert Array([Unsigned(1)]) == [1]
    assert OctetString(b"ab") == b"ab"
    assert str(OctetString(b"ab")) == "6162"
    assert VisibleString("ab") == "ab"


@given(values)
def test_values_can_be_pickled_and_copied(value: Any) -> None:
    for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert data.encode(again) == data.encode(value)


@given(st.floats(width=32, allow_nan=False))
def test_float32_keeps_single_precision(number: float) -> None:
    assert Float32(number) == number


def test_float32_rounds_when_it_is_built() -> None:
    assert Float32(0.1) == 0.10000000149011612
    with pytest.raises(ValueError, match="Float32 holds"):
        Float32(1e39)


@given(st.text("01", max_size=40))
def test_bits_come_back(bits: str) -> None:
    assert BitString.from_bits(bits).bits == bits


@pytest.mark.parametrize(("octets", "bits"), [(b"", 1), (b"\x00", 9), (b"\x00\x00", 8)])
def test_a_bit_string_has_octets_for_its_bits(octets: bytes, bits: int) -> None:
    with pytest.raises(ValueError, match="bits need"):
        BitString(octets, bits)


def test_a_visible_string_has_one_octet_a_character() -> None:
    with pytest.raises(ValueError, match="one octet a character"):
        VisibleString("€")


def test_clock_types_have_a_fixed_size() -> None:
    with pytest.raises(ValueError, match="DateTimeOctets holds 12 octets, not 11"):
        data.DateTimeOctets(bytes(11))
