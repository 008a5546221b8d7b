# SPDX-License-Identifier: Apache-2.0
"""One meter's intervals as its pages show them: a day's slots, a week's or month's bars, totals."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import mean
from typing import Final

from openami.exchange.channels import Channel
from openami.store.registry import Meter
from openami.web.context import Context
from openami.web.readings import Load
from openami.web.times import Span, each_day
from openami.web.usage import Bar, Slots, State, bars, slots

USUAL_DAYS: Final = 7  # a usual day is the mean of at most so many whole days before today


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """Today beside a usual day."""

    so_far_wh: int
    until_us: int | None  # end of the last interval that is in it
    cost: Decimal
    usual_wh: int | None  # a whole usual day; None: no whole day is known yet
    usual_so_far_wh: int | None  # a usual day up to the same time
    days: int  # how many days make the usual one
    unmeasured: int  # intervals of today that are estimated or missing


def day_slots(
    context: Context, meter: Meter, day: date, now_us: int, channel: Channel = Channel.IMPORT_WH
) -> Slots:
    """Return the slots of a local day."""
    return days_slots(context, meter, day, day, now_us, channel)


def days_slots(  # noqa: PLR0913, PLR0917  what, whose, from, to, seen when
    context: Context,
    meter: Meter,
    first: date,
    last: date,
    now_us: int,
    channel: Channel = Channel.IMPORT_WH,
) -> Slots:
    """Return the slots of local days, both included."""
    span = context.calendar.days(first, last)
    series = context.readings.series(meter.meter_id, channel, span)
    return slots(
        series,
        span,
        period_s=meter.capture_period_s,
        installed_us=meter.installed_us,
        settled_us=context.settled_us(now_us),
    )


def day_bars(context: Context, meter: Meter, first: date, last: date, now_us: int) -> list[Bar]:
    """Return one bar a local day."""
    return bars(days_slots(context, meter, first, last, now_us), context.calendar, first, last)


def usual(context: Context, meter: Meter, now_us: int) -> Usual:
    """Return today's energy and cost, and what is usual for whole days before it."""
    today = context.calendar.date_of(now_us)
    first = today - timedelta(days=USUAL_DAYS)
    every = days_slots(context, meter, first, today, now_us)
    now = _part(every, context.calendar.day(today))
    told = [n for n, value in enumerate(now.values) if value is not None]
    until_us = now.last_end_us
    starts = [now.starts_us[n] for n in told]
    values = [now.values[n] or 0 for n in told]
    whole: list[int] = []
    partly: list[int] = []
    for day in each_day(first, today - timedelta(days=1)):
        span = context.calendar.day(day)
        before = _part(every, span)
        if before.count(State.MISSING, State.BEFORE, State.FUTURE):
            continue
        whole.append(before.total)
        elapsed = 0 if until_us is None else until_us - context.calendar.midnight_us(today)
        partly.append(_part(before, Span(span.from_us, span.from_us + elapsed)).total)
    return Usual(
        so_far_wh=sum(values),
        until_us=until_us,
        cost=context.prices.cost(starts, values),
        usual_wh=round(mean(whole)) if whole else None,
        usual_so_far_wh=round(mean(partly)) if partly else None,
        days=len(whole),
        unmeasured=now.count(State.ESTIMATED, State.EDITED, State.MISSING),
    )


def cost_of(context: Context, shown: Slots) -> Decimal:
    """Return the price of what is there."""
    told = [n for n, value in enumerate(shown.values) if value is not None]
    return context.prices.cost(
        [shown.starts_us[n] for n in told], [shown.values[n] or 0 for n in told]
    )


def _part(every: Slots, span: Span) -> Slots:
    chosen = [n for n, start in enumerate(every.starts_us) if span.from_us <= start < span.to_us]
    return Slots(
        period_s=every.period_s,
        starts_us=[every.starts_us[n] for n in chosen],
        values=[every.values[n] for n in chosen],
        states=[every.states[n] for n in chosen],
        qualities=[every.qualities[n] for n in chosen],
        versions=[every.versions[n] for n in chosen],
    )


def slot_columns(shown: Slots) -> dict[str, object]:
    """Return slots as the charts read them: one column a field, states as one string."""
    return {
        "period_s": shown.period_s,
        "start_s": [start // 1_000_000 for start in shown.starts_us],
        "value": shown.values,
        "state": "".join(state.value for state in shown.states),
        "quality": shown.qualities,
        "version": shown.versions,
        "total": shown.total,
        "last_end_s": None if shown.last_end_us is None else shown.last_end_us // 1_000_000,
    }


def bar_columns(found: list[Bar]) -> dict[str, object]:
    """Return days as the charts read them."""
    return {
        "day": [bar.day.isoformat() for bar in found],
        "start_s": [bar.from_us // 1_000_000 for bar in found],
        "measured": [bar.measured_wh for bar in found],
        "estimated": [bar.estimated_wh for bar in found],
        "missing": [bar.missing for bar in found],
        "finished": [bar.finished for bar in found],
        "empty": [bar.empty for bar in found],
        "total": sum(bar.total_wh for bar in found),
    }


def load_columns(
    load: Load, span: Span, *, period_s: int, homes: int, minimum: int
) -> dict[str, object]:
    """Return a region's load in W by interval; where fewer than `minimum` homes are in, null.

    An interval that part of the homes have not told yet is null too: half a sum would look like a
    fall in load.
    """
    known = {start: n for n, start in enumerate(load.starts_us)}
    starts = range(span.from_us, span.to_us, period_s * 1_000_000)
    power: list[int | None] = []
    meters: list[int] = []
    for start in starts:
        n = known.get(start)
        told = 0 if n is None else load.meters[n]
        enough = told >= minimum and 10 * told >= 9 * homes
        power.append(load.values_wh[n] * 3600 // period_s if enough and n is not None else None)
        meters.append(told)
    return {
        "start_s": [start // 1_000_000 for start in starts],
        "power_w": power,
        "meters": meters,
        "homes": homes,
    }
