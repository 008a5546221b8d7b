# SPDX-License-Identifier: Apache-2.0
"""Firmware campaigns: planned by tools, moved by people, conducted by whichever head-end looks.

Every step of a campaign is a compare-and-set in one transaction with its line of history, so two
head-ends that conduct at once open a wave once.  Its meters are in `campaign_meters`.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, select, update

from openami.exchange.campaign import (
    ENDED,
    SENDING,
    STEPS,
    Act,
    CampaignState,
    MeterState,
    Reason,
    acts,
)
from openami.exchange.events import EventCode
from openami.exchange.waves import EXCUSED, Decision, Next, Plan, Standing, decide, sizes
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import ExitCode, UserError
from openami.store.database import Database, insert_all, reading, transaction
from openami.store.tables import campaign_history, campaign_meters, events
from openami.store.tables import campaigns as table

ALARMING: Final = (
    EventCode.MEASUREMENT_ERROR,
    EventCode.STATE_RESTORED,
    EventCode.MODULE_REFUSED,
    EventCode.METROLOGY_CHANGED,
)
"""Events that no update may cause; that the modules lose each other for a moment is none."""

CONDUCTOR: Final = "head-end"
AT_ONCE: Final = 5000  # meters of one statement
_ENDED: Final = [state.value for state in ENDED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign and where it stands; `wave` is the open one, -1 before the start."""

    campaign_id: str
    name: str
    release_id: str
    plan: Plan
    state: CampaignState
    wave: int
    waves: int
    wave_real_us: int
    judged_real_us: int
    asked_by: str
    asked_real_us: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A line of a campaign's history."""

    at_real_us: int
    state: CampaignState
    wave: int
    by: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveCount:
    """How many meters of a wave stand where, and what was sent to them."""

    wave: int
    state: MeterState
    reason: str
    meters: int
    octets_sent: int
    blocks_sent: int


def plan_campaign(  # noqa: PLR0913  a campaign has these fields
    database: Database,
    *,
    name: str,
    release_id: str,
    meter_ids: Sequence[int],
    plan: Plan,
    asked_by: str,
    reason: str,
) -> tuple[str, list[int]]:
    """Write a campaign that nobody has started; return its id and the meters left out.

    Those are in another open campaign.  Waves are cut off `meter_ids` in their order.

    Raises:
        UserError: Nobody is left.
    """
    campaign_id, now_us = str(uuid.uuid4()), real_us()
    with transaction(database) as connection:
        taken = _taken(connection, meter_ids)
        left = [meter_id for meter_id in meter_ids if meter_id not in taken]
        if not left:
            sentence = "no meter is left for the campaign: all are in one that is not over"
            raise UserError(f"{sentence}; see `openami headend campaign status`")
        cut = sizes(plan.waves, len(left))
        waves = [wave for wave, size in enumerate(cut) for _ in range(size)]
        row = {
            "campaign_id": campaign_id,
            "name": name,
            "release_id": release_id,
            "plan": json.dumps(plan.as_dict()),
            "state": CampaignState.PLANNED.value,
            "wave": -1,
            "waves": len(cut),
            "wave_real_us": now_us,
            "judged_real_us": 0,
            "asked_by": asked_by,
            "asked_real_us": now_us,
            "note": reason,
        }
        insert_all(connection, table, [row])
        meters = [
            {
                "campaign_id": campaign_id,
                "meter_id": meter_id,
                "open": 1,
                "wave": wave,
                "state": MeterState.PLANNED.value,
                "changed_real_us": now_us,
            }
            for meter_id, wave in zip(left, waves, strict=True)
        ]
        insert_all(connection, campaign_meters, meters)
        _tell(connection, campaign_id, CampaignState.PLANNED, -1, asked_by, reason)
    return campaign_id, sorted(taken)


