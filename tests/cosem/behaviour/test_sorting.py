# SPDX-License-Identifier: Apache-2.0
"""Sorted profiles, compared with plain sorted lists; null-data and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, at
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.null_data import compress, expand
from openami.cosem.behaviour.sorting import SortedBuffer
from openami.cosem.classes.measurement import SortMethod
from openami.dlms import data as axdr_data
from openami.dlms.data import (
    Array,
    BitString,
    DoubleLong,
    DoubleLongUnsigned,
    Float32,
    OctetString,
    Structure,
    VisibleString,
)

KEYS = {
    SortMethod.LARGEST: lambda value: -value,
    SortMethod.SMALLEST: lambda value: value,
    SortMethod.NEAREST_TO_ZERO: abs,
    SortMethod.FURTHEST_FROM_ZERO: lambda value: -abs(value),
}


def row(number: int, value: int) -> Structure:
    return Structure((DoubleLongUnsigned(number), DoubleLong(value)))


def rows(buffer: SortedBuffer) -> list[Structure]:
    found = axdr_data.decode(buffer.entries(1, buffer.count()).as_array())
    assert isinstance(found, Array)
    return [each for each in found if isinstance(each, Structure)]


@given(
    st.sampled_from(SortMethod),
    st.lists(st.integers(-9, 9)),
    st.integers(0, 8),
)
def test_rows_stand_as_in_a_sorted_list(
    method: SortMethod, values: list[int], capacity: int
) -> None:
    buffer = SortedBuffer(capacity, method, 1)
    for number, value in enumerate(values):
        buffer.append(number, row(number, value))
    captured = [row(number, value) for number, value in enumerate(values)]
    if method is SortMethod.FIFO:
        expected = captured[len(captured) - min(capacity, len(captured)) :]
    elif method is SortMethod.LIFO:
        expected = captured[::-1][:capacity]
    else:
        expected = sorted(captured, key=lambda each: KEYS[method](each[1]))[:capacity]
    assert rows(buffer) == expected

    again = SortedBuffer(capacity, method, 1)
    again.restore(buffer.state())
    assert rows(again) == expected
    buffer.clear()
    assert rows(buffer) == []


@given(st.lists(st.integers(-9, 9)), st.integers(-1, 20), st.integers(-1, 20))
def test_a_range_keeps_the_order_of_the_buffer(values: list[int], low: int, high: int) -> None:
    buffer = SortedBuffer(50, SortMethod.SMALLEST, 1)
    for number, value in enumerate(values):
        buffer.append(number, row(number, value))
    found = axdr_data.decode(buffer.between(low, high).as_array())
    assert found == [each for each in rows(buffer) if low <= int(each[0]) <= high]


def test_what_has_no_order_stands_last_and_a_missing_column_sorts_nothing() -> None:
    values = [VisibleString("a"), Float32(2.5), True, OctetString(b"\x02"), BitString(b"\xc0", 2)]
    buffer = SortedBuffer(9, SortMethod.SMALLEST, 0)
    for value in values:
        buffer.append(0, Structure((value,)))
    assert [each[0] for each in rows(buffer)] == [
        True,
        OctetString(b"\x02"),
        Float32(2.5),
        BitString(b"\xc0", 2),
        VisibleString("a"),
    ]
    unsorted = SortedBuffer(9, SortMethod.LARGEST)
    for number in range(3):
        unsorted.append(0, row(number, number))
    assert [each[0] for each in rows(unsorted)] == [0, 1, 2]


def shown(now_us: int) -> OctetString:
    return OctetString(BERLIN.shown(now_us).encode())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2))),
    st.sampled_from([0, 900]),
)
def test_null_data_tells_the_same(cells: list[tuple[int, int]], period: int) -> None:
    now_us, told = NOON, []
    for value, steps in cells:
        now_us += steps * 900 * SECOND_US
        told.append(Structure((shown(now_us), DoubleLong(value))))
    assert expand(compress(told, period), period) == told


def test_a_column_with_null_data_of_its_own_is_left_as_it_is() -> None:
    told = [Structure((DoubleLong(7), cell)) for cell in (DoubleLong(1), DoubleLong(1), None, None)]
    assert [each[1] for each in compress(told, 0)] == [each[1] for each in told]
    assert [each[0] for each in compress(told, 0)] == [7, None, None, None]


def test_what_repeats_is_left_out() -> None:
    told = [Structure((shown(NOON + i * 900 * SECOND_US), DoubleLong(7))) for i in range(4)]
    assert compress(told, 900) == [told[0], *[Structure((None, None))] * 3]
    assert compress(told, 600)[1] == Structure((told[1][0], None))
    assert compress([], 900) == []


@pytest.mark.parametrize("first", [OctetString(b"\xff" * 12), OctetString(b"\x07" * 12)])
def test_octets_that_are_no_time_repeat_as_they_are(first: OctetString) -> None:
    told = [Structure((first,)), Structure((first,))]
    assert expand(compress(told, 900), 900) == told


def test_a_change_of_daylight_saving_is_told_in_full() -> None:
    before = at("2026-03-29T00:45")
    told = [Structure((shown(before + i * 900 * SECOND_US),)) for i in range(-1, 3)]
    short = compress(told, 900)
    assert [each[0] is None for each in short] == [False, True, False, True]
    assert expand(short, 900) == told
