# SPDX-License-Identifier: Apache-2.0
"""What became of a campaign's meters, counted where they lie; the meters themselves by pages.

A campaign may have a million: no answer here grows with them, but by kinds of answers.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, case, cast, func, literal, select, union_all

from openami.exchange.campaign import MeterState
from openami.store.campaign_meters import Target, target_of
from openami.store.database import Database, reading
from openami.store.tables import campaign_meters as table

GOT_IT, CONFIRMED, LEFT = range(3)  # what a meter did
MOMENTS: Final = 400  # of each of these, in which moves are told together


class Sums(NamedTuple):
    """Blocks of a campaign, over all its meters."""

    octets_sent: int
    blocks_sent: int
    blocks_heard: int
    blocks_again: int  # beyond what their meters needed


class Kind(NamedTuple):
    """Meters of which the same is known."""

    state: MeterState
    reason: str
    version_before: str
    version_after: str
    meters: int


class Moves(NamedTuple):
    """Meters that came further within a moment; `at_real_us` is when the last of them did."""

    at_real_us: int
    which: int
    meters: int


def sums(database: Database, campaign_id: str) -> Sums:
    """Add up what was sent."""
    again = case((table.c.blocks_sent > table.c.blocks, table.c.blocks_sent - table.c.blocks))
    columns = (table.c.octets_sent, table.c.blocks_sent, table.c.blocks_heard, again)
    query = select(*(cast(func.coalesce(func.sum(each), 0), BigInteger) for each in columns))
    with reading(database) as connection:
        row = connection.execute(query.where(table.c.campaign_id == campaign_id)).one()
    return Sums(*map(int, row))


def kinds(database: Database, campaign_id: str) -> list[Kind]:
    """Count meters by state, reason and versions."""
    names = (table.c.state, table.c.reason, table.c.version_before, table.c.version_after)
    query = select(*names, func.count()).where(table.c.campaign_id == campaign_id)
    with reading(database) as connection:
        found = connection.execute(query.group_by(*names).order_by(*names)).all()
    return [Kind(MeterState(state), *rest) for state, *rest in found]


def moves(
    database: Database, campaign_id: str, left: Collection[MeterState], most: int = MOMENTS
) -> list[Moves]:
    """Count who had the image, was confirmed, or was left, within `most` moments, in order.

    Args:
        database: The store.
        campaign_id: Of the campaign.
        left: The states in which a meter is left.
        most: In how many moments the whole time is cut; the counts stay exact.
    """
    mine = table.c.campaign_id == campaign_id
    ended = {MeterState.CONFIRMED.value: CONFIRMED, **{each.value: LEFT for each in left}}
    got = select(table.c.transferred_real_us.label("at"), literal(GOT_IT).label("which"))
    over = select(
        table.c.changed_real_us.label("at"), case(ended, value=table.c.state).label("which")
    )
    every = union_all(
        got.where(mine, table.c.transferred_real_us.is_not(None)),
        over.where(mine, table.c.state.in_(list(ended))),
    ).subquery()
    span = select(func.min(every.c.at), func.max(every.c.at))
    with reading(database) as connection:
        first, last = connection.execute(span).one()
        if first is None:
            return []
        width = (last - first) // most + 1
        moment = ((every.c.at - first) // width).label("moment")
        query = select(func.max(every.c.at), every.c.which, func.count())
        found = connection.execute(query.group_by(moment, every.c.which)).all()
    return sorted(Moves(int(at_us), int(which), int(count)) for at_us, which, count in found)


def page(database: Database, campaign_id: str, *, after: int = -1, limit: int) -> list[Target]:
    """Return meters of a campaign by number: those after one, so many at once."""
    query = select(table).where(table.c.campaign_id == campaign_id, table.c.meter_id > after)
    with reading(database) as connection:
        rows = connection.execute(query.order_by(table.c.meter_id).limit(limit)).mappings()
        return [target_of(row) for row in rows]


def first_looked_at(
    database: Database, campaign_id: str, bad: Collection[MeterState], *, limit: int
) -> list[Target]:
    """Return the meters that a person looks at first: in bad states, then open, then the others."""
    rank = case(
        (table.c.state.in_([each.value for each in bad]), 0),
        (table.c.open.is_not(None), 1),
        else_=2,
    )
    query = select(table).where(table.c.campaign_id == campaign_id)
    with reading(database) as connection:
        rows = connection.execute(query.order_by(rank, table.c.meter_id).limit(limit)).mappings()
        return [target_of(row) for row in rows]
