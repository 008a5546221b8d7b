# SPDX-License-Identifier: Apache-2.0
"""Profiles told with null-data: a value that the row before has already (class 7, 4.3.6).

A meter may leave out what repeats: null-data stands for the value of the row before, and in a
column of times for the time of the row before plus one capture period.  A column in which
null-data is a value of its own is left as it is.
"""

from datetime import timedelta
from itertools import pairwise

from openami.cosem.classes.measurement import ProfileGeneric
from openami.dlms import data as axdr_data
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.data import Array, Data, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError


def compress(rows: list[Structure], period_s: int) -> list[Structure]:
    """Return the rows with null-data for what repeats.

    Args:
        rows: All of the same width, in the order they are told.
        period_s: The capture period, by which times follow each other; 0 for none.
    """
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    return [
        Structure(row)
        for row in zip(*(_compressed(column, period_s) for column in columns), strict=True)
    ]


def expand(rows: list[Structure], period_s: int) -> list[Structure]:
    """Return the rows with what null-data stands for.

    Inverse of `compress` where null-data is no value of its own: a reader cannot tell the two
    apart.
    """
    found: list[Structure] = []
    for row in rows:
        if not found:
            found.append(row)
            continue
        before = found[-1]
        found.append(
            Structure(
                _follower(old, period_s) if new is None else new
                for old, new in zip(before, row, strict=True)
            )
        )
    return found


def _compressed(column: tuple[Data, ...], period_s: int) -> list[Data]:
    if any(value is None for value in column):
        return list(column)
    told: list[Data] = [column[0]]
    for before, value in pairwise(column):
        expected = axdr_data.encode(_follower(before, period_s))
        told.append(None if axdr_data.encode(value) == expected else value)
    return told


def _follower(before: Data, period_s: int) -> Data:
    """Return what null-data stands for after a value."""
    if not isinstance(before, bytes) or len(before) != 12:
        return before
    try:
        shown = CosemDateTime.decode(bytes(before))
        moment = shown.to_utc(assume_deviation_minutes=0) + timedelta(seconds=period_s)
    except (DecodeError, ValueError, OverflowError):
        return before
    after = CosemDateTime.from_utc(
        moment,
        deviation_minutes=shown.deviation_minutes or 0,
        clock_status=shown.clock_status,
    ).encode()
    unspecified = shown.deviation_minutes is None
    kept = after[:9] + b"\x80\x00" + after[11:] if unspecified else after
    return type(before)(kept if shown.day_of_week is not None else kept[:4] + b"\xff" + kept[5:])


def tell_with_null_data(profile: ProfileGeneric) -> None:
    """Let a bound profile leave out what repeats, whole and selected."""
    index = ProfileGeneric.buffer.index
    whole, selected = profile.octet_sources[index], profile.selections[index]

    def shortened(octets: bytes) -> bytes:
        found = axdr_data.decode(octets)
        if not isinstance(found, Array):
            return octets
        rows = [row for row in found if isinstance(row, Structure)]
        return axdr_data.encode(Array(compress(rows, profile.values.get(4, 0))))

    def select(access: SelectiveAccess) -> bytes:
        return shortened(selected(access))

    profile.bind_octets(ProfileGeneric.buffer, lambda: shortened(whole()))
    profile.bind_selection(ProfileGeneric.buffer, select)
