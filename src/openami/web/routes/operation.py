# SPDX-License-Identifier: Apache-2.0
"""The REST interface, what the utility does to bring and keep meters in operation: keys, stages.

It tells states and histories; no key leaves the head-end.  Times are of real life (`_real_us`).
"""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from openami.access.accounts import record
from openami.exchange.words import many
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import commissioning, key_changes, keys, registry
from openami.store.commissioning import State
from openami.store.database import StoreUnavailableError
from openami.web import answers_operation as answers
from openami.web.context import At
from openami.web.guards import (
    AskedWronglyError,
    MeterId,
    NotFoundError,
    OurHeader,
    UtilityVisitor,
    Written,
    known_meter,
    known_meters,
)

router = APIRouter(prefix="/api", tags=["operation"])

Json = dict[str, object]
DAY_US: Final = 86_400 * MICROSECONDS


@router.get("/key-rotations", response_model=list[answers.Rotation])
def rotations(at: At, _visitor: UtilityVisitor) -> list[Json]:
    """Return the latest changes of keys by group, and how many meters of each stand where."""
    return [
        {
            "rotation": found.rotation,
            "asked_by": found.asked_by,
            "reason": found.reason,
            "asked_real_us": found.asked_real_us,
            "meters": {state.value: count for state, count in found.meters.items()},
        }
        for found in key_changes.rotations(at.engine)
    ]


class AskForMeters(BaseModel):
    """Something that is asked for: of a region's meters, of some meters, or of all."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=3, max_length=200), Written]
    region: Annotated[str, Written] | None = None
    meter_ids: Annotated[list[int], Field(max_length=100_000)] = []
    all_meters: bool = False

    def group(self, at: At) -> list[int]:
        """Return the meters that are named.

        Raises:
            AskedWronglyError: None is named, or in two ways at once.
            NotFoundError: There is no such meter or region.
        """
        if sum([self.region is not None, bool(self.meter_ids), self.all_meters]) != 1:
            sentence = "Name the group: region, or meter_ids, or all_meters, one of them."
            raise AskedWronglyError(sentence)
        meter_ids = known_meters(at, self.meter_ids) or [
            meter.meter_id for meter in registry.meters(at.engine, region=self.region)
        ]
        if not meter_ids:
            raise NotFoundError(f"There is no region {self.region}.")
        return meter_ids


class AskForKeys(AskForMeters):
    """New keys that are asked for."""

    master_key: bool = False


@router.post(
    "/key-rotations",
    status_code=202,
    dependencies=[OurHeader],
    response_model=answers.RotationAsked,
)
def rotate(asked: AskForKeys, at: At, visitor: UtilityVisitor) -> Json:
    """Ask for new keys; the answer names the rotation to follow.

    Meters whose keys are being changed already stay with the earlier rotation.
    """
    meter_ids = asked.group(at)
    login = visitor.account.login
    rotation, count = key_changes.ask(
        at.engine,
        meter_ids,
        asked_by=login,
        reason=asked.reason,
        key_names=("guek", "gak", "kek") if asked.master_key else ("guek", "gak"),
    )
    record(at.engine, login, "keys.rotate", f"{many(count)}, rotation {rotation}: {asked.reason}")
    return {"rotation": rotation if count else None, "meters": count}


@router.post(
    "/key-rotations/{rotation}/stop", dependencies=[OurHeader], response_model=answers.Withdrawn
)
def stop(rotation: str, at: At, visitor: UtilityVisitor) -> Json:
    """Withdraw what a rotation has not sent yet; what was sent goes on until it is proven."""
    if not any(each.rotation == rotation for each in key_changes.rotations(at.engine, limit=1000)):
        raise NotFoundError(f"There is no rotation {rotation}.")
    login = visitor.account.login
    count = key_changes.withdraw(at.engine, rotation, f"stopped by {login}")
    record(at.engine, login, "keys.stop", f"{many(count)}, rotation {rotation}")
    return {"withdrawn": count}


class CloseEpochs(BaseModel):
    """Retired keys that are to open nothing more: concentrators' journals have drained since."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=3, max_length=200), Written]
    retired_days: Annotated[
        float, Field(ge=0, le=36_500, description="At least so long ago; 0 for all.")
    ]


@router.post("/key-epochs/close", dependencies=[OurHeader], response_model=answers.Closed)
def close(asked: CloseEpochs, at: At, visitor: UtilityVisitor) -> Json:
    """Let retired keys open nothing more; what comes under them is rejected with an alarm."""
    login, reason = visitor.account.login, asked.reason.strip()
    before_us = real_us() - round(asked.retired_days * DAY_US)
    count = keys.close_retired(at.engine, before_us, f"closed by {login}: {reason}")
    what = f"{many(count, 'epoch')} retired {asked.retired_days:g} days: {reason}"
    record(at.engine, login, "keys.close", what)
    return {"closed": count}


@router.get("/meters/{meter_id}/keys", response_model=answers.MeterKeys)
def epochs(meter_id: MeterId, at: At, _visitor: UtilityVisitor) -> Json:
    """Return the states of a meter's key epochs, newest first, and their history."""
    known_meter(at, meter_id)
    return {
        "epochs": [
            {"epoch": each.epoch, "state": each.state.value}
            for each in keys.epochs(at.engine, meter_id)
        ],
        "history": [
            {
                "epoch": step.epoch,
                "at_real_us": step.at_real_us,
                "state": step.state.value,
                "note": step.note,
            }
            for step in keys.history(at.engine, meter_id)
        ],
    }


@router.get("/commissioning", response_model=answers.Commissionings)
def progress(at: At, _visitor: UtilityVisitor) -> Json:
    """Return how many meters stand at which stage, and which are held and why."""
    return {
        "stages": [
            {"stage": stage.value, "state": state.value, "meters": count}
            for (stage, state), count in commissioning.progress(at.engine).items()
        ],
        "held": [
            {"meter_id": each.meter_id, "stage": each.stage.value, "reason": each.note}
            for each in commissioning.in_state(at.engine, State.HELD)
        ],
    }


@router.post(
    "/commissioning",
    status_code=202,
    dependencies=[OurHeader],
    response_model=answers.MetersAsked,
)
def commission(asked: AskForMeters, at: At, visitor: UtilityVisitor) -> Json:
    """Begin to bring meters of the registry into operation, or go on with those that were held.

    The answer tells how many these are; those that are under way or operating go on as they do.
    """
    login = visitor.account.login
    count = commissioning.ask(at.engine, asked.group(at), asked_by=login, reason=asked.reason)
    record(at.engine, login, "meters.commission", f"{many(count)}: {asked.reason}")
    return {"meters": count}


@router.get("/meters/{meter_id}/commissioning", response_model=answers.Commissioning)
def passed(meter_id: MeterId, at: At, _visitor: UtilityVisitor) -> Json:
    """Return where a meter stands on its way into operation, and what it has passed."""
    known_meter(at, meter_id)
    try:
        found = commissioning.commissioning(at.engine, meter_id)
    except StoreUnavailableError:
        raise
    except UserError as error:
        raise NotFoundError(f"Meter {meter_id} was never commissioned.") from error
    return {
        "stage": found.stage.value,
        "state": found.state.value,
        "note": found.note,
        "history": [
            {"at_real_us": each.at_real_us, "stage": each.stage.value, "note": each.note}
            for each in commissioning.history(at.engine, meter_id)
        ],
    }
