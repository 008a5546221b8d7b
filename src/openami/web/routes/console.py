# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""The utility's console: Today, Meters, Data quality, Jobs; one page a meter."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request, Response

from openami.exchange.channels import Channel
from openami.exchange.commands import OPEN, CommandState
from openami.exchange.events import ALARMS
from openami.exchange.supply import Supply
from openami.runtime.status import read_statuses
from openami.store import (
    alarms,
    campaign_meters,
    commands,
    data_quality,
    eventbook,
    inbox,
    outage_members,
    overview,
    registry,
    releases,
    supply,
)
from openami.store.overview import MeterFilter, MeterState
from openami.web import clockview, fleet, meterlist, meterview
from openami.web.context import At
from openami.web.guards import (
    Day,
    StartUs,
    UtilityVisitor,
    VisibleMeter,
)
from openami.web.rendering import render
from openami.web.routes.commands import asked_of
from openami.web.routes.live import momentary
from openami.web.times import DAY_US, MINUTE_US
from openami.web.usage import State

router = APIRouter(prefix="/console", include_in_schema=False)

PAGE: Final = 200  # rows of a table at once
MOST_PAGES: Final = 1_000_000
SHOWN_US: Final = 15 * MINUTE_US  # how long a finished command stays in the panel, real time
STAYING: Final = OPEN | {CommandState.IN_DOUBT}

Reason = Annotated[str, Form(min_length=3, max_length=200)]


