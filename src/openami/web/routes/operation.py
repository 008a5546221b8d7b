# SPDX-License-Identifier: Apache-2.0
"""The REST interface, what the utility does to bring and keep meters in operation: keys, stages.

It tells states and histories; no key leaves the head-end.  Times are of real life (`_real_us`).
"""

from fastapi import APIRouter

from openami.runtime.errors import UserError
from openami.store import commissioning, key_changes, keys
from openami.store.commissioning import State
from openami.store.database import StoreUnavailableError
from openami.web.context import At
from openami.web.guards import MeterId, NotFoundError, UtilityVisitor, known_meter

router = APIRouter(prefix="/api", tags=["operation"])

Json = dict[str, object]


@router.get("/key-rotations")
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


@router.get("/meters/{meter_id}/keys")
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


@router.get("/commissioning")
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


@router.get("/meters/{meter_id}/commissioning")
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
