# SPDX-License-Identifier: Apache-2.0
"""Service levels: the page of the console, and the same over REST."""

from fastapi import APIRouter, Request, Response

from openami.web import answers_operation, slaview
from openami.web.context import At, Context
from openami.web.guards import UtilityVisitor
from openami.web.rendering import render

pages = APIRouter(prefix="/console", include_in_schema=False)
api = APIRouter(prefix="/api", tags=["sla"])

Json = dict[str, object]


@pages.get("/sla")
def sla_page(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Show whether each service level is kept."""
    return render(request, "console/sla.html", state=_state(request, at))


@pages.get("/sla/state")
def sla_state(request: Request, at: At, _visitor: UtilityVisitor) -> Response:
    """Return the part of the page that is renewed."""
    return render(request, "console/sla_state.html", state=_state(request, at))


@api.get("/sla", response_model=answers_operation.ServiceLevels)
def sla(request: Request, at: At, _visitor: UtilityVisitor) -> Json:
    """Return each rule with its windows (docs/sla.md)."""
    state = _state(request, at)
    return {
        "days": state.days,
        "examples": state.examples,
        "rules": [
            {
                "name": ruled.rule.name,
                "title": ruled.rule.title,
                "percent": ruled.rule.percent,
                "within_s": ruled.rule.within_s,
                "illustrative": ruled.rule.illustrative,
                "kept": ruled.kept,
                "windows": [
                    {
                        "begins": level.begins.isoformat(),
                        "whole": ruled.is_whole(level),
                        "due": level.due,
                        "on_time": level.on_time,
                        "missing": level.missing,
                        "excluded": level.excluded,
                        "kept": level.kept,
                        "penalty": level.penalty,
                    }
                    for level in ruled.windows
                ],
            }
            for ruled in state.rules
        ],
    }


def _state(request: Request, at: Context) -> slaview.State:
    counted = request.app.state.sla
    if not isinstance(counted, slaview.Counted):
        raise TypeError("the application was made without a count: use create_app")
    return counted.state(at)
