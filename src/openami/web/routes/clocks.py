# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""Clocks: the page of the console, and the same over REST (docs/clocks.md)."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from openami.access.accounts import record
from openami.runtime.clock import MICROSECONDS
from openami.store import clocks as store
from openami.store.clocks import Kept, Measured
from openami.store.database import transaction
from openami.web import answers_operation as answers
from openami.web import clockview
from openami.web.context import At
from openami.web.guards import NotFoundError, OurHeader, UtilityVisitor, VisibleMeter, Written
from openami.web.rendering import render

pages = APIRouter(prefix="/console", include_in_schema=False)
api = APIRouter(prefix="/api", tags=["clocks"])

Json = dict[str, object]
Limit = Annotated[int, Query(ge=1, le=1000)]
HOUR_US: Final = 3600 * MICROSECONDS


@pages.get("/clocks")
def clocks_page(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Show how right the clocks are."""
    return render(request, "console/clocks.html", state=clockview.state(at))


@pages.get("/clocks/state")
def clocks_state(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Return the part of the page that is renewed."""
    return render(request, "console/clocks_state.html", state=clockview.state(at))


@api.get("/clocks", response_model=answers.Clocks)
def clocks(at: At, _visitor: UtilityVisitor, limit: Limit = 10) -> Json:
    """Return all clocks at a glance, and those that are furthest off."""
    state = clockview.state(at, limit)
    return {
        "meters": state.meters,
        "measured": state.summary.measured,
        "within": state.summary.within,
        "noticed": state.summary.noticed,
        "timeless": state.summary.timeless,
        "mean_deviation_s": state.summary.ahead_s,
        "mean_drift_s_per_day": state.summary.drift_s,
        "oldest_us": state.summary.oldest_us,
        "suspected": [
            {"worker": each.worker, "suspected_us": each.suspected_us, "sentence": each.said}
            for each in state.suspicions
        ],
        "worst": [_clock(each) for each in state.worst],
    }


class Trust(BaseModel):
    """That a person has looked at clocks of head-ends, and how that is known."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=3, max_length=200), Written]
    workers: Annotated[
        list[Annotated[str, Written]], Field(max_length=1000, description="None: all.")
    ] = []
    hours: Annotated[float, Field(ge=0.1, le=24 * 31)] = 24.0


@api.post("/clocks/trust", dependencies=[OurHeader], response_model=answers.Trusted)
def trust(asked: Trust, at: At, visitor: UtilityVisitor) -> Json:
    """Say that clocks of head-ends are right: they correct meters that are off alike."""
    known = store.workers(at.engine)
    chosen = sorted(set(asked.workers)) or known
    if odd := sorted(set(chosen) - set(known)):
        there = ", ".join(known) or "none"
        raise NotFoundError(f"Head-end {odd[0]} has measured no clock: there are {there}.")
    until_us = at.clock.now_us() + round(asked.hours * HOUR_US)
    with transaction(at.engine) as connection:
        store.trust(connection, chosen, until_us)
        what = f"{', '.join(chosen)}: {asked.reason.strip()}"
        record(connection, visitor.account.login, "clocks.trust", what)
    return {"workers": chosen, "until_us": until_us}


@api.get("/meters/{meter_id}/clock", response_model=answers.MeterClock)
def of_meter(meter: VisibleMeter, at: At, _visitor: UtilityVisitor) -> Json:
    """Return a meter's clock as it was measured last, and what was measured before."""
    found = clockview.of_meter(at, meter.meter_id)
    return {
        "meter_id": meter.meter_id,
        "clock": None if found.clock is None else _clock(found.clock),
        "history": [_measured(each) for each in found.history],
    }


def _clock(clock: Kept) -> Json:
    return {
        "meter_id": clock.meter_id,
        "measured_us": clock.measured_us,
        "deviation_s": clock.deviation_s,
        "uncertainty_s": clock.uncertainty_s,
        "status": clock.status,
        "worker": clock.worker,
        "tolerated_s": clock.tolerated_s,
        "within": clock.within,
        "drift_s_per_day": clock.drift_s,
        "drift_uncertainty_s_per_day": clock.drift_uncertainty_s,
        "notice": clock.notice,
        "said": clock.said,
        "corrected_us": clock.asked_us,
        "command_id": clock.command_id,
    }


def _measured(each: Measured) -> Json:
    return {
        "measured_us": each.measured_us,
        "deviation_s": each.deviation_s,
        "uncertainty_s": each.uncertainty_s,
        "status": each.status,
        "after_command": each.moved,
        "worker": each.worker,
    }
