# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""Companion profiles, read only: where a kind of meter has what (docs/commissioning.md)."""

from fastapi import APIRouter

from openami.headend.companion import AlarmRegister, Companion, Companions
from openami.web import answers_operation as answers
from openami.web.context import At
from openami.web.guards import NotFoundError, UtilityVisitor, VisibleMeter

router = APIRouter(prefix="/api", tags=["operation"])

Json = dict[str, object]


@router.get("/profiles", response_model=list[answers.CompanionProfile])
def profiles(at: At, _visitor: UtilityVisitor) -> list[Json]:
    """Return all companion profiles by name: those that come with us, and those of `profiles`."""
    known = Companions.load(at.config.profiles).known
    return [_told(known[name]) for name in sorted(known)]


@router.get("/profiles/{name}", response_model=answers.CompanionProfile)
def profile(name: str, at: At, _visitor: UtilityVisitor) -> Json:
    """Return a companion profile, as all models of it are that nothing else is said of."""
    found = Companions.load(at.config.profiles).known.get(name)
    if found is None:
        raise NotFoundError(f"There is no companion profile {name}.")
    return _told(found)


@router.get("/meters/{meter_id}/profile", response_model=answers.CompanionProfile)
def of_meter(meter: VisibleMeter, at: At, _visitor: UtilityVisitor) -> Json:
    """Return the companion profile that a meter is spoken with by, as its model is."""
    return _told(Companions.load(at.config.profiles).of(meter.ldn))


def _told(found: Companion) -> Json:
    return {
        "name": found.name,
        "title": found.title,
        "meters": list(found.meters),
        "models": sorted(found.models),
        "objects": {name: str(at) for name, at in sorted(found.objects.items())},
        "clock_limit_s": found.clock_limit_s,
        "clock_settable": found.clock_settable,
        "master_key": "agreed" if found.agrees else "transferred",
        "alarms": [_register(found.alarms[number]) for number in sorted(found.alarms)],
    }


def _register(each: AlarmRegister) -> Json:
    return {
        "number": each.number,
        "at": str(each.register),
        "filter": None if each.filter is None else str(each.filter),
        "descriptor": None if each.descriptor is None else str(each.descriptor),
        "bits": {str(bit): {"kind": kind, "text": text} for bit, (kind, text) in each.bits.items()},
    }
