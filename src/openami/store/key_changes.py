# SPDX-License-Identifier: Apache-2.0
"""Whose keys are to be changed: asked for by group, worked on one by one, resumed after a stop.

One open change a meter: an index of the table refuses a second, whoever asks.  A worker holds a
change by lease; when it dies the lease runs out and the change goes on where its epoch stands
(`store.keys`).
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sqlalchemy import ColumnElement, RowMapping, func, select, update

from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import claims, keys
from openami.store.database import Database, insert_new, reading, transaction
from openami.store.leases import Kind, Lease, Worker
from openami.store.tables import key_changes as table

KEY_NAMES: Final = ("guek", "gak", "kek")
"""What a change may replace; the reader's secret (lls) is an attribute of its association."""


class ChangeState(Enum):
    """Where a change of a meter's keys stands."""

    OPEN = "open"
    CHANGED = "changed"  # the meter has answered under the new keys
    REFUSED = "refused"  # the meter said no, and the keys before still hold
    WITHDRAWN = "withdrawn"  # nothing was sent, and nobody wants it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """One meter's change of keys."""

    change_id: int
    rotation: str
    meter_id: int
    key_names: tuple[str, ...]
    asked_by: str
    reason: str
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
    asked_real_us: int
    meters: Mapping[ChangeState, int]


def ask(
    database: Database,
    meter_ids: Iterable[int],
    *,
    asked_by: str,
    reason: str,
    key_names: Sequence[str] = ("guek", "gak"),
) -> tuple[str, int]:
    """Ask for new keys; return the id of the rotation, and how many meters are in it.

    Meters whose keys are being changed already stay with the earlier rotation.

    Raises:
        UserError: A key of that name is not changed, or the GUEK is not among them: each epoch
            counts its invocations by itself, so no two may have the same.
    """
    if "guek" not in key_names or any(name not in KEY_NAMES for name in key_names):
        sentence = f"keys {' '.join(key_names) or 'none'} are not changed: give guek, and of"
        raise UserError(f"{sentence} {' '.join(KEY_NAMES)} what else is to be new")
    rotation = str(uuid.uuid4())
    rows = [
        {
            "rotation": rotation,
            "meter_id": meter_id,
            "key_names": " ".join(key_names),
            "asked_by": asked_by,
            "reason": reason,
            "asked_real_us": real_us(),
            "state": ChangeState.OPEN.value,
            "attempts": 0,
            "free_real_us": 0,
            "note": "",
        }
        for meter_id in meter_ids
    ]
    with transaction(database) as connection:
        insert_new(connection, table, rows)
        count = select(func.count()).where(table.c.rotation == rotation)
        return rotation, int(connection.execute(count).scalar_one())


def claim(
    database: Database, worker: Worker, *, seconds: float, limit: int
) -> list[tuple[KeyChange, Lease]]:
    """Take open changes that nobody works on and whose meters `worker` can reach."""
    kind = Kind.KEY_CHANGE
    rows = claims.claim(database, kind, table, worker, seconds=seconds, limit=limit)
    return [(_change(row), lease) for row, lease in rows]


def prepare(database: Database, change: KeyChange, wrapped: Mapping[str, bytes]) -> int:
    """Prepare an epoch for a change, and remember which it is, in one transaction.

    Raises:
        UserError: The change was withdrawn meanwhile; nothing is prepared.
    """
    with transaction(database) as connection:
        note = f"asked by {change.asked_by}: {change.reason}"
        epoch = keys.prepare(connection, change.meter_id, wrapped, note)
        done = connection.execute(update(table).where(_open(change.change_id)).values(epoch=epoch))
        if done.rowcount == 0:
            raise UserError(f"the key change of meter {change.meter_id} was withdrawn: ask anew")
    return epoch


def postpone(
    database: Database, change_id: int, note: str, *, pause_s: float, lease: Lease
) -> None:
    """Try a change again after a pause, saying why it did not come about."""
    claims.postpone(database, table, change_id, note, pause_s=pause_s, lease=lease)


def end(database: Database, change_id: int, state: ChangeState, note: str) -> None:
    """Close an open change."""
    values = {"state": state.value, "ended_real_us": real_us(), "note": note}
    with transaction(database) as connection:
        connection.execute(update(table).where(_open(change_id)).values(values))


def withdraw(database: Database, rotation: str, note: str) -> int:
    """Close what is open of a rotation and was never sent; return how many that were.

    Changes whose keys may be at the meter go on until it is proven which keys hold.
    """
    wanted = (table.c.rotation == rotation) & (table.c.state == ChangeState.OPEN.value)
    count = 0
    with transaction(database) as connection:
        rows = connection.execute(select(table).where(wanted).with_for_update()).mappings()
        for change in [_change(row) for row in rows]:
            if change.epoch is None or keys.void_unsent(
                connection, change.meter_id, change.epoch, note
            ):
                end(connection, change.change_id, ChangeState.WITHDRAWN, note)
                count += 1
    return count


def changes(
    database: Database, rotation: str, *, state: ChangeState | None = None, limit: int = 100
) -> list[KeyChange]:
    """Return the changes of a rotation, by meter."""
    query = select(table).where(table.c.rotation == rotation)
    if state is not None:
        query = query.where(table.c.state == state.value)
    with reading(database) as connection:
        rows = connection.execute(query.order_by(table.c.meter_id).limit(limit)).mappings()
        return [_change(row) for row in rows]


def last(database: Database, meter_id: int) -> KeyChange | None:
    """Return the latest change of a meter's keys; None if there was none."""
    query = select(table).where(table.c.meter_id == meter_id)
    with reading(database) as connection:
        found = connection.execute(query.order_by(table.c.change_id.desc()).limit(1)).mappings()
        row = found.first()
    return None if row is None else _change(row)


def rotations(database: Database, *, limit: int = 20) -> list[Rotation]:
    """Return rotations, newest first."""
    begun = func.min(table.c.change_id)
    names = (table.c.rotation, table.c.asked_by, table.c.reason)
    query = select(*names, func.min(table.c.asked_real_us), begun).group_by(*names)
    with reading(database) as connection:
        heads = connection.execute(query.order_by(begun.desc()).limit(limit)).all()
        wanted = table.c.rotation.in_([head[0] for head in heads])
        counted: dict[str, Counter[ChangeState]] = {}
        numbers = select(table.c.rotation, table.c.state, func.count()).where(wanted)
        for rotation, state, number in connection.execute(
            numbers.group_by(table.c.rotation, table.c.state)
        ):
            counted.setdefault(rotation, Counter())[ChangeState(state)] = number
    return [
        Rotation(
            rotation=rotation,
            asked_by=asked_by,
            reason=reason,
            asked_real_us=asked_us,
            meters=counted[rotation],
        )
        for rotation, asked_by, reason, asked_us, _ in heads
    ]


def _open(change_id: int) -> ColumnElement[bool]:
    return (table.c.change_id == change_id) & (table.c.state == ChangeState.OPEN.value)


def _change(row: RowMapping) -> KeyChange:
    fields = dict(row)
    fields["key_names"] = tuple(str(fields["key_names"]).split())
    fields["state"] = ChangeState(fields["state"])
    return KeyChange(**fields)
