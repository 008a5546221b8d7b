# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""The REST interface; its contract is /api/openapi.json.

Energies are integers of Wh, powers of W, times of microseconds UTC of the calendar (`_us`) or of
seconds for charts (`_s`).  States of slots: m measured, s suspect, e estimated, d edited, x
missing, f not there yet, b before the meter was installed.
"""

from datetime import date, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from openami.access.accounts import Role
from openami.exchange.channels import Channel
from openami.exchange.events import event_text
from openami.store import registry
from openami.store.overview import MeterFilter, MeterState
from openami.web import answers, fleet, meterlist, meterview
from openami.web.context import At, Context
from openami.web.exports import readings_csv
from openami.web.guards import (
    MOST_METER_ID,
    AnyVisitor,
    AskedWronglyError,
    Day,
    ForbiddenError,
    NotFoundError,
    StartUs,
    UtilityVisitor,
    VisibleMeter,
)
from openami.web.times import month_of, week_of
from openami.web.usage import reason_of, state_of

router = APIRouter(prefix="/api", tags=["api"])

Json = dict[str, object]
Name = Annotated[str, Query(max_length=64)]
MOST_DAYS: Final = 400
OFFERED: Final = (Channel.IMPORT_WH, Channel.EXPORT_WH)


@router.get("/clock", response_model=answers.Clock)
def clock(at: At, _visitor: AnyVisitor) -> Json:
    """Return the calendar and its speed."""
    return {
        "now_us": at.clock.now_us(),
        "speed": at.clock.speed,
        "zone": at.config.zone.key,
    }


@router.get("/fleet", response_model=answers.Fleet)
def fleet_state(at: At, _visitor: UtilityVisitor) -> Json:
    """Return the console's first figures."""
    state = fleet.today(at, at.clock.now_us())
    return {
        "meters": state.meters,
        "attached": state.attached,
        "expected": state.rate.expected,
        "actual": state.rate.actual,
        "estimated": state.rate.estimated,
        "gaps_open": state.gaps_open,
        "gap_intervals": state.gap_intervals,
        "inbox": state.inbox,
        "commands_open": state.commands_open,
        "disconnected": state.disconnected,
        "alarms": [{"cause": alarm.cause, "sentence": alarm.sentence} for alarm in state.alarms],
    }


@router.get("/regions/{region:path}/load", response_model=answers.RegionLoad)
def region_load(region: str, at: At, visitor: AnyVisitor, day: Day = None) -> Json:
    """Return a region's load of a local day and of the day before.

    A household may ask for its own region only, and sees nothing where fewer than `minimum_homes`
    homes are in the sum.
    """
    meters = registry.meters(at.engine, region=region)
    if visitor.account.role is Role.HOUSEHOLD and not any(
        visitor.account.meter_id == meter.meter_id for meter in meters
    ):
        raise ForbiddenError("Your account sees the load of its own region only.")
    if not meters:
        raise NotFoundError(f"There is no region {region}.")
    now_us = at.clock.now_us()
    day = day or at.calendar.date_of(now_us)
    minimum = at.config.minimum_homes if visitor.account.role is Role.HOUSEHOLD else 1
    load_w, load_at_us = fleet.load_now(at, region)
    hidden = len(meters) < minimum
    return {
        "region": region,
        "day": day.isoformat(),
        "homes": len(meters),
        "minimum_homes": minimum,
        "hidden": hidden,
        "now_w": None if hidden else load_w,
        "now_end_s": None if hidden or load_at_us is None else load_at_us // 1_000_000,
        "today": _load(at, meters, day, minimum),
        "before": _load(at, meters, day - timedelta(days=1), minimum),
    }


