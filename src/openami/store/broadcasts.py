# SPDX-License-Identifier: Apache-2.0
"""Blocks that go to the meters of a wave together: keys of groups, who listens, how far it is.

A group is the meters of one concentrator.  Its keys are drawn when they are first needed; a change
is another epoch, whose invocation counters go on above those of the one before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final

from sqlalchemy import Connection, select, update

from openami.exchange.campaign import CampaignState, MeterState
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store.broadcast_tables import campaign_groups as runs
from openami.store.broadcast_tables import group_members as members
from openami.store.broadcast_tables import groups
from openami.store.campaign_meters import Target
from openami.store.database import Database, insert_or, reading, transaction
from openami.store.leases import Lease, require
from openami.store.tables import campaign_meters, campaigns, meters

FIRST_COUNTER: Final = 1
LIMIT: Final = 2**32 - 1  # the counter has four octets, and the last is never sent
BY_ITSELF: Final = "head-end"
_PREPARING: Final = [MeterState.PLANNED.value, MeterState.TRANSFERRING.value]


class Listens(IntEnum):
    """How a meter of a campaign stands to its group's broadcast."""

    NOT_YET = 0  # not asked, or not in the group
    WAITS = 1  # it holds the keys, a transfer is initiated: nothing is sent to it alone
    OVER = 2  # what it has heard is to be counted
    ALONE = 3  # from here on it is sent what it lacks


class GroupState(StrEnum):
    """How the broadcast of a wave to a group stands."""

    GATHERING = "gathering"  # meters are prepared one by one
    SENDING = "sending"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Keys of a group, wrapped."""

    concentrator: bytes
    epoch: int
    encryption: bytes
    authentication: bytes
    next: int
    changed_by: str
    reason: str
    changed_real_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The broadcast of a wave to a group."""

    group_id: int
    campaign_id: str
    wave: int
    concentrator: bytes
    state: GroupState
    blocks: int
    block_octets: int
    position: int
    blocks_sent: int
    octets_sent: int
    note: str
    began_real_us: int
    changed_real_us: int


# Keys -----------------------------------------------------------------------------------------


def group(database: Database, concentrator: bytes, fresh: Callable[[], bytes]) -> Group:
    """Return the keys of a group; `fresh` draws a wrapped key where there are none yet."""
    with transaction(database) as connection:
        found = _group(connection, concentrator)
        if found is None:
            row = {
                "concentrator": concentrator,
                "epoch": 1,
                "encryption": fresh(),
                "authentication": fresh(),
                "next": FIRST_COUNTER,
                "changed_by": BY_ITSELF,
                "reason": "the first broadcast",
                "changed_real_us": real_us(),
            }
            connection.execute(insert_or(connection, groups).on_conflict_do_nothing(), [row])
            found = _group(connection, concentrator)
        assert found is not None  # noqa: S101  it was put there in this transaction
        return found


def known_groups(database: Database) -> list[Group]:
    """Return all groups that have keys."""
    with reading(database) as connection:
        rows = connection.execute(select(groups).order_by(groups.c.concentrator)).mappings()
        return [Group(**row) for row in rows]


def _group(connection: Connection, concentrator: bytes) -> Group | None:
    query = select(groups).where(groups.c.concentrator == concentrator)
    row = connection.execute(query).mappings().first()
    return None if row is None else Group(**row)


def renew_keys(  # noqa: PLR0913  where, whose, which, by whom and why
    connection: Connection,
    concentrator: bytes,
    encryption: bytes,
    authentication: bytes,
    *,
    by: str,
    reason: str,
) -> int | None:
    """Give a group other keys, wrapped; return their epoch, None where it never had any.

    Each meter gets them over its own association before it listens the next time.
    """
    values = {
        "epoch": groups.c.epoch + 1,
        "encryption": encryption,
        "authentication": authentication,
        "changed_by": by,
        "reason": reason,
        "changed_real_us": real_us(),
    }
    done = update(groups).where(groups.c.concentrator == concentrator).values(values)
    return connection.execute(done.returning(groups.c.epoch)).scalar()


