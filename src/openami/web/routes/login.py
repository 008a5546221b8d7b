# SPDX-License-Identifier: Apache-2.0
"""Log in and out.

The log-in form carries the token of a session that nobody owns yet; a log-in begins a new session,
so a cookie planted before is worth nothing.  A log-out raises the account's epoch: it ends the
account's sessions everywhere.
"""

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from openami.access.accounts import end_sessions, record, verify
from openami.web.context import At, Context
from openami.web.guards import AnyVisitor, OurForm, Visitor, Written, visitor_or_none
from openami.web.rendering import render
from openami.web.routes.service import first_page
from openami.web.sessions import SESSION_COOKIE, SESSION_S, Session

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login_form(
    request: Request,
    at: At,
    visitor: Annotated[Visitor | None, Depends(visitor_or_none)],
    next: str = "/",  # noqa: A002  the name stands in the address
) -> Response:
    """Show the form."""
    if visitor is not None:
        return RedirectResponse(first_page(visitor), status_code=303)
    return _form(request, at, next)


@router.post("/login")
def log_in(  # noqa: PLR0913, PLR0917  a form has these fields
    request: Request,
    at: At,
    login: Annotated[str, Form(max_length=64), Written],
    password: Annotated[str, Form(max_length=1024)],
    csrf: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Check the password, within the limit, and begin a session."""
    before = at.cookies.open(request.cookies.get(SESSION_COOKIE))
    if before is None or not before.proves(csrf):
        return _form(request, at, next, "The form had expired. Please try again.", status_code=403)
    address = request.client.host if request.client else "unknown"
    login = login.strip()
    pair = f"{address} {login}"
    wait_s = max(at.login_limit.wait_s(pair), at.address_limit.wait_s(address))
    if wait_s > 0:
        minutes = math.ceil(wait_s / 60)
        sentence = f"Too many attempts. Try again in {minutes} minute{'s' * (minutes > 1)}."
        answer = _form(request, at, next, sentence, status_code=429)
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer
    known = verify(at.engine, login, password)
    if known is None:
        at.login_limit.failed(pair)
        at.address_limit.failed(address)
        record(at.engine, login, "login.refused", address)
        return _form(request, at, next, "Login and password do not fit.", status_code=401)
    at.login_limit.succeeded(pair)
    record(at.engine, login, "login", address)
    target = next if _is_local(next) else "/"
    answer = RedirectResponse(target, status_code=303)
    _set(answer, at, Session.begin(known.login, known.session_epoch))
    return answer


@router.post("/logout", dependencies=[OurForm])
def log_out(at: At, visitor: AnyVisitor) -> Response:
    """End every session of the account."""
    end_sessions(at.engine, visitor.account.login)
    record(at.engine, visitor.account.login, "logout", "all sessions")
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _form(
    request: Request, at: Context, target: str, problem: str = "", *, status_code: int = 200
) -> Response:
    session = Session.begin()
    request.state.session = session
    answer = render(request, "login.html", status_code=status_code, next=target, problem=problem)
    _set(answer, at, session)
    return answer


def _set(answer: Response, at: Context, session: Session) -> None:
    answer.set_cookie(
        SESSION_COOKIE,
        at.cookies.seal(session),
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=at.config.secure_cookies,
    )


def _is_local(target: str) -> bool:
    """Tell whether an address stays on this server: a second slash would name another."""
    return target.startswith("/") and not target.startswith(("//", "/\\"))