def _load(at: Context, meters: list[registry.Meter], day: date, minimum: int) -> Json:
    span = at.calendar.day(day)
    installed_us = min(meter.installed_us for meter in meters)
    load = at.readings.load([meter.meter_id for meter in meters], span)
    columns = meterview.load_columns(
        load,
        span,
        period_s=meters[0].capture_period_s,
        homes=len(meters),
        minimum=minimum,
    )
    return {**columns, "installed_s": installed_us // 1_000_000}


@router.get("/meters", response_model=list[answers.MeterLine])
def meters(  # noqa: PLR0913, PLR0917  a table has these filters
    at: At,
    _visitor: UtilityVisitor,
    q: Name = "",
    region: Name = "",
    state: MeterState = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: Annotated[int, Query(ge=-1, le=MOST_METER_ID)] = -1,
) -> list[Json]:
    """Return meters by number with their state: those after a number, so many at once."""
    wanted = MeterFilter(text=q.strip(), region=region, state=state)
    found, _ = meterlist.lines(at, at.clock.now_us(), wanted, limit=limit, after=after)
    return [
        {
            "meter_id": line.meter.meter_id,
            "title": line.meter.title.hex().upper(),
            "region": line.meter.region,
            "attached": line.attached,
            "breaker": line.meter.breaker,
            "last_end_us": line.last_end_us,
            "expected": line.rate.expected,
            "actual": line.rate.actual,
            "gaps": line.gaps,
            "source": line.meter.source,
        }
        for line in found
    ]


@router.get("/meters/{meter_id}", response_model=answers.MeterFacts)
def meter(meter: VisibleMeter) -> Json:
    """Return what the registry says of a meter."""
    return {
        "meter_id": meter.meter_id,
        "title": meter.title.hex().upper(),
        "ldn": meter.ldn,
        "region": meter.region,
        "concentrator": meter.concentrator.hex().upper(),
        "installed_us": meter.installed_us,
        "capture_period_s": meter.capture_period_s,
        "source": meter.source,
        "breaker": meter.breaker,
        "breaker_us": meter.breaker_us,
        "last_seen_us": meter.last_seen_us,
    }


@router.get("/meters/{meter_id}/day", response_model=answers.DaySlots)
def meter_day(
    meter: VisibleMeter,
    at: At,
    day: Day = None,
    channel: Annotated[int, Query()] = 1,
) -> Json:
    """Return the slots of a local day."""
    chosen = next((offered for offered in OFFERED if offered == channel), None)
    if chosen is None:
        numbers = ", ".join(str(int(offered)) for offered in OFFERED)
        raise AskedWronglyError(f"channel is {channel}: ask for one of {numbers}.")
    now_us = at.clock.now_us()
    day = day or at.calendar.date_of(now_us)
    shown = meterview.day_slots(at, meter, day, now_us, chosen)
    return {
        "meter_id": meter.meter_id,
        "day": day.isoformat(),
        "unit": chosen.row.unit,
        "now_s": now_us // 1_000_000,
        **meterview.slot_columns(shown),
    }


@router.get("/meters/{meter_id}/days", response_model=answers.DayBars)
def meter_days(
    meter: VisibleMeter,
    at: At,
    span: Annotated[Literal["week", "month"], Query()] = "week",
    day: Day = None,
) -> Json:
    """Return one bar a local day of the week or month around a day."""
    now_us = at.clock.now_us()
    day = day or at.calendar.date_of(now_us)
    first, last = week_of(day) if span == "week" else month_of(day)
    return {
        "meter_id": meter.meter_id,
        "span": span,
        "now_s": now_us // 1_000_000,
        **meterview.bar_columns(meterview.day_bars(at, meter, first, last, now_us)),
    }


@router.get("/meters/{meter_id}/today", response_model=answers.UsualDay)
def meter_today(meter: VisibleMeter, at: At) -> Json:
    """Return today's energy and cost beside a usual day."""
    figures = meterview.usual(at, meter, at.clock.now_us())
    return {
        "so_far_wh": figures.so_far_wh,
        "until_us": figures.until_us,
        "cost": f"{figures.cost:.2f}",
        "currency": at.prices.currency,
        "usual_wh": figures.usual_wh,
        "usual_so_far_wh": figures.usual_so_far_wh,
        "usual_days": figures.days,
        "unmeasured": figures.unmeasured,
    }


@router.get("/meters/{meter_id}/versions", response_model=list[answers.ValueVersion])
def versions(meter: VisibleMeter, at: At, start_us: StartUs, channel: int = 1) -> list[Json]:
    """Return every version of one value, oldest first."""
    chosen = next((offered for offered in OFFERED if offered == channel), Channel.IMPORT_WH)
    return [
        {
            "version": version.version,
            "value": version.value,
            "state": state_of(version.quality).value,
            "quality": version.quality,
            "reason": reason_of(version.quality),
            "received_us": version.received_us,
            "message_id": version.message_id,
        }
        for version in at.readings.versions(meter.meter_id, chosen, start_us)
    ]


@router.get("/meters/{meter_id}/events", response_model=list[answers.LoggedEvent])
def events(meter: VisibleMeter, at: At) -> list[Json]:
    """Return the latest events of the meter's log."""
    return [
        {"at_us": event.at_us, "code": event.code, "text": event_text(event.code)}
        for event in registry.events(at.engine, meter_id=meter.meter_id, limit=200)
    ]


@router.get("/meters/{meter_id}/readings.csv", response_class=StreamingResponse)
def readings(
    meter: VisibleMeter,
    at: At,
    first: Annotated[Day, Query(alias="from")] = None,
    last: Annotated[Day, Query(alias="to")] = None,
) -> StreamingResponse:
    """Return the intervals of local days, both included, as CSV with quality and version."""
    today = at.calendar.date_of(at.clock.now_us())
    last = last or today
    first = first or last
    if not timedelta(0) <= last - first <= timedelta(days=MOST_DAYS):
        sentence = f"from {first} to {last} is no span of 1 to {MOST_DAYS + 1} days."
        raise AskedWronglyError(sentence)
    return readings_csv(at, meter, first, last)
