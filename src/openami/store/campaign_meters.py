# SPDX-License-Identifier: Apache-2.0
"""The meters of firmware campaigns: claimed under leases, moved by compare-and-set.

Where a transfer stands block by block is with the meter, which is asked; what is kept here is for
people, and to go on with the right question after any break.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, case, false, or_, select, update

from openami.exchange.campaign import (
    COUNTED,
    ENDED,
    FOLLOWED,
    SENDING,
    TRANSITIONS,
    CampaignState,
    MeterState,
    Reason,
)
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import campaigns as campaigns_of
from openami.store import leases
from openami.store.database import Database, reading, transaction
from openami.store.leases import Kind, Lease, Worker, require
from openami.store.registry import not_elsewhere, with_route
from openami.store.tables import attachments, campaigns, meters
from openami.store.tables import campaign_meters as table

_TRANSFER: Final = [state.value for state in SENDING - {MeterState.VERIFIED}]
WAITS: Final = 1
"""`store.broadcasts.Listens`: nothing is sent to it alone until its group's broadcast is over."""
_FOLLOWED: Final = [state.value for state in FOLLOWED]


class NotRunningError(UserError):
    """The campaign does not run now: nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One meter of a campaign."""

    target_id: int
    campaign_id: str
    meter_id: int
    wave: int
    state: MeterState
    reason: str
    note: str
    version_before: str
    version_after: str
    blocks: int  # of the image at this meter; 0: not known yet
    blocks_there: int
    blocks_sent: int
    octets_sent: int  # of blocks, all attempts
    initiated: int  # how often a transfer was initiated
    listens: int  # store.broadcasts.Listens
    blocks_heard: int  # by broadcast
    attempts: int  # in a row that brought nothing
    free_real_us: int
    began_real_us: int | None
    transferred_real_us: int | None
    activate_us: int | None
    activated_real_us: int | None
    changed_real_us: int


def claim(  # noqa: PLR0913  which, for whom, how long, how many
    database: Database,
    worker: Worker,
    *,
    seconds: float,
    limit: int,
    follow: bool | None = None,
    sending: Collection[str],
    calendar_us: int,
    full: Collection[bytes] = (),
) -> list[tuple[Target, Lease]]:
    """Take meters that are due, those that only have to be asked first.

    Args:
        database: The store.
        worker: Who asks; meters that hang on another worker are left to that one.
        seconds: How long they are given.
        limit: How many at most.
        follow: Only those that were told to start an image, or only the others; None: both.
        sending: Campaigns in whose window we are.
        calendar_us: Now, of the metering calendar: whose image is to be started.
        full: Concentrators that carry no more transfers now.
    """
    columns, here = table.c, with_route(worker.name)
    runs = (campaigns.c.state == CampaignState.RUNNING.value) & (columns.wave <= campaigns.c.wave)
    asked = columns.state.in_(_FOLLOWED)
    due = (columns.state == MeterState.VERIFIED.value) & (columns.activate_us <= calendar_us)
    sent = (
        columns.state.in_(_TRANSFER)
        & (columns.listens != WAITS)
        & columns.campaign_id.in_(list(sending))
        & meters.c.concentrator.not_in(list(full))
    )
    query = (
        select(columns.target_id)
        .join_from(table, campaigns, campaigns.c.campaign_id == columns.campaign_id)
        .join(meters, meters.c.meter_id == columns.meter_id)
        .join(attachments, attachments.c.meter_id == columns.meter_id, isouter=True)
        .where(
            columns.open == 1,
            columns.free_real_us <= real_us(),
            or_(asked, runs & due, runs & sent if sending else false()),
            or_(here, not_elsewhere(worker.name)),
        )
        .order_by(case((asked, 0), else_=1), case((here, 0), else_=1), columns.target_id)
    )
    if follow is not None:
        query = query.where(asked if follow else ~asked)
    key = columns.target_id
    given = leases.claim(database, Kind.UPDATE, key, query, worker, seconds=seconds, limit=limit)
    if not given:
        return []
    held = {int(lease.item): lease for lease in given}
    with reading(database) as connection:
        rows = connection.execute(select(table).where(key.in_(list(held)))).mappings().all()
    return [(target_of(row), held[row["target_id"]]) for row in rows]


