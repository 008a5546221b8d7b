# SPDX-License-Identifier: Apache-2.0
"""Who may come in where: the dependencies that every route declares.

A household is answered 403 for any meter but its own, whether that meter exists or not.
"""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Self

from fastapi import Depends, Form, Header, Path, Query, Request
from pydantic import AfterValidator

from openami.access.accounts import STAFF, Account, Role, account
from openami.store import registry
from openami.web.context import At
from openami.web.sessions import SESSION_COOKIE, Session

# What an address may name.  Beyond, neither the calendar nor the store has such a thing.
FIRST_DAY: Final = date(1970, 1, 2)
LAST_DAY: Final = date(2199, 12, 30)
LAST_US: Final = 2**53  # what a browser counts exactly; the year 2255
MOST_METER_ID: Final = 2**31 - 1


def _is_text(text: str) -> str:
    """Refuse what not every store takes as text."""
    if any(each == "\0" or "\ud800" <= each <= "\udfff" for each in text):
        raise ValueError("holds a NUL or half of a character: write it without")
    return text


Written = AfterValidator(_is_text)  # of every text that a request brings into the store

Day = Annotated[date | None, Query(ge=FIRST_DAY, le=LAST_DAY)]
StartUs = Annotated[int, Query(ge=0, le=LAST_US)]
MeterId = Annotated[int, Path(ge=0, le=MOST_METER_ID)]


class NotSignedInError(Exception):
    """There is no valid session: pages lead to the log-in, the API answers 401."""


class ForbiddenError(Exception):
    """The account may not do this; the sentence says so."""


class NotFoundError(Exception):
    """There is no such thing; the sentence names it."""


class AskedWronglyError(Exception):
    """The request cannot be understood; the sentence says what is wrong with it."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Return what another part said, as a sentence."""
        said = str(error)
        return cls(f"{said[0].upper()}{said[1:]}.")


class MisunderstoodError(Exception):
    """What was sent is no command; the sentence names place, value and remedy."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in account and its session."""

    account: Account
    session: Session


def visitor_or_none(request: Request, at: At) -> Visitor | None:
    """Return who is signed in, if anybody: the cookie is ours and its epoch is the account's."""
    session = at.cookies.open(request.cookies.get(SESSION_COOKIE))
    if session is None or not session.login:
        return None
    known = account(at.engine, session.login)
    if known is None or known.session_epoch != session.epoch:
        return None
    request.state.visitor = Visitor(known, session)
    return Visitor(known, session)


def signed_in(visitor: Annotated[Visitor | None, Depends(visitor_or_none)]) -> Visitor:
    """Let in whoever has signed in."""
    if visitor is None:
        raise NotSignedInError
    return visitor


AnyVisitor = Annotated[Visitor, Depends(signed_in)]


def staff(visitor: AnyVisitor) -> Visitor:
    """Let in the utility's staff; what it may send is asked of `access.policy`."""
    if visitor.account.role not in STAFF:
        raise ForbiddenError("This page is for the utility; your account is a household's.")
    return visitor


def utility(request: Request, visitor: Annotated[Visitor, Depends(staff)]) -> Visitor:
    """Let in the utility's staff to look, and the utility's own account to change something."""
    role = visitor.account.role
    if request.method not in {"GET", "HEAD"} and role is not Role.UTILITY:
        raise ForbiddenError(f"Your account, of role {role.value}, looks and changes nothing here.")
    return visitor


def scraper(request: Request, at: At) -> None:
    """Let in whoever shows the token of the configuration: Prometheus has no session."""
    token = at.config.metrics_token
    shown = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token:
        raise NotFoundError("Figures are told once [web] metrics_token is set.")
    if not hmac.compare_digest(shown.encode(), token.encode()):
        raise NotSignedInError


def household(visitor: AnyVisitor) -> Visitor:
    """Let in households only."""
    if visitor.account.role is not Role.HOUSEHOLD or visitor.account.meter_id is None:
        raise ForbiddenError("This page is for households; your account is the utility's.")
    return visitor


StaffVisitor = Annotated[Visitor, Depends(staff)]
UtilityVisitor = Annotated[Visitor, Depends(utility)]
HouseholdVisitor = Annotated[Visitor, Depends(household)]


def visible_meter(meter_id: MeterId, visitor: AnyVisitor, at: At) -> registry.Meter:
    """Return a meter that the visitor may see."""
    if not visitor.account.may_see(meter_id):
        raise ForbiddenError(f"Your account sees its own meter only, not meter {meter_id}.")
    return known_meter(at, meter_id)


def own_meter(visitor: HouseholdVisitor, at: At) -> registry.Meter:
    """Return the household's meter."""
    if visitor.account.meter_id is None:
        raise ForbiddenError("This account has no meter.")
    return known_meter(at, visitor.account.meter_id)


def known_meter(at: At, meter_id: int) -> registry.Meter:
    """Return a meter of the registry."""
    try:
        return registry.meter(at.engine, meter_id)
    except registry.UnknownMeterError as error:
        raise NotFoundError(f"There is no meter {meter_id} in the registry.") from error


def known_meters(at: At, meter_ids: Collection[int]) -> list[int]:
    """Return the numbers of meters, each once, all of which are in the registry."""
    for meter_id in meter_ids:
        if not 0 <= meter_id <= MOST_METER_ID:
            raise NotFoundError(f"There is no meter {meter_id} in the registry.")
    wanted = sorted(set(meter_ids))
    missing = set(wanted) - {meter.meter_id for meter in registry.some(at.engine, wanted)}
    if missing:
        raise NotFoundError(f"There is no meter {min(missing)} in the registry.")
    return wanted


VisibleMeter = Annotated[registry.Meter, Depends(visible_meter)]
OwnMeter = Annotated[registry.Meter, Depends(own_meter)]


def form_is_ours(
    visitor: AnyVisitor,
    csrf: Annotated[str | None, Form()] = None,
    x_csrf_token: Annotated[str | None, Header()] = None,
) -> None:
    """Refuse a POST that does not bring the session's token, in the form or in the header."""
    if not visitor.session.proves(csrf or x_csrf_token):
        raise ForbiddenError("The form is not from this session: go back, reload the page, again.")


def header_is_ours(
    visitor: AnyVisitor, x_csrf_token: Annotated[str | None, Header()] = None
) -> None:
    """Refuse a POST of JSON whose X-CSRF-Token is not the session's."""
    if not visitor.session.proves(x_csrf_token):
        raise ForbiddenError("The header X-CSRF-Token is not this session's: read it from a page.")


OurForm = Depends(form_is_ours)
OurHeader = Depends(header_is_ours)
