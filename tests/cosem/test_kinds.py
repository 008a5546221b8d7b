# SPDX-License-Identifier: Apache-2.0
"""Kinds: to_data and from_data are inverses, and what does not fit is refused with its type."""

from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem import kinds
from openami.cosem.kinds import Kind, KindError
from openami.dlms.data import (
    Array,
    BitString,
    Data,
    DateTimeOctets,
    DoubleLongUnsigned,
    Enum,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis


class Colour(IntEnum):
    RED = 1
    BLUE = 4


class Pair(NamedTuple):
    first: int
    second: Obis


PAIR = kinds.structure(Pair, kinds.LONG_UNSIGNED, kinds.LOGICAL_NAME)
NOON = CosemDateTime(
    year=2026, month=3, day=29, day_of_week=7, hour=12, minute=0, deviation_minutes=-60
)
NAME = Obis.parse("1.0.1.8.0.255")

FITTING: list[tuple[Kind[Any], Any, Data]] = [
    (kinds.INTEGER, -5, Integer(-5)),
    (kinds.UNSIGNED, 5, Unsigned(5)),
    (kinds.DOUBLE_LONG_UNSIGNED, 2**32 - 1, DoubleLongUnsigned(2**32 - 1)),
    (kinds.ENUM, 30, Enum(30)),
    (kinds.BOOLEAN, True, True),
    (kinds.NOTHING, None, None),
    (kinds.BITS, BitString.from_bits("101"), BitString.from_bits("101")),
    (kinds.OCTETS, b"abc", OctetString(b"abc")),
    (kinds.octets(3), b"abc", OctetString(b"abc")),
    (kinds.LOGICAL_NAME, NAME, OctetString(bytes(NAME))),
    (kinds.DATE_TIME, NOON, OctetString(NOON.encode())),
    (kinds.TAGGED_DATE_TIME, NOON, DateTimeOctets(NOON.encode())),
    (kinds.NUMBER, LongUnsigned(7), LongUnsigned(7)),
    (kinds.ANY, VisibleString("x"), VisibleString("x")),
    (kinds.enumeration(Colour), Colour.BLUE, Enum(4)),
    (kinds.array(kinds.UNSIGNED), (1, 2), Array([Unsigned(1), Unsigned(2)])),
    (PAIR, Pair(3, NAME), Structure((LongUnsigned(3), OctetString(bytes(NAME))))),
]


@pytest.mark.parametrize(("kind", "value", "data"), FITTING, ids=lambda x: getattr(x, "name", None))
def test_a_kind_is_a_pair_of_inverses(kind: Kind[Any], value: Any, data: Data) -> None:
    assert kind.to_data(value) == data
    assert type(kind.to_data(value)) is type(data)
    assert kind.from_data(data) == value
    assert kind.strict(data) == value


UNFIT: list[tuple[Kind[Any], Data]] = [
    (kinds.INTEGER, Unsigned(200)),
    (kinds.INTEGER, True),
    (kinds.INTEGER, None),
    (kinds.BOOLEAN, Unsigned(1)),
    (kinds.NOTHING, Integer(0)),
    (kinds.BITS, OctetString(b"\xa0")),
    (kinds.OCTETS, VisibleString("abc")),
    (kinds.octets(3), OctetString(b"abcd")),
    (kinds.LOGICAL_NAME, OctetString(b"abc")),
    (kinds.DATE_TIME, OctetString(b"abc")),
    (kinds.NUMBER, OctetString(b"\x01")),
    (kinds.enumeration(Colour), Enum(2)),
    (kinds.array(kinds.UNSIGNED), Structure((Unsigned(1),))),
    (kinds.array(kinds.UNSIGNED), Array([OctetString(b"")])),
    (PAIR, Structure((LongUnsigned(3),))),
    (PAIR, Array([LongUnsigned(3), OctetString(bytes(NAME))])),
]


@pytest.mark.parametrize(("kind", "data"), UNFIT)
def test_what_does_not_fit_is_refused(kind: Kind[Any], data: Data) -> None:
    with pytest.raises(KindError, match="where the class declares"):
        kind.from_data(data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (kinds.INTEGER, Unsigned(5)),
        (kinds.DATE_TIME, DateTimeOctets(NOON.encode())),
        (kinds.enumeration(Colour), Unsigned(4)),
    ],
)
def test_reading_is_lenient_where_meters_differ_and_writing_is_not(
    kind: Kind[Any], data: Data
) -> None:
    kind.from_data(data)
    with pytest.raises(KindError):
        kind.strict(data)


@given(st.integers(-(2**40), 2**40))
def test_integers_fit_exactly_within_their_range(number: int) -> None:
    if 0 <= number < 2**16:
        assert kinds.LONG_UNSIGNED.from_data(kinds.LONG_UNSIGNED.to_data(number)) == number
    else:
        with pytest.raises(ValueError, match="LongUnsigned holds 0 to 65535"):
            kinds.LONG_UNSIGNED.to_data(number)


def test_a_number_without_type_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"build it as DoubleLongUnsigned\(5\)"):
        kinds.NUMBER.to_data(5)


def test_octets_of_a_fixed_length() -> None:
    with pytest.raises(ValueError, match="octet-string of 3 cannot hold 2 octets"):
        kinds.octets(3).to_data(b"ab")


def test_long_values_are_cut_in_a_sentence() -> None:
    assert len(kinds.describe(OctetString(bytes(100)))) == 60
    assert kinds.describe(None) == "null-data"
