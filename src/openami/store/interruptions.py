# SPDX-License-Identifier: Apache-2.0
"""Interruptions that were over when they became known, and that another has followed since.

`supply` holds the last loss of each meter, and the worker that judges looks at that.  What came out
of a journal before it, or was over and followed by the next between two looks, is kept here in the
transaction that accepts the notice: in the outage that it belongs to, else as one of its meter.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from openami.exchange.supply import NONE, Scope, Supply
from openami.store import outage_members, outages, registry, supply, topology
from openami.store.outage_members import Member
from openami.store.outages import Outage

EARLIER_US: Final = 300 * 1_000_000
"""Calendar: how much earlier than its outage a member may have lost its supply."""
SENTENCE: Final = "it told so when its supply was back"


def keep(connection: Connection, over: Sequence[Supply]) -> None:
    """Keep what `supply.tell` returned."""
    ids = {loss.meter_id for loss in over}
    known = registry.some(connection, ids) if ids else []
    regions = {meter.meter_id: meter.region for meter in known}
    places = topology.places(connection, ids)
    current = {number: state.outage_id for number, state in supply.of(connection, ids).items()}
    grown: set[int] = set()
    for loss in over:
        if loss.outage_id:
            outage_members.keep_return(connection, loss.outage_id, loss)
            grown.add(loss.outage_id)
        elif loss.outage_id is None and loss.meter_id in regions:
            place = places.get(loss.meter_id)
            transformer = None if place is None else place.transformer
            region = regions[loss.meter_id]
            grown.add(_keep(connection, loss, region, transformer, current[loss.meter_id]))
    if grown:
        outages.hold(connection)
        now_real_us = max(loss.returned_real_us or loss.found_real_us for loss in over)
        outages.look_at(connection, dict.fromkeys(grown - {NONE}, now_real_us))


def set_apart(connection: Connection, member: Member, found_real_us: int, region: str) -> None:
    """Give an interruption that is over an outage of its own: its outage takes the meter again."""
    own = Outage(
        scope=Scope.METER,
        place=f"meter {member.meter_id}",
        region=region,
        began_us=member.lost_us,
        found_real_us=found_real_us,
        ended_us=member.returned_us,
        ended_real_us=found_real_us,
        verified=False,
        sentence=SENTENCE,
        parent_id=member.outage_id or None,
    )
    number = outages.begin(connection, own)
    outage_members.add_member(connection, replace(member, outage_id=number))


def _keep(
    connection: Connection,
    loss: Supply,
    region: str,
    transformer: str | None,
    current: int | None,
) -> int:
    """Keep one; return the number of the outage that has it now, NONE where it is by itself."""
    assert loss.returned_us is not None  # noqa: S101  it is over
    if outage_members.is_kept(connection, loss, current or NONE):
        return NONE
    theirs: list[int] = []
    if transformer is not None:
        scope, until_us = Scope.TRANSFORMER, loss.lost_us + EARLIER_US
        found = outages.of_place(connection, scope, transformer, loss.lost_us, until_us)
        members = outage_members.members(connection, [each.outage_id for each in found])
        theirs = [
            number
            for number, row in members.items()
            if all(member.meter_id != loss.meter_id for member in row)
        ]
    member = Member(
        outage_id=theirs[-1] if theirs else NONE,
        meter_id=loss.meter_id,
        lost_us=loss.lost_us,
        returned_us=loss.returned_us,
        evidence=loss.evidence,
    )
    if theirs:
        outage_members.add_member(connection, member)
    else:
        set_apart(connection, member, loss.found_real_us, region)
    return member.outage_id
