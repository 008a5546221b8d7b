# SPDX-License-Identifier: Apache-2.0
"""The concentrator's own time: the head-end's, on top of monotonic time, as far as it is known.

The host's clock is read and never set: that is for whoever keeps the host.  As long as the
head-end has told no time, own time is what the host shows.  From then on it is led by the best
exchange (`exchange.timesync`), and goes on from there while the head-end is away: whatever becomes
of the host's clock, plans are carried out when the head-end meant them, and what is stamped here
can be compared with what is stamped there.  It is told both clocks.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from openami.exchange.field import ClockState, NoticeCode
from openami.exchange.timesync import (
    ClockError,
    Exchange,
    Led,
    Limit,
    Taken,
    TimeFilter,
)
from openami.runtime.clock import MICROSECONDS, from_us
from openami.runtime.status import Figures

log = logging.getLogger(__name__)

REMEDY: Final = "keep it with a time daemon (chrony)"


class HostClock(NamedTuple):
    """What the host has."""

    real_us: Callable[[], int]  # UTC, as it is set
    monotonic_us: Callable[[], int]
    is_kept: Callable[[], bool | None]  # None: the kernel does not tell


class OwnTime:
    """Own time, and how far the host's is from it.

    Attributes:
        refused: Exchanges that could not be true, or contradicted those before.
    """

    def __init__(self, host: HostClock, limit_s: float) -> None:
        """Begin with the host's clock.

        Args:
            host: Its clocks.
            limit_s: How far its clock may be off before that is told.
        """
        self.refused = 0
        self._host = host
        self._filter = TimeFilter()
        self._led = Led()
        self._limit = Limit(round(limit_s * MICROSECONDS))
        self._head_end_kept: bool | None = None
        self._untold: list[tuple[NoticeCode, str]] = []

    # Time ---------------------------------------------------------------------------------------

    def monotonic_us(self) -> int:
        """Return what exchanges are measured with."""
        return self._host.monotonic_us()

    def now_us(self) -> int:
        """Return UTC in microseconds since 1970."""
        best = self._filter.best
        if best is None:
            return self._host.real_us()
        return self._led.follow(best, self._host.monotonic_us())

    def now(self) -> datetime:
        """Return UTC."""
        return from_us(self.now_us())

    @property
    def best(self) -> Exchange | None:
        """The exchange that it goes by; None as long as it goes by the host's clock."""
        return self._filter.best

    # Exchanges ----------------------------------------------------------------------------------

    def heard(self, exchange: Exchange, *, head_end_kept: bool | None) -> None:
        """Take an exchange with the head-end, and whether something keeps its clock."""
        self._head_end_kept = head_end_kept
        try:
            taken = self._filter.take(exchange)
        except ClockError as error:
            self.refused += 1
            log.warning("an answer to the question for the time is refused: %s", error)
            return
        if taken is Taken.CONTRADICTS:
            self.refused += 1
        elif taken is Taken.JUMP:
            text = f"by {self._filter.jump_us / MICROSECONDS:+.3f} s"
            log.warning("the head-end's clock jumped %s, or this machine slept", text)
            self._untold.append((NoticeCode.HEAD_END_CLOCK_SET, text))

    def look(self) -> list[tuple[NoticeCode, str]]:
        """Judge the host's clock; return the notices that there are to be told of it."""
        state = self.state()
        if (
            state.offset_us is not None
            and state.uncertainty_us is not None
            and self._limit.judge(state.offset_us, state.uncertainty_us)
        ):
            found = sentence(state)
            if self._limit.past:
                found += f"; {self._whose(state)}"
                log.warning("the host's clock is %s", found)
            code = NoticeCode.CLOCK_OFF if self._limit.past else NoticeCode.CLOCK_WELL
            self._untold.append((code, found))
        told, self._untold = self._untold, []
        return told

    def state(self) -> ClockState:
        """Return how the host's clock is now."""
        best, kept = self._filter.best, self._host.is_kept()
        if best is None:
            return ClockState(limit_us=self._limit.limit_us, past_limit=self._limit.past, kept=kept)
        now_us, host_us = self._host.monotonic_us(), self._host.real_us()
        return ClockState(
            offset_us=now_us + best.offset_us - host_us,
            uncertainty_us=best.uncertainty_us(now_us),
            round_trip_us=best.delay_us,
            limit_us=self._limit.limit_us,
            past_limit=self._limit.past,
            kept=kept,
        )

    def figures(self) -> Figures:
        """Return what the status file says of it; what is not known is left out."""
        state = self.state()
        found: Figures = {"clock past limit": int(state.past_limit), "times refused": self.refused}
        if state.kept is not None:
            found["clock kept"] = int(state.kept)
        for name, us in (
            ("clock offset seconds", state.offset_us),
            ("clock uncertainty seconds", state.uncertainty_us),
            ("clock round trip seconds", state.round_trip_us),
        ):
            if us is not None:
                found[name] = us / MICROSECONDS
        return found

    def _whose(self, state: ClockState) -> str:
        """Say at which end to look first."""
        if state.kept and not self._head_end_kept:
            return "a time daemon keeps it, and none is known to keep the head-end's: look there"
        if state.kept:
            return "time daemons keep both: look at both of them"
        return REMEDY


def sentence(state: ClockState) -> str:
    """Return how far a host's clock is off, e.g. `3.250 s behind the head-end's, ±0.004 s`."""
    if state.offset_us is None or state.uncertainty_us is None:
        return "not compared with the head-end's"
    side = "behind" if state.offset_us >= 0 else "ahead of"
    offset_s, near_s = abs(state.offset_us) / MICROSECONDS, state.uncertainty_us / MICROSECONDS
    return f"{offset_s:.3f} s {side} the head-end's, ±{near_s:.3f} s"