def advance(  # noqa: PLR0913  a step has these fields
    database: Database,
    target: Target,
    to_state: MeterState,
    note: str,
    *,
    lease: Lease,
    reason: Reason | None = None,
    pause_s: float = 0.0,
    only_running: bool = False,
    **values: object,
) -> Target:
    """Move a meter on; return it as it stands then.

    One to which something would have to be sent again is skipped where its campaign was cancelled
    while it was only asked: nobody would ever send it.  Where it comes to what a rule may count,
    the rules are looked at in the same transaction: nothing is started between the two.

    Args:
        database: The store.
        target: As it was read.
        to_state: What follows.
        note: What was seen or done.
        lease: Of the target.
        reason: Why it failed or was skipped.
        pause_s: Before it is looked at again.
        only_running: Whether the campaign has to run at this moment.
        values: Other columns.

    Raises:
        LostLeaseError: It is another worker's by now; nothing is written.
        NotRunningError: `only_running`, and the campaign does not.
        UserError: Somebody moved it meanwhile, e.g. cancelled the campaign.
    """
    if to_state not in TRANSITIONS[target.state]:
        raise UserError(
            f"meter {target.meter_id}: {target.state.value} is never followed by {to_state.value}"
        )
    now_us = real_us()
    changed: dict[str, object] = {
        "state": to_state.value,
        "note": note,
        "reason": "" if reason is None else reason.value,
        "attempts": 0,
        "free_real_us": now_us + round(pause_s * MICROSECONDS),
        "changed_real_us": now_us,
        "open": None if to_state in ENDED else 1,
        **values,
    }
    wanted = (table.c.target_id == target.target_id) & (table.c.state == target.state.value)
    with transaction(database) as connection:
        require(connection, lease)
        if to_state in COUNTED:
            campaigns_of.lock(connection, target.campaign_id)
        if only_running:
            _require_running(connection, target.campaign_id)
        if to_state in SENDING and target.state in FOLLOWED:
            changed |= _cancelled(connection, target.campaign_id)
        done = connection.execute(update(table).where(wanted).values(changed).returning(table))
        row = done.mappings().first()
        if row is not None and to_state in COUNTED:
            campaigns_of.conduct(connection, target.campaign_id)
    if row is None:
        raise UserError(f"meter {target.meter_id} was moved meanwhile: its campaign was cancelled")
    return target_of(row)


def _cancelled(connection: Connection, campaign_id: str) -> dict[str, object]:
    """Return what is written of a meter instead where its campaign is cancelled; else nothing."""
    if _state_of(connection, campaign_id) is not CampaignState.CANCELLED:
        return {}
    return {
        "state": MeterState.SKIPPED.value,
        "reason": Reason.CANCELLED.value,
        "note": "the request to start the image never arrived, and the campaign is cancelled",
        "open": None,
    }


def _state_of(connection: Connection, campaign_id: str) -> CampaignState:
    """Return how a campaign stands, and let it stand so until the transaction ends."""
    query = select(campaigns.c.state).where(campaigns.c.campaign_id == campaign_id)
    return CampaignState(connection.execute(query.with_for_update(read=True)).scalar_one())


def _require_running(connection: Connection, campaign_id: str) -> None:
    state = _state_of(connection, campaign_id)
    if state is not CampaignState.RUNNING:
        raise NotRunningError(f"campaign {campaign_id} is {state.value}: no image is started")


def progress(database: Database, target: Target, *, lease: Lease) -> CampaignState:
    """Write what the transfer of `target` has come to; return how its campaign stands.

    Raises:
        LostLeaseError: It is another worker's by now.
    """
    values = _sent(target) | {"attempts": target.attempts}
    state = select(campaigns.c.state).where(campaigns.c.campaign_id == target.campaign_id)
    with transaction(database) as connection:
        require(connection, lease)
        wanted = table.c.target_id == target.target_id
        connection.execute(update(table).where(wanted).values(values))
        return CampaignState(connection.execute(state).scalar_one())


def _sent(target: Target) -> dict[str, object]:
    names = ("blocks", "blocks_there", "blocks_sent", "octets_sent")
    return {name: getattr(target, name) for name in names}


def initiates(database: Database, target: Target, *, lease: Lease) -> Target:
    """Write that a transfer is going to be initiated, before it is."""
    with transaction(database) as connection:
        require(connection, lease)
        wanted = table.c.target_id == target.target_id
        values = {"initiated": target.initiated + 1}
        connection.execute(update(table).where(wanted).values(values))
    return replace(target, initiated=target.initiated + 1)


def postpone(  # noqa: PLR0913  which, why, how long, by whom
    database: Database, target: Target, note: str, *, pause_s: float, attempts: int, lease: Lease
) -> None:
    """Try a meter again after a pause; what was sent to it until now is written, too.

    Raises:
        LostLeaseError: It is another worker's by now; nothing is written.
    """
    values = _sent(target) | {
        "note": note,
        "attempts": attempts,
        "free_real_us": real_us() + round(pause_s * MICROSECONDS),
    }
    with transaction(database) as connection:
        require(connection, lease)
        wanted = (table.c.target_id == target.target_id) & (table.c.open == 1)
        connection.execute(update(table).where(wanted).values(values))


def targets(
    database: Database,
    campaign_id: str,
    *,
    states: Collection[MeterState] | None = None,
    limit: int | None = None,
) -> list[Target]:
    """Return the meters of a campaign, wave by wave."""
    query = select(table).where(table.c.campaign_id == campaign_id)
    if states is not None:
        query = query.where(table.c.state.in_([state.value for state in states]))
    query = query.order_by(table.c.wave, table.c.target_id).limit(limit)
    with reading(database) as connection:
        return [target_of(row) for row in connection.execute(query).mappings()]


def last_of_meter(database: Database, meter_id: int) -> Target | None:
    """Return a meter in its latest campaign; None if it never was in one."""
    query = select(table).where(table.c.meter_id == meter_id)
    query = query.order_by(table.c.target_id.desc()).limit(1)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else target_of(row)


def target_of(row: RowMapping) -> Target:
    """Return a row of the table as it is spoken of."""
    told: dict[str, Any] = dict(row)
    del told["open"]
    told["state"] = MeterState(told["state"])
    return Target(**told)
