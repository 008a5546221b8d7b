# SPDX-License-Identifier: Apache-2.0
"""Objects that hold many values at once: register tables, compact data, status words, tables."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, World, at
from openami.cosem.behaviour.compact import describe, untagged
from openami.cosem.behaviour.tables import StatusWord, Table, meanings
from openami.cosem.classes.data_tables import (
    CaptureMethod,
    CompactColumn,
    CompactData,
    CompactDataV1,
    RegisterTable,
    StatusBits,
    StatusMapping,
    TableCellDefinition,
    UtilityTables,
)
from openami.cosem.classes.measurement import Data as DataObject
from openami.cosem.classes.measurement import ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.references import ByDate, ByEntryNumber, RestrictedAttribute
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    Array,
    BitString,
    CompactArray,
    Data,
    DoubleLong,
    DoubleLongUnsigned,
    Enum,
    Integer,
    Long,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.obis import Obis

TABLE, COMPACT = Obis(0, 0, 21, 0, 1, 255), Obis(0, 0, 66, 0, 0, 255)
WORD, UTILITY = Obis(0, 0, 96, 5, 0, 255), Obis(0, 0, 65, 0, 0, 255)
ENERGY, PROFILE = Obis(1, 0, 1, 8, 0, 255), Obis(1, 0, 99, 1, 0, 255)
NAME, CLOCK = Obis(0, 0, 42, 0, 0, 255), Obis(0, 0, 1, 0, 0, 255)


def energy(rate: int) -> Register:
    return Register(
        ENERGY._replace(e=rate),
        value=DoubleLongUnsigned(100 + rate),
        scaler_unit=ScalerUnit(3, 30),
    )


def cells(**more: Any) -> RegisterTable:
    definition = TableCellDefinition(3, ENERGY, tuple(map(Unsigned, (1, 2, 9))), 2)
    return RegisterTable(TABLE, table_cell_definition=definition, **more)


def test_a_register_table_captures_and_resets() -> None:
    row = cells()
    here = World([row, energy(1), energy(2)])
    assert row.scaler_unit == ScalerUnit(3, 30)
    assert row.table_cell_values == Array()
    row.invoke(RegisterTable.capture, Integer(0))
    assert row.table_cell_values == Array((DoubleLongUnsigned(101), DoubleLongUnsigned(102), None))
    here.device[ENERGY._replace(e=1)].values[2] = DoubleLongUnsigned(7)
    assert isinstance(row.table_cell_values, Array)
    assert row.table_cell_values[0] == 101

    again = cells(scaler_unit=ScalerUnit(0, 255))
    there = World([again, energy(1)])
    there.life.restore(here.life.state())
    assert again.table_cell_values == row.table_cell_values
    assert again.scaler_unit == ScalerUnit(0, 255)
    row.invoke(RegisterTable.reset, Integer(0))
    assert row.table_cell_values == Array()


def test_other_cells_empty_the_table() -> None:
    row = cells()
    here = World([row, energy(1)])
    row.invoke(RegisterTable.capture, Integer(0))
    one = Structure(
        (
            LongUnsigned(3),
            OctetString(ENERGY.encode()),
            Array((Unsigned(1),)),
            Integer(3),
        )
    )
    here.life.inside.write(61, TABLE, 3, one)
    assert row.table_cell_values == Array()
    row.invoke(RegisterTable.capture, Integer(0))
    assert row.table_cell_values == Array((Structure((Integer(3), Enum(30))),))


def column(class_id: int, name: Obis, attribute: int, index: int = 0) -> CaptureObject:
    return CaptureObject(
        class_id=class_id, instance_id=name, attribute_id=attribute, data_index=index
    )


COLUMNS = (
    column(62, COMPACT, 4),
    column(3, ENERGY, 2),
    column(3, ENERGY, 3),
    column(3, ENERGY, 3, 2),
    column(1, NAME, 2),
)


def compact(made: type[InterfaceClass] = CompactData, **more: Any) -> Any:
    values = {
        "capture_objects": COLUMNS,
        "template_id": 7,
        "capture_method": CaptureMethod.INVOKE,
    }
    return made(COMPACT, **{**values, **more})


def name(value: Data = OctetString(b"abc")) -> DataObject:  # noqa: B008  a value
    return DataObject(NAME, value=value)


def test_a_buffer_has_no_tags_and_its_types_stand_beside_it() -> None:
    row = compact()
    here = World([row, energy(0), name()])
    assert (row.compact_buffer, row.template_description) == (b"", b"")
    row.invoke(CompactData.capture, Integer(0))
    assert row.template_description.hex(" ") == "02 05 11 06 02 02 0f 16 16 09"
    assert row.compact_buffer.hex(" ") == "07 00 00 00 64 03 1e 1e 03 61 62 63"
    told = CompactArray(row.template_description, row.compact_buffer)
    assert axdr_data.expand(told) == Array(
        (
            Structure(
                (
                    Unsigned(7),
                    DoubleLongUnsigned(100),
                    Structure((Integer(3), Enum(30))),
                    Enum(30),
                    OctetString(b"abc"),
                )
            ),
        )
    )
    here.device[ENERGY].values[2] = DoubleLongUnsigned(5)
    assert row.compact_buffer[4] == 100

    again = compact()
    there = World([again, energy(0), name()])
    there.life.restore(here.life.state())
    assert again.compact_buffer == row.compact_buffer
    assert again.template_description == row.template_description
    row.invoke(CompactData.reset, Integer(0))
    assert row.compact_buffer == b""


def test_implicit_capture_is_by_reading() -> None:
    row = compact(capture_method=CaptureMethod.IMPLICIT, capture_objects=(column(3, ENERGY, 2),))
    here = World([row, energy(0)])
    assert row.template_description.hex() == "020106"
    here.device[ENERGY].values[2] = DoubleLongUnsigned(5)
    assert row.compact_buffer.hex() == "00000005"
    itself = compact(
        capture_method=CaptureMethod.IMPLICIT, capture_objects=(column(62, COMPACT, 2),)
    )
    World([itself])
    assert itself.compact_buffer.hex() == "00"


def test_other_capture_objects_forget_the_capture() -> None:
    row = compact()
    here = World([row, energy(0), name()])
    row.invoke(CompactData.capture, Integer(0))
    here.life.inside.write(62, COMPACT, 3, Array((COLUMNS[1].to_data(),)))
    assert row.compact_buffer == b""
    row.invoke(CompactData.capture, Integer(0))
    assert row.template_description.hex() == "020106"


def test_an_array_of_mixed_types_is_refused() -> None:
    row = compact()
    World([row, energy(0), name(Array((Unsigned(1), Long(2))))])
    with pytest.raises(Refused):
        row.invoke(CompactData.capture, Integer(0))


SCALARS = st.one_of(
    st.integers(0, 255).map(Unsigned),
    st.integers(-(2**31), 2**31 - 1).map(DoubleLong),
    st.binary(max_size=5).map(OctetString),
    st.text("ab", max_size=3).map(VisibleString),
    st.text("01", max_size=9).map(BitString.from_bits),
    st.booleans(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(Structure),
        st.lists(st.integers(0, 9).map(LongUnsigned), min_size=1, max_size=4).map(Array),
    ),
)


@given(st.lists(VALUES, min_size=1, max_size=5).map(Structure))
def test_what_is_told_without_tags_is_read_with_its_description(value: Structure) -> None:
    assert axdr_data.expand(CompactArray(describe(value), untagged(value))) == Array((value,))


def test_an_empty_array_has_no_elements_to_describe() -> None:
    value = Structure((Unsigned(1), Array()))
    assert describe(value).hex() == "02021101000000"
    assert axdr_data.expand(CompactArray(describe(value), untagged(value))) == Array((value,))


PROFILE_COLUMNS = (column(8, CLOCK, 2), column(3, ENERGY, 2))


def row_at(hour: int) -> Structure:
    shown = BERLIN.shown(at(f"2026-01-01T{hour:02}:00"))
    return Structure((OctetString(shown.encode()), DoubleLongUnsigned(hour)))


def profile() -> ProfileGeneric:
    made = ProfileGeneric(
        PROFILE, capture_objects=PROFILE_COLUMNS, capture_period=3600, profile_entries=10
    )
    made.values[2] = Array(map(row_at, range(6, 11)))
    return made


def hour(octets: int) -> bytes:
    return BERLIN.shown(at(f"2026-01-01T{octets:02}:00")).encode()


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        (RestrictedAttribute(7, PROFILE, 2, 0, ByEntryNumber(2, 3)), [row_at(7), row_at(8)]),
        (
            RestrictedAttribute(7, PROFILE, 2, 0, ByDate(hour(9), hour(10))),
            [row_at(9), row_at(10)],
        ),
        (
            RestrictedAttribute(
                7, PROFILE, 2, 0, ByDate(bytes.fromhex("07ea0101ff"), bytes.fromhex("07ea0101ff"))
            ),
            [row_at(each) for each in range(6, 11)],
        ),
        (
            CompactColumn(7, PROFILE, 2, 0, ByEntryNumber(5, 5), (PROFILE_COLUMNS[1],)),
            [Structure((DoubleLongUnsigned(10),))],
        ),
        (
            CompactColumn(7, PROFILE, 2, 0, None, (PROFILE_COLUMNS[1],)),
            [Structure((DoubleLongUnsigned(each),)) for each in range(6, 11)],
        ),
        (RestrictedAttribute(7, PROFILE, 2, 1, ByEntryNumber(2, 3)), row_at(7)),
        (CompactColumn(7, PROFILE, 2, 0, None, (column(3, NAME, 2),)), None),
        (RestrictedAttribute(3, ENERGY, 2, 0, None), DoubleLongUnsigned(100)),
        (RestrictedAttribute(7, TABLE, 2, 0, ByEntryNumber(1, 1)), None),
    ],
)
def test_version_1_captures_parts_of_profiles(captured: Any, expected: Any) -> None:
    row = compact(CompactDataV1, capture_objects=(column(62, COMPACT, 4), captured))
    World([row, profile(), energy(0)], zone=BERLIN, now_us=NOON)
    row.invoke(CompactDataV1.capture, Integer(0))
    told = axdr_data.expand(CompactArray(row.template_description, row.compact_buffer))
    assert told == Array((Structure((Unsigned(7), expected)),))


@pytest.mark.parametrize(
    ("word", "entries", "expected"),
    [
        (BitString.from_bits("1001"), 10, (10, 13)),
        (BitString.from_bits("1001"), (5, 6, 7, 8), (5, 8)),
        (BitString.from_bits("1001"), (5, 6), (5,)),
        (Unsigned(0b1001), 10, (10, 13)),
        (DoubleLongUnsigned(1 << 31), 0, (31,)),
        (OctetString(b"a"), 0, ()),
    ],
)
def test_what_a_status_word_means(word: Data, entries: Any, expected: tuple[int, ...]) -> None:
    assert meanings(word, StatusBits(1, entries)) == expected


@pytest.mark.parametrize("word", [BitString.from_bits("00000000"), Unsigned(0)])
def test_bits_are_set_and_cleared_by_what_they_mean(word: Data) -> None:
    row = StatusMapping(WORD, status_word=word, mapping_table=StatusBits(1, 100))
    here = World([row])
    unit = here.life.acting[WORD]
    assert isinstance(unit, StatusWord)
    unit.put(100, is_set=True)
    unit.put(107, is_set=True)
    unit.put(107, is_set=True)
    assert unit.entries() == (100, 107)
    unit.put(100, is_set=False)
    assert unit.entries() == (107,)
    with pytest.raises(ValueError, match="no bit"):
        unit.put(108, is_set=True)
    again = StatusMapping(WORD, mapping_table=StatusBits(1, 100))
    there = World([again])
    there.life.restore(here.life.state())
    assert again.status_word == row.status_word


class Outside:
    """Knows one value of each class."""

    def source(self, class_id: int, at: Obis, attribute: int) -> Callable[[], Data] | None:
        del at
        values: dict[tuple[int, int], Data] = {
            (1, 2): VisibleString("measured"),
            (26, 4): OctetString(b"abcd"),
            (63, 2): Unsigned(3),
        }
        value = values.get((class_id, attribute))
        return None if value is None else lambda: value


def test_what_the_host_knows() -> None:
    data, table = name(), UtilityTables(UTILITY, table_id=1)
    word = StatusMapping(WORD, mapping_table=StatusBits(1, 0))
    World([data, table, word], measured=Outside())
    assert data.value == VisibleString("measured")
    assert (table.length, table.buffer) == (4, b"abcd")
    assert word.status_word == 3


def test_a_utility_table_knows_its_length() -> None:
    row = UtilityTables(UTILITY, table_id=1, length=9, buffer=b"abc")
    here = World([row])
    assert row.length == 3
    unit = here.life.acting[UTILITY]
    assert isinstance(unit, Table)
    unit.put(b"")
    assert row.length == 0
    again = UtilityTables(UTILITY, table_id=1, buffer=b"abc")
    there = World([again])
    there.life.restore(here.life.state())
    assert again.buffer == b""
