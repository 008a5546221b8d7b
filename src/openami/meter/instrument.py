# SPDX-License-Identifier: Apache-2.0
"""Management's end of the link, without I/O: the `Instrument` of the full meter.

It sits beside the COSEM server: it takes intervals and events, and gives commands.  It is told
octets and times and lets its `Link` say what goes onto the line.
"""

import logging
import struct
from collections.abc import Callable, Sequence
from typing import Final

from openami.device.link import Event, Joined, Link, Lost, Message, Stranger
from openami.device.storage import StorageError
from openami.exchange.events import EventCode
from openami.meter.management import Management
from openami.meter.messages import EVENT, STORED, TIME, Kind, decode_intervals
from openami.meter.metrology import BreakerChange, ClosedInterval, Momentary

log = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 1.0  # after a full disk
ASKS: Final = 30  # before it is believed that metrology has not got what is missing


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
