# SPDX-License-Identifier: Apache-2.0
"""What a chart shows: every slot that should hold a value, with its state.

Truth on the picture: a slot without a value is missing, never zero; an estimate says so; what has
not happened yet is the future and not a gap.  Pure functions on columns; `readings` fetches them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Final

from openami.exchange.quality import Quality
from openami.web.times import LocalCalendar, Span, each_day

REASONS: Final = (
    (Quality.EDITED, "edited by a person"),
    (Quality.INTERPOLATED, "estimated: straight line between its neighbours"),
    (Quality.LIKE_DAY, "estimated: mean of like days"),
    (Quality.ESTIMATED, "estimated"),
    (Quality.SCALED, "scaled to the register difference"),
    (Quality.SUSPECT, "a validation rule objects"),
    (Quality.POWER_FAIL, "the meter was without power"),
    (Quality.CLOCK_DOUBTFUL, "the meter's clock was doubtful"),
)


class State(Enum):
    """What a slot holds; the letters travel to the charts as one string a series."""

    MEASURED = "m"
    SUSPECT = "s"  # measured, and a rule objects
    ESTIMATED = "e"
    EDITED = "d"
    MISSING = "x"
    FUTURE = "f"  # not measured yet, or on its way
    BEFORE = "b"  # before the meter was installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Columns of current values, ascending by start; several meters' sums have no version."""

    starts_us: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    qualities: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def between(self, span: Span) -> "Series":
        """Return the part that starts in a span."""
        chosen = [n for n, start in enumerate(self.starts_us) if span.from_us <= start < span.to_us]
        first, after = (chosen[0], chosen[-1] + 1) if chosen else (0, 0)
        return Series(
            starts_us=self.starts_us[first:after],
            values=self.values[first:after],
            qualities=self.qualities[first:after],
            versions=self.versions[first:after],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """One column entry a slot, whether it holds a value or not."""

    period_s: int
    starts_us: list[int]
    values: list[int | None]
    states: list[State]
    qualities: list[int]
    versions: list[int]

    def count(self, *states: State) -> int:
        """Return how many slots are in one of `states`."""
        return sum(state in states for state in self.states)

    @property
    def total(self) -> int:
        """Return the sum of what is there."""
        return sum(value for value in self.values if value is not None)

    @property
    def last_end_us(self) -> int | None:
        """Return the end of the last slot that holds a value."""
        for start, value in zip(reversed(self.starts_us), reversed(self.values), strict=True):
            if value is not None:
                return start + self.period_s * 1_000_000
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One local day of a week or month."""

    day: date
    from_us: int
    measured_wh: int
    estimated_wh: int
    missing: int  # slots that should hold a value and do not
    finished: bool  # every slot of the day lies in the past
    empty: bool  # nothing to show: all future, or before the meter was installed

    @property
    def total_wh(self) -> int:
        return self.measured_wh + self.estimated_wh


def state_of(quality: int) -> State:
    """Return the state that a quality gives a value."""
    if quality & Quality.EDITED:
        return State.EDITED
    if quality & Quality.ESTIMATED:
        return State.ESTIMATED
    return State.SUSPECT if quality & Quality.SUSPECT else State.MEASURED


def reason_of(quality: int) -> str:
    """Return in words what a quality says; empty when the value is measured and sound."""
    method = Quality.INTERPOLATED | Quality.LIKE_DAY
    named = [
        text
        for bit, text in REASONS
        if quality & bit and not (bit is Quality.ESTIMATED and quality & method)
    ]
    return ", ".join(named)


def slots(
    series: Series, span: Span, *, period_s: int, installed_us: int, settled_us: int
) -> Slots:
    """Return every slot of a span with its value and state.

    Args:
        series: The values that are there.
        span: What is shown.
        period_s: Capture period.
        installed_us: Before it nothing was measured.
        settled_us: A slot that ends after it may still be on its way: future, not missing.
    """
    period_us = period_s * 1_000_000
    known = {start: n for n, start in enumerate(series.starts_us)}
    starts = list(range(span.from_us, span.to_us, period_us))
    values: list[int | None] = []
    states: list[State] = []
    qualities: list[int] = []
    versions: list[int] = []
    for start in starts:
        n = known.get(start)
        values.append(None if n is None else series.values[n])
        qualities.append(0 if n is None else series.qualities[n])
        versions.append(0 if n is None else series.versions[n])
        if n is not None:
            states.append(state_of(series.qualities[n]))
        elif start < installed_us:
            states.append(State.BEFORE)
        else:
            states.append(State.FUTURE if start + period_us > settled_us else State.MISSING)
    return Slots(
        period_s=period_s,
        starts_us=starts,
        values=values,
        states=states,
        qualities=qualities,
        versions=versions,
    )


def bars(all_slots: Slots, calendar: LocalCalendar, first: date, last: date) -> list[Bar]:
    """Return one bar a local day; `all_slots` covers the days from `first` to `last`."""
    found = []
    for day in each_day(first, last):
        span = calendar.day(day)
        chosen = [n for n, start in enumerate(all_slots.starts_us) if _in(span, start)]
        found.append(_bar(all_slots, chosen, day, span.from_us))
    return found


def _bar(all_slots: Slots, chosen: list[int], day: date, from_us: int) -> Bar:
    states = [all_slots.states[n] for n in chosen]
    return Bar(
        day=day,
        from_us=from_us,
        measured_wh=_sum(all_slots, chosen, {State.MEASURED, State.SUSPECT}),
        estimated_wh=_sum(all_slots, chosen, {State.ESTIMATED, State.EDITED}),
        missing=states.count(State.MISSING),
        finished=State.FUTURE not in states,
        empty=all(state in {State.FUTURE, State.BEFORE} for state in states),
    )


def _sum(all_slots: Slots, chosen: Iterable[int], states: set[State]) -> int:
    return sum(all_slots.values[n] or 0 for n in chosen if all_slots.states[n] in states)


def _in(span: Span, start_us: int) -> bool:
    return span.from_us <= start_us < span.to_us
