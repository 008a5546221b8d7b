# SPDX-License-Identifier: Apache-2.0
"""A device with a calendar that tests turn, for all tests of behaviour."""

from collections.abc import Iterable
from datetime import UTC, datetime

from openami.cosem.behaviour.bindings import bring_to_life
from openami.cosem.behaviour.host import CLOCK, Happened, Host, Life
from openami.cosem.behaviour.localtime import SECOND_US, Zone, to_us
from openami.cosem.classes.time_event import Clock
from openami.cosem.device import LogicalDevice
from openami.cosem.model import InterfaceClass
from openami.dlms.datetimes import LAST_DAY, CosemDateTime

NOON = to_us(datetime(2026, 1, 1, 12, tzinfo=UTC))


def at(text: str) -> int:
    """Return a moment given as text in UTC."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


def sunday(month: int, day: int, hour: int) -> CosemDateTime:
    return CosemDateTime(year=None, month=month, day=day, day_of_week=7, hour=hour, minute=0)


BERLIN = Zone(-60, sunday(3, LAST_DAY, 2), sunday(10, LAST_DAY, 3), 60, enabled=True)
SYDNEY = Zone(-600, sunday(10, 1, 2), sunday(4, 1, 3), 60, enabled=True)


def clock_of(zone: Zone) -> Clock:
    return Clock(
        CLOCK,
        time_zone=zone.time_zone,
        status=0,
        daylight_savings_begin=zone.begin,
        daylight_savings_end=zone.end,
        daylight_savings_deviation=zone.saving,
        daylight_savings_enabled=zone.enabled,
        clock_base=1,
    )


class Calendar:
    """A calendar that stands until it is turned."""

    def __init__(self, now_us: int = NOON) -> None:
        self.at_us = now_us

    def now_us(self) -> int:
        return self.at_us

    def set_us(self, now_us: int) -> None:
        self.at_us = now_us


class World:
    """A device, its calendar, and what it reported."""

    def __init__(
        self,
        objects: Iterable[InterfaceClass],
        *,
        zone: Zone | None = None,
        now_us: int = NOON,
        **ports: object,
    ) -> None:
        self.calendar = Calendar(now_us)
        self.reports: list[Happened] = []
        self.host = Host(
            clock=self.calendar,
            entropy=bytes,
            report=self.reports.append,
            **ports,  # type: ignore[arg-type]
        )
        self.device = LogicalDevice(
            objects=[*objects, *([clock_of(zone)] if zone else [])], associations=()
        )
        self.life: Life = bring_to_life(self.device, self.host)

    def tick(self, now_us: int | None = None) -> None:
        """Tell all actors the time."""
        if now_us is not None:
            self.calendar.at_us = now_us
        self.life.actors.tick(self.calendar.at_us)

    def run_to(self, end_us: int, longest_us: int = 86_400 * SECOND_US) -> None:
        """Let time pass, stopping whenever an actor is due."""
        while self.calendar.at_us < end_us:
            due = self.life.actors.due_us()
            soon = min(end_us, self.calendar.at_us + longest_us)
            step = soon if due is None else min(soon, max(due, self.calendar.at_us + 1))
            self.tick(step)
