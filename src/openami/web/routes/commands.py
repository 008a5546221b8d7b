# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""Commands: asked for by the REST interface and by the forms of a meter's page, and followed.

What a kind takes is checked by `headend.orders`, who may send it by `access.policy`, the same for
both; a page writes the command and never calls a meter.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from openami.access import policy
from openami.exchange.commands import OPEN, CommandKind, CommandState, Priority
from openami.headend import requests
from openami.headend.orders import CLOCK_ACTIONS, OrderError
from openami.headend.requests import NotPermittedError
from openami.headend.tariff_file import TariffError
from openami.runtime.clock import MICROSECONDS, real_us, to_us
from openami.runtime.errors import UserError
from openami.store import commands, registry
from openami.store.commands import Command
from openami.store.database import StoreUnavailableError
from openami.web import answers
from openami.web.command_forms import TITLES, argument_of, moment_of
from openami.web.context import At, Context
from openami.web.guards import (
    AskedWronglyError,
    ForbiddenError,
    MeterId,
    MisunderstoodError,
    NotFoundError,
    OurForm,
    OurHeader,
    StaffVisitor,
    VisibleMeter,
    Visitor,
    Written,
    known_meter,
    known_meters,
)
from openami.web.rendering import render
from openami.web.times import MINUTE_US

api = APIRouter(prefix="/api", tags=["commands"])
pages = APIRouter(prefix="/console", include_in_schema=False)

Json = dict[str, object]
Kind = Literal[
    "read",
    "connect",
    "arm",
    "disconnect",
    "limit",
    "tariff",
    "clock",
    "alarms",
    "parameters",
    "bundle",
]
State = Literal[
    "requested",
    "reserved",
    "sent",
    "confirmed",
    "refused",
    "failed",
    "in doubt",
    "expired",
    "cancelled",
]
Reason = Annotated[str, Form(min_length=3, max_length=200), Written]

SHOWN_US: Final = 15 * MINUTE_US  # how long a finished command stays in the panel, real time
STAYING: Final = OPEN | {CommandState.IN_DOUBT}
LISTED: Final = 50


class Ask(BaseModel):
    """A command that is asked for; the forms of `argument` are in docs/commands.md."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    reason: Annotated[str, Field(min_length=3, max_length=200), Written]
    argument: dict[str, Any] = Field(default_factory=dict)
    priority: Literal["urgent", "normal", "low"] = "normal"
    valid_in_s: float = 0.0
    valid_s: float = 300.0
    correlation: Annotated[str, Written] | None = None

    def request(self) -> requests.Request:
        """Return it as the head-end's requests have it."""
        return requests.Request(
            kind=CommandKind(self.kind),
            argument=self.argument,
            reason=self.reason,
            priority=Priority[self.priority.upper()],
            valid_in_s=self.valid_in_s,
            valid_s=self.valid_s,
            correlation=self.correlation,
        )


class AskMany(Ask):
    """The same for many meters: by number, or all of a region."""

    meters: list[int] = Field(default_factory=list, max_length=100_000)
    region: Annotated[str, Written] | None = None


@contextmanager
def _said() -> Iterator[None]:
    """Turn what the head-end's requests refuse into answers."""
    try:
        yield
    except (OrderError, TariffError) as error:
        raise MisunderstoodError(_sentence(error)) from error
    except NotPermittedError as error:
        raise ForbiddenError(_sentence(error)) from error
    except commands.MeterBusyError as error:
        raise AskedWronglyError(_sentence(error)) from error


