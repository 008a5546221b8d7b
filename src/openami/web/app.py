# SPDX-License-Identifier: Apache-2.0
"""The application: routes, headers of every answer, errors as pages or JSON."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openami.runtime.errors import UserError
from openami.web.answers import REFUSALS
from openami.web.context import Context
from openami.web.guards import (
    AskedWronglyError,
    ForbiddenError,
    MisunderstoodError,
    NotFoundError,
    NotSignedInError,
)
from openami.web.rendering import STATIC, render
from openami.web.routes import (
    alarms,
    api,
    broadcast_keys,
    campaigns,
    clocks,
    commands,
    concentrator_updates,
    console,
    field,
    grid,
    household,
    live,
    login,
    operation,
    outages,
    profiles,
    service,
    sla,
)
from openami.web.slaview import Counted

log = logging.getLogger(__name__)

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
ABOUT: Final = (
    "Advanced metering infrastructure: readings, events, commands. Sign in by the form at /login:"
    " its cookie goes with each request, and the token of the session, that every page has, with"
    " each that is no GET, as header X-CSRF-Token. What is refused is answered with one sentence."
)
FOR_EVER: Final = "public, max-age=31536000, immutable"


def create_app(context: Context) -> FastAPI:
    """Return the pages and the REST interface over `context`."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tail = asyncio.create_task(context.tailer.run())
        yield
        context.tailer.stop()
        tail.cancel()
        with suppress(asyncio.CancelledError):
            await tail

    app = FastAPI(
        title="OpenAMI",
        version="0.1.0",
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context = context
    for pages in (service, login, console, household):
        app.include_router(pages.router)
    for part in (live, api, operation, field, grid, profiles, campaigns, concentrator_updates):
        app.include_router(part.router, responses=REFUSALS)
    for both in (commands, outages, clocks, sla, broadcast_keys):
        app.include_router(both.api, responses=REFUSALS)
        app.include_router(both.pages)
    app.include_router(alarms.api, responses=REFUSALS)
    app.state.sla = Counted()
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _add_error_pages(app)
    app.add_middleware(Headers)
    app.add_middleware(Heads)
    return app


class Heads:
    """Answers HEAD wherever GET is: the same status and headers, and nothing behind them.

    FastAPI's routes are asked by what they declare alone, other than Starlette's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def gone() -> Message:
            await answered.wait()  # a stream of events ends here
            return {"type": "http.disconnect"}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered.set()

        await self._app({**scope, "method": "GET"}, gone, send_head)


class Headers:
    """Adds the security headers and the time that an answer took."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = time.perf_counter()
        asked = self._app
        if b"%00" in scope["query_string"] or "\0" in scope["path"]:
            asked = _nul  # PostgreSQL has no text with one

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                took_ms = (time.perf_counter() - begun_s) * 1000
                headers["Server-Timing"] = f"app;dur={took_ms:.1f}"
                is_static = scope["path"].startswith("/static/")
                keep = is_static and bool(scope["query_string"])
                headers.setdefault("Cache-Control", FOR_EVER if keep else "no-store")
            await send(message)

        await asked(scope, receive, send_with_headers)


async def _nul(scope: Scope, receive: Receive, send: Send) -> None:
    sentence = "The address holds a NUL (%00): write it without."
    answer = _answer(Request(scope, receive), 422, "Not understood", sentence)
    await answer(scope, receive, send)


def _add_error_pages(app: FastAPI) -> None:
    app.add_exception_handler(NotSignedInError, _not_signed_in)
    refusals: dict[type[Exception], tuple[int, str]] = {
        ForbiddenError: (403, "Not yours to see"),
        NotFoundError: (404, "Not here"),
        AskedWronglyError: (409, "Not possible"),
        MisunderstoodError: (422, "Not understood"),
        UserError: (503, "Not now"),
    }
    for kind, (status_code, heading) in refusals.items():
        app.add_exception_handler(kind, _refusal(status_code, heading))

    @app.exception_handler(RequestValidationError)
    def not_valid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        problem = str(first["msg"]).removeprefix("Value error, ")
        sentence = f"{place}: {problem}." if place else f"{problem}."
        return _answer(request, 422, "Not understood", sentence)

    app.add_exception_handler(HTTPException, _http_error)

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> Response:
        reference = secrets.token_hex(4)
        log.error(
            "%s %s failed, reference %s",
            request.method,
            request.url.path,
            reference,
            exc_info=error,
        )
        sentence = (
            f"Something of ours broke. Try again; if it stays, tell us reference {reference}."
        )
        answer = _answer(request, 500, "Our fault", sentence)
        answer.headers.update(HEADERS)  # this handler stands outside of `Headers`
        return answer


def _not_signed_in(request: Request, _error: Exception) -> Response:
    if _wants_json(request):
        sentence = "Sign in first: POST /login."
        return JSONResponse({"error": sentence}, status_code=401)
    if request.url.path == "/metrics":
        sentence = "Show the token of [web] metrics_token: Authorization: Bearer TOKEN.\n"
        headers = {"WWW-Authenticate": "Bearer"}
        return PlainTextResponse(sentence, status_code=401, headers=headers)
    target = "/login"
    if request.method == "GET" and not request.headers.get("HX-Request"):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        target = f"/login?next={quote(asked, safe='/')}"
    if request.headers.get("HX-Request"):
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, status_code=303)


def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError(f"{type(error).__name__} is no error of HTTP") from error
    if error.status_code == 404:
        return _answer(request, 404, "Not here", "There is no page at this address.")
    if error.status_code != 405:
        return _answer(request, error.status_code, "Not possible", f"{error.detail}.")
    allowed = (error.headers or {}).get("Allow", "another method")
    sentence = f"This address is not asked by {request.method}: use {allowed}."
    answer = _answer(request, 405, "Not possible", sentence)
    answer.headers["Allow"] = allowed
    return answer


def _refusal(status_code: int, heading: str) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return _answer(request, status_code, heading, str(error))

    return answer


def _answer(request: Request, status_code: int, heading: str, sentence: str) -> Response:
    if _wants_json(request):
        return JSONResponse({"error": sentence}, status_code=status_code)
    return render(
        request,
        "error.html",
        status_code=status_code,
        code=status_code,
        heading=heading,
        sentence=sentence,
    )


def _wants_json(request: Request) -> bool:
    return request.url.path.startswith("/api/")
