# SPDX-License-Identifier: Apache-2.0
"""Metrology's own logbook: what happened at the terminals and to the case, durable in metrology.

Each event has a sequence number and is offered on the link until management says that its log has
it.  So an event is in both logs, however often either module restarts in between; after a restart
at the wrong moment management's may have it twice.
"""

import logging
import struct
from pathlib import Path
from typing import Final, NamedTuple

from openami.device.cell import Cell
from openami.device.ring import Ring
from openami.device.storage import StorageError
from openami.exchange.events import EventCode

log = logging.getLogger(__name__)

ENTRIES: Final = 512
EVENT: Final = struct.Struct(">HI")  # code, seconds UTC
TAKEN: Final = struct.Struct(">I")
QUIET_S: Final = 60  # calendar seconds in which what a stranger can cause is logged once
CAUSED_BY_STRANGERS: Final = frozenset({EventCode.MODULE_REFUSED})
RING_FILE: Final = "events.ring"
TAKEN_FILE: Final = "events-taken.cell"
PROGRAM_FILE: Final = "program.cell"


class LoggedEvent(NamedTuple):
    """One event."""

    sequence: int
    code: int
    at_s: int


class Logbook:
    """The logbook.

    Attributes:
        findings: A sentence for each file that was damaged.
        taken: Sequence up to which management has every event.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the files in `folder`.

        Raises:
            StorageError: One can be neither read nor created.
        """
        self._folder = folder
        self._ring, finding = Ring.open(
            folder / RING_FILE, payload_octets=EVENT.size, capacity=ENTRIES
        )
        self._cell, also = Cell.open(folder / TAKEN_FILE, initial=TAKEN.pack(0))
        self.findings = [each for each in (finding, also) if each is not None]
        (taken,) = TAKEN.unpack(self._cell.value)
        # A ring that was set aside begins anew, and nothing of it is taken.
        self.taken = int(taken) if taken <= self._ring.last else 0
        self._last_s: dict[int, int] = {}

    @property
    def last(self) -> int:
        """Sequence of the newest event."""
        return self._ring.last

    def log(self, code: int, at_s: int) -> None:
        """Write an event, durably; a full disk costs the event and one sentence."""
        if code in CAUSED_BY_STRANGERS:
            before_s = self._last_s.get(code)
            if before_s is not None and 0 <= at_s - before_s < QUIET_S:
                return
            self._last_s[code] = at_s
        try:
            self._ring.append([EVENT.pack(code, at_s)])
            self._ring.sync()
        except StorageError as error:
            log.error("event %d is not in metrology's log: %s", code, error)  # noqa: TRY400

    def after(self, sequence: int, most: int) -> list[LoggedEvent]:
        """Return up to `most` events behind a sequence that management has not got."""
        first = max(sequence, self.taken, self._ring.first - 1) + 1
        found = []
        for number in range(first, min(first + most - 1, self.last) + 1):
            rows = self._ring.read(number, number)
            found += [LoggedEvent(number, *EVENT.unpack(bytes(row))) for row in rows]
        return found

    def take(self, sequence: int) -> None:
        """Remember that management has everything up to a sequence."""
        if self.taken < sequence <= self.last:
            self.taken = sequence
            try:
                self._cell.store(TAKEN.pack(sequence))
            except StorageError as error:
                log.warning("events may be offered again: %s", error)

    def note_program(self, measurement: bytes, at_s: int) -> None:
        """Log that another program measures than at the start before.

        Raises:
            StorageError: Nobody can know.
        """
        cell, finding = Cell.open(self._folder / PROGRAM_FILE, initial=bytes(len(measurement)))
        try:
            if cell.value == measurement:
                return
            if any(cell.value) or finding is not None:
                self.log(EventCode.METROLOGY_CHANGED, at_s)
            cell.store(measurement)
        finally:
            cell.close()

    def close(self) -> None:
        """Sync and close the files."""
        for part in (self._ring, self._cell):
            try:
                part.close()
            except StorageError as error:
                log.error("%s", error)  # noqa: TRY400
