# SPDX-License-Identifier: Apache-2.0
"""Metrology's end of the link, without I/O: what it says to management, and when.

It sits beside the measuring chain: it offers intervals and events, shows momentary values, moves
the breaker.  It is told octets and times and lets its `Link` say what goes onto the line.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from openami.device.link import Event, Joined, Link, Lost, Message, Stranger
from openami.exchange.events import EventCode
from openami.meter.bank import MetrologyBank
from openami.meter.logbook import Logbook
from openami.meter.messages import EVENT, MOST_INTERVALS, STORED, TIME, Kind, encode_intervals
from openami.meter.metrology import BreakerChange, ClosedInterval, Momentary

log = logging.getLogger(__name__)

CLOCKS_APART_S: Final = 5.0  # real seconds by which the two modules' calendars may differ
OFFER_EVENTS_S: Final = 10.0  # until an event that management did not store is offered again
MICROSECONDS: Final = 1_000_000


class MetrologyEnd:
    """Metrology's end.

    Attributes:
        link: The line.
        stored: Sequence up to which management said to have everything; None before it spoke.
    """

    def __init__(
        self,
        link: Link,
        bank: MetrologyBank,
        meter_id: int,
        *,
        logbook: Logbook,
        source: Callable[[int], str],
    ) -> None:
        """Join a line and a bank.

        Args:
            link: The line.
            bank: With the meter's metrology.
            logbook: Metrology's own.
            meter_id: In the bank.
            source: Says what is measured at a calendar second.
        """
        self.link = link
        self.stored: int | None = None
        self._bank = bank
        self._meter_id = meter_id
        self._metrology = bank.meters[meter_id]
        self._offered = 0
        self._logbook = logbook
        self._offered_event = 0
        self._offer_events_s = 0.0
        self._answer_breaker = False
        self._source = source
        self._told_source: str | None = None

    def receive(self, octets: bytes, now_s: float, calendar_s: int) -> None:
        """Take octets from the line.

        Args:
            octets: As they came.
            now_s: Monotonic time.
            calendar_s: Calendar, seconds UTC.
        """
        self._take(self.link.receive(octets, now_s), calendar_s)
        self._offer(now_s)

    def tick(self, now_s: float, calendar_s: int) -> None:
        """Do what is due on the link, offer what was closed."""
        self._take(self.link.tick(now_s), calendar_s)
        self._offer(now_s)

    def show(self, now_s: float, calendar_s: int, measured: Momentary | None = None) -> None:
        """Send the momentary values: those that the front end measured, or the load's own."""
        shown = measured or self._metrology.momentary(calendar_s)
        self.link.datagram(Kind.MOMENTARY, shown.encode(), now_s)
        source = self._source(calendar_s)
        if source != self._told_source and self.link.room:
            self._told_source = source
            self.link.send(Kind.SOURCE, source.encode(), now_s)

    def _take(self, events: Sequence[Event], calendar_s: int) -> None:
        for event in events:
            match event:
                case Joined():
                    log.info("management joined")
                    self.stored = None
                    self._told_source = None
                    self._answer_breaker = True
                    self._offered_event = self._logbook.taken
                    self._logbook.log(EventCode.MODULE_INSERTED, calendar_s)
                case Lost():
                    log.warning("management is silent; metering goes on")
                    self.stored = None
                    self._logbook.log(EventCode.MODULE_REMOVED, calendar_s)
                case Stranger():
                    self._logbook.log(EventCode.MODULE_REFUSED, calendar_s)
                case Message():
                    self._hear(event, calendar_s)

    def _hear(self, message: Message, calendar_s: int) -> None:
        if message.kind == Kind.STORED and len(message.payload) == STORED.size:
            (stored,) = STORED.unpack(message.payload)
            if self.stored is None:
                self._offered = stored
            self.stored = stored
        elif message.kind == Kind.AGAIN and len(message.payload) == STORED.size:
            (self._offered,) = STORED.unpack(message.payload)
        elif message.kind == Kind.EVENTS_STORED and len(message.payload) == STORED.size:
            self._logbook.take(*STORED.unpack(message.payload))
        elif message.kind == Kind.BREAKER and len(message.payload) == 1:
            closed = message.payload != b"\x00"
            self._bank.set_breaker(self._meter_id, calendar_s, closed=closed)
            self._answer_breaker = True
        elif message.kind == Kind.TIME and len(message.payload) == TIME.size:
            apart_s = TIME.unpack(message.payload)[0] / MICROSECONDS - calendar_s
            if abs(apart_s) > CLOCKS_APART_S:
                log.debug("management's calendar is %.0f calendar seconds away", apart_s)

    def _offer(self, now_s: float) -> None:
        link = self.link
        if self._answer_breaker and link.room:
            self._answer_breaker = False
            closed = self._metrology.breaker_closed
            answer = BreakerChange(at_s=self._metrology.breaker_since_s, closed=closed)
            link.send(Kind.BREAKER_STANDS, answer.encode(), now_s)
        if self._offered_event > self._logbook.taken and now_s >= self._offer_events_s:
            self._offered_event = self._logbook.taken
        if self._offered_event < self._logbook.last and link.room:
            self._offer_events_s = now_s + OFFER_EVENTS_S
            for event in self._logbook.after(self._offered_event, link.room):
                self._offered_event = event.sequence
                link.send(Kind.EVENT, EVENT.pack(*event), now_s)
        while link.room and (intervals := self._next_intervals()):
            self._offered = intervals[-1].sequence
            link.send(Kind.CLOSED_INTERVALS, encode_intervals(intervals), now_s)

    def _next_intervals(self) -> list[ClosedInterval]:
        """Return the next durable intervals that were not offered; none before STORED."""
        kept = self._bank.kept[self._meter_id]
        if self.stored is None or not kept or kept[-1].sequence <= self._offered:
            return []
        start = max(0, self._offered + 1 - kept[0].sequence)
        return kept[start : start + MOST_INTERVALS]
