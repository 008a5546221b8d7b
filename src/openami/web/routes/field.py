# SPDX-License-Identifier: Apache-2.0
"""The REST interface, what stands in the field and at the head-end, and what is missing of it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query

from openami.exchange.field import Notice
from openami.runtime.clock import to_us
from openami.store import concentrator_devices, data_quality, field, leases
from openami.store.database import Database
from openami.web import answers, answers_operation
from openami.web.context import At
from openami.web.guards import MOST_METER_ID, NotFoundError, UtilityVisitor

router = APIRouter(prefix="/api", tags=["operation"])

Json = dict[str, object]
Title = Annotated[str, Path(pattern="^[0-9A-Fa-f]{16}$")]
MeterIdQuery = Annotated[int | None, Query(ge=0, le=MOST_METER_ID)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/concentrators", response_model=list[answers_operation.Concentrator])
def concentrators(at: At, _visitor: UtilityVisitor) -> list[Json]:
    """Return what each concentrator last said of itself; times are of real life."""
    firmware, clock, uplink = _firmware(at.engine), _clock(at.engine), _uplink(at.engine)
    found = sorted(field.heartbeats(at.engine).items())
    return [_standing(row) | firmware(title) | clock(title) | uplink(title) for title, row in found]


@router.get("/concentrators/{title}", response_model=answers_operation.ConcentratorTold)
def concentrator(title: Title, at: At, _visitor: UtilityVisitor) -> Json:
    """Return a concentrator's last word, the links to its meters, and its newest notices."""
    name = bytes.fromhex(title)
    row = field.heartbeats(at.engine).get(name)
    if row is None:
        raise NotFoundError(f"No concentrator {title.upper()} has ever said how it is.")
    return (
        _standing(row)
        | _firmware(at.engine)(name)
        | _clock(at.engine)(name)
        | _uplink(at.engine)(name)
        | {
            "links": [
                {
                    "title": link.title.hex().upper(),
                    "bearer": link.bearer,
                    "address": link.address,
                    "attached": link.attached,
                    "first_seen_real_us": to_us(link.first_seen),
                    "last_seen_real_us": to_us(link.last_seen),
                    "round_trip_us": link.round_trip_us,
                    "sent": link.sent,
                    "lost": link.lost,
                }
                for link in field.links(at.engine, name)
            ],
            "notices": [_notice(each) for each in field.notices(at.engine, name)],
        }
    )


def _standing(row: dict[str, object]) -> Json:
    title = row["title"]
    return row | {"title": title.hex().upper() if isinstance(title, bytes) else title}


def _firmware(database: Database) -> Callable[[bytes], Json]:
    """Return what tells what a concentrator says that it runs, and its newest update."""
    told = field.firmwares(database)
    wanted = {each.title: each for each in concentrator_devices.updates(database)}

    def of(title: bytes) -> Json:
        firmware, update = told.get(title), wanted.get(title)
        return {
            "firmware": None
            if firmware is None
            else asdict(firmware)
            | {
                "digest": firmware.digest.hex(),
                "signer": firmware.signer.hex(),
                "bank": "AB"[firmware.bank],
            },
            "update": None
            if update is None
            else asdict(update) | {"title": title.hex().upper(), "state": update.state.value},
        }

    return of


def _clock(database: Database) -> Callable[[bytes], Json]:
    """Return what tells what a concentrator says of its host's clock; None: it never said."""
    told = field.clocks(database)

    def of(title: bytes) -> Json:
        heard = told.get(title)
        return {
            "clock": None
            if heard is None
            else asdict(heard.state) | {"heard_real_us": heard.heard_real_us}
        }

    return of


def _uplink(database: Database) -> Callable[[bytes], Json]:
    """Return what tells whether a concentrator is connected, or was stopped in order."""
    reaches = field.reaches(database)

    def of(title: bytes) -> Json:
        reach = reaches.get(title)
        return {"uplink": None if reach is None else reach._asdict()}

    return of


def _notice(notice: Notice) -> Json:
    return {
        "number": notice.number,
        "at_real_us": to_us(notice.at),
        "code": notice.code,
        "title": notice.title.hex().upper() if notice.title else None,
        "text": notice.text,
    }


@router.get("/head-ends")
def head_ends(at: At, _visitor: UtilityVisitor) -> list[str]:
    """Return the names of the head-ends that live."""
    return sorted(leases.alive(at.engine))


@router.get("/gaps", response_model=answers.Gaps)
def gaps(
    at: At, _visitor: UtilityVisitor, meter_id: MeterIdQuery = None, limit: Limit = 1000
) -> Json:
    """Return intervals that should be there and are not, and how many there are in each state."""
    found = data_quality.gaps(at.engine, meter_id=meter_id, limit=limit)
    return {
        "states": data_quality.count_gaps(at.engine),
        "gaps": [
            {
                "meter_id": gap.meter_id,
                "from_us": gap.from_us,
                "to_us": gap.to_us,
                "state": gap.state,
                "attempts": gap.attempts,
                "last_error": gap.last_error,
            }
            for gap in found
        ],
    }


@router.get("/findings", response_model=list[answers.Finding])
def findings(
    at: At, _visitor: UtilityVisitor, meter_id: MeterIdQuery = None, limit: Limit = 100
) -> list[Json]:
    """Return what validation rules say of intervals, newest first."""
    return [
        {
            "meter_id": each.meter_id,
            "channel": each.channel,
            "start_us": each.start_us,
            "code": each.code,
            "numbers": each.numbers,
            "found_us": each.found_us,
        }
        for each in data_quality.findings(at.engine, meter_id=meter_id, limit=limit)
    ]
