# SPDX-License-Identifier: Apache-2.0

"""Firmware campaigns: the console's room, and the REST interface beside it.

Pages show what the store says and write what is wanted; head-ends carry it out.  An image comes by
`openami headend campaign`, which holds it to the keys that a person trusts; with one that came so
a campaign is planned over REST, too.
"""

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from openami.access.accounts import Role, record
from openami.exchange.campaign import Act, MeterState
from openami.exchange.waves import MOST_ROUNDS, Plan, PlanError
from openami.headend.campaign_picture import (
    LINES,
    bar_svg,
    legend,
    opened_s,
    states_legend,
    timeline_svg,
    waves_svg,
)
from openami.headend.campaign_report import meters as meters_of
from openami.headend.campaign_report import report, summary
from openami.headend.planning import plan_campaign
from openami.runtime.errors import ExitCode, UserError
from openami.store import campaign_meters, campaigns, registry, releases
from openami.store.campaigns import Campaign
from openami.store.database import StoreUnavailableError
from openami.web import answers_operation as answers
from openami.web.context import At, Context
from openami.web.guards import (
    MOST_METER_ID,
    AskedWronglyError,
    NotFoundError,
    OurForm,
    OurHeader,
    UtilityVisitor,
    Visitor,
    Written,
)
from openami.web.rendering import render
from openami.web.routes.operation import AskForMeters

router = APIRouter()

Json = dict[str, Any]
CampaignId = Annotated[str, Path(min_length=1, max_length=36, pattern="^[0-9a-f-]+$")]
ActName = Literal["start", "pause", "resume", "cancel"]
SHOWN: Final = 100  # meters of the table
PLAN: Final = Plan()
RULES, TRIES = PLAN.rules, PLAN.tries
MOST: Final = 10**9
Text = Annotated[str, Field(max_length=100), Written]
LOOKED_AT: Final = (
    *(MeterState.REVERTED, MeterState.IN_DOUBT, MeterState.FAILED),
    *(MeterState.TRIAL, MeterState.ACTIVATING, MeterState.TRANSFERRING),
    *(MeterState.TRANSFERRED, MeterState.VERIFIED),
)


class Why(BaseModel):
    """Why somebody moves a campaign."""

    reason: Annotated[str, Field(min_length=3, max_length=200), Written]


class Rules(BaseModel):
    """What stops a campaign, as far as it is not as delivered."""

    model_config = ConfigDict(extra="forbid")

    failed_percent: Annotated[float, Field(ge=0, le=100)] = RULES.failed_percent
    failed_least: Annotated[int, Field(ge=1, le=MOST)] = RULES.failed_least
    reverted_most: Annotated[int, Field(ge=0, le=MOST)] = RULES.reverted_most
    in_doubt_most: Annotated[int, Field(ge=0, le=MOST)] = RULES.in_doubt_most
    alarms_most: Annotated[int, Field(ge=0, le=MOST)] = RULES.alarms_most


class Budget(BaseModel):
    """How often a meter is tried, as far as it is not as delivered."""

    model_config = ConfigDict(extra="forbid")

    first_s: Annotated[float, Field(ge=0, le=MOST)] = TRIES.first_s
    most_s: Annotated[float, Field(ge=0, le=MOST)] = TRIES.most_s
    attempts_most: Annotated[int, Field(ge=1, le=MOST)] = TRIES.attempts_most
    octets_times: Annotated[float, Field(ge=1, le=MOST)] = TRIES.octets_times


class AskForCampaign(AskForMeters):
    """A campaign: with which release, for whom, and how (docs/campaigns.md)."""

    release_id: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    name: Text = ""
    waves: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)] = ("1",)
    soak_s: Annotated[float, Field(ge=0, le=MOST)] = PLAN.soak_s
    silence_s: Annotated[float, Field(ge=0, le=MOST)] = PLAN.silence_s
    window: Text | None = None
    activate_s: Annotated[
        Text | None, Field(description="Local time at which images are started, e.g. 02:30.")
    ] = None
    per_concentrator: Annotated[int, Field(ge=1, le=MOST)] = PLAN.per_concentrator
    from_versions: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    shown_as: Text = ""
    broadcast: Annotated[int, Field(ge=0, le=MOST_ROUNDS)] = PLAN.broadcast
    rules: Rules = Rules()
    tries: Budget = Budget()

    def plan(self) -> Plan:
        """Return how it goes.

        Raises:
            AskedWronglyError: A size or a time is none.
        """
        try:
            return Plan.of(self.model_dump())
        except PlanError as error:
            raise AskedWronglyError.of(error) from error


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
        raise AskedWronglyError.of(error) from error
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
    *,
    meters: Annotated[bool, Query(description="Tell meters by number, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: Annotated[int, Query(ge=-1, le=MOST_METER_ID)] = -1,
) -> Json:
    """Return a campaign's report, and meters if wanted: those after a number, so many at once."""
    name = _found(at, campaign_id).campaign_id
    told = report(at.engine, name)
    if meters:
        told["meters"] = meters_of(at.engine, name, after=after, limit=limit)
    return told


@router.get("/api/releases", tags=["firmware"], response_model=list[answers.Release])
def known(at: At, _visitor: UtilityVisitor) -> list[Json]:
    """Return the newest releases: signed images that were verified."""
    return [
        {
            "release_id": found.release_id,
            "name": found.name,
            "version": found.version,
            "size": found.size,
            "digest": found.digest.hex(),
            "keyhash": found.keyhash.hex(),
            "added_by": found.added_by,
            "added_real_us": found.added_real_us,
        }
        for found in releases.releases(at.engine)
    ]


@router.post(
    "/api/campaigns",
    tags=["firmware"],
    status_code=201,
    dependencies=[OurHeader],
    response_model=answers.CampaignPlanned,
)
def plan(asked: AskForCampaign, at: At, visitor: UtilityVisitor) -> Json:
    """Plan a campaign with a release that was verified; nothing is sent before it is started."""
    group = set(asked.group(at))
    try:
        planned = plan_campaign(
            at.engine,
            release_id=asked.release_id,
            name=asked.name,
            meters=[each for each in registry.meters(at.engine) if each.meter_id in group],
            plan=asked.plan(),
            asked_by=visitor.account.login,
            reason=asked.reason.strip(),
        )
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise AskedWronglyError.of(error) from error
    return asdict(planned)


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
    told = report(at.engine, found.campaign_id)
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
