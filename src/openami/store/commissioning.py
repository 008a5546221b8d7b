# SPDX-License-Identifier: Apache-2.0
"""Meters on their way from a shipment into operation: one row a meter, one stage after another.

::

    identity -> keys -> clock -> profile -> push -> first read -> operating

A stage is passed by a compare-and-set that leaves a line of history, so what is done is not done
again after a stop, whoever goes on.  A meter that is not as it should be is held, with the reason,
until somebody asks again; it goes on at the stage where it was held.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sqlalchemy import RowMapping, case, func, select, update

from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import claims
from openami.store.database import Database, insert_all, insert_new, reading, transaction
from openami.store.leases import Kind, Lease, Worker
from openami.store.tables import commissioning_history
from openami.store.tables import commissionings as table


class Stage(Enum):
    """What a meter has to pass next."""

    IDENTITY = "identity"  # it is the meter of the shipment: certificate, names, keys
    KEYS = "keys"  # the factory's keys are replaced by operational ones
    CLOCK = "clock"  # it tells the time
    PROFILE = "profile"  # it records what it should, as often as it should
    PUSH = "push"  # it pushes that
    FIRST_READ = "first read"  # all of it was read once
    OPERATING = "operating"


NEXT: Final[Mapping[Stage, Stage]] = {
    Stage.IDENTITY: Stage.KEYS,
    Stage.KEYS: Stage.CLOCK,
    Stage.CLOCK: Stage.PROFILE,
    Stage.PROFILE: Stage.PUSH,
    Stage.PUSH: Stage.FIRST_READ,
    Stage.FIRST_READ: Stage.OPERATING,
}


class State(Enum):
    """Whether anybody goes on with a meter."""

    OPEN = "open"
    HELD = "held"  # a person has to look
    OPERATING = "operating"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commissioning:
    """Where one meter stands."""

    meter_id: int
    stage: Stage
    state: State
    certificate: str  # SHA-256 of the device certificate that was verified; empty: none was given
    asked_by: str
    reason: str
    asked_real_us: int
    attempts: int
    free_real_us: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One line of a meter's history."""

    at_real_us: int
    stage: Stage
    note: str


def ask(
    database: Database,
    meter_ids: Iterable[int],
    *,
    asked_by: str,
    reason: str,
    certificates: Mapping[int, str] | None = None,
) -> int:
    """Begin with meters that are new, go on with those held; return how many those are."""
    known = certificates or {}
    note = f"asked by {asked_by}: {reason}"
    count = 0
    with transaction(database) as connection:
        for meter_id in meter_ids:
            values = {"asked_by": asked_by, "reason": reason, "asked_real_us": real_us()}
            row = {
                "meter_id": meter_id,
                "stage": Stage.IDENTITY.value,
                "state": State.OPEN.value,
                "certificate": known.get(meter_id, ""),
                "attempts": 0,
                "free_real_us": 0,
                "note": "",
                **values,
            }
            began = insert_new(connection, table, [row]) == 1
            if not began:
                held = (table.c.meter_id == meter_id) & (table.c.state == State.HELD.value)
                values |= {"state": State.OPEN.value, "attempts": 0, "free_real_us": 0}
                began = connection.execute(update(table).where(held).values(values)).rowcount == 1
            if began:
                stage = select(table.c.stage).where(table.c.meter_id == meter_id)
                _note(connection, meter_id, Stage(connection.execute(stage).scalar_one()), note)
                count += 1
    return count


def claim(
    database: Database, worker: Worker, *, seconds: float, limit: int
) -> list[tuple[Commissioning, Lease]]:
    """Take meters that nobody works on and that `worker` can reach."""
    kind = Kind.COMMISSIONING
    rows = claims.claim(database, kind, table, worker, seconds=seconds, limit=limit)
    return [(_commissioning(row), lease) for row, lease in rows]


def postpone(database: Database, meter_id: int, note: str, *, pause_s: float, lease: Lease) -> None:
    """Try a meter again after a pause, saying why it did not get on."""
    claims.postpone(database, table, meter_id, note, pause_s=pause_s, lease=lease)


