# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""Alarms over REST; the pages of the console show them with the events and with their meter."""

from typing import Annotated

from fastapi import APIRouter, Query

from openami.store import alarms
from openami.store.alarms import Alarm
from openami.web import answers
from openami.web.context import At
from openami.web.guards import UtilityVisitor, VisibleMeter

api = APIRouter(prefix="/api", tags=["alarms"])

Json = dict[str, object]
Name = Annotated[str, Query(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@api.get("/alarms", response_model=list[answers.OpenAlarm])
def open_alarms(
    at: At, _visitor: UtilityVisitor, region: Name = "", kind: Name = "", limit: Limit = 200
) -> list[Json]:
    """Return the open alarms of all meters, the latest first."""
    found = alarms.open_ones(at.engine, region=region, kind=kind, limit=limit)
    return [{"region": where, **_alarm(each)} for where, each in found]


@api.get("/alarms/regions")
def by_region(at: At, _visitor: UtilityVisitor) -> dict[str, dict[str, int]]:
    """Return how many meters have an open alarm of each kind, by region and kind."""
    return alarms.by_region(at.engine)


@api.get("/meters/{meter_id}/alarms", response_model=answers.MeterAlarms)
def of_meter(meter: VisibleMeter, at: At, _visitor: UtilityVisitor) -> Json:
    """Return a meter's alarms, those that were cleared too, and its registers as last known."""
    picture = alarms.last_picture(at.engine, meter.meter_id)
    return {
        "meter_id": meter.meter_id,
        "as_of_us": picture.as_of_us if picture else None,
        "registers": picture.words if picture else {},
        "alarms": [_alarm(each) for each in alarms.of(at.engine, meter.meter_id)],
    }


def _alarm(alarm: Alarm) -> Json:
    return {
        "meter_id": alarm.meter_id,
        "register": alarm.register,
        "bit": alarm.bit,
        "kind": alarm.kind,
        "text": alarm.text,
        "state": alarm.state,
        "since_us": alarm.since_us,
        "ended_us": alarm.ended_us,
        "cleared_us": alarm.cleared_us,
        "cleared_by": alarm.cleared_by,
    }
