# SPDX-License-Identifier: Apache-2.0
"""Meters in an outage are followed until they are back (docs/outages.md, 5).

What is read is what changed: who told something, who answered, and who is to be asked now.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from openami.exchange.supply import (
    DARK_PINGS,
    NONE,
    OPEN_PINGS,
    Evidence,
    PingState,
    Supply,
)
from openami.headend.finding import returned
from openami.headend.sitting import Sitting, member_of, named
from openami.store import outage_members, supply, supply_work
from openami.store.supply import Ping


def follow(sitting: Sitting, meter_ids: Collection[int]) -> None:
    """Bring members of outages to what their meters told; whose meters are back may be over."""
    told = [sitting.supply[number] for number in meter_ids if number in sitting.supply]
    of = {loss.meter_id: loss.outage_id for loss in told if loss.outage_id}
    known = outage_members.some_members(sitting.connection, set(of.values()), of)
    changed: list[outage_members.Member] = []
    back: dict[int, list[int]] = defaultdict(list)
    for loss in told:
        if not loss.outage_id or (before := known.get((loss.outage_id, loss.meter_id))) is None:
            continue
        after = member_of(loss.outage_id, loss)
        if after == before:
            continue
        changed.append(after)
        if after.returned_us is not None:
            back[loss.outage_id].append(loss.meter_id)
    outage_members.follow(sitting.connection, changed)
    for outage_id in sorted(back):
        sitting.note(outage_id, f"supply is back at {named(back[outage_id])}")
    sitting.look_at(back)
    supply_work.take_up(
        sitting.connection,
        {
            loss.meter_id: sitting.asked_next(loss.evidence)
            if loss.is_lost and loss.outage_id
            else None
            for loss in told
        },
    )


def hear(sitting: Sitting, answers: Sequence[Ping]) -> None:
    """Take answers of meters that were believed to be dark."""
    lit: list[outage_members.Member] = []
    back: list[Supply] = []
    silent: list[int] = []
    for ping in answers:
        state = sitting.supply.get(ping.meter_id)
        if (
            state is None
            or not state.is_lost
            or state.outage_id in {None, NONE}
            or ping.asked_real_us < state.found_real_us
        ):
            continue
        if ping.state is PingState.ANSWERED and state.evidence is Evidence.PRESUMED:
            lit.append(member_of(state.outage_id, state))
        elif ping.state is PingState.ANSWERED:
            back.append(returned(sitting, state))
        elif state.evidence is Evidence.PRESUMED and ping.state in DARK_PINGS:
            silent.append(ping.meter_id)
    for member in lit:
        sitting.note(member.outage_id, f"meter {member.meter_id} answers: it has power")
        del sitting.supply[member.meter_id]
    outage_members.drop_members(sitting.connection, lit)
    sitting.look_at({member.outage_id for member in lit})
    for loss in back:
        if loss.outage_id:
            sitting.note(loss.outage_id, f"meter {loss.meter_id} answers again")
        sitting.supply[loss.meter_id] = loss
    supply.end(sitting.connection, back, sitting.now_real_us)
    supply.confirm_silent(sitting.connection, silent, sitting.now_real_us)
    supply.hear(sitting.connection, [ping.meter_id for ping in answers])


def ask(sitting: Sitting, meter_ids: Collection[int]) -> None:
    """Ask who has not come back, and say when each is asked again."""
    due = [
        loss
        for number in meter_ids
        if (loss := sitting.supply.get(number)) is not None and loss.is_lost and loss.outage_id
    ]
    pings = supply.pings(sitting.connection, [loss.meter_id for loss in due])
    under_way = {number for number, ping in pings.items() if ping.state in OPEN_PINGS}
    wanted = [loss.meter_id for loss in due if loss.meter_id not in under_way]
    supply.ask(sitting.connection, wanted, sitting.now_real_us)
    supply_work.put_off(
        sitting.connection, {loss.meter_id: sitting.asked_again(loss.evidence) for loss in due}
    )