def advance(database: Database, meter_id: int, stage: Stage, note: str) -> bool:
    """Pass `stage` if the meter stands there; tell whether it did."""
    following = NEXT[stage]
    state = State.OPERATING if following is Stage.OPERATING else State.OPEN
    values: dict[str, object] = {
        "stage": following.value,
        "state": state.value,
        "attempts": 0,
        "note": "",
    }
    return _move(database, meter_id, stage, values, note)


def hold(database: Database, meter_id: int, stage: Stage, reason: str) -> bool:
    """Stop at `stage` until somebody asks again; tell whether the meter stood there."""
    values: dict[str, object] = {"state": State.HELD.value, "note": reason}
    return _move(database, meter_id, stage, values, f"held: {reason}")


def _move(
    database: Database, meter_id: int, stage: Stage, values: dict[str, object], note: str
) -> bool:
    standing = (
        (table.c.meter_id == meter_id)
        & (table.c.stage == stage.value)
        & (table.c.state == State.OPEN.value)
    )
    with transaction(database) as connection:
        if connection.execute(update(table).where(standing).values(values)).rowcount == 0:
            return False
        _note(connection, meter_id, stage, note)
    return True


def _note(database: Database, meter_id: int, stage: Stage, note: str) -> None:
    row = {"meter_id": meter_id, "at_real_us": real_us(), "stage": stage.value, "note": note}
    with transaction(database) as connection:
        insert_all(connection, commissioning_history, [row])


def commissioning(database: Database, meter_id: int) -> Commissioning:
    """Return where a meter stands.

    Raises:
        UserError: Nobody ever asked for it.
    """
    query = select(table).where(table.c.meter_id == meter_id)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    if row is None:
        raise UserError(
            f"meter {meter_id} was never commissioned: see `openami headend commission`"
        )
    return _commissioning(row)


def in_state(database: Database, state: State, *, limit: int = 100) -> list[Commissioning]:
    """Return meters in this state, by number."""
    query = select(table).where(table.c.state == state.value).order_by(table.c.meter_id)
    with reading(database) as connection:
        rows = connection.execute(query.limit(limit)).mappings()
        return [_commissioning(row) for row in rows]


def progress(database: Database) -> dict[tuple[Stage, State], int]:
    """Count meters by where they stand."""
    query = select(table.c.stage, table.c.state, func.count()).group_by(
        table.c.stage, table.c.state
    )
    found: Counter[tuple[Stage, State]] = Counter()
    with reading(database) as connection:
        for stage, state, count in connection.execute(query):
            found[Stage(stage), State(state)] = count
    return dict(found)


def history(database: Database, meter_id: int) -> list[Passed]:
    """Return what a meter has passed, oldest first."""
    columns = commissioning_history.c
    query = select(columns.at_real_us, columns.stage, columns.note)
    query = query.where(columns.meter_id == meter_id).order_by(columns.history_id)
    with reading(database) as connection:
        return [
            Passed(**{**row, "stage": Stage(row["stage"])})
            for row in connection.execute(query).mappings()
        ]


def operating_since(database: Database) -> dict[int, int | None]:
    """Return since when each meter that was asked for operates, real time; None: not yet."""
    columns = commissioning_history.c
    last = next(stage for stage, following in NEXT.items() if following is Stage.OPERATING)
    # The newest word of the last stage: before it passed, it may have been held there.
    passed = (columns.stage == last.value) & (table.c.state == State.OPERATING.value)
    query = (
        select(table.c.meter_id, func.max(case((passed, columns.at_real_us))))
        .join(commissioning_history, columns.meter_id == table.c.meter_id, isouter=True)
        .group_by(table.c.meter_id)
    )
    with reading(database) as connection:
        return {meter_id: since_us for meter_id, since_us in connection.execute(query)}  # noqa: C416


def _commissioning(row: RowMapping) -> Commissioning:
    fields = dict(row)
    fields["stage"] = Stage(fields["stage"])
    fields["state"] = State(fields["state"])
    return Commissioning(**fields)
