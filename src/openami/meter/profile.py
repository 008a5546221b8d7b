# SPDX-License-Identifier: Apache-2.0
"""The load profile and the event log: rings on disk, shown as rows of COSEM data.

A ring holds intervals as metrology closed them; rows are made from many at once when they are
asked for, so that a profile of sixty days costs a meter neither memory nor time.  A row of the load
profile is structure { clock, status, import, export, import register, export register }, 38 octets;
one of the event log is structure { clock, event code }, 18 octets.  A row's clock is the end of its
interval, in UTC.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.cosem.serving.profile import EncodedRows
from openami.device.ring import Ring
from openami.exchange.events import EventCode
from openami.meter.metrology import ClosedInterval

MICROSECONDS: Final = 1_000_000
DAY_S: Final = 86_400

INTERVAL: Final = np.dtype(
    [
        ("sequence", ">u4"),
        ("end_s", ">u4"),
        ("status", "u1"),
        ("breaker_closed", "u1"),
        ("remainders", ">u2", (2,)),
        ("values", ">u4", (4,)),
    ]
)
EVENT: Final = np.dtype([("end_s", ">u4"), ("code", ">u2")])

_CLOCK: Final = [
    ("year", ">u2"),
    ("month", "u1"),
    ("day", "u1"),
    ("day_of_week", "u1"),
    ("hour", "u1"),
    ("minute", "u1"),
    ("second", "u1"),
    ("hundredths", "u1"),
    ("deviation", ">i2"),
    ("clock_status", "u1"),
]
_HEAD: Final = [("head", "S4"), *_CLOCK, ("status_tag", "u1"), ("status", "u1")]
_VALUE: Final = np.dtype([("tag", "u1"), ("value", ">u4")])
PROFILE_ROW: Final = np.dtype([*_HEAD, ("values", _VALUE, (4,))])
EVENT_ROW: Final = np.dtype(_HEAD)

_UNSIGNED: Final = 0x11
_DOUBLE_LONG_UNSIGNED: Final = 0x06


def profile_rows(intervals: npt.NDArray[np.void]) -> EncodedRows:
    """Return intervals of the ring as encoded rows of the load profile."""
    rows = _rows(PROFILE_ROW, b"\x02\x06\x09\x0c", intervals["end_s"])
    rows["status"] = intervals["status"]
    rows["values"]["tag"] = _DOUBLE_LONG_UNSIGNED
    rows["values"]["value"] = intervals["values"]
    return EncodedRows(len(rows), rows.tobytes())


def event_rows(events: npt.NDArray[np.void]) -> EncodedRows:
    """Return events of the ring as encoded rows of the event log."""
    rows = _rows(EVENT_ROW, b"\x02\x02\x09\x0c", events["end_s"])
    rows["status"] = events["code"]
    return EncodedRows(len(rows), rows.tobytes())


def _rows(
    kind: np.dtype[np.void], head: bytes, end_s: npt.NDArray[np.uint32]
) -> npt.NDArray[np.void]:
    """Return rows with their heads and clocks filled in."""
    rows = np.zeros(len(end_s), dtype=kind)
    rows["head"] = head
    days, second = np.divmod(end_s.astype(np.int64), DAY_S)
    day = days.astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    rows["year"] = day.astype("datetime64[Y]").astype(np.int64) + 1970
    rows["month"] = month.astype(np.int64) % 12 + 1
    rows["day"] = (day - month.astype("datetime64[D]")).astype(np.int64) + 1
    rows["day_of_week"] = (days + 3) % 7 + 1
    rows["hour"] = second // 3600
    rows["minute"] = second // 60 % 60
    rows["second"] = second % 60
    rows["status_tag"] = _UNSIGNED
    return rows


class RingBuffer:
    """Rows of a ring, as a profile generic is served from (`cosem.serving.profile`)."""

    def __init__(self, ring: Ring, kind: np.dtype[np.void]) -> None:
        self.ring = ring
        self._kind = kind

    def count(self) -> int:
        return len(self.ring) - len(self.ring.holes)

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        records = self._read(self.ring.first, self.ring.last)
        moment_us = records["end_s"].astype(np.int64) * MICROSECONDS
        wanted = np.ones(len(records), dtype=bool)
        if start_us is not None:
            wanted &= moment_us >= start_us
        if end_us is not None:
            wanted &= moment_us <= end_us
        return self.rows(records[wanted])

    def entries(self, first: int, last: int) -> EncodedRows:
        if self.ring.holes:
            return self.rows(self._read(self.ring.first, self.ring.last)[first - 1 : last])
        offset = self.ring.first - 1
        return self.rows(self._read(offset + first, offset + last))

    def since(self, sequence: int, most: int) -> EncodedRows:
        """Return up to `most` rows from a sequence on."""
        return self.rows(self._read(sequence, min(sequence + most - 1, self.ring.last)))

    def rows(self, records: npt.NDArray[np.void]) -> EncodedRows:
        """Return records as encoded rows."""
        return profile_rows(records) if self._kind is INTERVAL else event_rows(records)

    def _read(self, first: int, last: int) -> npt.NDArray[np.void]:
        return self.ring.read(first, last).view(self._kind)


def open_profile(path: Path, entries: int) -> tuple[RingBuffer, str | None]:
    """Open the ring of a load profile; return it, and a sentence if it was damaged."""
    ring, finding = Ring.open(path, payload_octets=INTERVAL.itemsize, capacity=entries)
    return RingBuffer(ring, INTERVAL), finding


def open_event_log(path: Path, entries: int) -> tuple[RingBuffer, str | None]:
    """Open the ring of an event log; return it, and a sentence if it was damaged."""
    ring, finding = Ring.open(path, payload_octets=EVENT.itemsize, capacity=entries)
    return RingBuffer(ring, EVENT), finding


def encode_event(at_s: int, code: int) -> bytes:
    """Return an event as the ring holds it."""
    return np.array((at_s, code), dtype=EVENT).tobytes()


def last_interval(newest: bytes | None) -> ClosedInterval | None:
    """Return the newest record of a load profile as an interval."""
    return None if newest is None else ClosedInterval.decode(newest)


def lost_since(rows: npt.NDArray[np.void]) -> int | None:
    """Return since when the supply is lost, as rows of the event log say; None: it is there."""
    told = rows[np.isin(rows["code"], (EventCode.POWER_FAILURE, EventCode.POWER_RETURNED))]
    if len(told) == 0 or told["code"][-1] == EventCode.POWER_RETURNED:
        return None
    return int(told["end_s"][-1])
