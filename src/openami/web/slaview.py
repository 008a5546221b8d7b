# SPDX-License-Identifier: Apache-2.0
"""Are the service levels kept?  The page's figures; the rules are those of `headend.sla`.

What is due in the shown days is counted anew at most every `FRESH_S`; where that would be more than
`MOST_DUE` values fewer days are shown, and below one day none: the command line has the time.  A
month is counted from its first day, unless that is too much: then from `Ruled.since`.
"""

import threading
import time
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Final

from openami.headend.sla import (
    Data,
    Level,
    Rule,
    begun_since,
    days_back,
    first_day,
    levels,
    local_day_us,
    read_rules,
)
from openami.headend.slaobserved import KINDS, observed, of_population
from openami.runtime.clock import real_us
from openami.store import registry
from openami.store.intervals import Lake
from openami.web.context import Context

PRESETS: Final = Path(str(resources.files("openami.headend") / "slapresets.toml"))
FRESH_S: Final = 10.0
DAYS: Final = 14
MOST_DUE: Final = 3_000_000  # values of intervals that a page may look at
A_DAY: Final = 48  # intervals of a meter
BARS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A rule and what its windows came to, oldest first."""

    rule: Rule
    windows: list[Level]
    since: date

    def is_whole(self, level: Level) -> bool:
        """Tell whether a window was counted from its beginning."""
        return level.begins >= self.since

    @property
    def newest(self) -> Level | None:
        """The window that is going on, or was last."""
        return self.windows[-1] if self.windows else None

    @property
    def kept(self) -> bool | None:
        """Whether the newest window keeps the level so far; None where nothing was due."""
        return None if self.newest is None or not self.newest.due else self.newest.kept


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The page.

    Attributes:
        days: How many were looked at; 0: there is too much for a page.
        examples: No rules are named, so these are the examples.
    """

    rules: list[Ruled]
    days: int
    examples: bool
    counted_s: float  # seconds that counting took


class Counted:
    """The last count, shared by all who look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_s = -FRESH_S
        self._state: State | None = None

    def state(self, context: Context) -> State:
        """Return the count, a fresh one where the last is old."""
        with self._lock:
            if self._state is None or time.monotonic() - self._at_s >= FRESH_S:
                self._state = count(context)
                self._at_s = time.monotonic()
            return self._state


def _since(rule: Rule, today: date, days: int, most_days: int) -> date:
    """Return the first day that is counted for a rule: of whole windows, where they fit."""
    first = days_back(today, days)
    for wanted in (first_day(rule, first), first_day(rule, today)):
        if (today - wanted).days < most_days:
            return min(wanted, first)
    return first


def count(context: Context) -> State:
    """Hold every rule to what happened."""
    begun_s = time.perf_counter()
    rules, exclusions = read_rules(context.config.sla_rules or PRESETS)
    meters = registry.meters(context.engine)
    most_days = MOST_DUE // (A_DAY * max(1, len(meters)))
    days = min(DAYS, most_days)
    zone, lake = context.config.zone, Lake(context.config.lake)
    of = {rule.name: Ruled(rule=rule, windows=[], since=date.min) for rule in rules}
    for data in Data if days else ():
        mine = [rule for rule in rules if rule.data is data]
        if not mine:
            continue
        now_us = real_us() if data in KINDS else context.clock.now_us()
        today = context.calendar.date_of(now_us)
        most = most_days if data is Data.INTERVAL else MOST_DUE
        since = {rule.name: _since(rule, today, days, most) for rule in mine}
        first_us = local_day_us(min(since.values()), zone)
        frame = observed(context.engine, lake, data, first_us, now_us)
        for rule in mine:
            part = begun_since(rule, frame, local_day_us(since[rule.name], zone))
            part = of_population(rule, part, meters)
            windows = levels(rule, part, zone=zone, now_us=now_us, exclusions=exclusions)
            kept = windows[-BARS:]
            of[rule.name] = Ruled(rule=rule, windows=kept, since=since[rule.name])
    return State(
        rules=list(of.values()),
        days=days,
        examples=context.config.sla_rules is None,
        counted_s=time.perf_counter() - begun_s,
    )