def rewrap(database: Database, renew: Callable[[bytes], bytes | None]) -> int:
    """Wrap keys of groups anew, as `store.keys.rewrap` does those of meters; return how many."""
    count = 0
    for found in known_groups(database):
        for name in ("encryption", "authentication"):
            held: bytes = getattr(found, name)
            fresh = renew(held)
            if fresh is None:
                continue
            same = (groups.c.concentrator == found.concentrator) & (groups.c[name] == held)
            with transaction(database) as connection:
                done = connection.execute(update(groups).where(same).values({name: fresh}))
            count += done.rowcount
    return count


def reserve(database: Database, concentrator: bytes, epoch: int, count: int) -> int:
    """Return the first of `count` invocation counters, durable when this returns.

    Raises:
        UserError: The group has other keys by now, or these have no counters left.
    """
    wanted = (groups.c.concentrator == concentrator) & (groups.c.epoch == epoch)
    with transaction(database) as connection:
        taken = update(groups).where(wanted, groups.c.next + count <= LIMIT)
        after = connection.execute(
            taken.values(next=groups.c.next + count).returning(groups.c.next)
        ).scalar()
    if after is None:
        raise UserError(f"epoch {epoch} of the group's keys is over, or has no counters left")
    return int(after) - count


def holds(database: Database, meter_id: int, found: Group) -> bool:
    """Tell whether a meter was given the keys that its group has now."""
    query = select(members.c.meter_id).where(
        members.c.meter_id == meter_id,
        members.c.concentrator == found.concentrator,
        members.c.epoch == found.epoch,
    )
    with reading(database) as connection:
        return connection.execute(query).first() is not None


def note_member(database: Database, meter_id: int, concentrator: bytes, epoch: int) -> None:
    """Write what a meter was given; epoch 0 puts it out of the group."""
    row = {
        "meter_id": meter_id,
        "concentrator": concentrator,
        "epoch": epoch,
        "changed_real_us": real_us(),
    }
    with transaction(database) as connection:
        statement = insert_or(connection, members)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["meter_id"],
                set_={name: statement.excluded[name] for name in row if name != "meter_id"},
            ),
            [row],
        )


# Who listens ------------------------------------------------------------------------------------


def run_of(database: Database, target: Target, concentrator: bytes) -> Run | None:
    """Return the broadcast of a meter's wave to its group; None before anybody waits for it."""
    with reading(database) as connection:
        row = connection.execute(_run_of(target, concentrator)).mappings().first()
    return None if row is None else _run(dict(row))


def wait(
    database: Database, target: Target, concentrator: bytes, octets: int, lease: Lease
) -> bool:
    """Let a meter wait for the broadcast; False where that began, or blocks are cut otherwise.

    Raises:
        LostLeaseError: The meter is another worker's by now.
    """
    now_us = real_us()
    row = {
        "campaign_id": target.campaign_id,
        "wave": target.wave,
        "concentrator": concentrator,
        "state": GroupState.GATHERING.value,
        "blocks": target.blocks,
        "block_octets": octets,
        "position": 0,
        "blocks_sent": 0,
        "octets_sent": 0,
        "note": "",
        "began_real_us": now_us,
        "changed_real_us": now_us,
    }
    with transaction(database) as connection:
        require(connection, lease)
        connection.execute(insert_or(connection, runs).on_conflict_do_nothing(), [row])
        query = _run_of(target, concentrator).with_for_update()
        found = _run(dict(connection.execute(query).mappings().one()))
        same = (found.blocks, found.block_octets) == (target.blocks, octets)
        if found.state is not GroupState.GATHERING or not same:
            return False
        connection.execute(
            update(campaign_meters)
            .where(campaign_meters.c.target_id == target.target_id)
            .values(listens=Listens.WAITS, note="it waits for the broadcast to its group")
        )
    return True


def settle(
    database: Database, target: Target, listens: Listens, heard: int, lease: Lease
) -> Target:
    """Write that a meter waits no more, and how many blocks it has heard.

    Raises:
        LostLeaseError: It is another worker's by now.
    """
    values = {"listens": int(listens), "blocks_heard": heard}
    with transaction(database) as connection:
        require(connection, lease)
        wanted = campaign_meters.c.target_id == target.target_id
        connection.execute(update(campaign_meters).where(wanted).values(values))
    return replace(target, listens=int(listens), blocks_heard=heard)


