# SPDX-License-Identifier: Apache-2.0

"""Firmware campaigns: the console's room, and the REST interface beside it.

Pages show what the store says and write what is wanted; head-ends carry it out.  Planning needs the
image and its keys, and is done by `openami headend campaign plan`.
"""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup
from pydantic import BaseModel, Field

from openami.access.accounts import Role, record
from openami.exchange.campaign import Act, MeterState
from openami.headend.campaign_picture import (
    LINES,
    bar_svg,
    legend,
    opened_s,
    states_legend,
    timeline_svg,
    waves_svg,
)
from openami.headend.campaign_report import report, summary
from openami.runtime.errors import ExitCode, UserError
from openami.store import campaign_meters, campaigns
from openami.store.campaigns import Campaign
from openami.store.database import StoreUnavailableError
from openami.web import answers_operation as answers
from openami.web.context import At, Context
from openami.web.guards import (
    AskedWronglyError,
    NotFoundError,
    OurForm,
    OurHeader,
    UtilityVisitor,
    Visitor,
    Written,
)
from openami.web.rendering import render

router = APIRouter()

Json = dict[str, Any]
CampaignId = Annotated[str, Path(min_length=1, max_length=36, pattern="^[0-9a-f-]+$")]
ActName = Literal["start", "pause", "resume", "cancel"]
SHOWN: Final = 100  # meters of the table
LOOKED_AT: Final = (
    *(MeterState.REVERTED, MeterState.IN_DOUBT, MeterState.FAILED),
    *(MeterState.TRIAL, MeterState.ACTIVATING, MeterState.TRANSFERRING),
    *(MeterState.TRANSFERRED, MeterState.VERIFIED),
)


class Why(BaseModel):
    """Why somebody moves a campaign."""

    reason: Annotated[str, Field(min_length=3, max_length=200), Written]


def _found(at: Context, campaign_id: str) -> Campaign:
    try:
        return campaigns.campaign(at.engine, campaign_id)
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise NotFoundError(f"There is no campaign {campaign_id}.") from error


def _act(at: Context, visitor: Visitor, campaign_id: str, act: Act, reason: str) -> Campaign:
    """Move a campaign, with its line of the audit trail."""
    found, login = _found(at, campaign_id), visitor.account.login
    try:
        moved = campaigns.act(at.engine, found.campaign_id, act, by=login, reason=reason)
    except UserError as error:
        if error.exit_code is not ExitCode.ASKED_WRONGLY:
            raise
        sentence = str(error)
        raise AskedWronglyError(f"{sentence[0].upper()}{sentence[1:]}.") from error
    record(at.engine, login, f"firmware.{act.value}", f"{found.campaign_id}: {reason}")
    return moved


# REST -----------------------------------------------------------------------------------------


@router.get("/api/campaigns", tags=["firmware"], response_model=list[answers.Campaign])
def every(at: At, _visitor: UtilityVisitor) -> list[Json]:
    """Return the latest firmware campaigns, newest first: waves, states, what comes next."""
    return [summary(at.engine, found) for found in campaigns.campaigns(at.engine)]


@router.get("/api/campaigns/{campaign_id}", tags=["firmware"], response_model=answers.Campaign)
def one(
    campaign_id: CampaignId,
    at: At,
    _visitor: UtilityVisitor,
    meters: Annotated[bool, Query(description="Tell each meter.")] = False,  # noqa: FBT002  a query
) -> Json:
    """Return a campaign's report."""
    return report(at.engine, _found(at, campaign_id).campaign_id, meters=meters)


@router.post(
    "/api/campaigns/{campaign_id}/{act}",
    tags=["firmware"],
    status_code=202,
    dependencies=[OurHeader],
    response_model=answers.CampaignMoved,
)
def move(campaign_id: CampaignId, act: ActName, why: Why, at: At, visitor: UtilityVisitor) -> Json:
    """Start, pause, resume or cancel a campaign."""
    moved = _act(at, visitor, campaign_id, Act(act), why.reason.strip())
    return {"campaign_id": moved.campaign_id, "state": moved.state.value}


# Pages ----------------------------------------------------------------------------------------


@router.get("/console/firmware", include_in_schema=False)
def room(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Show all campaigns."""
    found = [summary(at.engine, each) for each in campaigns.campaigns(at.engine)]
    pictures = {  # made of numbers and our own words
        each["campaign_id"]: Markup(bar_svg(each["states"]))  # noqa: S704
        for each in found
    }
    return render(
        request,
        "console/firmware.html",
        now_us=at.clock.now_us(),
        campaigns=found,
        pictures=pictures,
    )


@router.get("/console/firmware/{campaign_id}", include_in_schema=False)
def campaign(
    request: Request, at: At, campaign_id: CampaignId, visitor: UtilityVisitor
) -> Response:
    """Show one campaign."""
    return render(request, "console/campaign.html", **_shown(at, campaign_id, visitor))


@router.get("/console/firmware/{campaign_id}/state", include_in_schema=False)
def state(
    request: Request,
    at: At,
    campaign_id: CampaignId,
    visitor: UtilityVisitor,
    shown: Annotated[str, Query(max_length=12)],
) -> Response:
    """Return the part that is renewed; a campaign that was moved renews the page."""
    told = _shown(at, campaign_id, visitor)
    answer = render(request, "console/campaign_state.html", **told)
    if told["told"]["state"] != shown:
        answer.headers["HX-Refresh"] = "true"  # other buttons belong to it now
    return answer


def _shown(at: Context, campaign_id: str, visitor: Visitor) -> dict[str, Any]:
    found = _found(at, campaign_id)
    told = report(at.engine, found.campaign_id, meters=False)
    meters = campaign_meters.targets(at.engine, found.campaign_id, states=LOOKED_AT, limit=SHOWN)
    meters.sort(key=lambda each: (LOOKED_AT.index(each.state), each.meter_id))
    line = timeline_svg(told["timeline"], told["meters_in_all"], opened_s(told))
    return {
        "now_us": at.clock.now_us(),
        "told": told,
        "may": told["may"] if visitor.account.role is Role.UTILITY else [],
        "meters": meters,
        "most": SHOWN,
        # Both are made of numbers and our own words.
        "waves": Markup(waves_svg(told["waves"]) + states_legend(list(told["states"]))),  # noqa: S704
        "line": Markup(line + legend(LINES)) if line else "",  # noqa: S704
    }


@router.post(
    "/console/firmware/{campaign_id}/{act}", include_in_schema=False, dependencies=[OurForm]
)
def press(  # noqa: PLR0913, PLR0917  a form has these fields
    request: Request,
    at: At,
    campaign_id: CampaignId,
    act: ActName,
    visitor: UtilityVisitor,
    reason: Annotated[str, Form(min_length=3, max_length=200), Written],
) -> Response:
    """Do what a button says, and show the campaign."""
    try:
        _act(at, visitor, campaign_id, Act(act), reason.strip())
    except AskedWronglyError as error:
        shown = _shown(at, campaign_id, visitor)
        return render(request, "console/campaign.html", problem=str(error), **shown)
    return RedirectResponse(f"/console/firmware/{campaign_id}", status_code=303)
