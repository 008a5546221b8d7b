# SPDX-License-Identifier: Apache-2.0
"""Key epochs: which keys of a meter are only made, which may be there, and which are proven.

A change of keys is a new epoch.  It is durable before anything is sent, and from the moment it may
have been sent until the meter has answered under one of the two, both are kept and both are tried:
a head-end that dies at any point, or hears nothing, still has the keys that the meter holds.

::

    prepared -> sent -> active -> retired -> closed
        +--------+----> void

Every step is a compare-and-set against `TRANSITIONS`, so two workers cannot both take it, and
leaves a line of history.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sqlalchemy import Connection, select, update

from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import counters, registry
from openami.store.database import Database, insert_all, reading, transaction
from openami.store.leases import Lease, require
from openami.store.registry import MeterKey
from openami.store.tables import key_history, meter_keys, meters


class KeyState(Enum):
    """Where an epoch of a meter's keys stands."""

    PREPARED = "prepared"  # drawn and durable here; the meter cannot know them
    SENT = "sent"  # the meter may hold them, or those before
    ACTIVE = "active"  # proven by an answer of the meter: seal and open
    RETIRED = "retired"  # replaced: open what still travels under them, seal nothing
    CLOSED = "closed"  # nothing travels under them any more: open nothing
    VOID = "void"  # never sent, or proven not to have been taken over


TRANSITIONS: Final[Mapping[KeyState, frozenset[KeyState]]] = {
    KeyState.PREPARED: frozenset({KeyState.SENT, KeyState.VOID}),
    KeyState.SENT: frozenset({KeyState.ACTIVE, KeyState.VOID}),
    KeyState.ACTIVE: frozenset({KeyState.RETIRED}),
    KeyState.RETIRED: frozenset({KeyState.CLOSED}),
    KeyState.CLOSED: frozenset(),
    KeyState.VOID: frozenset(),
}

OPENS: Final = (KeyState.ACTIVE, KeyState.SENT, KeyState.RETIRED)
"""Whose keys open what a meter sends, in the order in which they are tried."""

ROOM_FOR_COUNTERS: Final = counters.LIMIT // 2

MASTER_KEY: Final = "kek"
FORMER_MASTER_KEY: Final = "kek_was"
"""Stands for the master key while an agreement on another may have come about unheard."""


class KeysChangingError(UserError):
    """Another change of this meter's keys is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEpoch:
    """The keys of one epoch, wrapped, by their names (guek, gak, kek or kek_was, lls)."""

    meter_id: int
    epoch: int  # counts changes of the meter's keys, from 1
    state: KeyState
    wrapped: Mapping[str, bytes]

    @property
    def master_key(self) -> bytes:
        """The master key; while that is in doubt, the one before."""
        return self.wrapped[FORMER_MASTER_KEY if self.master_key_in_doubt else MASTER_KEY]

    @property
    def master_key_in_doubt(self) -> bool:
        """Whether the meter may have agreed on another one, with nobody to hear its answer."""
        return FORMER_MASTER_KEY in self.wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStep:
    """One line of an epoch's history."""

    epoch: int
    at_real_us: int
    state: KeyState
    note: str


def epochs(database: Database, meter_id: int) -> list[KeyEpoch]:
    """Return all epochs of a meter's keys, newest first."""
    return _in_epochs(registry.keys(database, meter_id))


def epochs_of(database: Database, meter_ids: Collection[int]) -> dict[int, list[KeyEpoch]]:
    """Return all epochs of many meters' keys, newest first, by meter."""
    found: dict[int, list[KeyEpoch]] = {}
    for each in _in_epochs(registry.keys_of(database, meter_ids)):
        found.setdefault(each.meter_id, []).append(each)
    return found


def _in_epochs(keys: Iterable[MeterKey]) -> list[KeyEpoch]:
    found: dict[tuple[int, int], list[MeterKey]] = {}
    for key in keys:
        found.setdefault((key.meter_id, key.epoch), []).append(key)
    return [
        KeyEpoch(
            meter_id=meter_id,
            epoch=epoch,
            state=KeyState(same[0].state),  # all names of an epoch step together
            wrapped={key.key_name: key.wrapped for key in same},
        )
        for (meter_id, epoch), same in found.items()
    ]


