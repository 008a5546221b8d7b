# SPDX-License-Identifier: Apache-2.0
"""The two ends of the link in the full meter, without I/O: what each says, and when.

`MetrologyEnd` sits beside the measuring chain: it offers intervals, shows momentary values, moves
the breaker.  `ManagementEnd` sits beside the COSEM server: it takes them and gives commands.  Each
is told octets and times and lets its `Link` say what goes onto the line.
"""

import logging
import struct
from collections.abc import Callable, Sequence
from typing import Final

from openami.device.link import Event, Joined, Link, Lost, Message, Stranger
from openami.device.storage import StorageError
from openami.exchange.events import EventCode
from openami.meter.bank import MetrologyBank
from openami.meter.logbook import Logbook
from openami.meter.management import Management
from openami.meter.messages import (
    EVENT,
    MOST_INTERVALS,
    STORED,
    TIME,
    Kind,
    decode_intervals,
    encode_intervals,
)
from openami.meter.metrology import BreakerChange, ClosedInterval, Momentary

log = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 1.0  # after a full disk
OFFER_EVENTS_S: Final = 10.0  # until an event that management did not store is offered again
ASKS: Final = 30  # before it is believed that metrology has not got what is missing
CLOCKS_APART_S: Final = 5.0  # real seconds by which the two modules' calendars may differ
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
            changes = self._metrology.changes
            at_s = changes[-1].at_s if changes else self._metrology.last.end_s
            answer = BreakerChange(at_s=at_s, closed=closed)
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


class ManagementEnd:
    """Management's end; the `Instrument` of the full meter."""

    def __init__(self, link: Link, calendar_us: Callable[[], int]) -> None:
        self.link = link
        self._calendar_us = calendar_us
        self._management: Management | None = None
        self._shown: Momentary | None = None
        self._owes_stored = False
        self._owes_breaker = False
        self._events_have = 0  # sequence of the newest event of this session in the log
        self._owes_events = False
        self._event_refused = 0
        self._ask_again_s: float | None = None
        self._asks_left = 0  # above 0: intervals were refused and have not come again yet
        self.failing = ""  # why intervals are not taken now
        self.source = ""  # what metrology measures, in its words

    def bind(self, management: Management) -> None:
        """Hand what arrives to `management`."""
        self._management = management

    def momentary(self) -> Momentary | None:
        """Return what metrology showed last; None when it is silent."""
        return self._shown

    def move_breaker(self, *, closed: bool) -> None:  # noqa: ARG002  what is wanted is asked when it is sent
        self._owes_breaker = True

    def receive(self, octets: bytes, now_s: float) -> None:
        """Take octets from the line."""
        self._take(self.link.receive(octets, now_s), now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due on the link."""
        self._take(self.link.tick(now_s), now_s)

    def _take(self, events: Sequence[Event], now_s: float) -> None:
        intervals: list[ClosedInterval] = []
        for event in events:
            match event:
                case Joined():
                    log.info("metrology joined")
                    self._owes_stored = self._owes_breaker = True
                    self._events_have = self._event_refused = 0
                    time_us = TIME.pack(self._calendar_us())
                    self.link.datagram(Kind.TIME, time_us, now_s)
                case Lost():
                    log.warning("metrology is silent")
                    self._shown = None
                case Stranger():
                    if self._management is not None:
                        self._management.log_event(EventCode.MODULE_REFUSED)
                case Message():
                    intervals += self._hear(event)
        if intervals:
            self._store(intervals, now_s)
        self._say(now_s)

    def _hear(self, message: Message) -> list[ClosedInterval]:
        """Take one message; return the intervals in it."""
        management = self._management
        if management is None:
            return []
        try:
            match message.kind:
                case Kind.CLOSED_INTERVALS:
                    return decode_intervals(message.payload)
                case Kind.MOMENTARY:
                    self._shown = Momentary.decode(message.payload)
                case Kind.SOURCE:
                    self.source = message.payload.decode()
                case Kind.BREAKER_STANDS:
                    stands = BreakerChange.decode(message.payload)
                    management.breaker_stands(closed=stands.closed, at_s=stands.at_s)
                case Kind.EVENT:
                    self._log(management, *EVENT.unpack(message.payload))
        except (struct.error, ValueError) as error:
            log.warning(
                "metrology sent a message of kind %d that has no sense: %s", message.kind, error
            )
        return []

    def _log(self, management: Management, sequence: int, code: int, at_s: int) -> None:
        """Write an event into the log; one that the disk refused comes again, and first."""
        if self._event_refused and sequence != self._event_refused:
            return
        self._event_refused = 0
        if sequence <= self._events_have or management.log_event(code, at_s, again=True):
            self._events_have = max(sequence, self._events_have)
            self._owes_events = True
        else:
            self._event_refused = sequence

    def _store(self, intervals: list[ClosedInterval], now_s: float) -> None:
        management = self._management
        if management is None:
            return
        if self._asks_left and self._is_behind(management.have, intervals):
            if self._ask_again_s is None:
                self._asks_left -= 1
                self._ask_again_s = now_s + ASK_AGAIN_S
            return
        self._owes_stored = True
        try:
            management.store(intervals)
            management.sync()
        except StorageError as error:
            # Not said to be stored, so metrology keeps them and is asked for them again.
            if not self.failing:
                log.error("%s", error)  # noqa: TRY400
            self.failing = str(error)
            self._owes_stored = False
            self._ask_again_s = now_s + ASK_AGAIN_S
            self._asks_left = ASKS
        else:
            self.failing = ""
            self._asks_left = 0

    @staticmethod
    def _is_behind(have: int, intervals: list[ClosedInterval]) -> bool:
        """Tell whether intervals follow some that were refused; put them into their order.

        They left metrology before it was asked to begin again.
        """
        intervals.sort(key=lambda interval: interval.sequence)
        return intervals[0].sequence > have + 1

    def _say(self, now_s: float) -> None:
        management, link = self._management, self.link
        if management is None:
            return
        if self._owes_stored and link.room:
            self._owes_stored = False
            link.send(Kind.STORED, STORED.pack(management.have), now_s)
        if self._ask_again_s is not None and now_s >= self._ask_again_s and link.room:
            self._ask_again_s = None
            link.send(Kind.AGAIN, STORED.pack(management.have), now_s)
        if self._owes_events and link.room:
            self._owes_events = False
            link.send(Kind.EVENTS_STORED, STORED.pack(self._events_have), now_s)
        if self._owes_breaker and link.room:
            self._owes_breaker = False
            link.send(Kind.BREAKER, bytes((management.wants_closed,)), now_s)