def _taken(connection: Connection, meter_ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    column = campaign_meters.c.meter_id
    for first in range(0, len(meter_ids), AT_ONCE):
        some = list(meter_ids[first : first + AT_ONCE])
        query = select(column).where(column.in_(some), campaign_meters.c.open == 1)
        found |= set(connection.execute(query).scalars())
    return found


def act(database: Database, campaign_id: str, what: Act, *, by: str, reason: str) -> Campaign:
    """Do what a person wants with a campaign; return it as it stands then.

    Raises:
        UserError: There is none of that id, or that cannot be done with it now.
    """
    with transaction(database) as connection:
        found = _locked(connection, campaign_id)
        after = STEPS.get((found.state, what))
        if after is None:
            may = " or ".join(each.value for each in acts(found.state)) or "nothing"
            sentence = f"campaign {campaign_id} is {found.state.value}: {what.value} does not apply"
            raise UserError(f"{sentence}; what does is {may}", ExitCode.ASKED_WRONGLY)
        values: dict[str, object] = {}
        if what is Act.START:
            values = {"wave": 0, "wave_real_us": real_us()}
        elif what is Act.RESUME:
            values = {"judged_real_us": real_us()}  # what a person has seen stops it no more
        elif what is Act.CANCEL:
            _cancel_meters(connection, campaign_id, f"cancelled by {by}: {reason}")
        return _move(connection, found, after, by, reason, values)


def conduct(database: Database, campaign_id: str) -> Decision:
    """Do what follows from how the open wave of a running campaign stands; return what."""
    with reading(database) as connection:
        seen = _campaign(connection, campaign_id)
        decision = decision_for(connection, seen)
    if decision.next is Next.WAIT:
        return decision
    with transaction(database) as connection:
        found = _locked(connection, campaign_id)
        decision = decision_for(connection, found)
        if decision.next is Next.OPEN:
            values = {"wave": found.wave + 1, "wave_real_us": real_us()}
            _move(connection, found, found.state, CONDUCTOR, decision.why, values)
        elif decision.next in _ACTS:
            after = STEPS[found.state, _ACTS[decision.next]]
            _move(connection, found, after, CONDUCTOR, decision.why, {})
    return decision


_ACTS: Final = {Next.STOP: Act.STOP, Next.FINISH: Act.FINISH}


def decision_for(connection: Connection, found: Campaign) -> Decision:
    """Return what follows from how a campaign stands; to wait, unless it runs."""
    if found.state is not CampaignState.RUNNING:
        return Decision(Next.WAIT, f"the campaign is {found.state.value}")
    waves_left = found.waves - 1 - found.wave
    return decide(found.plan, standing(connection, found), waves_left)


def standing(connection: Connection, found: Campaign) -> Standing:
    """Return how the meters of all opened waves stand; judged is what came since the last."""
    meters = campaign_meters.c
    opened = (meters.campaign_id == found.campaign_id) & (meters.wave <= found.wave)
    newer = meters.changed_real_us > max(found.judged_real_us, found.wave_real_us)
    query = (
        select(meters.state, meters.reason, newer.label("newer"), func.count().label("count"))
        .where(opened)
        .group_by(meters.state, meters.reason, newer)
    )
    states: dict[MeterState, int] = {}
    judged: dict[MeterState, int] = {}
    excused = 0
    for row in connection.execute(query).mappings():
        state, count = MeterState(row["state"]), int(row["count"])
        states[state] = states.get(state, 0) + count
        if row["newer"]:
            judged[state] = judged.get(state, 0) + count
            excused += count if _is_excused(row["reason"]) else 0
    last = select(func.max(meters.changed_real_us)).where(opened)
    moved_us = max(connection.execute(last).scalar() or 0, found.wave_real_us)
    return Standing(
        states=states,
        judged=judged,
        excused=excused,
        alarms=_alarms(connection, found),
        quiet_s=max(0, real_us() - moved_us) / MICROSECONDS,
    )


def _is_excused(reason: str) -> bool:
    return bool(reason) and Reason(reason) in EXCUSED


def _alarms(connection: Connection, found: Campaign) -> int:
    """Return how many meters logged an alarming event after their image was started."""
    meters = campaign_meters.c
    query = (
        select(func.count(meters.meter_id.distinct()))
        .join_from(campaign_meters, events, events.c.meter_id == meters.meter_id)
        .where(
            meters.campaign_id == found.campaign_id,
            meters.activated_real_us.is_not(None),
            meters.changed_real_us > found.judged_real_us,
            events.c.at_us >= meters.activate_us,
            events.c.code.in_([int(code) for code in ALARMING]),
        )
    )
    return int(connection.execute(query).scalar_one())


def campaign(database: Database, campaign_id: str) -> Campaign:
    """Return one campaign; the beginning of its id is enough where only one begins so.

    Raises:
        UserError: There is none, or there are several.
    """
    with reading(database) as connection:
        return _campaign(connection, campaign_id)


def _campaign(connection: Connection, campaign_id: str) -> Campaign:
    begins = table.c.campaign_id.startswith(campaign_id, autoescape=True)
    rows = connection.execute(select(table).where(begins).limit(2)).mappings().all()
    if not rows:
        raise UserError(
            f"there is no campaign {campaign_id!r}: see `openami headend campaign status`"
        )
    if len(rows) > 1:
        raise UserError(f"several campaigns begin with {campaign_id!r}: give more of the id")
    return _of(rows[0])


def _locked(connection: Connection, campaign_id: str) -> Campaign:
    known = _campaign(connection, campaign_id)
    query = select(table).where(table.c.campaign_id == known.campaign_id).with_for_update()
    return _of(connection.execute(query).mappings().one())


def lock(connection: Connection, campaign_id: str) -> None:
    """Let nobody else move a campaign until the transaction ends."""
    _locked(connection, campaign_id)


def campaigns(
    database: Database, *, states: Collection[CampaignState] | None = None, limit: int = 50
) -> list[Campaign]:
    """Return campaigns, newest first."""
    query = select(table).order_by(table.c.asked_real_us.desc()).limit(limit)
    if states is not None:
        query = query.where(table.c.state.in_([state.value for state in states]))
    with reading(database) as connection:
        return [_of(row) for row in connection.execute(query).mappings()]


def history(database: Database, campaign_id: str) -> list[Step]:
    """Return what happened to a campaign, oldest first."""
    columns = campaign_history.c
    query = select(columns.at_real_us, columns.state, columns.wave, columns.by, columns.note)
    query = query.where(columns.campaign_id == campaign_id).order_by(columns.history_id)
    with reading(database) as connection:
        return [
            Step(**{**row, "state": CampaignState(row["state"])})
            for row in connection.execute(query).mappings()
        ]


def counts(database: Database, campaign_id: str) -> list[WaveCount]:
    """Return how many meters of each wave stand where."""
    meters = campaign_meters.c
    names = (meters.wave, meters.state, meters.reason)
    query = (
        select(
            *names,
            func.count().label("meters"),
            func.sum(meters.octets_sent).label("octets_sent"),
            func.sum(meters.blocks_sent).label("blocks_sent"),
        )
        .where(meters.campaign_id == campaign_id)
        .group_by(*names)
        .order_by(*names)
    )
    with reading(database) as connection:
        return [
            WaveCount(
                wave=row["wave"],
                state=MeterState(row["state"]),
                reason=row["reason"],
                meters=int(row["meters"]),
                octets_sent=int(row["octets_sent"]),
                blocks_sent=int(row["blocks_sent"]),
            )
            for row in connection.execute(query).mappings()
        ]


def _cancel_meters(connection: Connection, campaign_id: str, note: str) -> None:
    meters = campaign_meters.c
    wanted = (meters.campaign_id == campaign_id) & meters.state.in_(
        [state.value for state in SENDING]
    )
    values = {
        "state": MeterState.SKIPPED.value,
        "reason": Reason.CANCELLED.value,
        "note": note,
        "open": None,
        "changed_real_us": real_us(),
    }
    connection.execute(update(campaign_meters).where(wanted).values(values))


def _move(  # noqa: PLR0913, PLR0917  what moves, where to, by whom, why
    connection: Connection,
    found: Campaign,
    after: CampaignState,
    by: str,
    note: str,
    values: Mapping[str, object],
) -> Campaign:
    wanted = table.c.campaign_id == found.campaign_id
    changed = {"state": after.value, "note": note, **values}
    row = connection.execute(update(table).where(wanted).values(changed).returning(table))
    moved = _of(row.mappings().one())
    _tell(connection, found.campaign_id, after, moved.wave, by, note)
    return moved


def _tell(  # noqa: PLR0913, PLR0917  a line has these fields
    connection: Connection,
    campaign_id: str,
    state: CampaignState,
    wave: int,
    by: str,
    note: str,
) -> None:
    row = {
        "campaign_id": campaign_id,
        "at_real_us": real_us(),
        "state": state.value,
        "wave": wave,
        "by": by,
        "note": note,
    }
    insert_all(connection, campaign_history, [row])


def _of(row: RowMapping) -> Campaign:
    told: dict[str, Any] = dict(row)
    told["plan"] = Plan.of(json.loads(told["plan"]))
    told["state"] = CampaignState(told["state"])
    return Campaign(**told)
