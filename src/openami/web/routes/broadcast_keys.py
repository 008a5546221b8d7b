# SPDX-License-Identifier: Apache-2.0
"""Keys that the meters of a concentrator share for broadcasts: who has them, and other ones.

No key is here, nor what wraps one: what is wanted is written, and a head-end draws (docs/keys.md).
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from openami.access.accounts import Role, record
from openami.exchange.words import many
from openami.headend.requests import MOST_CORRELATION
from openami.runtime.errors import UserError
from openami.store import group_changes, leases
from openami.store.database import Database, StoreUnavailableError
from openami.store.group_changes import ChangeState, GroupChange, Holding, Rotation
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

api = APIRouter(prefix="/api", tags=["operation"])
pages = APIRouter(prefix="/console", include_in_schema=False)

Json = dict[str, object]
TITLE: Final = "^[0-9A-Fa-f]{16}$"
After = Annotated[str, Query(pattern="^([0-9A-Fa-f]{16})?$", description="Groups after this one.")]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Reason = Annotated[str, Field(min_length=3, max_length=200), Written]
NOBODY: Final = "no head-end is alive: it is done when one is started"
SHOWN: Final = 1000  # groups of the page


class AskForGroupKeys(BaseModel):
    """Other keys for broadcasts: of the groups of a region, of some groups, or of all."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    region: Annotated[str, Written] | None = None
    concentrators: Annotated[
        list[Annotated[str, Field(pattern=TITLE)]], Field(max_length=10_000)
    ] = []
    all_groups: bool = False
    correlation: (
        Annotated[str, Field(min_length=1, max_length=MOST_CORRELATION), Written] | None
    ) = None

    def group(self, at: Context) -> list[bytes]:
        """Return the groups that are named.

        Raises:
            AskedWronglyError: None is named, or in two ways at once, or none there has keys.
        """
        if sum([self.region is not None, bool(self.concentrators), self.all_groups]) != 1:
            sentence = "Name the groups: region, or concentrators, or all_groups, one of them."
            raise AskedWronglyError(sentence)
        if self.concentrators:
            return [bytes.fromhex(title) for title in self.concentrators]
        found = group_changes.with_keys(at.engine, [self.region] if self.region is not None else [])
        if not found:
            where = f"region {self.region}" if self.region is not None else "the store"
            raise AskedWronglyError(
                f"No group of {where} has keys for broadcasts: the first broadcast draws them."
            )
        return found


def _ask(at: Context, visitor: Visitor, asked: AskForGroupKeys) -> Json:
    wanted, login, reason = asked.group(at), visitor.account.login, asked.reason.strip()
    try:
        rotation, taken = group_changes.ask(
            at.engine, wanted, asked_by=login, reason=reason, correlation=asked.correlation
        )
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise AskedWronglyError.of(error) from error
    names = [title.hex().upper() for title in taken]
    if names:
        record(at.engine, login, "keys.broadcast", f"groups {', '.join(names)}: {reason}")
    left = sorted(title.hex().upper() for title in set(wanted) - set(taken))
    return {"rotation": rotation if names else None, "groups": names, "left_out": left}


# REST -----------------------------------------------------------------------------------------


@api.get("/broadcast-keys", response_model=list[answers.GroupKeys])
def groups(at: At, _visitor: UtilityVisitor, after: After = "", limit: Limit = 1000) -> list[Json]:
    """Return groups by title: the epoch of their keys, who holds it, what was asked for last."""
    found = group_changes.holdings(at.engine, after=bytes.fromhex(after), limit=limit)
    return _groups(at.engine, found)


