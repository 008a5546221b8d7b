# SPDX-License-Identifier: Apache-2.0
"""Supply: what is known of a meter's, and how a notice of the meter changes it.  No clock.

Times of `lost` and `returned` are the calendar's, the meter's own where it told them; `..._real_us`
are the head-end's real time, by which evidence is held together.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from openami.exchange.events import EventCode

NONE: Final = 0  # in place of an outage's number: judged to be none


class Scope(StrEnum):
    """What an outage is an outage of."""

    FEEDER = "feeder"
    TRANSFORMER = "transformer"
    AREA = "area"  # meters of one concentrator of which no transformer is known
    METER = "meter"
    CONCENTRATOR = "concentrator"  # it cannot be reached: nothing is known of anybody's supply


class Evidence(StrEnum):
    """Why a meter is believed to be without supply, the surest first."""

    GASP = "last gasp"
    TOLD = "told after"  # by the meter, when its supply was back
    SILENT = "silent"  # it was asked and did not answer
    PRESUMED = "presumed"  # its neighbours are dark, and it was not asked yet


class PingState(StrEnum):
    """What came of asking a meter whether power is there."""

    ASKED = "asked"
    TAKEN = "taken"  # a head-end asks
    ANSWERED = "answered"
    NO_VOLTAGE = "no voltage"  # it answered out of its reserve
    SILENT = "silent"
    NO_ROUTE = "no route"


OPEN_PINGS: Final = frozenset({PingState.ASKED, PingState.TAKEN})
DARK_PINGS: Final = frozenset({PingState.SILENT, PingState.NO_VOLTAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """The last loss of a meter's supply."""

    meter_id: int
    lost_us: int
    evidence: Evidence
    found_real_us: int
    returned_us: int | None = None
    returned_real_us: int | None = None
    outage_id: int | None = None  # None: not yet judged; NONE: judged to be none

    @property
    def is_lost(self) -> bool:
        return self.returned_us is None

    def after(self, told: "Told") -> Self:
        """Return what is known after a notice; notices come in any order."""
        lost_us, returned_us = told.lost_us, told.returned_us
        if returned_us is None:
            return self._after_loss(told)
        if returned_us <= self.lost_us and lost_us < self.lost_us:
            return self  # of an earlier outage
        if self.returned_us is not None and lost_us > self.returned_us:
            return type(self)(
                meter_id=self.meter_id,
                lost_us=lost_us,
                evidence=Evidence.TOLD,
                found_real_us=told.real_us,
                returned_us=returned_us,
                returned_real_us=told.real_us,
            )
        real_us = told.real_us if self.returned_real_us is None else self.returned_real_us
        evidence = self.evidence if self.evidence is Evidence.GASP else Evidence.TOLD
        return replace(
            self,
            lost_us=lost_us,
            evidence=evidence,
            returned_us=returned_us,
            returned_real_us=real_us,
        )

    def _after_loss(self, told: "Told") -> Self:
        if self.returned_us is not None and told.lost_us > self.returned_us:
            return type(self)(
                meter_id=self.meter_id,
                lost_us=told.lost_us,
                evidence=Evidence.GASP,
                found_real_us=told.real_us,
            )
        if self.returned_us is not None or told.lost_us < self.lost_us - LATE_US:
            return self  # of this outage or an earlier one, and late
        return replace(self, lost_us=told.lost_us, evidence=Evidence.GASP)


def passed(before: Supply, told: "Told") -> Supply | None:
    """Return an interruption that is over and that `before.after(told)` no longer remembers.

    It is the one of `before`, with its outage, where another has begun since; or that of a notice
    which came late.
    """
    after = before.after(told)
    if before.returned_us is not None and after.lost_us > before.returned_us:
        return before
    if told.returned_us is not None and after is before and told.returned_us <= before.lost_us:
        return told.first()
    return None


LATE_US: Final = 86_400 * 1_000_000  # a gasp that is older belongs to another outage


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a notice says of supply."""

    meter_id: int
    lost_us: int
    returned_us: int | None
    real_us: int  # when the head-end had it

    @classmethod
    def of(cls, meter_id: int, code: int, at_us: int, seconds: int, real_us: int) -> Self | None:
        """Read an event; None when it does not speak of supply."""
        if code == EventCode.POWER_FAILURE:
            return cls(meter_id=meter_id, lost_us=at_us, returned_us=None, real_us=real_us)
        if code == EventCode.POWER_RETURNED:
            lost_us = at_us - seconds * 1_000_000
            return cls(meter_id=meter_id, lost_us=lost_us, returned_us=at_us, real_us=real_us)
        return None

    def first(self) -> Supply:
        """Return what is known when nothing was known before."""
        return Supply(
            meter_id=self.meter_id,
            lost_us=self.lost_us,
            evidence=Evidence.GASP if self.returned_us is None else Evidence.TOLD,
            found_real_us=self.real_us,
            returned_us=self.returned_us,
            returned_real_us=None if self.returned_us is None else self.real_us,
        )
