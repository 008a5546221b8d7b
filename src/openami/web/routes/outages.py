# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""Outages and events: the pages of the console, and the same over REST."""

from datetime import date
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from openami.access.accounts import record
from openami.exchange.events import event_text
from openami.runtime.clock import real_us
from openami.store import alarms, eventbook, outages, overview, supply
from openami.store.outages import Outage, UnknownOutageError
from openami.web import answers, outageview
from openami.web.context import At, Context
from openami.web.guards import (
    LAST_US,
    MOST_METER_ID,
    AskedWronglyError,
    NotFoundError,
    OurForm,
    OurHeader,
    UtilityVisitor,
    VisibleMeter,
    Visitor,
    Written,
)
from openami.web.rendering import render

pages = APIRouter(prefix="/console", include_in_schema=False)
api = APIRouter(prefix="/api", tags=["outages"])

Json = dict[str, object]
PAGE: Final = 200
MOST_ID: Final = 2**53
MOST_PAGES: Final = 1_000_000
OutageId = Annotated[int, Path(ge=1, le=MOST_ID)]
SeverityName = Literal["", "harm", "look", "info"]
Acknowledged = Literal["", "yes", "no"]
Name = Annotated[str, Query(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Month = Annotated[  # such as 2026-03; empty: the running one
    str, Query(pattern=r"\A((19[7-9]\d|2\d{3})-(0[1-9]|1[0-2]))?\z", max_length=7)
]
Note = Annotated[str, Form(min_length=3, max_length=400), Written]


class Acknowledge(BaseModel):
    """What an operator says who has looked."""

    note: Annotated[str, Field(min_length=3, max_length=400), Written]


class AcknowledgeEvents(Acknowledge):
    """... and at which events."""

    event_ids: Annotated[list[int], Field(min_length=1, max_length=1000)]


# Pages --------------------------------------------------------------------------------------------


@pages.get("/outages")
def outages_page(request: Request, at: At, _visitor: UtilityVisitor, month: Month = "") -> Response:
    """Show who is without supply, and how reliable it was in a month."""
    now_us = at.clock.now_us()
    state = outageview.state(at, now_us, _first(month))
    return render(request, "console/outages.html", now_us=now_us, state=state)


@pages.get("/outages/state")
def outages_state(
    request: Request, at: At, _visitor: UtilityVisitor, month: Month = ""
) -> Response:
    """Return the part of the page that is renewed every second."""
    now_us = at.clock.now_us()
    state = outageview.state(at, now_us, _first(month))
    return render(request, "console/outages_state.html", now_us=now_us, state=state)


@pages.get("/outages/{outage_id}")
def outage_page(
    request: Request,
    at: At,
    outage_id: OutageId,
    _visitor: UtilityVisitor,
    page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
) -> Response:
    """Show one outage: its meters, a page of them at a time, and how it was found."""
    found = _known(at, outage_id, limit=PAGE, skipped=(page - 1) * PAGE)
    pages = max(1, -(-found.tally.meters // PAGE))
    return render(request, "console/outage.html", shown_outage=found, page=page, pages=pages)


@pages.post("/outages/{outage_id}/acknowledge", dependencies=[OurForm])
def acknowledge_page(at: At, outage_id: OutageId, visitor: UtilityVisitor, note: Note) -> Response:
    """Write that somebody has looked at an outage."""
    _acknowledge(at, visitor, outage_id, note)
    return RedirectResponse(f"/console/outages/{outage_id}", status_code=303)


@pages.get("/events")
def events_page(  # noqa: PLR0913, PLR0917  a table has these filters
    request: Request,
    at: At,
    _visitor: UtilityVisitor,
    severity: SeverityName = "",
    kind: Name = "",
    region: Name = "",
    acknowledged: Acknowledged = "",
) -> Response:
    """Show events of all meters; its filters stand in the address."""
    found = _search(at, severity, kind, region, acknowledged, PAGE)
    return render(
        request,
        "console/events.html",
        events=found,
        rate=at.severities.rate,
        kinds=at.severities.kinds,
        regions=overview.regions(at.engine),
        severity=severity,
        kind=kind,
        region=region,
        acknowledged=acknowledged,
        most=PAGE,
        alarms=alarms.open_ones(at.engine, region=region, limit=PAGE),
        alarm_counts=alarms.by_region(at.engine, [region] if region else ()),
    )


@pages.post("/events/acknowledge", dependencies=[OurForm])
def acknowledge_events_page(
    at: At,
    visitor: UtilityVisitor,
    note: Note,
    event: Annotated[list[int], Form()],
    back: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    """Write that somebody has looked at events."""
    _acknowledge_events(at, visitor, event, note)
    target = back if back.startswith("/console/events") else "/console/events"
    return RedirectResponse(target, status_code=303)


# REST ---------------------------------------------------------------------------------------------


@api.get("/outages", response_model=list[answers.Outage])
def list_outages(
    at: At,
    _visitor: UtilityVisitor,
    state: Literal["open", "ended"] = "open",
    limit: Limit = 100,
    since_us: Annotated[int, Query(ge=0, le=LAST_US)] = 0,
) -> list[Json]:
    """Return outages: those that are open, or the latest that ended since a calendar time."""
    if state == "open":
        return [_outage(each) for each in outages.open_outages(at.engine, limit=limit)]
    found = outages.ended(at.engine, since_us=since_us, limit=limit)
    return [_outage(each) for each in found]


@api.get("/outages/reliability", response_model=list[answers.Reliability])
def reliability(at: At, _visitor: UtilityVisitor, month: Month = "") -> list[Json]:
    """Return SAIDI, SAIFI and CAIDI of each feeder in a local month (docs/outages.md, 6)."""
    return [
        {
            "feeder": each.feeder,
            "customers": each.indices.customers,
            "sustained": each.indices.sustained,
            "momentary": each.indices.momentary,
            "saifi": each.indices.saifi,
            "saidi_min": each.indices.saidi_min,
            "caidi_min": each.indices.caidi_min,
        }
        for each in outageview.months(at, at.clock.now_us(), _first(month))
    ]


@api.get("/outages/{outage_id}", response_model=answers.OutageTold)
def one_outage(
    at: At,
    outage_id: OutageId,
    _visitor: UtilityVisitor,
    limit: Limit = 1000,
    after: Annotated[int, Query(ge=-1, le=MOST_METER_ID)] = -1,
) -> Json:
    """Return an outage with its parts, how it was found, and meters: so many after a number."""
    shown = _known(at, outage_id, limit=limit, after=after)
    return {
        **_outage(shown.outage),
        "parts": [part.outage_id for part in shown.parts],
        "dark": shown.tally.dark,
        "back": shown.back,
        "meters": [
            {
                "meter_id": member.meter_id,
                "lost_us": member.lost_us,
                "returned_us": member.returned_us,
                "evidence": member.evidence.value,
            }
            for member in shown.members
        ],
        "history": [{"at_real_us": step.at_real_us, "note": step.note} for step in shown.history],
    }


@api.post(
    "/outages/{outage_id}/acknowledge", dependencies=[OurHeader], response_model=answers.Outage
)
def acknowledge_outage(
    at: At, outage_id: OutageId, visitor: UtilityVisitor, asked: Acknowledge
) -> Json:
    """Write that somebody has looked at an outage."""
    _acknowledge(at, visitor, outage_id, asked.note)
    return _outage(outages.outage(at.engine, outage_id))


@api.get("/events", response_model=list[answers.BookedEvent])
def list_events(  # noqa: PLR0913, PLR0917  a table has these filters
    at: At,
    _visitor: UtilityVisitor,
    severity: SeverityName = "",
    kind: Name = "",
    region: Name = "",
    acknowledged: Acknowledged = "",
    limit: Limit = 200,
) -> list[Json]:
    """Return events of all meters, the newest first."""
    return [
        {
            "event_id": event.event_id,
            "meter_id": event.meter_id,
            "region": event.region,
            "at_us": event.at_us,
            "received_us": event.received_us,
            "code": event.code,
            "text": event_text(event.code),
            "kind": at.severities.rate(event.code).kind,
            "severity": at.severities.rate(event.code).severity.value,
            "acknowledged_by": event.acknowledged_by,
            "acknowledged_real_us": event.acknowledged_real_us,
            "note": event.note,
        }
        for event in _search(at, severity, kind, region, acknowledged, limit)
    ]


@api.post("/events/acknowledge", dependencies=[OurHeader], response_model=answers.Acknowledged)
def acknowledge_events(at: At, visitor: UtilityVisitor, asked: AcknowledgeEvents) -> Json:
    """Write that somebody has looked at events; those acknowledged before stay as they are."""
    return {"acknowledged": _acknowledge_events(at, visitor, asked.event_ids, asked.note)}


@api.get("/meters/{meter_id}/supply", response_model=answers.SupplyTold)
def meter_supply(meter: VisibleMeter, at: At) -> Json:
    """Return whether a meter is believed to have supply, and since when not."""
    known = supply.of(at.engine, [meter.meter_id]).get(meter.meter_id)
    if known is None:
        return {"meter_id": meter.meter_id, "supplied": True, "lost_us": None, "returned_us": None}
    return {
        "meter_id": meter.meter_id,
        "supplied": not known.is_lost,
        "lost_us": known.lost_us,
        "returned_us": known.returned_us,
        "evidence": known.evidence.value,
        "outage_id": known.outage_id or None,
    }


# Both ---------------------------------------------------------------------------------------------


def _first(month: str) -> date | None:
    return date.fromisoformat(f"{month}-01") if month else None


def _known(
    at: Context, outage_id: int, *, limit: int, after: int = -1, skipped: int = 0
) -> outageview.Shown:
    try:
        return outageview.one(at, outage_id, limit=limit, after=after, skipped=skipped)
    except UnknownOutageError as error:
        raise NotFoundError(f"There is no outage {outage_id}.") from error


def _acknowledge(at: Context, visitor: Visitor, outage_id: int, note: str) -> None:
    login = visitor.account.login
    try:
        outages.acknowledge(at.engine, outage_id, login, note.strip(), real_us())
    except UnknownOutageError as error:
        raise NotFoundError(f"There is no outage {outage_id}.") from error
    record(at.engine, login, "outage.acknowledge", f"outage {outage_id}")


def _acknowledge_events(at: Context, visitor: Visitor, event_ids: list[int], note: str) -> int:
    if not all(0 < number <= MOST_ID for number in event_ids):
        raise AskedWronglyError("An event's number is 1 or more.")
    login = visitor.account.login
    done = eventbook.acknowledge(at.engine, event_ids, login, note.strip(), real_us())
    record(at.engine, login, "events.acknowledge", f"{done} events")
    return done


def _search(  # noqa: PLR0913, PLR0917  a table has these filters
    at: Context, severity: str, kind: str, region: str, acknowledged: str, limit: int
) -> list[eventbook.BookedEvent]:
    chosen = severity or kind
    return eventbook.search(
        at.engine,
        codes=at.severities.codes(kind=kind, severity=severity) if chosen else None,
        region=region,
        acknowledged={"yes": True, "no": False}.get(acknowledged),
        limit=limit,
    )


def _outage(outage: Outage) -> Json:
    return {
        "outage_id": outage.outage_id,
        "scope": outage.scope.value,
        "place": outage.place,
        "region": outage.region,
        "parent_id": outage.parent_id,
        "began_us": outage.began_us,
        "found_real_us": outage.found_real_us,
        "ended_us": outage.ended_us,
        "verified": outage.verified,
        "sentence": outage.sentence,
        "acknowledged_by": outage.acknowledged_by,
        "note": outage.note,
    }
