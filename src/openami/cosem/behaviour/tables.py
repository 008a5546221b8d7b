# SPDX-License-Identifier: Apache-2.0
"""Data, utility tables, register tables and status words (classes 1, 26, 61 and 63, 4.3).

A register table captures one attribute of objects that differ in value group E; a status word has
bits, and a table that says what they mean.
"""

from typing import Any

from openami.cosem.behaviour.host import Life
from openami.cosem.classes.data_tables import (
    RegisterTable,
    StatusBits,
    StatusMapping,
    UtilityTables,
)
from openami.cosem.classes.measurement import SCALER_UNIT
from openami.cosem.classes.measurement import Data as DataObject
from openami.dlms.data import Array, BitString, Data, FixedInteger
from openami.dlms.obis import Obis

_REGISTERS = frozenset({3, 4})


def bind_data(row: DataObject, life: Life) -> None:
    """Bind a data object to what the host measures; without that it keeps what is written."""
    found = life.host.measured.source(row.class_id, row.logical_name, 2)
    if found is not None:
        row.bind(DataObject.value, found)


class Table:
    """Serves one utility table of ANSI C12.19: the octets and how many they are."""

    def __init__(self, row: UtilityTables, life: Life) -> None:
        self._row = row
        self._source = life.host.measured.source(row.class_id, row.logical_name, 4)
        row.values.setdefault(4, b"")
        row.bind(UtilityTables.buffer, self.octets)
        row.bind(UtilityTables.length, lambda: len(self.octets()))

    def octets(self) -> bytes:
        """Return the table."""
        if self._source is not None:
            found = self._source()
            return bytes(found) if isinstance(found, bytes) else b""
        held: bytes = self._row.values[4]
        return held

    def put(self, octets: bytes) -> None:
        """Let the table be other octets."""
        self._row.values[4] = octets

    def state(self) -> bytes:
        """Return the octets of the table."""
        held: bytes = self._row.values[4]
        return held

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self.put(state)


class Cells:
    """Serves one register table; until it captures, the cells are what the object was given."""

    def __init__(self, row: RegisterTable, life: Life) -> None:
        self._row = row
        self._life = life
        row.values.setdefault(2, Array())
        row.bind_method(RegisterTable.reset, lambda _argument: self.reset())
        row.bind_method(RegisterTable.capture, lambda _argument: self.capture())
        row.bind_sink(RegisterTable.table_cell_definition, lambda _value: self.reset())

    def begin(self) -> None:
        """Take the scaler and unit of the first object, if the table has none of its own."""
        definition = self._row.values.get(3)
        if 4 in self._row.values or definition is None or definition.class_id not in _REGISTERS:
            return
        for name in self.names():
            found = self._life.read(definition.class_id, name, 3)
            if found is not None:
                self._row.scaler_unit = SCALER_UNIT.from_data(found)
                return

    def names(self) -> list[Obis]:
        """Return the logical names of the objects whose attribute the cells hold."""
        definition = self._row.table_cell_definition
        return [
            definition.logical_name._replace(e=int(each))
            for each in definition.group_e_values
            if isinstance(each, FixedInteger) and 0 <= each <= 0xFF
        ]

    def capture(self) -> None:
        """Copy the attribute of each object; null-data where there is none."""
        definition = self._row.table_cell_definition
        self._row.table_cell_values = Array(
            self._life.read(definition.class_id, name, definition.attribute_index)
            for name in self.names()
        )

    def reset(self) -> None:
        """Empty the cells."""
        self._row.table_cell_values = Array()

    def state(self) -> Data:
        """Return the cells."""
        return self._row.table_cell_values

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._row.table_cell_values = state


class StatusWord:
    """Serves one status mapping: sets and clears entries of the reference table in the word.

    Bit 0 is the first bit of a bit-string, and the lowest of a number.
    """

    def __init__(self, row: StatusMapping, life: Life) -> None:
        self._row = row
        found = life.host.measured.source(row.class_id, row.logical_name, 2)
        if found is not None:
            row.bind(StatusMapping.status_word, found)

    def entries(self) -> tuple[int, ...]:
        """Return the entries of the reference table that are set."""
        return meanings(self._row.status_word, self._row.mapping_table)

    def put(self, entry: int, is_set: bool) -> None:  # noqa: FBT001  the bit itself
        """Set or clear the bit of an entry.

        Raises:
            ValueError: No bit stands for the entry.
        """
        word, numbers = self._row.status_word, self._row.mapping_table.entries
        size = _width(word)
        listed = range(numbers, numbers + size) if isinstance(numbers, int) else numbers[:size]
        if entry not in listed:
            raise ValueError(f"no bit of {self._row!r} stands for entry {entry}")
        bit = listed.index(entry)
        if isinstance(word, BitString):
            text = word.bits
            self._row.status_word = BitString.from_bits(text[:bit] + "01"[is_set] + text[bit + 1 :])
        elif isinstance(word, FixedInteger):
            value = int(word) | 1 << bit if is_set else int(word) & ~(1 << bit)
            make: Any = type(word)  # every concrete integer is a member of Data
            self._row.status_word = make(value)

    def state(self) -> Data:
        """Return the status word."""
        return self._row.values.get(2)

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._row.values[2] = state


def meanings(word: Data, mapping: StatusBits) -> tuple[int, ...]:
    """Return the entries of the reference table whose bits are set in a status word."""
    if isinstance(word, BitString):
        places = [bit for bit, text in enumerate(word.bits) if text == "1"]
    elif isinstance(word, FixedInteger):
        places = [bit for bit in range(_width(word)) if int(word) >> bit & 1]
    else:
        places = []
    numbers = mapping.entries
    if isinstance(numbers, int):
        return tuple(numbers + bit for bit in places)
    return tuple(numbers[bit] for bit in places if bit < len(numbers))


def _width(word: Data) -> int:
    if isinstance(word, BitString):
        return word.length_bits
    return type(word).HIGH.bit_length() if isinstance(word, FixedInteger) else 0


def bind_utility_tables(row: UtilityTables, life: Life) -> Table:
    """Bind a utility table."""
    return Table(row, life)


def bind_register_table(row: RegisterTable, life: Life) -> Cells:
    """Bind a register table to the objects of its cells."""
    return Cells(row, life)


def bind_status_mapping(row: StatusMapping, life: Life) -> StatusWord:
    """Bind a status word."""
    return StatusWord(row, life)
