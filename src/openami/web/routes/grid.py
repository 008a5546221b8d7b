# SPDX-License-Identifier: Apache-2.0
"""Where meters hang, and with whom they share a narrow way: cells, transformers, feeders."""

from dataclasses import asdict
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from openami.access.accounts import record
from openami.exchange.words import many
from openami.runtime.errors import ConfigurationError
from openami.store import registry, topology
from openami.web import answers_operation as answers
from openami.web.context import At
from openami.web.guards import (
    MOST_METER_ID,
    AskedWronglyError,
    OurHeader,
    UtilityVisitor,
    Written,
    known_meters,
)

router = APIRouter(prefix="/api", tags=["grid"])

Json = dict[str, object]
MOST_ROWS: Final = 100_000
Reason = Annotated[str, Field(min_length=3, max_length=200), Written]
MeterNumber = Annotated[int, Field(ge=0, le=MOST_METER_ID)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S"), Written]


class InCell(BaseModel):
    """A meter and its cell; none where that is empty."""

    model_config = ConfigDict(extra="forbid")

    meter_id: MeterNumber
    cell: Annotated[str, Field(max_length=registry.MOST_CELL), Written]


class SetCells(BaseModel):
    """The cells of meters; others stay in theirs."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    meters: Annotated[list[InCell], Field(min_length=1, max_length=MOST_ROWS)]


class Hangs(BaseModel):
    """A meter, its transformer, and the feeder of that."""

    model_config = ConfigDict(extra="forbid")

    meter_id: MeterNumber
    transformer: Name
    feeder: Name


class SetPlaces(BaseModel):
    """Where meters hang; others stay where they are known to be."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    places: Annotated[list[Hangs], Field(min_length=1, max_length=MOST_ROWS)]


@router.get("/cells", response_model=list[answers.Cell])
def cells(at: At, _visitor: UtilityVisitor) -> list[Json]:
    """Return the cells, and how many meters share each."""
    found = registry.cells(at.engine)
    return [{"cell": name, "meters": count} for name, count in found.items()]


@router.post("/cells", dependencies=[OurHeader], response_model=answers.Changed)
def set_cells(asked: SetCells, at: At, visitor: UtilityVisitor) -> Json:
    """Say which cells meters are in; a head-end goes by it from a meter's next read on."""
    wanted = {each.meter_id: each.cell.strip() for each in asked.meters}
    if len(wanted) < len(asked.meters):
        raise AskedWronglyError("A meter is named twice: name it once.")
    known_meters(at, wanted)
    count = registry.set_cells(at.engine, wanted)
    record(at.engine, visitor.account.login, "cells.set", f"{many(count)}: {asked.reason.strip()}")
    return {"changed": count}


@router.get("/topology", response_model=list[answers.Place])
def places(
    at: At,
    _visitor: UtilityVisitor,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: Annotated[int, Query(ge=-1, le=MOST_METER_ID)] = -1,
) -> list[Json]:
    """Return where meters hang, by number: those after one, so many at once."""
    return [asdict(each) for each in topology.page(at.engine, after=after, limit=limit)]


@router.post("/topology", dependencies=[OurHeader], response_model=answers.Changed)
def set_places(asked: SetPlaces, at: At, visitor: UtilityVisitor) -> Json:
    """Say where meters hang; outages are judged by it from now on.

    What the file of the head-end's configuration says of a meter holds again after its next start.
    """
    rows = [
        (f"place {number}", [str(each.meter_id), each.transformer, each.feeder])
        for number, each in enumerate(asked.places, 1)
    ]
    numbers = {
        str(number): number for number in known_meters(at, {p.meter_id for p in asked.places})
    }
    try:
        found = topology.places_of(rows, numbers)
    except ConfigurationError as error:
        raise AskedWronglyError.of(error) from error
    count = topology.put(at.engine, found)
    record(
        at.engine, visitor.account.login, "topology.set", f"{many(count)}: {asked.reason.strip()}"
    )
    return {"changed": count}
