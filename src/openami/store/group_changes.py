# SPDX-License-Identifier: Apache-2.0
"""Groups whose keys for broadcasts are to be changed: asked for by anybody, drawn by a head-end.

One open change a group: an index of the table refuses a second, whoever asks.  Keys are drawn where
the keystore is; what was drawn and the end of the change are one transaction, so it needs no lease:
of two head-ends one takes it, and one that is killed leaves it open or done.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select, update

from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import broadcasts
from openami.store.broadcast_tables import group_changes as table
from openami.store.broadcast_tables import group_members as members
from openami.store.broadcast_tables import groups
from openami.store.broadcasts import Group
from openami.store.database import Database, insert_new, reading, transaction
from openami.store.tables import meters


class ChangeState(Enum):
    """Where a change of a group's keys stands."""

    OPEN = "open"
    CHANGED = "changed"  # broadcasts go out under the new keys; meters get them before they listen
    FAILED = "failed"
    WITHDRAWN = "withdrawn"  # nobody wants it any more; the keys are as they were


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChange:
    """One group's change of keys."""

    change_id: int
    rotation: str
    concentrator: bytes
    asked_by: str
    reason: str
    correlation: str | None
    asked_real_us: int
    state: ChangeState
    epoch: int | None
    attempts: int
    free_real_us: int
    ended_real_us: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What was asked for at once, and how far it is."""

    rotation: str
    asked_by: str
    reason: str
    correlation: str | None
    asked_real_us: int
    groups: Mapping[ChangeState, int]


class Holding(NamedTuple):
    """A group's keys, who has them, and what was asked for last.

    Attributes:
        group: The keys, wrapped.
        holders: Meters that hold this epoch, by their own answer.
        meters: Meters of the concentrator.
        regions: Theirs.
        last: The newest change that was asked for; None: never.
    """

    group: Group
    holders: int
    meters: int
    regions: tuple[str, ...]
    last: GroupChange | None


# Asked for ------------------------------------------------------------------------------------


def with_keys(database: Database, regions: Collection[str] = ()) -> list[bytes]:
    """Return the groups that have keys: of some regions, or all."""
    query = select(groups.c.concentrator).order_by(groups.c.concentrator)
    if regions:
        there = select(meters.c.concentrator).where(meters.c.region.in_(list(regions)))
        query = query.where(groups.c.concentrator.in_(there))
    with reading(database) as connection:
        return [bytes(title) for title in connection.execute(query).scalars()]


def ask(
    database: Database,
    concentrators: Iterable[bytes],
    *,
    asked_by: str,
    reason: str,
    correlation: str | None = None,
) -> tuple[str, list[bytes]]:
    """Ask for other keys; return the id of the rotation, and the groups that are in it.

    Groups whose keys are being changed already stay with the earlier rotation.

    Raises:
        UserError: A group never had keys; nothing is asked for.
    """
    wanted = sorted(set(concentrators))
    rotation = str(uuid.uuid4())
    rows = [
        {
            "rotation": rotation,
            "concentrator": concentrator,
            "asked_by": asked_by,
            "reason": reason,
            "correlation": correlation,
            "asked_real_us": real_us(),
            "state": ChangeState.OPEN.value,
            "attempts": 0,
            "free_real_us": 0,
            "note": "",
        }
        for concentrator in wanted
    ]
    if missing := sorted(set(wanted) - set(with_keys(database))):
        raise UserError(never_had(missing[0]))
    with transaction(database) as connection:
        insert_new(connection, table, rows)
        query = select(table.c.concentrator).where(table.c.rotation == rotation)
        taken = connection.execute(query.order_by(table.c.change_id)).scalars()
        return rotation, [bytes(title) for title in taken]


def never_had(concentrator: bytes) -> str:
    """Return why the keys of a group cannot be changed."""
    name = concentrator.hex().upper()
    sentence = f"the meters of concentrator {name} never had a broadcast key"
    return f"{sentence}: the first broadcast draws it"


def withdraw(database: Database, rotation: str, note: str) -> int:
    """Close what is open of a rotation; return how many groups keep the keys that they have."""
    wanted = (table.c.rotation == rotation) & (table.c.state == ChangeState.OPEN.value)
    with transaction(database) as connection:
        return _end(connection, wanted, ChangeState.WITHDRAWN, note)


# Carried out ----------------------------------------------------------------------------------


def due(database: Database, limit: int) -> list[GroupChange]:
    """Return open changes whose turn it is, the oldest first."""
    wanted = (table.c.state == ChangeState.OPEN.value) & (table.c.free_real_us <= real_us())
    query = select(table).where(wanted).order_by(table.c.free_real_us, table.c.change_id)
    return _changes(database, query.limit(limit))


def carry_out(
    database: Database, change: GroupChange, encryption: bytes, authentication: bytes
) -> int | None:
    """Give a group keys that were drawn and wrapped for it; return their epoch.

    None: the change failed, and says why; or it is not open any more, and what was drawn is
    forgotten.
    """
    with transaction(database) as connection:
        if not _end(connection, table.c.change_id == change.change_id, ChangeState.CHANGED, ""):
            return None
        epoch = broadcasts.renew_keys(
            connection,
            change.concentrator,
            encryption,
            authentication,
            by=change.asked_by,
            reason=change.reason,
        )
        values: dict[str, object] = {"epoch": epoch}
        if epoch is None:
            note = never_had(change.concentrator)
            values = {"state": ChangeState.FAILED.value, "note": note}
        mine = update(table).where(table.c.change_id == change.change_id)
        connection.execute(mine.values(values))
        return epoch


def postpone(database: Database, change_id: int, note: str, *, pause_s: float) -> None:
    """Try a change again after a pause, saying why it did not come about."""
    values = {
        "attempts": table.c.attempts + 1,
        "free_real_us": real_us() + round(pause_s * MICROSECONDS),
        "note": note,
    }
    wanted = (table.c.change_id == change_id) & (table.c.state == ChangeState.OPEN.value)
    with transaction(database) as connection:
        connection.execute(update(table).where(wanted).values(values))


def _end(connection: Connection, wanted: ColumnElement[bool], state: ChangeState, note: str) -> int:
    values = {"state": state.value, "ended_real_us": real_us(), "note": note}
    still = wanted & (table.c.state == ChangeState.OPEN.value)
    return connection.execute(update(table).where(still).values(values)).rowcount


# Looked at ------------------------------------------------------------------------------------


def holdings(database: Database, *, after: bytes = b"", limit: int = 1000) -> list[Holding]:
    """Return groups that have keys, by title: those after one."""
    query = select(groups).where(groups.c.concentrator > after).order_by(groups.c.concentrator)
    with reading(database) as connection:
        found = [Group(**row) for row in connection.execute(query.limit(limit)).mappings()]
        titles = [group.concentrator for group in found]
        holders = _counted(
            connection,
            select(members.c.concentrator, func.count())
            .join(groups, groups.c.concentrator == members.c.concentrator)
            .where(members.c.epoch == groups.c.epoch, members.c.concentrator.in_(titles))
            .group_by(members.c.concentrator),
        )
        there = _counted(
            connection,
            select(meters.c.concentrator, func.count())
            .where(meters.c.concentrator.in_(titles))
            .group_by(meters.c.concentrator),
        )
        where: dict[bytes, list[str]] = {}
        regions = select(meters.c.concentrator, meters.c.region).distinct()
        regions = regions.where(meters.c.concentrator.in_(titles)).order_by(meters.c.region)
        for title, region in connection.execute(regions):
            where.setdefault(bytes(title), []).append(region)
        newest = select(func.max(table.c.change_id)).where(table.c.concentrator.in_(titles))
        asked = select(table).where(
            table.c.change_id.in_(newest.group_by(table.c.concentrator).scalar_subquery())
        )
        last = {
            change.concentrator: change
            for change in map(_change, connection.execute(asked).mappings())
        }
    return [
        Holding(
            group,
            holders.get(group.concentrator, 0),
            there.get(group.concentrator, 0),
            tuple(where.get(group.concentrator, ())),
            last.get(group.concentrator),
        )
        for group in found
    ]


def _counted(connection: Connection, query: "Select[Any]") -> dict[bytes, int]:
    return {bytes(title): int(count) for title, count in connection.execute(query)}


def rotations(
    database: Database,
    *,
    rotation: str | None = None,
    correlation: str | None = None,
    limit: int = 20,
) -> list[Rotation]:
    """Return what was asked for, newest first: all, one, or that of a correlation."""
    begun = func.min(table.c.change_id)
    names = (table.c.rotation, table.c.asked_by, table.c.reason, table.c.correlation)
    query = select(*names, func.min(table.c.asked_real_us)).group_by(*names)
    if rotation is not None:
        query = query.where(table.c.rotation == rotation)
    if correlation is not None:
        query = query.where(table.c.correlation == correlation)
    with reading(database) as connection:
        heads = connection.execute(query.order_by(begun.desc()).limit(limit)).all()
        counted: dict[str, Counter[ChangeState]] = {}
        numbers = select(table.c.rotation, table.c.state, func.count())
        numbers = numbers.where(table.c.rotation.in_([head[0] for head in heads]))
        numbers = numbers.group_by(table.c.rotation, table.c.state)
        for row in connection.execute(numbers):
            counted.setdefault(row[0], Counter())[ChangeState(row[1])] = row[2]
    return [
        Rotation(
            rotation=name,
            asked_by=asked_by,
            reason=reason,
            correlation=called,
            asked_real_us=asked_us,
            groups=counted[name],
        )
        for name, asked_by, reason, called, asked_us in heads
    ]


def changes(
    database: Database, rotation: str, *, after: bytes = b"", limit: int = 1000
) -> list[GroupChange]:
    """Return the changes of a rotation, by title: those after one."""
    query = select(table).where(table.c.rotation == rotation, table.c.concentrator > after)
    return _changes(database, query.order_by(table.c.concentrator).limit(limit))


def _changes(database: Database, query: "Select[Any]") -> list[GroupChange]:
    with reading(database) as connection:
        return [_change(row) for row in connection.execute(query).mappings()]


def _change(row: RowMapping) -> GroupChange:
    fields = dict(row)
    fields["state"] = ChangeState(fields["state"])
    return GroupChange(**fields)
