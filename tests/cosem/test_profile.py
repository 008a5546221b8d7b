# SPDX-License-Identifier: Apache-2.0
"""Selective access to a profile, compared with plain slicing of the same rows."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.classes.measurement import ProfileGeneric, SortMethod
from openami.cosem.device import AssociationPolicy, LogicalDevice
from openami.cosem.model import Refused
from openami.cosem.rights import FULL_ACCESS
from openami.cosem.serving.profile import MemoryBuffer, profile_generic
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.data import Data, DoubleLongUnsigned, LongUnsigned, OctetString, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from playbooks.demo_meter import COLUMNS, LOAD_PROFILE, PERIOD, START, row

ROWS = 20


def profile(rows: int = ROWS, capacity: int = 4320, zone_minutes: int = 0) -> ProfileGeneric:
    buffer = MemoryBuffer(capacity)
    for index in range(rows):
        buffer.append(int((START + index * PERIOD).timestamp()) * 1_000_000, row(index))
    made = ProfileGeneric(LOAD_PROFILE, capture_objects=COLUMNS, capture_period=1800)
    return profile_generic(made, buffer, time_zone_minutes=lambda: zone_minutes)


def select(selection: Any, of: ProfileGeneric | None = None) -> Data:
    access = selection if isinstance(selection, SelectiveAccess) else selection.access()
    return axdr_data.decode((of or profile()).selections[2](access))


def moment(index: float, deviation_minutes: int | None = 0) -> OctetString:
    at = CosemDateTime.from_utc(
        START + index * PERIOD, deviation_minutes=deviation_minutes or 0
    ).encode()
    return OctetString(at if deviation_minutes is not None else at[:9] + b"\x80\x00" + at[11:])


def by_clock(start: Data, end: Data, *columns: CaptureObject) -> ByRange:
    return ByRange(
        restricting_object=COLUMNS[0], from_value=start, to_value=end, selected_columns=columns
    )


@given(st.integers(-5, ROWS + 5), st.integers(-5, ROWS + 5))
def test_a_range_includes_both_ends(first: int, last: int) -> None:
    expected = [row(index) for index in range(ROWS) if first <= index <= last]
    assert select(by_clock(moment(first), moment(last))) == expected


@given(st.integers(1, ROWS + 5), st.integers(0, ROWS + 5))
def test_entries_count_from_one_and_zero_is_the_last(first: int, last: int) -> None:
    expected = [row(index) for index in range(ROWS)][first - 1 : last or None]
    assert select(ByEntry(from_entry=first, to_entry=last)) == expected


@given(st.integers(1, 3), st.integers(0, 3))
def test_columns_by_number(left: int, right: int) -> None:
    wanted = ByEntry(from_entry=2, to_entry=3, from_selected_value=left, to_selected_value=right)
    if right and left > right:
        with pytest.raises(Refused, match="scope-of-access-violated"):
            select(wanted)
        return
    assert select(wanted) == [Structure(row(index)[left - 1 : right or None]) for index in (1, 2)]


def test_columns_by_name_keep_the_order_asked_for() -> None:
    found = select(by_clock(moment(2), moment(3), COLUMNS[2], COLUMNS[0]))
    assert found == [Structure((row(index)[2], row(index)[0])) for index in (2, 3)]


def test_an_open_end_is_open() -> None:
    anything = OctetString(b"\xff" * 12)
    assert select(by_clock(anything, moment(1))) == [row(0), row(1)]
    assert select(by_clock(moment(18), anything)) == [row(18), row(19)]


def test_ends_are_compared_as_moments_not_as_octets() -> None:
    assert select(by_clock(moment(4, -60), moment(5, 120))) == [row(4), row(5)]


def test_an_end_without_deviation_is_local_time() -> None:
    an_hour_east = profile(zone_minutes=-60)
    found = select(by_clock(moment(4, None), moment(5, None)), an_hour_east)
    assert found == [row(2), row(3)]


def test_a_range_over_another_column() -> None:
    wanted = ByRange(
        restricting_object=COLUMNS[2],
        from_value=DoubleLongUnsigned(1004),
        to_value=DoubleLongUnsigned(1006),
        selected_columns=(COLUMNS[2],),
    )
    assert select(wanted) == [(1004,), (1005,), (1006,)]


STRANGER = CaptureObject(class_id=3, instance_id=Obis(1, 0, 2, 8, 0, 255), attribute_id=2)
SCOPE = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
TYPE = DataAccessResult.TYPE_UNMATCHED


@pytest.mark.parametrize(
    ("selection", "result"),
    [
        (SelectiveAccess(selector=3, parameters=None), SCOPE),
        (SelectiveAccess(selector=1, parameters=None), TYPE),
        (SelectiveAccess(selector=2, parameters=Structure((DoubleLongUnsigned(1),))), TYPE),
        (by_clock(moment(0), moment(1), STRANGER), SCOPE),
        (ByRange(restricting_object=STRANGER, from_value=None, to_value=None), SCOPE),
        (ByRange(restricting_object=COLUMNS[2], from_value=None, to_value=None), TYPE),
        (by_clock(LongUnsigned(1), moment(1)), TYPE),
        (by_clock(OctetString(b"\x07\xdd\x0d" + bytes(9)), moment(1)), TYPE),
        (by_clock(OctetString(bytes.fromhex("07ea021e0700000000000000")), moment(1)), TYPE),
        (ByEntry(from_entry=1, from_selected_value=4), SCOPE),
    ],
)
def test_what_has_no_place_is_refused(selection: Any, result: DataAccessResult) -> None:
    with pytest.raises(Refused) as refused:
        select(selection)
    assert refused.value.result is result


def test_an_empty_profile_gives_empty_arrays() -> None:
    empty = profile(rows=0)
    read = empty.reader(2)
    assert read is not None
    assert read() == b"\x01\x00"
    assert select(ByEntry(from_entry=1), empty) == []
    assert select(by_clock(moment(0), moment(9)), empty) == []


def test_the_oldest_rows_make_room() -> None:
    small = profile(rows=10, capacity=4)
    read = small.reader(2)
    assert read is not None
    assert axdr_data.decode(read()) == [row(index) for index in range(6, 10)]
    assert (small.entries_in_use, small.sort_method) == (4, SortMethod.FIFO)
    assert small.sort_object == COLUMNS[0]


def test_a_cleared_buffer_is_empty() -> None:
    buffer = MemoryBuffer(3)
    buffer.append(int(timedelta(seconds=1).total_seconds()), row(0))
    buffer.clear()
    assert buffer.count() == 0


def test_what_describes_the_rows_is_fixed_where_the_buffer_cannot_follow() -> None:
    fixed = profile()
    for each in (ProfileGeneric.capture_period, ProfileGeneric.profile_entries):
        with pytest.raises(Refused) as refused:
            fixed.write(each, DoubleLongUnsigned(60))
        assert refused.value.result is DataAccessResult.READ_WRITE_DENIED
    device = LogicalDevice(objects=[fixed], associations=())
    view = device.view(AssociationPolicy(client_sap=16, grants=FULL_ACCESS))
    assert view.rights(fixed).write == frozenset()
    fixed.fixed = frozenset()
    assert view.rights(fixed).write == {3, 4, 5, 6, 8}