def _run_of(target: Target, concentrator: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return select(runs).where(
        runs.c.campaign_id == target.campaign_id,
        runs.c.wave == target.wave,
        runs.c.concentrator == concentrator,
    )


# What goes out ----------------------------------------------------------------------------------


def open_runs(database: Database) -> list[Run]:
    """Return the broadcasts of running campaigns that are not over."""
    query = (
        select(runs)
        .join(campaigns, campaigns.c.campaign_id == runs.c.campaign_id)
        .where(
            campaigns.c.state == CampaignState.RUNNING.value,
            runs.c.state != GroupState.DONE.value,
        )
        .order_by(runs.c.group_id)
    )
    with reading(database) as connection:
        return [_run(dict(row)) for row in connection.execute(query).mappings()]


def run_again(database: Database, run: Run) -> list[Run]:
    """Return a broadcast as it stands now."""
    query = select(runs).where(runs.c.group_id == run.group_id)
    with reading(database) as connection:
        return [_run(dict(row)) for row in connection.execute(query).mappings()]


def runs_of(database: Database, campaign_id: str) -> list[Run]:
    """Return all broadcasts of a campaign."""
    query = select(runs).where(runs.c.campaign_id == campaign_id).order_by(runs.c.group_id)
    with reading(database) as connection:
        return [_run(dict(row)) for row in connection.execute(query).mappings()]


def gathers(database: Database, run: Run) -> bool:
    """Tell whether a meter of the wave is still to be prepared."""
    columns = campaign_meters.c
    query = (
        select(columns.target_id)
        .join(meters, meters.c.meter_id == columns.meter_id)
        .where(
            columns.campaign_id == run.campaign_id,
            columns.wave == run.wave,
            columns.open == 1,
            columns.state.in_(_PREPARING),
            columns.listens == Listens.NOT_YET,
            meters.c.concentrator == run.concentrator,
        )
    )
    with reading(database) as connection:
        return connection.execute(query.limit(1)).first() is not None


def listeners(database: Database, run: Run, epoch: int) -> list[bytes]:
    """Return the titles of the meters that wait and hold the keys of an epoch."""
    query = (
        select(meters.c.title)
        .join(campaign_meters, campaign_meters.c.meter_id == meters.c.meter_id)
        .join(members, members.c.meter_id == meters.c.meter_id)
        .where(
            _waiting(run),
            members.c.concentrator == run.concentrator,
            members.c.epoch == epoch,
        )
    )
    with reading(database) as connection:
        return [bytes(title) for title in connection.execute(query).scalars()]


def _waiting(run: Run):  # type: ignore[no-untyped-def]  # noqa: ANN202
    columns = campaign_meters.c
    of_group = select(meters.c.meter_id).where(meters.c.concentrator == run.concentrator)
    return (
        (columns.campaign_id == run.campaign_id)
        & (columns.wave == run.wave)
        & (columns.listens == Listens.WAITS)
        & columns.meter_id.in_(of_group)
    )


def note_run(database: Database, run: Run, lease: Lease) -> CampaignState:
    """Write how far a broadcast is; return how its campaign stands.

    Raises:
        LostLeaseError: It is another worker's by now.
    """
    values = {
        "state": GroupState.SENDING.value,
        "position": run.position,
        "blocks_sent": run.blocks_sent,
        "octets_sent": run.octets_sent,
        "changed_real_us": real_us(),
    }
    state = select(campaigns.c.state).where(campaigns.c.campaign_id == run.campaign_id)
    with transaction(database) as connection:
        require(connection, lease)
        connection.execute(update(runs).where(runs.c.group_id == run.group_id).values(values))
        return CampaignState(connection.execute(state).scalar_one())


def end_run(database: Database, run: Run, note: str, lease: Lease) -> int:
    """End a broadcast: its listeners are asked what they lack; return how many these are.

    Raises:
        LostLeaseError: It is another worker's by now.
    """
    values = {
        "state": GroupState.DONE.value,
        "position": run.position,
        "blocks_sent": run.blocks_sent,
        "octets_sent": run.octets_sent,
        "note": note,
        "changed_real_us": real_us(),
    }
    with transaction(database) as connection:
        require(connection, lease)
        connection.execute(update(runs).where(runs.c.group_id == run.group_id).values(values))
        over = update(campaign_meters).where(_waiting(run))
        return connection.execute(over.values(listens=Listens.OVER, free_real_us=0)).rowcount


def _run(row: dict[str, object]) -> Run:
    return Run(**row | {"state": GroupState(str(row["state"]))})  # type: ignore[arg-type]
