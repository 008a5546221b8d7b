# SPDX-License-Identifier: Apache-2.0
"""Meters' clocks as pages show them: all at a glance, and one meter's history as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openami.store import clocks, commands, overview
from openami.store.clocks import Kept, Measured, Summary, Suspicion
from openami.store.commands import Command
from openami.web.context import Context

WIDE: Final = 320  # of the picture, in its own units
HIGH: Final = 96
EDGE: Final = 8
LEAST_S: Final = 2.0  # what the picture shows at least, up and down


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One measurement: where it is drawn, and what it says."""

    x: float
    y: float
    low: float  # with its uncertainty
    high: float
    measured: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A history: stretches between which nobody turned the clock.

    Attributes:
        lines: A path for each stretch.
        marks: The measurements.
        zero: Where no deviation is.
        band: Top and height of what is tolerated.
        most_s: What the upper edge stands for; the lower is less than nothing by as much.
        from_us: The first measurement.
        to_us: The last.
    """

    lines: list[str]
    marks: list[Mark]
    zero: float
    band: tuple[float, float]
    most_s: float
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterClock:
    """What a meter's page shows of its clock."""

    clock: Kept | None
    history: list[Measured]
    picture: Picture | None
    corrected: Command | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The page of all clocks."""

    meters: int
    summary: Summary
    suspicions: list[Suspicion]
    worst: list[Kept]
    noticed: list[Kept]


def state(context: Context, most: int = 10) -> State:
    """Return all clocks at a glance."""
    engine = context.engine
    return State(
        meters=overview.count(engine),
        summary=clocks.summary(engine),
        suspicions=[each for each in clocks.suspicions(engine).values() if each.said],
        worst=clocks.worst(engine, most),
        noticed=clocks.worst(engine, 10 * most, notice=True),
    )


def of_meter(context: Context, meter_id: int) -> MeterClock:
    """Return what is known of a meter's clock."""
    clock = clocks.latest(context.engine, meter_id)
    history = clocks.history(context.engine, meter_id)
    corrected = None
    if clock is not None and clock.command_id is not None:
        corrected = commands.command(context.engine, clock.command_id)
    tolerated_s = 0.0 if clock is None else clock.tolerated_s
    return MeterClock(
        clock=clock,
        history=history,
        picture=picture(history, tolerated_s),
        corrected=corrected,
    )


def picture(history: Sequence[Measured], tolerated_s: float) -> Picture | None:
    """Draw a history; None where there is nothing to draw."""
    told = [(each, each.deviation_s) for each in history if each.deviation_s is not None]
    if not told:
        return None
    first_us, last_us = told[0][0].measured_us, told[-1][0].measured_us
    most_s = max(LEAST_S, *(abs(off_s) + each.uncertainty_s for each, off_s in told))
    span_us = max(1, last_us - first_us)

    def place(at_us: int) -> float:
        if first_us == last_us:
            return WIDE / 2
        return round(EDGE + (WIDE - 2 * EDGE) * (at_us - first_us) / span_us, 1)

    def height(off_s: float) -> float:
        return round(HIGH / 2 - (HIGH / 2 - EDGE) * off_s / most_s, 1)

    marks, lines, before = [], [], None
    for each in history:
        off_s = each.deviation_s
        if off_s is None:
            before = None
            continue
        mark = Mark(
            x=place(each.measured_us),
            y=height(off_s),
            low=height(off_s - each.uncertainty_s),
            high=height(off_s + each.uncertainty_s),
            measured=each,
        )
        marks.append(mark)
        if before is not None and not each.moved:
            lines.append(f"M{before.x} {before.y}L{mark.x} {mark.y}")
        before = mark
    within_s = min(tolerated_s, most_s)
    top = height(within_s)
    return Picture(
        lines=lines,
        marks=marks,
        zero=height(0.0),
        band=(top, round(height(-within_s) - top, 1)),
        most_s=most_s,
        from_us=first_us,
        to_us=last_us,
    )
