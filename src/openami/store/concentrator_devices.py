# SPDX-License-Identifier: Apache-2.0
"""Concentrators as devices that the head-end speaks with: their keys, and their firmware updates.

Keys are wrapped as meters' are; invocation counters under them are reserved in the row of the keys.
A concentrator has one update at a time; the row stays when it is over, until another is wanted.

Those that are wanted together are a wave: one begins when those before it are over, and where one
comes to nothing good, those behind it are skipped in the same transaction.  A wave has a name that
no other has; the place of each in it is a number.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from sqlalchemy import Connection, select, update

from openami.exchange.campaign import ENDED, SENDING, MeterState
from openami.runtime.clock import real_us
from openami.runtime.errors import ExitCode, UserError
from openami.store.database import Database, insert_or, reading, transaction
from openami.store.field_tables import concentrator_keys as keys_table
from openami.store.field_tables import concentrator_updates as table

LARGEST_COUNTER: Final = 2**32 - 1
GOOD: Final = frozenset({MeterState.CONFIRMED, MeterState.SKIPPED})
STOPS: Final = frozenset(ENDED) - GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKeys:
    """What we share with a concentrator, wrapped."""

    title: bytes
    guek: bytes
    gak: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcentratorUpdate:
    """A concentrator's firmware on its way; states are those of a meter in a campaign."""

    title: bytes
    release_id: str
    state: MeterState
    note: str
    blocks: int
    blocks_there: int
    attempts: int  # in a row that brought no block
    version_before: str
    version_after: str
    asked_by: str
    why: str
    asked_real_us: int
    activated_real_us: int | None
    changed_real_us: int
    wave: str  # what those that were wanted together have in common
    place: int  # in it, from 0

    @property
    def waits(self) -> bool:
        """Whether nothing was begun yet."""
        return self.state is MeterState.PLANNED

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Take a row of the table."""
        return cls(**{**row, "state": MeterState(row["state"])})


def adopt(database: Database, keys: WrappedKeys) -> None:
    """Take a concentrator's keys, or other ones; counters go on where they were."""
    row = {"title": keys.title, "guek": keys.guek, "gak": keys.gak, "following": 1}
    with transaction(database) as connection:
        statement = insert_or(connection, keys_table)
        changed = {name: statement.excluded[name] for name in ("guek", "gak")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["title"], set_=changed), [row]
        )


def keys_of(database: Database, title: bytes) -> WrappedKeys:
    """Return a concentrator's keys.

    Raises:
        UserError: They were never brought.
    """
    query = select(keys_table).where(keys_table.c.title == title)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    if row is None:
        raise UserError(
            f"the keys of concentrator {title.hex().upper()} are not here: bring its keys.json "
            "with `openami headend concentrator adopt`"
        )
    return WrappedKeys(title=title, guek=row["guek"], gak=row["gak"])


def reserve(database: Database, title: bytes, least: int, count: int) -> range:
    """Return invocation counters that nobody else has, durable, none below `least`.

    Raises:
        UserError: The key has none left, or is not here.
    """
    row = keys_table.c.title == title
    with transaction(database) as connection:
        raised = keys_table.c.following + count
        connection.execute(update(keys_table).where(row).values(following=raised))
        end = connection.execute(select(keys_table.c.following).where(row)).scalar()
        if end is not None and end - count < least:
            end = least + count
            connection.execute(update(keys_table).where(row).values(following=end))
        if end is None or end > LARGEST_COUNTER:
            raise UserError(
                f"concentrator {title.hex().upper()} has no invocation counters left: give it new "
                "keys, and adopt them"
            )
    return range(end - count, end)


def rewrap(database: Database, renew: Callable[[bytes], bytes | None]) -> int:
    """Wrap anew what `renew` gives another wrapping for; return how many keys that were."""
    count = 0
    with transaction(database) as connection:
        for row in connection.execute(select(keys_table)).mappings().all():
            fresh = {name: renew(row[name]) for name in ("guek", "gak")}
            values = {name: octets for name, octets in fresh.items() if octets is not None}
            if values:
                own = keys_table.c.title == row["title"]
                connection.execute(update(keys_table).where(own).values(**values))
            count += len(values)
    return count


def want(database: Database, title: bytes, release_id: str, *, by: str, why: str) -> None:
    """Ask for an update of one concentrator (`want_each`)."""
    want_each(database, [title], release_id, by=by, why=why)


