# SPDX-License-Identifier: Apache-2.0
"""The household app: Now, Use, More.  It shows one meter, the household's own."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from openami.store import overview
from openami.web import fleet, meterview
from openami.web.context import At
from openami.web.guards import Day, HouseholdVisitor, OwnMeter
from openami.web.rendering import render
from openami.web.routes.live import momentary
from openami.web.times import month_of, week_of
from openami.web.usage import State

router = APIRouter(prefix="/home", include_in_schema=False)

SpanName = Literal["day", "week", "month"]


@router.get("")
def now(request: Request, at: At, meter: OwnMeter, _visitor: HouseholdVisitor) -> Response:
    """Show power now, today beside a usual day, the region's load."""
    now_us = at.clock.now_us()
    homes = overview.count(at.engine, meter.region)
    names = overview.regions(at.engine)
    enough = homes >= at.config.minimum_homes
    load_w, load_at_us = fleet.load_now(at, meter.region) if enough else (None, None)
    return render(
        request,
        "home/now.html",
        now_us=now_us,
        meter=meter,
        live=momentary(at, meter.meter_id),
        today=meterview.usual(at, meter, now_us),
        price=at.prices.at(now_us),
        homes=homes,
        region_colour=names.index(meter.region) % 4 + 1,
        enough=enough,
        minimum_homes=at.config.minimum_homes,
        load_w=load_w,
        load_at_us=load_at_us,
    )


@router.get("/use")
def use(
    request: Request,
    at: At,
    meter: OwnMeter,
    span: Annotated[SpanName, Query()] = "day",
    day: Day = None,
) -> Response:
    """Show a day, week or month, with its table and the file."""
    now_us = at.clock.now_us()
    today = at.calendar.date_of(now_us)
    day = min(day or today, today)
    first, last = {"day": (day, day), "week": week_of(day), "month": month_of(day)}[span]
    shown = meterview.days_slots(at, meter, first, min(last, today), now_us)
    bars = [] if span == "day" else meterview.day_bars(at, meter, first, min(last, today), now_us)
    return render(
        request,
        "home/use.html",
        now_us=now_us,
        meter=meter,
        span=span,
        day=day,
        today=today,
        first=first,
        last=last,
        before=first - timedelta(days=1),
        after=last + timedelta(days=1),
        installed=at.calendar.date_of(meter.installed_us),
        slots=shown,
        bars=bars,
        cost=meterview.cost_of(at, shown),
        estimated=shown.count(State.ESTIMATED, State.EDITED),
        missing=shown.count(State.MISSING),
        nothing=all(value is None for value in shown.values),
    )


@router.get("/more")
def more(request: Request, at: At, meter: OwnMeter) -> Response:
    """Show the meter, the tariff now, what is done with the data, and the way out."""
    now_us = at.clock.now_us()
    return render(
        request,
        "home/more.html",
        now_us=now_us,
        meter=meter,
        price=at.prices.at(now_us),
        daily_charge=at.prices.tariff.daily_charge,
        minimum_homes=at.config.minimum_homes,
        today=at.calendar.date_of(now_us),
        month_ago=at.calendar.date_of(now_us) - timedelta(days=30),
    )
