# SPDX-License-Identifier: Apache-2.0
"""From the inbox into the lake, and single values out of it; in a folder of its own.

A row is one value of one channel in one interval.  Everything is durable as in operation: SQLite
with synchronous=FULL, Delta tables with fsync.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from sqlalchemy import Engine

from bench.measure import OURS, Row, Scale, same
from bench.street import PERIOD, START, title
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString, Structure, Unsigned, encode
from openami.dlms.datetimes import CosemDateTime
from openami.exchange.channels import PROFILE_CHANNELS, Channel
from openami.mdm.intake import Intake
from openami.store import inbox
from openami.store.accepted import Origin
from openami.store.database import open_database
from openami.store.inbox import Message
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import DAY_US, SCHEMA, Lake, day_number, day_of
from openami.store.registry import Meter, import_meters

PERIOD_US = PERIOD // timedelta(microseconds=1)
DAY_ROWS = DAY_US // PERIOD_US
FIRST_US = int((START - PERIOD).timestamp()) * 1_000_000  # start of the first interval
GROUP = 500  # messages in one transaction of the inbox
SEALED_OCTETS = 60  # what protection and envelope add to the rows of a push
MESSAGES_A_METER = 4
READS = 40


def measure(scale: Scale) -> Iterator[Row]:
    """Measure intake and point reads."""
    yield from _intake(scale)
    yield from _reads(scale)


def _intake(scale: Scale) -> Iterator[Row]:
    size = f"SQLite FULL, groups of {GROUP}"
    put = Row("messages into the inbox", "1/s", note=size)
    rows = {
        intervals: Row(
            f"inbox to lake, {what} a message",
            "rows/s",
            note=f"{scale.messages} messages, {intervals * len(PROFILE_CHANNELS)} rows each",
        )
        for intervals, what in ((1, "one interval"), (DAY_ROWS, "a day"))
    }
    for _ in range(min(scale.rounds, 3)):
        for intervals, row in rows.items():
            with tempfile.TemporaryDirectory() as folder:
                put_per_s, rows_per_s = _drain(Path(folder), scale.messages, intervals)
            if intervals == 1:
                put.add({OURS: put_per_s})
            row.add({OURS: rows_per_s})
    yield put
    yield from rows.values()


def _drain(folder: Path, messages: int, intervals: int) -> tuple[float, float]:
    """Return messages a second into the inbox, and rows a second from there into the lake."""
    engine = open_database(f"sqlite:///{folder / 'openami.db'}", create=True)
    writer = IntervalWriter(folder / "lake")
    meters = messages // MESSAGES_A_METER
    import_meters(engine, [_meter(number) for number in range(1, meters + 1)])
    arrivals = _arrivals(meters, intervals)
    began = time.perf_counter()
    for first in range(0, len(arrivals), GROUP):
        group = arrivals[first : first + GROUP]
        same(sum(inbox.put(engine, group)), len(group), "new messages of a group")
    put_s = time.perf_counter() - began

    now_us = FIRST_US + MESSAGES_A_METER * intervals * PERIOD_US
    intake = Intake(engine, writer, ZoneInfo("UTC"), PERIOD.seconds, lambda: now_us)
    began = time.perf_counter()
    while intake.drain().messages:
        pass
    drain_s = time.perf_counter() - began

    wanted = len(arrivals) * intervals * len(PROFILE_CHANNELS)
    values = writer.lake.values(None, None, 0, now_us)
    same(values.height, wanted, "rows of the lake")
    total = sum(_value(n, i) for n in range(1, meters + 1) for i in range(intervals * 4))
    imported = values.filter(pl.col("channel") == Channel.IMPORT_WH)["value"].sum()
    same(imported, total, "Wh of the lake")
    _close(writer, engine)
    return len(arrivals) / put_s, wanted / drain_s


def _close(writer: IntervalWriter, engine: Engine) -> None:
    writer.close()
    engine.dispose()


def _meter(number: int) -> Meter:
    return Meter(
        meter_id=number,
        title=title(number),
        ldn=f"OAM{number:013d}",
        region="north",
        concentrator=b"OAM\xc0\x00\x00\x00\x01",
        installed_us=FIRST_US,
        capture_period_s=PERIOD.seconds,
    )


def _value(number: int, interval: int) -> int:
    """Return what a meter counted; without a pattern that would compress better than a load."""
    return (number * 2_654_435_761 ^ interval * 40_503) % 1009


def _arrivals(meters: int, intervals: int) -> list[tuple[Message, Origin | None]]:
    """Return pushes in the order of time: each meter's messages follow each other."""
    arrivals: list[tuple[Message, Origin | None]] = []
    for part in range(MESSAGES_A_METER):
        first = part * intervals
        clocks = [
            OctetString(CosemDateTime.from_utc(START + row * PERIOD).encode())
            for row in range(first, first + intervals)
        ]
        received_us = FIRST_US + (first + intervals) * PERIOD_US
        for number in range(1, meters + 1):
            rows = encode(
                Array(
                    Structure(
                        (
                            clock,
                            Unsigned(0),
                            DoubleLongUnsigned(_value(number, row)),
                            DoubleLongUnsigned(0),
                            DoubleLongUnsigned(100_000 + row),
                            DoubleLongUnsigned(0),
                        )
                    )
                    for row, clock in enumerate(clocks, first)
                )
            )
            message = Message(
                meter_id=number,
                kind=inbox.PUSH,
                received_us=received_us,
                epoch=1,
                hops="north",
                octets=rows + bytes(SEALED_OCTETS),
                rows=rows,
            )
            arrivals.append((message, Origin(title(number), 1, part)))
    return arrivals


