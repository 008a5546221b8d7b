# SPDX-License-Identifier: Apache-2.0
"""The REST interface, firmware of the concentrators themselves (docs/concentrator.md, 9).

An image comes by `openami headend concentrator`, which holds it to the keys that a person trusts.
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from openami.headend.planning import (
    cancel_update,
    for_concentrators,
    release_for,
    update_concentrators,
)
from openami.runtime.errors import UserError
from openami.store.database import StoreUnavailableError
from openami.web import answers_operation as answers
from openami.web.context import At
from openami.web.guards import AskedWronglyError, OurHeader, UtilityVisitor, Written
from openami.web.routes.campaigns import Why
from openami.web.routes.field import Title

router = APIRouter(prefix="/api", tags=["firmware"])

Json = dict[str, object]


class AskForUpdates(BaseModel):
    """New firmware for concentrators, one after another in this order."""

    model_config = ConfigDict(extra="forbid")

    release_id: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    titles: Annotated[
        tuple[Annotated[str, Field(pattern="^[0-9A-Fa-f]{16}$")], ...],
        Field(min_length=1, max_length=1000),
    ]
    reason: Annotated[str, Field(min_length=3, max_length=200), Written]


@router.post(
    "/concentrator-updates",
    status_code=202,
    dependencies=[OurHeader],
    response_model=answers.UpdatesAsked,
)
def ask(asked: AskForUpdates, at: At, visitor: UtilityVisitor) -> Json:
    """Ask for updates; the first that does not come to run the release for good ends them.

    What becomes of each stands in `GET /api/concentrators`.
    """
    titles = [bytes.fromhex(title) for title in asked.titles]
    if len(set(titles)) < len(titles):
        raise AskedWronglyError("A concentrator is named twice: name it once.")
    try:
        release = release_for(at.engine, asked.release_id, for_concentrators)
        login, reason = visitor.account.login, asked.reason.strip()
        update_concentrators(at.engine, titles, release, asked_by=login, reason=reason)
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise AskedWronglyError.of(error) from error
    return {"version": release.version, "titles": [title.hex().upper() for title in titles]}


@router.post(
    "/concentrators/{title}/cancel-update",
    dependencies=[OurHeader],
    response_model=answers.UpdateCancelled,
)
def cancel(title: Title, why: Why, at: At, visitor: UtilityVisitor) -> Json:
    """Give up an update that the concentrator was not told to start yet."""
    name = bytes.fromhex(title)
    try:
        cancel_update(at.engine, name, asked_by=visitor.account.login, reason=why.reason.strip())
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise AskedWronglyError.of(error) from error
    return {"title": title.upper(), "state": "skipped"}