def _sentence(error: UserError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _ask(at: Context, visitor: Visitor, meter_id: int, wanted: requests.Request) -> str:
    known_meter(at, meter_id)
    account = visitor.account
    with _said():
        return requests.ask(at.engine, meter_id, wanted, login=account.login, role=account.role)


# REST ------------------------------------------------------------------------------------------


@api.post(
    "/meters/{meter_id}/commands",
    status_code=202,
    dependencies=[OurHeader],
    response_model=answers.CommandAsked,
)
def ask(meter_id: MeterId, asked: Ask, at: At, visitor: StaffVisitor) -> Json:
    """Ask a meter for something; the answer names the command to follow."""
    return {"command_id": _ask(at, visitor, meter_id, asked.request())}


@api.post(
    "/commands", status_code=202, dependencies=[OurHeader], response_model=answers.CommandsAsked
)
def ask_many(asked: AskMany, at: At, visitor: StaffVisitor) -> Json:
    """Ask many meters for the same; the answer names the commands, and who was left out why."""
    if bool(asked.meters) == (asked.region is not None):
        raise MisunderstoodError("Name the meters, or their region, and not both.")
    if asked.region is None:
        meters = known_meters(at, asked.meters)
    else:
        meters = [meter.meter_id for meter in registry.meters(at.engine, region=asked.region)]
        if not meters:
            raise NotFoundError(f"There is no region {asked.region}.")
    account = visitor.account
    with _said():
        done, left = requests.ask_many(
            at.engine, meters, asked.request(), login=account.login, role=account.role
        )
    return {"commands": done, "left_out": left}


@api.get("/commands", response_model=list[answers.CommandTold])
def listed(
    at: At,
    _visitor: StaffVisitor,
    state: Annotated[list[State] | None, Query()] = None,
    correlation: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[Json]:
    """Return commands of all meters, newest first."""
    states = {CommandState(each) for each in state} if state else None
    found = commands.commands(at.engine, states=states, correlation=correlation, limit=limit)
    return [_as_json(each) for each in found]


@api.get("/meters/{meter_id}/commands", response_model=list[answers.CommandTold])
def of_meter(
    meter: VisibleMeter,
    at: At,
    _visitor: StaffVisitor,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[Json]:
    """Return what was asked of a meter, newest first."""
    found = commands.commands(at.engine, meter_id=meter.meter_id, limit=limit)
    return [_as_json(each) for each in found]


@api.get("/commands/{command_id}", response_model=answers.CommandHistory)
def command(command_id: str, at: At, _visitor: StaffVisitor) -> Json:
    """Return a command with its history."""
    found = _known(at, command_id)
    return {
        **_as_json(found),
        "history": [
            {"at_real_us": step.at_real_us, "state": step.state.value, "note": step.note}
            for step in commands.history(at.engine, command_id)
        ],
    }


@api.delete("/commands/{command_id}", dependencies=[OurHeader], response_model=answers.CommandTold)
def cancel(
    command_id: str,
    at: At,
    visitor: StaffVisitor,
    reason: Annotated[str, Query(min_length=3, max_length=200)],
) -> Json:
    """Withdraw a command that nobody has begun with."""
    _cancel(at, visitor, command_id, reason)
    return _as_json(_known(at, command_id))


def _known(at: Context, command_id: str) -> Command:
    try:
        return commands.command(at.engine, command_id)
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise NotFoundError(f"There is no command {command_id}.") from error


def _cancel(at: Context, visitor: Visitor, command_id: str, reason: str) -> None:
    _known(at, command_id)
    account = visitor.account
    try:
        with _said():
            requests.cancel(at.engine, command_id, reason, login=account.login, role=account.role)
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise AskedWronglyError(_sentence(error)) from error


def _as_json(found: Command) -> Json:
    return {
        "command_id": found.command_id,
        "correlation": found.correlation,
        "meter_id": found.meter_id,
        "kind": found.kind.value,
        "argument": found.argument,
        "state": found.state.value,
        "priority": found.priority.name.lower(),
        "reason": found.reason,
        "asked_by": found.asked_by,
        "asked_real_us": found.asked_real_us,
        "valid_from_real_us": found.valid_from_real_us,
        "valid_until_real_us": found.valid_until_real_us,
        "attempts": found.attempts,
        "result": found.result,
    }


# Pages -----------------------------------------------------------------------------------------


@pages.get("/meters/{meter_id}/breaker")
def breaker(request: Request, at: At, meter: VisibleMeter, visitor: StaffVisitor) -> Response:
    """Return the panel of the supply switch; it renews itself while a command is open."""
    shared = asked_of(at, meter, visitor)
    return render(request, "console/breaker.html", meter=meter, fragment=True, shared=shared)


@pages.get("/meters/{meter_id}/commands")
def history(request: Request, at: At, meter: VisibleMeter, visitor: StaffVisitor) -> Response:
    """Return the list of a meter's commands; it renews itself while one is open."""
    shared = asked_of(at, meter, visitor)
    return render(request, "console/commands.html", meter=meter, shared=shared)


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of a form, whatever its kind has."""
    form = await request.form()
    found = {name: text for name, text in form.items() if isinstance(text, str)}
    if any("\0" in text for text in found.values()):
        raise MisunderstoodError("A field holds a NUL: write it without.")
    return found


@pages.post("/meters/{meter_id}/commands", dependencies=[OurForm])
def ask_by_form(  # noqa: PLR0913, PLR0917  a form has these fields
    request: Request,
    at: At,
    meter_id: MeterId,
    visitor: StaffVisitor,
    kind: Annotated[Kind, Form()],
    reason: Reason,
    form: Annotated[dict[str, str], Depends(fields)],
) -> Response:
    """Write a command that a form describes, and show its progress."""
    problem = ""
    try:
        wanted = _filled_in(at, CommandKind(kind), reason, form)
        _ask(at, visitor, meter_id, wanted)
    except (AskedWronglyError, MisunderstoodError) as error:
        if not request.headers.get("HX-Request") and isinstance(error, MisunderstoodError):
            raise
        problem = str(error)
    if not request.headers.get("HX-Request"):
        return RedirectResponse(f"/console/meters/{meter_id}#supply", status_code=303)
    meter = known_meter(at, meter_id)
    page = "console/asked.html" if "asked" in form else "console/breaker.html"
    shared = asked_of(at, meter, visitor)
    return render(
        request, page, meter=meter, problem=problem, kind=kind, fragment=True, shared=shared
    )


@pages.post("/commands/{command_id}/cancel", dependencies=[OurForm])
def cancel_by_form(
    request: Request,
    at: At,
    command_id: str,
    visitor: StaffVisitor,
    reason: Reason = "cancelled on the meter's page",
) -> Response:
    """Withdraw a command and show the list."""
    meter_id = _known(at, command_id).meter_id
    _cancel(at, visitor, command_id, reason)
    if not request.headers.get("HX-Request"):
        return RedirectResponse(f"/console/meters/{meter_id}#asked", status_code=303)
    meter = known_meter(at, meter_id)
    shared = asked_of(at, meter, visitor)
    return render(request, "console/commands.html", meter=meter, shared=shared)


def _filled_in(
    at: Context, kind: CommandKind, reason: str, form: dict[str, str]
) -> requests.Request:
    with _said():
        wait_s = 0.0
        if text := form.get("not_before", "").strip():
            moment_us = to_us(moment_of(text, at.config.zone, "not_before"))
            wait_s = max(0.0, (moment_us - real_us()) / MICROSECONDS)
        priority = form.get("priority", "normal").upper()
        if priority not in Priority.__members__:
            raise OrderError(f"priority is {priority.lower()!r}: give urgent, normal or low")
        return requests.Request(
            kind=kind,
            argument=argument_of(kind, form, at.config.zone),
            reason=reason,
            priority=Priority[priority],
            valid_in_s=wait_s,
            correlation=form.get("correlation", "").strip() or None,
        )


def asked_of(at: Context, meter: registry.Meter, visitor: Visitor) -> Json:
    """Return what a meter's page shows of commands."""
    found = commands.commands(at.engine, meter_id=meter.meter_id, limit=LISTED)
    due = [each for each in found if each.valid_from_real_us <= real_us()]
    current = due[0] if due else None
    if current is not None and current.state not in STAYING:
        age_us = real_us() - current.asked_real_us
        current = current if age_us < SHOWN_US else None
    may = policy.MAY_SEND[visitor.account.role]
    return {
        "commands": found,
        "histories": {
            each.command_id: commands.history(at.engine, each.command_id) for each in found[:20]
        },
        "current": current,
        "steps": commands.history(at.engine, current.command_id) if current else [],
        "open": current is not None and current.state in OPEN,
        "any_open": any(each.state in OPEN for each in due),
        "may": {kind.value for kind in may},
        "may_cancel": visitor.account.role in policy.MAY_CANCEL,
        "may_filter": visitor.account.role in policy.MAY_FILTER,
        "may_force": visitor.account.role in policy.MAY_FORCE,
        "forms": {kind.value: title for kind, title in TITLES.items() if kind in may},
        "clock_actions": CLOCK_ACTIONS,
    }
