# SPDX-License-Identifier: Apache-2.0
"""What other programs and browsers ask first: health, readiness, the way to the right page."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse, RedirectResponse

from openami.access.accounts import STAFF
from openami.runtime.errors import UserError
from openami.runtime.status import read_statuses
from openami.store import live
from openami.web import answers
from openami.web.context import At
from openami.web.guards import Visitor, scraper, visitor_or_none
from openami.web.metrics import CONTENT_TYPE, exposition

router = APIRouter()


@router.get("/health", tags=["service"], response_model=answers.Health)
def health() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@router.get(
    "/ready",
    tags=["service"],
    response_model=answers.Readiness,
    responses={503: {"model": answers.Readiness, "description": "The store does not answer."}},
)
def ready(at: At) -> JSONResponse:
    """Tell whether pages can be served: the store answers."""
    try:
        live.feed_end(at.engine)
    except UserError as error:
        return JSONResponse({"status": "not ready", "reason": str(error)}, status_code=503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", tags=["service"], dependencies=[Depends(scraper)])
def metrics(at: At) -> Response:
    """Return the figures of every process on this machine, for Prometheus."""
    found = exposition(read_statuses(at.config.run))
    return Response(found, media_type=CONTENT_TYPE)


@router.get("/", include_in_schema=False)
def front_door(visitor: Annotated[Visitor | None, Depends(visitor_or_none)]) -> RedirectResponse:
    """Lead to the log-in, the console or the household's page."""
    return RedirectResponse(first_page(visitor), status_code=303)


def first_page(visitor: Visitor | None) -> str:
    """Return where an account begins."""
    if visitor is None:
        return "/login"
    return "/console" if visitor.account.role in STAFF else "/home"