def want_each(
    database: Database, titles: Sequence[bytes], release_id: str, *, by: str, why: str
) -> None:
    """Ask for updates of concentrators one after another; one that is over makes room.

    Raises:
        UserError: One is under way: nothing is asked for.
    """
    now_us, wave = real_us(), uuid.uuid4().hex
    with transaction(database) as connection:
        for place, title in enumerate(titles):
            row = _wanted(release_id, now_us, by, why)
            _want(connection, {"title": title, "wave": wave, "place": place, **row})


def _wanted(release_id: str, now_us: int, by: str, why: str) -> dict[str, object]:
    return {
        "release_id": release_id,
        "state": MeterState.PLANNED.value,
        "note": "",
        "blocks": 0,
        "blocks_there": 0,
        "attempts": 0,
        "version_before": "",
        "version_after": "",
        "asked_by": by,
        "why": why,
        "asked_real_us": now_us,
        "activated_real_us": None,
        "changed_real_us": now_us,
    }


def _want(connection: Connection, row: dict[str, object]) -> None:
    statement = insert_or(connection, table)
    changed = {name: statement.excluded[name] for name in row if name != "title"}
    done = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["title"],
            set_=changed,
            where=table.c.state.in_([state.value for state in ENDED]),
        ).returning(table.c.title),
        [row],
    ).all()
    if not done:
        title = cast("bytes", row["title"]).hex().upper()
        raise UserError(f"an update of concentrator {title} is under way: cancel it, or wait")


def in_turn(found: Sequence[ConcentratorUpdate]) -> list[ConcentratorUpdate]:
    """Return those of the open updates that may be worked on: none of a wave before another."""
    first: dict[str, int] = {}
    for each in found:
        first[each.wave] = min(each.place, first.get(each.wave, each.place))
    return [each for each in found if not each.waits or each.place == first[each.wave]]


def updates(database: Database, *, only_open: bool = False) -> list[ConcentratorUpdate]:
    """Return the newest update of each concentrator, or those that are not over."""
    query = select(table).order_by(table.c.title)
    if only_open:
        query = query.where(table.c.state.not_in([state.value for state in ENDED]))
    with reading(database) as connection:
        rows = connection.execute(query).mappings().all()
    return [ConcentratorUpdate.of(dict(row)) for row in rows]


def advance(
    database: Database, found: ConcentratorUpdate, state: MeterState, note: str, **values: object
) -> bool:
    """Move an update on, if it is still where it was found; tell whether it was."""
    own = (
        (table.c.title == found.title)
        & (table.c.wave == found.wave)
        & (table.c.state == found.state.value)
    )
    changed = {"state": state.value, "note": note, "changed_real_us": real_us(), **values}
    with transaction(database) as connection:
        done = connection.execute(update(table).where(own).values(**changed)).rowcount
        if done and state in STOPS:
            _stop_wave(
                connection, found, f"not begun: {found.title.hex().upper()} is {state.value}"
            )
    return bool(done)


def cancel(database: Database, title: bytes, why: str) -> None:
    """Give up an update that the concentrator was not told to start yet.

    Raises:
        UserError: There is none, or it was.
    """
    name = title.hex().upper()
    for found in updates(database, only_open=True):
        if found.title != title:
            continue
        note = f"cancelled: {why}"
        if found.state in SENDING and advance(database, found, MeterState.SKIPPED, note):
            return
        sentence = f"concentrator {name} was told to start its image already"
        raise UserError(f"{sentence}: wait for what comes of it", ExitCode.ASKED_WRONGLY)
    raise UserError(f"no update of concentrator {name} is under way", ExitCode.ASKED_WRONGLY)


def _stop_wave(connection: Connection, found: ConcentratorUpdate, note: str) -> None:
    """Skip those of a wave that were not begun."""
    behind = (
        (table.c.wave == found.wave)
        & (table.c.place > found.place)
        & (table.c.state == MeterState.PLANNED.value)
    )
    values = {
        "state": MeterState.SKIPPED.value,
        "note": note,
        "changed_real_us": real_us(),
    }
    connection.execute(update(table).where(behind).values(values))


def wrapped_keys(database: Database) -> list[bytes]:
    """Return all keys of concentrators, wrapped."""
    query = select(keys_table.c.guek, keys_table.c.gak).order_by(keys_table.c.title)
    with reading(database) as connection:
        return [key for row in connection.execute(query) for key in row]