def prepare(database: Database, meter_id: int, wrapped: Mapping[str, bytes], note: str) -> int:
    """Make a new epoch durable, nothing of it being sent yet; return its number.

    Keys that are not in `wrapped` stay as they are; an epoch that was only prepared is void.  The
    invocation counters of the new epoch go on
    above those of the one before: a meter whose window survives a change of keys takes them, and
    one whose window does not takes them too.

    Raises:
        KeysChangingError: An earlier epoch was sent, and is neither proven nor void.
        UserError: The meter has no proven keys that could be replaced.
    """
    with transaction(database) as connection:
        _lock(connection, meter_id)
        known = epochs(connection, meter_id)
        for each in known:
            if each.state is KeyState.SENT:
                sentence = f"meter {meter_id} may hold key epoch {each.epoch}, or the one before"
                raise KeysChangingError(f"{sentence}: wait until it is proven which")
            if each.state is KeyState.PREPARED:
                void = "never sent, another was prepared"
                step(connection, meter_id, each.epoch, {each.state}, KeyState.VOID, void)
        before = next((each for each in known if each.state is KeyState.ACTIVE), None)
        if before is None:
            raise UserError(f"meter {meter_id} has no active keys: import its shipment")
        epoch = known[0].epoch + 1
        state = KeyState.PREPARED.value
        kept = dict(before.wrapped)
        if before.master_key_in_doubt:
            kept[MASTER_KEY] = kept.pop(FORMER_MASTER_KEY)
        rows = [
            MeterKey(meter_id=meter_id, key_name=name, epoch=epoch, state=state, wrapped=octets)
            for name, octets in {**kept, **wrapped}.items()
        ]
        registry.put_keys(connection, rows)
        following = counters.next_counter(connection, meter_id, before.epoch)
        if following < ROOM_FOR_COUNTERS:
            counters.skip_to(connection, meter_id, epoch, following)
        _note(connection, meter_id, epoch, KeyState.PREPARED, note)
    return epoch


def step(  # noqa: PLR0913, PLR0917  a step has these fields
    database: Database,
    meter_id: int,
    epoch: int,
    from_states: Collection[KeyState],
    to_state: KeyState,
    note: str,
) -> bool:
    """Move an epoch if it stands in one of `from_states`; tell whether it did.

    Raises:
        UserError: No such step exists.
    """
    for state in from_states:
        if to_state not in TRANSITIONS[state]:
            sentence = f"meter {meter_id}: keys that are {state.value} never become"
            raise UserError(f"{sentence} {to_state.value}: prepare another epoch")
    wanted = (
        (meter_keys.c.meter_id == meter_id)
        & (meter_keys.c.epoch == epoch)
        & meter_keys.c.state.in_([state.value for state in from_states])
    )
    with transaction(database) as connection:
        _lock(connection, meter_id)
        done = connection.execute(update(meter_keys).where(wanted).values(state=to_state.value))
        if done.rowcount == 0:
            return False
        _note(connection, meter_id, epoch, to_state, note)
    return True


def begin_agreement(database: Database, lease: Lease, meter_id: int, note: str) -> None:
    """Put the master key of the active epoch in doubt, before an agreement on another is sent.

    Raises:
        LostLeaseError: `lease`, of the meter, is another worker's by now.
    """
    active = (
        (meter_keys.c.meter_id == meter_id)
        & (meter_keys.c.state == KeyState.ACTIVE.value)
        & (meter_keys.c.key_name == MASTER_KEY)
    )
    with transaction(database) as connection:
        require(connection, lease)
        _lock(connection, meter_id)
        known = epochs(connection, meter_id)
        epoch = next(each.epoch for each in known if each.state is KeyState.ACTIVE)
        connection.execute(update(meter_keys).where(active).values(key_name=FORMER_MASTER_KEY))
        _note(connection, meter_id, epoch, KeyState.ACTIVE, note)


def end_agreement(  # noqa: PLR0913, PLR0917  a step has these fields
    database: Database, lease: Lease, meter_id: int, epoch: int, wrapped: bytes, note: str
) -> bool:
    """Put the master key that was agreed on into a prepared epoch; tell whether it was prepared.

    The active epoch stays in doubt: the prepared one takes its place.

    Raises:
        LostLeaseError: `lease`, of the meter, is another worker's by now.
    """
    wanted = (
        (meter_keys.c.meter_id == meter_id)
        & (meter_keys.c.epoch == epoch)
        & (meter_keys.c.state == KeyState.PREPARED.value)
        & (meter_keys.c.key_name == MASTER_KEY)
    )
    with transaction(database) as connection:
        require(connection, lease)
        _lock(connection, meter_id)
        done = connection.execute(update(meter_keys).where(wanted).values(wrapped=wrapped))
        if done.rowcount == 0:
            return False
        _note(connection, meter_id, epoch, KeyState.PREPARED, note)
    return True