@api.get("/broadcast-key-rotations", response_model=list[answers.GroupRotation])
def rotations(
    at: At,
    _visitor: UtilityVisitor,
    correlation: Annotated[str | None, Query(max_length=MOST_CORRELATION)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> list[Json]:
    """Return the latest changes of keys for broadcasts, and how many groups stand where."""
    found = group_changes.rotations(at.engine, correlation=correlation, limit=limit)
    return [_rotation(each) for each in found]


@api.post(
    "/broadcast-key-rotations",
    status_code=202,
    dependencies=[OurHeader],
    response_model=answers.GroupRotationAsked,
)
def rotate(asked: AskForGroupKeys, at: At, visitor: UtilityVisitor) -> Json:
    """Ask for other keys for broadcasts; a head-end draws them, each meter gets them in its turn.

    Groups whose keys are being changed already stay with the earlier rotation (`left_out`).
    """
    return _ask(at, visitor, asked)


@api.get("/broadcast-key-rotations/{rotation}", response_model=answers.GroupRotationTold)
def rotation_told(
    rotation: str, at: At, _visitor: UtilityVisitor, after: After = "", limit: Limit = 1000
) -> Json:
    """Return a rotation and its groups by title: how each stands, and why it waits or failed."""
    found = _known(at, rotation)
    changes = group_changes.changes(at.engine, rotation, after=bytes.fromhex(after), limit=limit)
    say = _saying(at.engine)
    return _rotation(found) | {"changes": [say(each) for each in changes]}


@api.post(
    "/broadcast-key-rotations/{rotation}/stop",
    dependencies=[OurHeader],
    response_model=answers.Withdrawn,
)
def stop(rotation: str, at: At, visitor: UtilityVisitor) -> Json:
    """Withdraw what no head-end has done yet of a rotation."""
    _known(at, rotation)
    login = visitor.account.login
    count = group_changes.withdraw(at.engine, rotation, f"stopped by {login}")
    record(at.engine, login, "keys.broadcast-stop", f"{many(count, 'group')}, rotation {rotation}")
    return {"withdrawn": count}


def _known(at: Context, rotation: str) -> Rotation:
    for found in group_changes.rotations(at.engine, rotation=rotation):
        return found
    raise NotFoundError(f"There is no rotation {rotation} of keys for broadcasts.")


def _rotation(found: Rotation) -> Json:
    return asdict(found) | {"groups": {s.value: n for s, n in found.groups.items()}}


def _groups(database: Database, found: Iterable[Holding]) -> list[Json]:
    say = _saying(database)
    return [
        {
            "concentrator": each.group.concentrator.hex().upper(),
            "regions": list(each.regions),
            "epoch": each.group.epoch,
            "holders": each.holders,
            "meters": each.meters,
            "changed_by": each.group.changed_by,
            "reason": each.group.reason,
            "changed_real_us": each.group.changed_real_us,
            "asked": None if each.last is None else say(each.last),
        }
        for each in found
    ]


def _saying(database: Database) -> Callable[[GroupChange], Json]:
    """Return what tells how a change stands, also that nobody is there who would do it."""
    nobody = "" if leases.alive(database) else NOBODY

    def say(change: GroupChange) -> Json:
        waits = nobody if change.state is ChangeState.OPEN else ""
        return {
            "concentrator": change.concentrator.hex().upper(),
            "rotation": change.rotation,
            "state": change.state.value,
            "epoch": change.epoch,
            "attempts": change.attempts,
            "note": waits or change.note,
            "asked_by": change.asked_by,
            "reason": change.reason,
            "correlation": change.correlation,
            "asked_real_us": change.asked_real_us,
            "ended_real_us": change.ended_real_us,
        }

    return say


# Pages ----------------------------------------------------------------------------------------


@pages.get("/broadcast-keys")
def room(request: Request, at: At, visitor: UtilityVisitor) -> Response:
    """Show the groups, and the form that asks for other keys."""
    return _page(request, at, visitor)


def _page(request: Request, at: Context, visitor: Visitor, problem: str = "") -> Response:
    found = group_changes.holdings(at.engine, limit=SHOWN)
    return render(
        request,
        "console/broadcast_keys.html",
        groups=_groups(at.engine, found),
        regions=sorted({name for each in found for name in each.regions}),
        most=SHOWN,
        problem=problem,
        may=visitor.account.role is Role.UTILITY,
    )


@pages.post("/broadcast-keys", dependencies=[OurForm])
def rotate_by_form(
    request: Request,
    at: At,
    visitor: UtilityVisitor,
    reason: Annotated[str, Form(min_length=3, max_length=200), Written],
    region: Annotated[str, Form(), Written] = "",
) -> Response:
    """Ask for other keys, and show the groups; no region means all."""
    asked = AskForGroupKeys(reason=reason, region=region or None, all_groups=not region)
    try:
        told = _ask(at, visitor, asked)
    except AskedWronglyError as error:
        return _page(request, at, visitor, str(error))
    if told["rotation"] is None:
        return _page(request, at, visitor, "The keys of these groups are being changed already.")
    return RedirectResponse("/console/broadcast-keys", status_code=303)
