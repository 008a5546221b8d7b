# SPDX-License-Identifier: Apache-2.0
"""Rows of load profile and event log, made from rings."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms import data
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString, Structure, Unsigned
from openami.dlms.datetimes import CosemDateTime
from openami.meter.metrology import ClosedInterval
from openami.meter.profile import (
    EVENT,
    INTERVAL,
    encode_event,
    event_rows,
    last_interval,
    open_profile,
    profile_rows,
)

U32 = st.integers(min_value=0, max_value=2**32 - 1)
INTERVALS = st.builds(
    ClosedInterval,
    sequence=U32,
    end_s=U32,
    status=st.integers(min_value=0, max_value=255),
    import_wh=U32,
    export_wh=U32,
    import_register_wh=U32,
    export_register_wh=U32,
)


def clock(end_s: int) -> OctetString:
    return OctetString(CosemDateTime.from_utc(datetime.fromtimestamp(end_s, UTC)).encode())


def row(interval: ClosedInterval) -> Structure:
    values = (
        interval.import_wh,
        interval.export_wh,
        interval.import_register_wh,
        interval.export_register_wh,
    )
    return Structure(
        (clock(interval.end_s), Unsigned(interval.status), *map(DoubleLongUnsigned, values))
    )


@given(st.lists(INTERVALS, max_size=5))
def test_profile_rows_are_the_encoded_structures(intervals: list[ClosedInterval]) -> None:
    records = np.frombuffer(b"".join(each.encode() for each in intervals), dtype=INTERVAL)

    rows = profile_rows(records)

    assert rows.rows == len(intervals)
    assert rows.as_array() == data.encode(Array(row(each) for each in intervals))


@given(st.lists(st.tuples(U32, st.integers(min_value=0, max_value=255)), max_size=5))
def test_event_rows_are_the_encoded_structures(events: list[tuple[int, int]]) -> None:
    records = np.frombuffer(b"".join(encode_event(*event) for event in events), dtype=EVENT)

    rows = event_rows(records)

    expected = Array(Structure((clock(at_s), Unsigned(code))) for at_s, code in events)
    assert rows.as_array() == data.encode(expected)


def test_selection_by_range_and_entry(tmp_path: Path) -> None:
    profile, finding = open_profile(tmp_path / "profile.ring", 10)
    intervals = [ClosedInterval(sequence=n, end_s=1800 * n, import_wh=n) for n in range(1, 14)]
    profile.ring.append([each.encode() for each in intervals])
    kept = intervals[3:]

    def chosen(octets: bytes) -> list[int]:
        array = data.decode(octets)
        assert isinstance(array, Array)
        return [int(each[2]) for each in array if isinstance(each, Structure)]  # type: ignore[arg-type]

    assert finding is None
    assert profile.count() == 10
    assert chosen(profile.entries(1, 3).as_array()) == [4, 5, 6]
    assert chosen(profile.entries(9, 10).as_array()) == [12, 13]
    assert chosen(profile.between(1800 * 6 * 10**6, 1800 * 8 * 10**6).as_array()) == [6, 7, 8]
    assert chosen(profile.between(None, 1800 * 4 * 10**6).as_array()) == [4]
    assert chosen(profile.between(1800 * 13 * 10**6 + 1, None).as_array()) == []
    assert chosen(profile.since(12, 48).as_array()) == [12, 13]
    assert last_interval(profile.ring.newest()) == kept[-1]
    profile.ring.holes.add(6)
    assert profile.count() == 9
    assert chosen(profile.entries(2, 4).as_array()) == [5, 7, 8]
    assert chosen(profile.between(None, None).as_array()) == [4, 5, *range(7, 14)]
    profile.ring.close()


def test_an_empty_profile_has_no_last_interval(tmp_path: Path) -> None:
    profile, _ = open_profile(tmp_path / "profile.ring", 10)

    assert last_interval(profile.ring.newest()) is None
    assert profile.between(None, None).as_array() == b"\x01\x00"
    profile.ring.close()