def void_unsent(database: Database, meter_id: int, epoch: int, note: str) -> bool:
    """Give up an epoch that the meter cannot know; tell whether it is void now."""
    prepared = {KeyState.PREPARED}
    with transaction(database) as connection:
        if step(connection, meter_id, epoch, prepared, KeyState.VOID, note):
            return True
        found = [each.state for each in epochs(connection, meter_id) if each.epoch == epoch]
        return found == [KeyState.VOID]


def prove(database: Database, meter_id: int, epoch: int, note: str) -> None:
    """Record that the meter has answered under `epoch`, to a question sealed just now.

    That question travelled under a higher invocation counter than what sent the other keys, and a
    meter takes rising counters only: if the keys before still hold, those that were sent can not
    be taken over any more and are void.  If those that were sent hold, the ones before retire.
    """
    with transaction(database) as connection:
        _lock(connection, meter_id)
        states = {each.epoch: each.state for each in epochs(connection, meter_id)}
        if states.get(epoch) is KeyState.ACTIVE:
            for other, state in states.items():
                if state is KeyState.SENT:
                    void = f"epoch {epoch} still holds: {note}"
                    step(connection, meter_id, other, {state}, KeyState.VOID, void)
        elif states.get(epoch) is KeyState.SENT:
            for other, state in states.items():
                if state is KeyState.ACTIVE:
                    retired = f"replaced by epoch {epoch}"
                    step(connection, meter_id, other, {state}, KeyState.RETIRED, retired)
            step(connection, meter_id, epoch, {KeyState.SENT}, KeyState.ACTIVE, note)


def close_retired(database: Database, before_real_us: int, note: str) -> int:
    """Close epochs that retired before a moment of real time; return how many."""
    retired = KeyState.RETIRED
    since = select(key_history.c.history_id).where(
        (key_history.c.meter_id == meter_keys.c.meter_id)
        & (key_history.c.epoch == meter_keys.c.epoch)
        & (key_history.c.state == retired.value)
        & (key_history.c.at_real_us <= before_real_us)
    )
    wanted = select(meter_keys.c.meter_id, meter_keys.c.epoch).distinct()
    wanted = wanted.where(meter_keys.c.state == retired.value, since.exists())
    with reading(database) as connection:
        found = connection.execute(wanted).all()
    return sum(
        step(database, meter_id, epoch, {retired}, KeyState.CLOSED, note)
        for meter_id, epoch in found
    )


def history(database: Database, meter_id: int) -> list[KeyStep]:
    """Return what happened to a meter's keys, oldest first."""
    columns = key_history.c
    query = select(columns.epoch, columns.at_real_us, columns.state, columns.note)
    query = query.where(columns.meter_id == meter_id).order_by(columns.history_id)
    with reading(database) as connection:
        return [
            KeyStep(**{**row, "state": KeyState(row["state"])})
            for row in connection.execute(query).mappings()
        ]


def rewrap(
    database: Database,
    renew: Callable[[bytes], bytes | None],
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Wrap anew what `renew` gives another wrapping for; return how many keys that were.

    It may be cut at any point and run again, while a head-end reads and changes keys: each key is
    replaced only where it still is what was read.

    Args:
        database: The registry.
        renew: Takes a wrapped key; None leaves it.
        told: Of each key that was looked at, and of how many.
    """
    known, count = registry.keys(database), 0
    for number, key in enumerate(known, start=1):
        fresh = renew(key.wrapped)
        if fresh is not None:
            same = (
                (meter_keys.c.meter_id == key.meter_id)
                & (meter_keys.c.key_name == key.key_name)
                & (meter_keys.c.epoch == key.epoch)
                & (meter_keys.c.wrapped == key.wrapped)
            )
            with transaction(database) as connection:
                done = connection.execute(update(meter_keys).where(same).values(wrapped=fresh))
                count += done.rowcount
        told(number, len(known))
    return count


def _lock(connection: Connection, meter_id: int) -> None:
    """Let changes of one meter's keys wait for each other."""
    # SQLite has one writer; PostgreSQL makes the second wait here until the first is committed.
    row = select(meters.c.meter_id).where(meters.c.meter_id == meter_id).with_for_update()
    connection.execute(row).first()


def _note(connection: Connection, meter_id: int, epoch: int, state: KeyState, note: str) -> None:
    row = {
        "meter_id": meter_id,
        "epoch": epoch,
        "at_real_us": real_us(),
        "state": state.value,
        "note": note,
    }
    insert_all(connection, key_history, [row])
