# SPDX-License-Identifier: Apache-2.0
"""Rows of the same shape that do not follow each other, read together.

Where nulls repeat the row before, shapes take turns: one whole row, then many with nulls.  All rows
of one shape are put into one table, read by stride, and their values set back at their places; a
null takes the last value before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openami.dlms.bulk import shapes as columnshapes
from openami.dlms.bulk.clock import Clock, ClockRules, Int64, by_stride, is_date_time
from openami.dlms.bulk.shapes import NULL, Cell, Column, Segment


@dataclass(frozen=True, slots=True)
class Group:
    """All rows of one shape, and which rows they are."""

    segment: Segment
    places: Int64


def grouped(segments: Sequence[Segment]) -> list[Group]:
    """Return the rows by shape."""
    found: dict[tuple[Cell, ...], tuple[list[columnshapes.Table], list[Int64]]] = {}
    first = 0
    for segment in segments:
        count = len(segment.table)
        tables, places = found.setdefault(segment.cells, ([], []))
        tables.append(segment.table)
        places.append(np.arange(first, first + count, dtype=np.int64))
        first += count
    return [
        Group(Segment(np.concatenate(tables), cells), np.concatenate(places))
        for cells, (tables, places) in found.items()
    ]


def last_values(groups: Sequence[Group], position: int, rows: int) -> Int64 | None:
    """Return for each row which one its value stands in; None if the first row has none."""
    sources = np.arange(rows, dtype=np.int64)
    for group in groups:
        if group.segment.cells[position].tag == NULL:
            sources[group.places] = 0
            if 0 in group.places[:1]:
                return None
    return np.maximum.accumulate(sources)


def numbers(groups: Sequence[Group], position: int, rows: int) -> Column | None:
    """Return a column as numbers; None if one type of numpy does not hold them all exactly."""
    sources = last_values(groups, position, rows)
    if sources is None:
        return None
    found: list[tuple[Column, Int64]] = []
    for group in groups:
        cell = group.segment.cells[position]
        if cell.tag == NULL:
            continue
        column = columnshapes.numbers(group.segment, cell)
        if column is None:
            return None
        found.append((column, group.places))
    common = common_type([column for column, _ in found])
    if common is None:
        return None
    made = np.empty(rows, common)
    for column, places in found:
        made[places] = column
    return made[sources]


def common_type(columns: Sequence[Column]) -> np.dtype[np.generic] | None:
    """Return the type that holds all numbers exactly; None if none does."""
    dtypes = {column.dtype for column in columns}
    if len(dtypes) == 1:
        return dtypes.pop()
    common = np.result_type(*dtypes)
    if common.kind not in "iu" or any(each.kind == "b" for each in dtypes):
        return None
    return common


def clock(groups: Sequence[Group], position: int, rows: int, rules: ClockRules) -> Clock | None:
    """Return the clock of all rows; None if one of them needs a closer look."""
    sources = last_values(groups, position, rows)
    if sources is None:
        return None
    times_us = np.empty(rows, np.int64)
    deviations = np.empty(rows, np.int16)
    states = np.empty(rows, np.uint8)
    for group in groups:
        cell = group.segment.cells[position]
        if cell.tag == NULL:
            if rules.capture_period_s <= 0:
                return None
            continue
        found = None
        if is_date_time(cell):
            found = by_stride(group.segment.table, cell, rules.assumed_deviation_minutes)
        if found is None:
            return None
        times_us[group.places] = found.times_us
        deviations[group.places] = found.deviation_minutes
        states[group.places] = found.status
    steps = np.arange(rows, dtype=np.int64) - sources
    passed_us = steps * (rules.capture_period_s * 1_000_000)
    return Clock(times_us[sources] + passed_us, deviations[sources], states[sources])
