# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.behaviour.acting import Inside
from openami.cosem.behaviour.arrays import Arrays
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.protection import (
    ArrayElement,
    ArrayEntry,
    ArrayManager,
    ArrayRange,
    EntryNumbers,
)
from openami.cosem.device import LogicalDevice
from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import (
    Array,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.obis import Obis

MANAGER, LIST, NAME = (
    Obis(0, 0, 18, 0, 0, 255),
    Obis(0, 0, 96, 1, 0, 255),
    Obis(0, 0, 96, 1, 1, 255),
)


def reference(at: Obis) -> tuple[Any, ...]:
    return (LongUnsigned(1), OctetString(at.encode()), Integer(2))


def manager(values: list[int]) -> tuple[ArrayManager, Data]:
    held = Data(LIST, value=Array(Unsigned(each) for each in values))
    other = Data(NAME, value=Unsigned(5))
    thing = ArrayManager(
        MANAGER,
        array_object_list=Array(
            (
                Structure((Unsigned(1), Structure(reference(LIST)))),
                Structure((Unsigned(2), *reference(NAME))),
                Structure((Unsigned(3), *reference(Obis(9, 9, 9, 9, 9, 9)))),
            )
        ),
    )
    Arrays(thing, Inside(LogicalDevice(objects=(held, other, thing), associations=())))
    return thing, held


def entry(index: int, value: int, number: int = 1) -> ArrayEntry:
    return ArrayEntry(number, ArrayElement(index, Unsigned(value)))


def span(first: int, last: int, number: int = 1) -> ArrayRange:
    return ArrayRange(number, EntryNumbers(first, last))


@given(st.lists(st.integers(0, 255), max_size=8), st.integers(0, 10), st.integers(0, 10))
def test_entries_are_those_of_a_list(values: list[int], first: int, last: int) -> None:
    thing, held = manager(values)
    assert thing.invocations[1](1) == LongUnsigned(len(values))
    end = last or len(values)
    if 1 <= first <= end <= len(values):
        assert thing.invocations[2](span(first, last)) == values[first - 1 : end]
        thing.invocations[5](span(first, last))
        assert held.value == values[: first - 1] + values[end:]
    else:
        for method in (2, 5):
            with pytest.raises(Refused):
                thing.invocations[method](span(first, last))
        assert held.value == values


@given(st.lists(st.integers(0, 255), max_size=8), st.integers(0, 10), st.integers(0, 255))
def test_entries_are_put_in_and_replaced(values: list[int], index: int, value: int) -> None:
    thing, held = manager(values)
    expected = list(values)
    try:
        thing.invocations[3](entry(index, value))
    except Refused:
        assert not 1 <= index <= len(values) + 1
    else:
        expected.insert(index - 1, value)
    assert held.value == expected
    try:
        thing.invocations[4](entry(index, 7))
    except Refused:
        assert not 1 <= index <= len(expected)
    else:
        expected[index - 1] = 7
    assert held.value == expected


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (2, ActionResult.TYPE_UNMATCHED),
        (3, ActionResult.OBJECT_UNDEFINED),
        (4, ActionResult.OBJECT_UNDEFINED),
    ],
)
def test_what_is_no_array_is_refused(number: int, result: ActionResult) -> None:
    thing, _ = manager([])
    with pytest.raises(Refused) as caught:
        thing.invocations[1](number)
    assert caught.value.result == result


def test_a_list_of_something_else_is_not_taken() -> None:
    thing, _ = manager([])
    for strange in (Unsigned(1), Array((Unsigned(1),)), Array((Structure((Unsigned(1),)),))):
        with pytest.raises(KindError):
            thing.sinks[2](strange)
    thing.values[2] = Unsigned(1)
    with pytest.raises(Refused) as caught:
        thing.invocations[1](1)
    assert caught.value.result == ActionResult.TYPE_UNMATCHED
