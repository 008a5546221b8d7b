# SPDX-License-Identifier: Apache-2.0
"""Profile buffers: by stride and row by row, the same columns; what is wrong is named."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmsvalues import scalars
from openami.dlms import columns, data
from openami.dlms.columns import decode_profile
from openami.dlms.data import (
    Array,
    DateTimeOctets,
    DoubleLong,
    DoubleLongUnsigned,
    Float32,
    Integer,
    Long64Unsigned,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError

START = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)


def clock(moment: datetime, deviation: int = 0) -> OctetString:
    return OctetString(CosemDateTime.from_utc(moment, deviation_minutes=deviation).encode())


def microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def profile(rows: int) -> Array:
    return Array(
        Structure(
            (
                clock(START + timedelta(minutes=30 * number), -60 if number < 5 else -120),
                Unsigned(number % 256),
                DoubleLongUnsigned(4_000_000_000 + number),
                DoubleLong(-number),
            )
        )
        for number in range(rows)
    )


def same(first: columns.Column, second: columns.Column) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    if first.dtype.kind == "f":
        return first.tobytes() == second.tobytes()
    if first.dtype.kind == "O":
        return [(type(a), a) for a in first] == [(type(b), b) for b in second]
    return bool((first == second).all())


@pytest.mark.parametrize("rows", [1, 48, 4320])
def test_a_load_profile(rows: int) -> None:
    decoded = decode_profile(
        data.encode(profile(rows)), names=("clock", "status", "import", "reactive")
    )

    assert not decoded.exact_path
    assert decoded.rows == rows
    assert decoded.index == {"clock": 0, "status": 1, "import": 2, "reactive": 3}
    assert decoded.times_us is decoded.values[0]
    assert list(decoded.times_us) == [
        microseconds(START + timedelta(minutes=30 * number)) for number in range(rows)
    ]
    assert [str(column.dtype) for column in decoded.values] == ["int64", "uint8", "uint32", "int32"]
    assert list(decoded.values[2]) == [4_000_000_000 + number for number in range(rows)]
    assert list(decoded.values[3]) == [-number for number in range(rows)]
    assert decoded.deviation_minutes is not None
    assert set(decoded.deviation_minutes) <= {-60, -120}
    assert decoded.clock_status is not None
    assert not decoded.clock_status.any()


moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
broken_clocks = st.one_of(
    st.binary(min_size=12, max_size=12).map(OctetString),
    st.builds(
        lambda moment, place, octet: OctetString(
            clock(moment)[:place] + bytes((octet,)) + clock(moment)[place + 1 :]
        ),
        moments,
        st.integers(0, 11),
        st.sampled_from([0x00, 0x80, 0xFD, 0xFE, 0xFF]),
    ),
)
clocks = st.one_of(
    st.builds(clock, moments, st.integers(-720, 840)),
    st.builds(clock, moments),
    moments.map(lambda moment: DateTimeOctets(clock(moment))),
    broken_clocks,
)


@st.composite
def buffers(draw: st.DrawFn) -> Array:
    """Draw rows of one shape, and sometimes break the shape of a cell or a row."""
    kinds = draw(st.lists(st.sampled_from(list(scalars)), min_size=0, max_size=4))
    count = draw(st.integers(1, 6))
    fixed = {kind: draw(scalars[kind]) for kind in kinds}
    rows: list[list[Any]] = []
    odd = draw(st.sampled_from(["no", "no", "no", "null", "mixed", "broken clock"]))
    for _ in range(count):
        row = [draw(st.builds(clock, moments, st.sampled_from([0, -60])))]
        for kind in kinds:
            counted = kind not in columns._TYPES
            row.append(fixed[kind] if counted else draw(scalars[kind]))
        rows.append(row)
    if odd == "broken clock":
        rows[draw(st.integers(0, count - 1))][0] = draw(clocks)
    if odd == "mixed" and kinds:
        cell = draw(st.one_of(*scalars.values()))
        rows[draw(st.integers(0, count - 1))][draw(st.integers(1, len(kinds)))] = cell
    if odd == "null":
        rows[draw(st.integers(0, count - 1))][draw(st.integers(0, len(kinds)))] = None
    return Array(Structure(row) for row in rows)


@settings(max_examples=300)
@given(buffers(), st.sampled_from([None, -60]), st.sampled_from([0, None]))
def test_both_paths_give_the_same_columns(
    buffer: Array, assumed: int | None, clock_column: int | None
) -> None:
    octets = data.encode(buffer)
    fast = columns._decode_by_stride(octets, clock_column, assumed)
    if fast is None:
        with contextlib.suppress(DecodeError):
            columns._decode_row_by_row(octets, clock_column, 900, assumed)
        return
    slow = columns._decode_row_by_row(octets, clock_column, 900, assumed)

    assert fast[2] == slow[2]
    assert len(fast[1]) == len(slow[1])
    assert all(same(a, b) for a, b in zip(fast[1], slow[1], strict=True))
    if fast[0] is None or slow[0] is None:
        assert (fast[0] is None) == (slow[0] is None)
        return
    assert same(fast[0].times_us, slow[0].times_us)
    assert same(fast[0].deviation_minutes, slow[0].deviation_minutes)
    assert same(fast[0].status, slow[0].status)


@given(st.lists(st.one_of(broken_clocks, st.builds(clock, moments)), min_size=1, max_size=3))
def test_a_clock_is_taken_by_stride_only_if_it_is_taken_row_by_row(cells: list[Any]) -> None:
    octets = data.encode(Array(Structure((cell,)) for cell in cells))
    fast = columns._decode_by_stride(octets, 0, None)
    if fast is not None and fast[0] is not None:
        slow = columns._decode_row_by_row(octets, 0, 0, None)
        assert slow[0] is not None
        assert same(fast[0].times_us, slow[0].times_us)


def test_ordinary_rows_go_by_stride() -> None:
    """The property above would hold if nothing ever did."""
    for kind in columns._TYPES:
        number = True if kind is bool else kind(1)
        rows = Array(Structure((clock(START), number, OctetString(b"ab"))) for _ in range(3))
        assert columns._decode_by_stride(data.encode(rows), 0, None) is not None


def test_a_null_repeats_the_row_before() -> None:
    rows = Array(
        [
            Structure((clock(START, -60), Unsigned(1), LongUnsigned(7))),
            Structure((None, None, LongUnsigned(8))),
            Structure((None, Unsigned(2), None)),
        ]
    )
    decoded = decode_profile(data.encode(rows), capture_period_s=900)

    assert decoded.exact_path
    assert decoded.times_us is not None
    assert list(np.diff(decoded.times_us)) == [900_000_000, 900_000_000]
    assert [list(column) for column in decoded.values[1:]] == [[1, 1, 2], [7, 8, 8]]
    assert decoded.deviation_minutes is not None
    assert list(decoded.deviation_minutes) == [-60] * 3


def test_integers_of_different_width_share_the_wider_type() -> None:
    rows = Array(
        [
            Structure((Unsigned(1), Unsigned(1), Long64Unsigned(2**64 - 1), Unsigned(1))),
            Structure((DoubleLongUnsigned(2**32 - 1), Integer(-1), Integer(-1), Float32(0.5))),
        ]
    )
    decoded = decode_profile(data.encode(rows), clock_column=None)

    assert [str(column.dtype) for column in decoded.values] == [
        "uint32",
        "int16",
        "object",
        "object",
    ]
    assert list(decoded.values[2]) == [2**64 - 1, -1]


def test_what_is_no_number_stays_as_it_is() -> None:
    rows = Array(
        Structure((clock(START), VisibleString("ab"), Structure((Unsigned(1), Unsigned(2))), None))
        for _ in range(3)
    )
    decoded = decode_profile(data.encode(rows))

    assert list(decoded.values[1]) == ["ab"] * 3
    assert list(decoded.values[2]) == [(1, 2)] * 3
    assert list(decoded.values[3]) == [None] * 3


def test_a_clock_may_stand_anywhere_and_lack_a_deviation() -> None:
    silent = OctetString(clock(START)[:9] + b"\x80\x00\x00")
    rows = Array(Structure((Unsigned(1), silent)) for _ in range(2))
    octets = data.encode(rows)

    with pytest.raises(DecodeError, match=r"clock of row 0: .* assume one"):
        decode_profile(octets, clock_column=1)
    decoded = decode_profile(octets, clock_column=1, assume_deviation_minutes=-60)
    assert not decoded.exact_path
    assert decoded.times_us is not None
    assert list(decoded.times_us) == [microseconds(START) - 3_600_000_000] * 2


def test_an_empty_buffer() -> None:
    decoded = decode_profile(b"\x01\x00", names=("clock", "status"))

    assert (decoded.rows, decoded.values) == (0, ())
    assert decoded.times_us is not None
    assert decoded.times_us.shape == (0,)


GOOD = data.encode(profile(2))


@pytest.mark.parametrize(
    ("octets", "arguments", "problem"),
    [
        (b"", {}, "needs a type tag"),
        (b"\x01", {}, "array needs a length"),
        (b"\x11\x00", {}, "a buffer is an array of rows"),
        (b"\x01\x01\x11\x00", {}, "row 0 is Unsigned, not a structure"),
        (GOOD[:-1], {}, "needs 4 octets"),
        (GOOD + b"\x00", {}, "octets after the end"),
        (b"\x01\x84\xff\xff\xff\xff" + GOOD[2:], {}, "does not fit"),
        (GOOD, {"names": ("clock",)}, "rows have 4 columns, not 1"),
        (GOOD, {"clock_column": 4}, "rows have 4 columns, the clock is said to be number 4"),
        (GOOD, {"clock_column": 1}, "clock of row 0 is Unsigned"),
        (
            data.encode(Array([Structure((Unsigned(1),)), Structure((Unsigned(1), None))])),
            {"clock_column": None},
            "row 1 has 2 columns, the rows before 1",
        ),
        (
            data.encode(Array([Structure((clock(START),)), Structure((None,))])),
            {},
            "row 1 has no clock and the capture period was not given",
        ),
        (
            data.encode(Array([Structure((None,))])),
            {"capture_period_s": 900},
            "clock of row 0 is None",
        ),
        (
            data.encode(Array([Structure((OctetString(b"\x07\xe6\x02\x1e" + bytes(8)),))])),
            {},
            "clock of row 0: .* no such day",
        ),
        (
            data.encode(Array([Structure((OctetString(b"\x07\xe6\x0d\x01" + bytes(8)),))])),
            {},
            "clock of row 0: month is 1 to 12",
        ),
    ],
)
def test_what_is_wrong_is_named(octets: bytes, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        decode_profile(octets, **arguments)


def test_every_truncation_is_refused() -> None:
    for cut in range(len(GOOD)):
        with pytest.raises(DecodeError):
            decode_profile(GOOD[:cut])


@given(st.binary(max_size=60))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_profile(octets)
    with contextlib.suppress(DecodeError):
        decode_profile(b"\x01" + octets, clock_column=None)
