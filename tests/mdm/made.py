# SPDX-License-Identifier: Apache-2.0
"""Messages and registries as a head-end would have written them."""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from openami.dlms.axdr import encode_length
from openami.store.inbox import PUSH, Message
from openami.store.registry import Meter

PERIOD_S = 1800
PERIOD_US = PERIOD_S * 1_000_000
DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T0 = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000

Row = tuple[int, int, int, int, int, int]  # start_us, status, four channels


def clock(end_us: int, clock_status: int = 0) -> bytes:
    """A COSEM date-time in UTC (IEC 62056-6-2, 4.1.6.1)."""
    at = EPOCH + timedelta(microseconds=end_us)
    date = struct.pack(">HBBB", at.year, at.month, at.day, at.isoweekday())
    return date + struct.pack(">BBBBhB", at.hour, at.minute, at.second, 0, 0, clock_status)


def encode_row(row: Row, clock_status: int = 0) -> bytes:
    start_us, status, *values = row
    head = b"\x02\x06\x09\x0c" + clock(start_us + PERIOD_US, clock_status) + bytes([0x11, status])
    return head + b"".join(b"\x06" + struct.pack(">I", value) for value in values)


def encode_rows(rows: Sequence[Row]) -> bytes:
    return b"\x01" + encode_length(len(rows)) + b"".join(encode_row(row) for row in rows)


def message(
    meter_id: int, rows: Sequence[Row], *, kind: str = PUSH, octets: bytes = b"\xdd"
) -> Message:
    received_us = max((row[0] for row in rows), default=T0) + PERIOD_US
    return Message(
        meter_id=meter_id,
        kind=kind,
        received_us=received_us,
        epoch=1,
        hops="north",
        octets=octets,
        rows=encode_rows(rows),
    )


def load(slots: Iterable[int], meter_id: int = 1) -> list[Row]:
    """Rows whose registers add up: each slot takes 100 + meter + slot % 7 Wh."""
    rows = []
    for slot in slots:
        register = sum(wh(past, meter_id) for past in range(slot + 1))
        rows.append((T0 + slot * PERIOD_US, 0, wh(slot, meter_id), 0, register, 0))
    return rows


def wh(slot: int, meter_id: int = 1) -> int:
    return 100 + meter_id + slot % 7


def fleet(count: int, *, installed_us: int = T0) -> list[Meter]:
    return [
        Meter(
            meter_id=number,
            title=b"OAM" + number.to_bytes(5, "big"),
            ldn=f"OAM{number:013d}",
            region="north",
            concentrator=b"OAM\xc0\x00\x00\x00\x01",
            installed_us=installed_us,
            capture_period_s=PERIOD_S,
        )
        for number in range(1, count + 1)
    ]
