# SPDX-License-Identifier: Apache-2.0
"""Time over the uplink: how far two clocks are apart, and how surely (RFC 5905, 8, 10 and 11).

A concentrator asks, the head-end answers when it had the question and when its answer left.  The
asker's two of the four timestamps are monotonic time, not its host's clock: what is estimated is
what has to be added to monotonic time to have the head-end's UTC, and a host's clock that is set
meanwhile spoils nothing and is seen at the next look.

The true offset of an exchange lies within half its round trip of the estimate, and moves away with
the rate at which two oscillators may differ.  Two exchanges whose bounds do not meet cannot both
be true: the head-end's clock was set, or monotonic time stood still with the machine.  One that
contradicts is refused; several that agree with each other begin anew.

Here nothing is sent, and no clock is read.  All times are whole microseconds.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from openami.exchange.field import ClockState

DRIFT_PPM: Final = 100
"""How fast two clocks may drift apart: two ordinary quartzes, each within 50 ppm.  RFC 5905 counts
with 15, which holds for oscillators that are disciplined already."""
EARLIEST_US: Final = 1_735_689_600_000_000
"""2025-01-01: no clock that knows the time shows less to a program that is younger."""
LATEST_US: Final = 7_258_118_400_000_000  # 2200-01-01
STAGES: Final = 8  # of the filter (RFC 5905, 10: NSTAGE)
JUMP_SAMPLES: Final = 4  # that contradict the estimate and agree with each other
RESOLUTION_US: Final = 2  # of four timestamps in whole microseconds
SLEW_PPM: Final = 500  # RFC 5905, 11: a clock is led, so that it never goes back
STEP_US: Final = 128_000  # RFC 5905, 11.3 (STEPT): beyond it and the uncertainty a clock is set


class ClockError(ValueError):
    """A clock was set while an exchange was under way, or has no idea of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question and its answer: the four timestamps T1 to T4 (RFC 5905, 8)."""

    asked_us: int  # T1, the asker's monotonic time
    received_us: int  # T2, UTC of whoever answers
    answered_us: int  # T3, the same clock
    heard_us: int  # T4, as T1

    @property
    def offset_us(self) -> int:
        """What to add to the asker's time to have the other's: ((T2 - T1) + (T3 - T4)) / 2."""
        return (self.received_us - self.asked_us + self.answered_us - self.heard_us) // 2

    @property
    def delay_us(self) -> int:
        """The round trip without the time the other took: (T4 - T1) - (T3 - T2)."""
        return max(0, self._delay_us)

    @property
    def _delay_us(self) -> int:
        return (self.heard_us - self.asked_us) - (self.answered_us - self.received_us)

    def verify(self) -> None:
        """Refuse what no two clocks that run can have shown.

        Raises:
            ClockError: One of them went back, or forward by more than the exchange lasted, or the
                other's has lost the time.
        """
        if not EARLIEST_US <= self.received_us <= LATEST_US:
            raise ClockError(f"{self.received_us} microseconds since 1970 are no time of today")
        lasted_us = self.heard_us - self.asked_us
        if lasted_us < 0:
            raise ClockError(f"monotonic time went back by {-lasted_us} microseconds")
        if self.answered_us < self.received_us:
            back_us = self.received_us - self.answered_us
            raise ClockError(f"the other clock went back by {back_us} microseconds")
        if self._delay_us < -RESOLUTION_US - drift_us(lasted_us):
            took_us = self.answered_us - self.received_us
            raise ClockError(
                f"the other took {took_us} microseconds of the {lasted_us} that all lasted"
            )

    def uncertainty_us(self, now_us: int) -> int:
        """Return how far the true offset may be from `offset_us` at monotonic time `now_us`."""
        age_us = max(0, now_us - self.asked_us)
        return (self.delay_us + 1) // 2 + RESOLUTION_US + drift_us(age_us)

    def agrees(self, other: "Exchange") -> bool:
        """Tell whether both can be true of one pair of clocks."""
        now_us = max(self.heard_us, other.heard_us)
        apart_us = abs(self.offset_us - other.offset_us)
        return apart_us <= self.uncertainty_us(now_us) + other.uncertainty_us(now_us)


class Taken(Enum):
    """What became of an exchange."""

    TAKEN = auto()
    CONTRADICTS = auto()  # the estimate; it is not used
    JUMP = auto()  # enough of them contradict: the estimate begins anew with these


@dataclass(slots=True)
class TimeFilter:
    """The last exchanges, and the best of them (RFC 5905, 10).

    The best is the one with the least uncertainty now: that with the least round trip, unless it
    is so old that drift may have made more of it.

    Attributes:
        jump_us: By how much the estimate changed when it last began anew; 0: it never did.
    """

    jump_us: int = 0
    _stages: deque[Exchange] = field(default_factory=lambda: deque(maxlen=STAGES), repr=False)
    _against: list[Exchange] = field(default_factory=list, repr=False)

    @property
    def best(self) -> Exchange | None:
        """The exchange that tells most; None before the first.

        All age alike, so which is the best does not depend on when one asks.
        """
        if not self._stages:
            return None
        now_us = self._stages[-1].heard_us
        return min(self._stages, key=lambda one: one.uncertainty_us(now_us))

    def take(self, exchange: Exchange) -> Taken:
        """Take an exchange.

        Raises:
            ClockError: A clock jumped during it; nothing is changed.
        """
        exchange.verify()
        best = self.best
        if best is None or best.agrees(exchange):
            self._against.clear()
            self._stages.append(exchange)
            return Taken.TAKEN
        self._against = [one for one in self._against if one.agrees(exchange)]
        self._against.append(exchange)
        if len(self._against) < JUMP_SAMPLES:
            return Taken.CONTRADICTS
        self._stages.clear()
        self._stages.extend(self._against)
        self._against.clear()
        begun = self.best
        assert begun is not None  # noqa: S101  it has `JUMP_SAMPLES`
        self.jump_us = begun.offset_us - best.offset_us
        return Taken.JUMP


@dataclass(slots=True)
class Led:
    """A clock on top of monotonic time that follows an estimate and does not jump with it.

    It runs at most `SLEW_PPM` faster or slower, so it goes back never but in one case: when it
    is further from the estimate than that can be wrong, and by more than `STEP_US`, it is set.
    """

    offset_us: int | None = None  # what it adds to monotonic time; None: it was never set
    _since_us: int = 0

    def follow(self, best: Exchange, now_us: int) -> int:
        """Lead it toward an estimate; return its UTC at monotonic time `now_us`."""
        if self.offset_us is None:
            self.offset_us, self._since_us = best.offset_us, now_us
            return now_us + self.offset_us
        apart_us = best.offset_us - self.offset_us
        if abs(apart_us) > STEP_US + best.uncertainty_us(now_us):
            self.offset_us, self._since_us = best.offset_us, now_us
        else:
            most_us = max(0, now_us - self._since_us) * SLEW_PPM // 1_000_000
            if most_us or not apart_us:  # else what has gone by is kept until it is a microsecond
                self.offset_us += max(-most_us, min(most_us, apart_us))
                self._since_us = now_us
        return now_us + self.offset_us


@dataclass(slots=True)
class Limit:
    """Whether a clock is past what it may be off; it says so only when that is sure.

    Past: off by more than `limit_us` whatever the uncertainty.  Well: off by less than half of
    it, whatever the uncertainty.  In between it stays what it was.
    """

    limit_us: int
    past: bool = False

    def judge(self, offset_us: int, uncertainty_us: int) -> bool:
        """Take an offset; return whether that changed `past`."""
        was = self.past
        if abs(offset_us) - uncertainty_us > self.limit_us:
            self.past = True
        elif abs(offset_us) + uncertainty_us <= self.limit_us // 2:
            self.past = False
        return self.past != was


def drift_us(lasted_us: int) -> int:
    """Return how far two clocks may have drifted apart, rounded up."""
    return -(-lasted_us * DRIFT_PPM // 1_000_000)


def is_head_end_suspect(states: Collection[ClockState]) -> bool:
    """Tell whether it is rather the head-end's clock that is wrong than those of concentrators.

    Those whose hosts are kept by NTP are asked, one is enough of them; where there are none, all
    are, and it takes two.  More than half of them must be past their limits and agree on how far.
    """
    known = [(each.offset_us, each) for each in states if each.offset_us is not None]
    kept = [one for one in known if one[1].kept]
    voters = kept or known
    off = sorted((offset, each.limit_us) for offset, each in voters if each.past_limit)
    if len(off) < (1 if kept else 2):
        return False
    middle, _ = off[len(off) // 2]
    agreeing = sum(abs(offset - middle) <= limit_us for offset, limit_us in off)
    return 2 * agreeing > len(voters)