def _reads(scale: Scale) -> Iterator[Row]:
    """Time single series out of a lake of many meters, each day in order."""
    meters, days = scale.lake_meters, scale.lake_days
    with tempfile.TemporaryDirectory() as folder:
        writer = IntervalWriter(Path(folder) / "lake")
        first = day_number(day_of(FIRST_US))
        for day in range(first, first + days):
            writer.append_versions(_day(meters, day))
        millions = writer.lake.sizes()["readings"].rows / 1e6
        size = f"{meters} meters × {days} days × {DAY_ROWS}: {millions:.1f} M rows"
        whole = Row(f"point read, {days} days", "ms", note=size, less_is_better=True)
        recent = Row("point read, one day", "ms", note=size, less_is_better=True)
        lake = Lake(writer.lake.folder)
        for number in range(scale.rounds):
            for row, span in ((whole, days), (recent, 1)):
                row.add({OURS: _read(lake, meters, first, span, number)})
        writer.close()
    yield whole
    yield recent


def _read(lake: Lake, meters: int, first_day: int, days: int, seed: int) -> float:
    """Return the median of milliseconds of some reads of different meters."""
    spent_ms = []
    from_us = first_day * DAY_US
    for read in range(READS):
        meter = 1 + (seed * READS + read) * 7919 % meters
        began = time.perf_counter()
        values = lake.series(meter, Channel.IMPORT_WH, from_us, from_us + days * DAY_US)
        spent_ms.append((time.perf_counter() - began) * 1000)
        same(values.height, days * DAY_ROWS, f"values of meter {meter}")
        same(values["value"].sum(), _sum(meter, first_day, days), f"Wh of meter {meter}")
    return statistics.median(spent_ms)


def _sum(meter: int, first_day: int, days: int) -> int:
    return sum(
        _value(meter, interval)
        for interval in range(first_day * DAY_ROWS, (first_day + days) * DAY_ROWS)
    )


def _day(meters: int, day: int) -> pl.DataFrame:
    """Return the import of all meters on one day, sorted as a rewritten day is."""
    meter = np.repeat(np.arange(1, meters + 1), DAY_ROWS)
    interval = np.tile(np.arange(day * DAY_ROWS, (day + 1) * DAY_ROWS), meters)
    columns = {
        "meter_id": meter,
        "channel": np.full(len(meter), int(Channel.IMPORT_WH)),
        "start": interval * PERIOD_US,
        "value": (meter * 2_654_435_761 ^ interval * 40_503) % 1009,
        "quality": np.zeros(len(meter), np.int16),
        "version": np.ones(len(meter), np.int16),
        "received_us": (interval + 1) * PERIOD_US,
        "message_id": interval * meters + meter,
    }
    frame = pl.DataFrame(columns)
    return frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
