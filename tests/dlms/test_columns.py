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
from openami.dlms import data
from openami.dlms.bulk import columns
from openami.dlms.bulk import rows as columnrows
from openami.dlms.bulk.clock import ClockRules
from openami.dlms.bulk.columns import decode_profile
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
            counted = kind not in columnrows.TYPES
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


def exact(octets: bytes, clock_column: int | None, rules: ClockRules) -> columns._Fast:
    clock, cells, rows = columnrows.decode(octets, clock_column, rules)
    values = tuple(
        clock.times_us
        if clock is not None and position == clock_column
        else columnrows.column(cell)
        for position, cell in enumerate(cells)
    )
    return clock, values, rows, len(cells), True


def agree(octets: bytes, clock_column: int | None, rules: ClockRules) -> None:
    """Check that both ways give the same columns; what one refuses the other does not give."""
    wish = columns._Wish(clock_column=clock_column, rules=rules, columns=None)
    try:
        slow = exact(octets, clock_column, rules)
    except DecodeError:
        slow = None
    fast = None
    with contextlib.suppress(DecodeError):
        fast = columns.decode_by_shape(octets, wish)
    if fast is None:
        return
    assert slow is not None
    assert fast[2:4] == slow[2:4]
    assert all(same(a, b) for a, b in zip(fast[1], slow[1], strict=True))
    assert (fast[0] is None) == (slow[0] is None)
    if fast[0] is not None and slow[0] is not None:
        assert same(fast[0].times_us, slow[0].times_us)
        assert same(fast[0].deviation_minutes, slow[0].deviation_minutes)
        assert same(fast[0].status, slow[0].status)


rule_sets = st.builds(ClockRules, st.sampled_from([0, 900]), st.sampled_from([None, -60]))


@settings(max_examples=300)
@given(buffers(), rule_sets, st.sampled_from([0, None]))
def test_both_paths_give_the_same_columns(
    buffer: Array, rules: ClockRules, clock_column: int | None
) -> None:
    agree(data.encode(buffer), clock_column, rules)


cells = st.one_of(
    st.sampled_from([None, True, Unsigned(7), LongUnsigned(300), DoubleLong(-4), Float32(0.5)]),
    st.sampled_from([OctetString(b"ab"), VisibleString("text"), Structure((Unsigned(1),))]),
    *scalars.values(),
)


@settings(max_examples=300)
@given(st.data(), rule_sets)
def test_any_mix_of_shapes_gives_the_same_columns(drawn: st.DataObject, rules: ClockRules) -> None:
    """Runs of rows with one shape each, in any order, some of them not flat."""
    width = drawn.draw(st.integers(1, 3))
    rows: list[Structure] = []
    for _ in range(drawn.draw(st.integers(1, 5))):
        shape = [drawn.draw(cells) for _ in range(width)]
        when = drawn.draw(st.one_of(st.none(), moments, broken_clocks))
        for number in range(drawn.draw(st.integers(1, 4))):
            moment = when
            if isinstance(when, datetime):
                moment = clock(when + timedelta(minutes=15 * number))
            rows.append(Structure((moment, *shape)))
    agree(data.encode(Array(rows)), drawn.draw(st.sampled_from([0, None])), rules)


def test_ordinary_rows_go_by_stride() -> None:
    """The property above would hold if nothing ever did."""
    for kind in columnrows.TYPES:
        number = True if kind is bool else kind(1)
        rows = Array(Structure((clock(START), number, OctetString(b"ab"))) for _ in range(3))
        assert not decode_profile(data.encode(rows)).exact_path


def test_a_null_repeats_the_row_before() -> None:
    rows = Array(
        [
            Structure((clock(START, -60), Unsigned(1), LongUnsigned(7))),
            Structure((None, None, LongUnsigned(8))),
            Structure((None, Unsigned(2), None)),
        ]
    )
    decoded = decode_profile(data.encode(rows), capture_period_s=900)

    assert not decoded.exact_path
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


@given(st.data(), rule_sets)
def test_compact_arrays_give_the_same_columns(drawn: st.DataObject, rules: ClockRules) -> None:
    kinds = drawn.draw(st.lists(st.sampled_from(list(columnrows.TYPES)), max_size=3))
    rows = []
    for number in range(drawn.draw(st.integers(1, 6))):
        row: list[Any] = [clock(START + timedelta(minutes=number))]
        row += [drawn.draw(scalars[kind]) for kind in kinds]
        row.append(OctetString(drawn.draw(st.sampled_from([b"ab", b"cd", b"longer"]))))
        rows.append(Structure(row))
    tags = bytes(data.encode(cell)[0] for cell in rows[0])
    contents = b"".join(data.encode(cell)[1:] for row in rows for cell in row)
    compact = data.CompactArray(bytes((0x02, len(tags))) + tags, contents)
    octets = data.encode(compact)

    assert data.expand(compact) == rows
    agree(octets, 0, rules)
    plain, decoded = decode_profile(data.encode(Array(rows))), decode_profile(octets)
    assert all(same(a, b) for a, b in zip(plain.values, decoded.values, strict=True))
    assert not decoded.exact_path


def test_shapes_that_change_all_the_time_are_read_row_by_row() -> None:
    rows = Array(
        Structure((clock(START + timedelta(minutes=n)), Unsigned(n % 9) if n % 2 else None))
        for n in range(400)
    )
    decoded = decode_profile(data.encode(rows))

    assert decoded.exact_path
    assert decoded.rows == 400


def test_shapes_that_take_turns_are_read_together() -> None:
    """One whole row a day, the others with null where nothing is new."""
    rows = Array(
        Structure(
            (
                clock(START + timedelta(minutes=15 * n)) if n % 96 == 0 else None,
                Unsigned(n // 96) if n % 96 == 0 else None,
                DoubleLongUnsigned(n),
            )
        )
        for n in range(96 * 20)
    )
    decoded = decode_profile(data.encode(rows), capture_period_s=900)

    assert not decoded.exact_path
    assert decoded.times_us is not None
    assert set(np.diff(decoded.times_us)) == {900_000_000}
    assert list(decoded.values[1]) == [n // 96 for n in range(96 * 20)]
    assert list(decoded.values[2]) == list(range(96 * 20))


def test_one_row_that_is_not_flat_leaves_the_others_together() -> None:
    rows = profile(100)
    rows[50] = Structure((clock(START), Structure((Unsigned(1),)), DoubleLongUnsigned(5), None))
    decoded = decode_profile(data.encode(rows))

    assert decoded.exact_path
    assert decoded.rows == 100
    assert decoded.values[1][50] == (1,)
    assert decoded.values[3][50] == decoded.values[3][49]


def test_chosen_columns() -> None:
    octets = data.encode(profile(10))
    decoded = decode_profile(octets, names=("clock", "status", "a", "b"), columns=(3, 0))

    assert decoded.names == ("b", "clock")
    assert decoded.values[1] is decoded.times_us
    assert list(decoded.values[0]) == [-number for number in range(10)]
    with pytest.raises(DecodeError, match="rows have 4 columns, number 4 is asked for"):
        decode_profile(octets, columns=(4,))


def test_columns_by_name_for_tables() -> None:
    decoded = decode_profile(data.encode(profile(3)), names=("clock", "status", "a", "b"))
    table = decoded.mapping()

    assert list(table) == ["clock", "status", "a", "b"]
    assert table["clock"].dtype == np.dtype("M8[us]")
    assert table["clock"][0] == np.datetime64("2026-03-28T22:30:00")
    with pytest.raises(ValueError, match="4 columns have 0 names"):
        decode_profile(data.encode(profile(3))).mapping()


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
