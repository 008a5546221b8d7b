# SPDX-License-Identifier: Apache-2.0
"""The event log of a fleet's meter, as rows that its profile generic is served from."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from openami.cosem.serving.profile import EncodedRows
from openami.meter.profile import MICROSECONDS, event_rows

if TYPE_CHECKING:
    from openami.meter.fleet_records import EventRing


class EventBuffer:
    """Rows of an event log, as a profile generic is served from (`cosem.serving.profile`)."""

    __slots__ = ("_of",)

    def __init__(self, of: Callable[[], "EventRing"]) -> None:
        self._of = of

    @property
    def ring(self) -> "EventRing":
        """The log; made when it is first asked for."""
        return self._of()

    def count(self) -> int:
        return len(self.ring)

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        events = self.ring.read(self.ring.first, self.ring.last)
        moment_us = events["end_s"].astype(np.int64) * MICROSECONDS
        wanted = np.ones(len(events), bool)
        if start_us is not None:
            wanted &= moment_us >= start_us
        if end_us is not None:
            wanted &= moment_us <= end_us
        return event_rows(events[wanted])

    def entries(self, first: int, last: int) -> EncodedRows:
        offset = self.ring.first - 1
        return event_rows(self.ring.read(offset + first, offset + last))