@router.get("")
def today(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Show whether all is normal."""
    now_us = at.clock.now_us()
    state = fleet.today(at, now_us)
    return render(request, "console/today.html", now_us=now_us, state=state)


@router.get("/today/state")
def today_state(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Return the part of the page that is renewed every other second."""
    now_us = at.clock.now_us()
    state = fleet.today(at, now_us)
    return render(request, "console/today_state.html", now_us=now_us, state=state)


@router.get("/meters")
def meters(  # noqa: PLR0913, PLR0917  a table has these filters
    request: Request,
    at: At,
    _visitor: UtilityVisitor,
    q: Annotated[str, Query(max_length=64)] = "",
    region: Annotated[str, Query(max_length=64)] = "",
    state: MeterState = "",
    page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
) -> Response:
    """Show the table of meters; its filters stand in the address."""
    now_us = at.clock.now_us()
    wanted = MeterFilter(text=q.strip(), region=region, state=state)
    lines, found = meterlist.lines(at, now_us, wanted, limit=PAGE, skipped=(page - 1) * PAGE)
    name = "console/meters_table.html" if _is_fragment(request) else "console/meters.html"
    return render(
        request,
        name,
        now_us=now_us,
        lines=lines,
        found=found,
        total=overview.count(at.engine),
        regions=overview.regions(at.engine),
        q=q,
        region=region,
        state=state,
        page=page,
        pages=max(1, -(-found // PAGE)),
    )


def _is_fragment(request: Request) -> bool:
    return request.headers.get("HX-Target") == "meters-table"


@router.get("/meters/{meter_id}")
def meter(
    request: Request,
    at: At,
    meter: VisibleMeter,
    visitor: UtilityVisitor,
    day: Day = None,
) -> Response:
    """Show one meter: identity, live values, day, events, commands, gaps, findings."""
    now_us = at.clock.now_us()
    today = at.calendar.date_of(now_us)
    day = min(day or today, today)
    shown = meterview.day_slots(at, meter, day, now_us)
    number = meter.meter_id
    attachment = registry.attachment(at.engine, number)
    supplied = supply.of(at.engine, [number]).get(number)
    return render(
        request,
        "console/meter.html",
        now_us=now_us,
        meter=meter,
        attachment=attachment,
        firmware=releases.firmware(at.engine, number),
        campaign=campaign_meters.last_of_meter(at.engine, number),
        live=momentary(at, number),
        clock=clockview.of_meter(at, number),
        day=day,
        today=today,
        before=day - timedelta(days=1),
        after=day + timedelta(days=1),
        installed=at.calendar.date_of(meter.installed_us),
        slots=shown,
        estimated=shown.count(State.ESTIMATED, State.EDITED),
        missing=shown.count(State.MISSING),
        events=eventbook.search(at.engine, meter_id=number, limit=50),
        rate=at.severities.rate,
        alarms=alarms.of(at.engine, number),
        alarm_picture=alarms.last_picture(at.engine, number),
        supply=supplied,
        not_read=_not_read(attachment, supplied),
        interruptions=outage_members.of_meter(at.engine, number),
        gaps=data_quality.gaps(
            at.engine, meter_id=number, states=("open", "estimated", "filled"), limit=50
        ),
        findings=data_quality.findings(at.engine, meter_id=number, limit=50),
        shared=asked_of(at, meter, visitor),
    )


def _not_read(attachment: registry.Attachment | None, supplied: Supply | None) -> str:
    """Return why it is not known what a meter replays: it is asked once it can be."""
    sentence = "The head-end has not read yet what it replays"
    if supplied is not None and supplied.is_lost:
        return f"{sentence}: the meter is without supply, and is asked when it is back."
    if attachment is None or not attachment.attached:
        return f"{sentence}: the meter is asked when it is on its concentrator."
    return f"{sentence}: it asks with the next reading of the profile."


@router.get("/meters/{meter_id}/interval")
def interval(
    request: Request,
    at: At,
    meter: VisibleMeter,
    _visitor: UtilityVisitor,
    start_us: StartUs,
) -> Response:
    """Show every version of one value and where it came from."""
    versions = at.readings.versions(meter.meter_id, Channel.IMPORT_WH, start_us)
    findings = [
        finding
        for finding in data_quality.findings(
            at.engine, meter_id=meter.meter_id, from_us=start_us, limit=1000
        )
        if finding.start_us == start_us
    ]
    return render(
        request,
        "console/interval.html",
        meter=meter,
        start_us=start_us,
        versions=versions,
        carriages={
            version.message_id: at.readings.carriage(version.message_id)
            for version in versions
            if version.message_id
        },
        findings=findings,
    )


@router.get("/quality")
def quality(
    request: Request,
    at: At,
    _visitor: UtilityVisitor,
    code: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Show gaps, findings, rejected messages and alarm events."""
    now_us = at.clock.now_us()
    rejected = inbox.rejections(at.engine, limit=50)
    return render(
        request,
        "console/quality.html",
        now_us=now_us,
        state=fleet.today(at, now_us),
        gaps=data_quality.gaps(at.engine, limit=PAGE),
        gap_counts=data_quality.count_gaps(at.engine),
        codes=data_quality.count_findings(at.engine),
        code=code,
        findings=data_quality.findings(at.engine, codes=[code] if code else None, limit=PAGE),
        rejected=rejected,
        titles=registry.numbers(at.engine, {message.title for message in rejected}),
        events=registry.events(
            at.engine, codes=list(ALARMS), since_us=now_us - 7 * DAY_US, limit=50
        ),
    )


@router.get("/jobs")
def jobs(
    request: Request,
    at: At,
    _visitor: UtilityVisitor,
    state: Annotated[str, Query(max_length=12)] = "",
) -> Response:
    """Show commands, newest first."""
    chosen = next((known for known in CommandState if known.value == state), None)
    if chosen is None:
        found = commands.commands(at.engine, limit=PAGE)
    else:
        found = commands.in_state(at.engine, {chosen}, limit=PAGE)[::-1]
    return render(
        request,
        "console/jobs.html",
        commands=found,
        steps={job.command_id: commands.history(at.engine, job.command_id) for job in found[:50]},
        states=list(CommandState),
        state=chosen.value if chosen else "",
        open_states=OPEN,
        processes=read_statuses(at.config.run),
    )
