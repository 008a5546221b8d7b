# SPDX-License-Identifier: Apache-2.0
"""One sitting over the evidence: outages begin, grow, are asked about, end.

`grouping` says what is to be done; here it is done, inside the transaction that the worker with the
lease has opened.  Nothing is remembered from one sitting to the next.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from openami.exchange.supply import (
    DARK_PINGS,
    NONE,
    OPEN_PINGS,
    Evidence,
    PingState,
    Scope,
    Supply,
)
from openami.headend.config import OutageSettings
from openami.headend.directory import Directory
from openami.headend.grouping import (
    GIVE_UP_S,
    Asked,
    Branch,
    Group,
    Return,
    Verdict,
    judge,
    judge_feeder,
    judge_return,
    quorum,
)
from openami.headend.reach import judge_uplinks
from openami.headend.sitting import Sitting, named
from openami.runtime.clock import MICROSECONDS
from openami.store import interruptions, live, outages, supply, topology
from openami.store.database import reading
from openami.store.outages import Member, Outage
from openami.store.registry import UnknownMeterError
from openami.store.supply import Ping

Key = tuple[Scope, str]


class Known(NamedTuple):
    """What is known of places with losses: their meters, outages that are over, questions."""

    meters: Mapping[Key, frozenset[int]]
    over: Mapping[Key, Sequence[Outage]]
    pings: Mapping[int, Ping]


class Bench:
    """Judges what is in the store."""

    def __init__(self, rules: OutageSettings, directory: Directory) -> None:
        self._rules = rules
        self._directory = directory

    def has_work(self, engine: Engine) -> bool:
        """Tell whether a sitting could find anything."""
        with reading(engine) as connection:
            return (
                bool(supply.unjudged(connection))
                or bool(outages.open_outages(connection))
                or any(not uplink.up for uplink in supply.uplinks(connection))
                or outages.differs_from_supply(connection)
            )

    def sit(self, connection: Connection, now_us: int, now_real_us: int) -> int:
        """Judge once; return how many outages are open after it."""
        rules = self._rules
        patience_us = round((rules.ask_timeout_s + GIVE_UP_S) * MICROSECONDS)
        supply.give_up(connection, now_real_us - patience_us, now_real_us)
        self._note_returns(connection, now_real_us)
        found = outages.open_outages(connection)
        members = outages.members(connection, [outage.outage_id for outage in found])
        sitting = Sitting(connection, now_us, now_real_us, found, members)
        self._hear_answers(sitting)
        places = self._by_place(connection, supply.unjudged(connection))
        known = self._known(connection, places)
        for key, losses in places.items():
            self._judge_place(sitting, key, losses, known)
        self._judge_feeders(sitting)
        self._judge_ends(sitting)
        self._ask_again(sitting)
        judge_uplinks(sitting, self._rules, self._directory)
        live.append_feed(connection, sitting.told)
        return len(sitting.open)

    def _note_returns(self, connection: Connection, now_real_us: int) -> None:
        by_outage: dict[int, list[int]] = defaultdict(list)
        for member in outages.follow_supply(connection):
            if member.returned_us is not None:
                by_outage[member.outage_id].append(member.meter_id)
        for outage_id, numbers in by_outage.items():
            sentence = f"supply is back at {named(numbers)}"
            outages.note(connection, outage_id, now_real_us, sentence)

    # A transformer --------------------------------------------------------------------------------

    def _by_place(
        self, connection: Connection, losses: Sequence[Supply]
    ) -> dict[Key, dict[int, Supply]]:
        places = topology.places(connection, [loss.meter_id for loss in losses])
        homeless: list[int] = []
        found: dict[Key, dict[int, Supply]] = defaultdict(dict)
        for loss in losses:
            place = places.get(loss.meter_id)
            if place is not None:
                key = (Scope.TRANSFORMER, place.transformer)
            elif (concentrator := self._concentrator(loss.meter_id)) is not None:
                key = (Scope.AREA, self._directory.place(concentrator))
            else:
                homeless.append(loss.meter_id)
                continue
            found[key][loss.meter_id] = loss
        supply.put_aside(connection, homeless)  # the registry does not have them
        return found

    def _concentrator(self, meter_id: int) -> bytes | None:
        try:
            return self._directory.by_id(meter_id).concentrator
        except UnknownMeterError:
            return None

    def _known(self, connection: Connection, found: Mapping[Key, Mapping[int, Supply]]) -> Known:
        """Read at once what is known of places: in a blackout there are hundreds."""
        names = [place for scope, place in found if scope is Scope.TRANSFORMER]
        under = topology.under(connection, names)
        meters = {
            key: under[key[1]]
            if key[0] is Scope.TRANSFORMER
            else self._area(connection, next(iter(losses)))
            for key, losses in found.items()
        }
        over: dict[Key, list[Outage]] = defaultdict(list)
        lost_us = [loss.lost_us for losses in found.values() for loss in losses.values()]
        places = {place for _, place in found}
        for each in outages.ended_at(connection, places, min(lost_us, default=0)):
            over[each.scope, each.place].append(each)
        pings = supply.pings(connection, set().union(*meters.values()))
        return Known(meters, over, pings)

    def _area(self, connection: Connection, one: int) -> frozenset[int]:
        concentrator = self._directory.by_id(one).concentrator
        all_of = {each.meter_id for each in self._directory.of_concentrator(concentrator)}
        return frozenset(all_of - set(topology.places(connection, all_of)))

    def _judge_place(
        self, sitting: Sitting, key: Key, losses: dict[int, Supply], known: Known
    ) -> None:
        connection = sitting.connection
        losses = self._join(sitting, key, losses, known.over.get(key, []))
        if not losses:
            return
        if any((each.scope, each.place) == key for each in sitting.open):
            # Over before that outage began: what neighbours say now tells nothing of it.
            for loss in losses.values():
                self._begin_single(sitting, loss, Verdict(sentence=interruptions.SENTENCE))
            return
        meters = known.meters[key]
        singles = self._singles(sitting, meters)
        losses |= {number: loss for number, (_, loss) in singles.items()}
        pings = {number: known.pings[number] for number in meters & known.pings.keys()}
        asked = {number: Asked(ping.state, ping.asked_real_us) for number, ping in pings.items()}
        group = Group(meters=meters, losses=losses, asked=asked)
        verdict = judge(group, self._rules, sitting.now_real_us)
        supply.ask(connection, verdict.ask, sitting.now_real_us)
        self._let_go(sitting, verdict.over, losses)
        if verdict.dark:
            self._begin_group(sitting, key, group, verdict)
            for outage, _ in singles.values():
                self._absorb(sitting, outage)
        for number in verdict.single:
            if number not in singles:
                self._begin_single(sitting, losses[number], verdict)

    def _join(
        self, sitting: Sitting, key: Key, losses: dict[int, Supply], over: Sequence[Outage]
    ) -> dict[int, Supply]:
        """Add losses to an outage of their place that they are part of; return the others."""
        mine = [each for each in sitting.open if (each.scope, each.place) == key]
        left = dict(losses)
        for outage in [*mine, *over]:
            own = {number: loss for number, loss in left.items() if _is_part(loss, outage, sitting)}
            if own:
                self._set_apart(sitting, outage.outage_id, own)
                sitting.put([_member(outage.outage_id, loss) for loss in own.values()])
                sitting.note(outage.outage_id, f"also without supply: {named(own)}")
                left = {number: loss for number, loss in left.items() if number not in own}
        return left

    def _set_apart(self, sitting: Sitting, outage_id: int, own: dict[int, Supply]) -> None:
        """Keep what members that lost their supply again had of it before."""
        for member in outages.members(sitting.connection, [outage_id])[outage_id]:
            again = own.get(member.meter_id)
            if again and member.returned_us is not None and member.returned_us <= again.lost_us:
                region = self._region(member.meter_id)
                connection, now_us = sitting.connection, sitting.now_real_us
                interruptions.set_apart(connection, member, now_us, region)

    def _singles(
        self, sitting: Sitting, meters: Collection[int]
    ) -> dict[int, tuple[Outage, Supply]]:
        """Return meters of a group with an outage of their own that began just now."""
        window_us = self._rules.feeder_window_s * MICROSECONDS
        young = {
            member.meter_id: outage
            for outage in sitting.open
            if outage.scope is Scope.METER
            and outage.parent_id is None
            and sitting.now_real_us - outage.found_real_us <= window_us
            for member in sitting.members[outage.outage_id]
            if member.meter_id in meters
        }
        known = supply.of(sitting.connection, young)
        return {number: (outage, known[number]) for number, outage in young.items()}

    def _absorb(self, sitting: Sitting, outage: Outage) -> None:
        outages.forget(sitting.connection, outage.outage_id)
        sitting.open = [each for each in sitting.open if each.outage_id != outage.outage_id]

    def _let_go(self, sitting: Sitting, numbers: Iterable[int], losses: dict[int, Supply]) -> None:
        """End losses of meters that answer: power is there."""
        states = [
            replace(
                losses[number],
                returned_us=max(losses[number].lost_us, sitting.now_us),
                returned_real_us=sitting.now_real_us,
                outage_id=losses[number].outage_id or NONE,
            )
            for number in numbers
        ]
        supply.end(sitting.connection, states)

    def _begin_group(self, sitting: Sitting, key: Key, group: Group, verdict: Verdict) -> None:
        scope, place = key
        began_us = min(loss.lost_us for loss in group.losses.values())
        known = supply.of(sitting.connection, verdict.dark)
        states, new = [], []
        for number, evidence in verdict.dark.items():
            loss = group.losses.get(number)
            if loss is None:  # nothing was heard of it
                before = known.get(number)
                if before is not None and before.is_lost and before.outage_id:
                    continue  # it has an outage of its own, and an older one
                loss = Supply(
                    meter_id=number,
                    lost_us=began_us,
                    evidence=evidence,
                    found_real_us=sitting.now_real_us,
                )
                new.append(loss)
            states.append(loss)
        supply.put(sitting.connection, new)
        outage_id = sitting.begin(
            Outage(
                scope=scope,
                place=place,
                region=self._region(states[0].meter_id),
                began_us=began_us,
                found_real_us=sitting.now_real_us,
                verified=bool(verdict.verified),
                sentence=verdict.sentence,
            )
        )
        sitting.put([_member(outage_id, state) for state in states])

    def _begin_single(
        self,
        sitting: Sitting,
        loss: Supply,
        verdict: Verdict,
        parent_id: int | None = None,
    ) -> None:
        place = f"meter {loss.meter_id}"
        if any(each.scope is Scope.METER and each.place == place for each in sitting.open):
            return
        outage_id = sitting.begin(
            Outage(
                scope=Scope.METER,
                place=place,
                region=self._region(loss.meter_id),
                began_us=loss.lost_us,
                found_real_us=sitting.now_real_us,
                verified=loss.meter_id in verdict.verified,
                sentence=verdict.sentence,
                parent_id=parent_id,
            )
        )
        sitting.put([_member(outage_id, loss)])

    def _region(self, meter_id: int) -> str:
        return self._directory.by_id(meter_id).region

    # A feeder -------------------------------------------------------------------------------------

    def _judge_feeders(self, sitting: Sitting) -> None:
        branches = [each for each in sitting.open if each.scope is Scope.TRANSFORMER]
        feeders = topology.feeder_of(sitting.connection, [each.place for each in branches])
        counts = topology.count_transformers(sitting.connection, set(feeders.values()))
        trunks = {each.place: each for each in sitting.open if each.scope is Scope.FEEDER}
        by_feeder: dict[str, list[Outage]] = defaultdict(list)
        for each in branches:
            if each.place in feeders:
                by_feeder[feeders[each.place]].append(each)
        for feeder, own in by_feeder.items():
            trunk = trunks.get(feeder)
            loose = [each for each in own if each.parent_id is None]
            if trunk is not None:
                near = [each for each in loose if each.began_us <= sitting.now_us]
                self._adopt(sitting, trunk.outage_id, near)
                continue
            rows = [Branch(each.outage_id, each.found_real_us, each.parent_id) for each in loose]
            together = judge_feeder(rows, counts[feeder], self._rules)
            if together:
                parts = [each for each in loose if each.outage_id in together]
                self._begin_feeder(sitting, feeder, parts, counts[feeder])

    def _begin_feeder(
        self, sitting: Sitting, feeder: str, parts: Sequence[Outage], transformers: int
    ) -> None:
        outage_id = sitting.begin(
            Outage(
                scope=Scope.FEEDER,
                place=feeder,
                region=parts[0].region,
                began_us=min(each.began_us for each in parts),
                found_real_us=sitting.now_real_us,
                verified=any(each.verified for each in parts),
                sentence=f"{len(parts)} of {transformers} transformers failed together",
            )
        )
        self._adopt(sitting, outage_id, parts)

    def _adopt(self, sitting: Sitting, parent_id: int, parts: Sequence[Outage]) -> None:
        numbers = [each.outage_id for each in parts]
        if not numbers:
            return
        outages.adopt(sitting.connection, numbers, parent_id)
        sitting.open = [
            replace(each, parent_id=parent_id) if each.outage_id in numbers else each
            for each in sitting.open
        ]
        sitting.note(parent_id, "with " + ", ".join(each.place for each in parts))

    # Endings --------------------------------------------------------------------------------------

    def _judge_ends(self, sitting: Sitting) -> None:
        ids = [outage.outage_id for outage in sitting.open]
        sitting.members = outages.members(sitting.connection, ids)
        for outage in list(sitting.open):
            members = sitting.members[outage.outage_id]
            if any(member.returned_us is not None for member in members):
                self._judge_end(sitting, outage)
        trunks = [each for each in sitting.open if each.scope is Scope.FEEDER]
        parts = outages.parts_of(sitting.connection, [each.outage_id for each in trunks])
        counts = topology.count_transformers(sitting.connection, [each.place for each in trunks])
        for outage in trunks:
            count = counts.get(outage.place, 0)
            self._judge_feeder_end(sitting, outage, parts[outage.outage_id], count)

    def _judge_end(self, sitting: Sitting, outage: Outage) -> None:
        members = sitting.members[outage.outage_id]
        known = supply.of(sitting.connection, [member.meter_id for member in members])
        returns = {
            member.meter_id: Return(
                member.returned_us,
                known[member.meter_id].returned_real_us if member.meter_id in known else None,
            )
            for member in members
        }
        size = len(members) if outage.scope is Scope.METER else self._size(sitting, outage)
        ending = judge_return(returns, self._rules, size, sitting.now_real_us)
        if ending.ended_us is None:
            return
        why = Verdict(sentence=f"supply is back on {outage.place}, and not here")
        for number in known.keys() & set(ending.left):
            self._begin_single(sitting, known[number], why, outage.outage_id)
        back = f"supply is back at {len(members) - len(ending.left)} of {len(members)} meters"
        left = f"; {named(ending.left)} left behind" if ending.left else ""
        sitting.end(outage, ending.ended_us, back + left)

    def _size(self, sitting: Sitting, outage: Outage) -> int:
        if outage.scope is Scope.TRANSFORMER:
            return len(topology.under(sitting.connection, [outage.place])[outage.place])
        return len(sitting.members[outage.outage_id])

    def _judge_feeder_end(
        self, sitting: Sitting, trunk: Outage, parts: Sequence[Outage], transformers: int
    ) -> None:
        """A feeder's outage is over when too few of its transformers are out for one."""
        open_parts = [each for each in parts if each.ended_us is None]
        over = [each.ended_us for each in parts if each.ended_us is not None]
        rules = replace(
            self._rules,
            quorum_part=self._rules.feeder_part,
            quorum_least=self._rules.feeder_least,
        )
        if over and len(open_parts) < quorum(rules, transformers):
            still = ", ".join(each.place for each in open_parts)
            rest = f"; still out: {still}" if still else ""
            sitting.end(trunk, max(over), f"{len(over)} of {len(parts)} transformers back{rest}")

    # Who was only silent --------------------------------------------------------------------------

    def _hear_answers(self, sitting: Sitting) -> None:
        """Take answers of meters that were believed to be dark."""
        dark = {
            member.meter_id: member
            for members in sitting.members.values()
            for member in members
            if member.returned_us is None
        }
        known = supply.of(sitting.connection, dark)
        pings = supply.pings(sitting.connection, dark)
        silent = []
        for number, member in dark.items():
            ping, state = pings.get(number), known.get(number)
            if ping is None or state is None or ping.asked_real_us < state.found_real_us:
                continue
            if ping.state is PingState.ANSWERED:
                self._hear_answer(sitting, member, state)
            elif state.evidence is Evidence.PRESUMED and ping.state in DARK_PINGS:
                silent.append(number)
        supply.confirm_silent(sitting.connection, silent)

    def _hear_answer(self, sitting: Sitting, member: Member, state: Supply) -> None:
        if state.evidence is Evidence.PRESUMED:
            outages.drop_member(sitting.connection, member.outage_id, member.meter_id)
            rest = sitting.members[member.outage_id]
            sitting.members[member.outage_id] = [each for each in rest if each != member]
            sitting.note(member.outage_id, f"meter {member.meter_id} answers: it has power")
            return
        self._let_go(sitting, [member.meter_id], {member.meter_id: state})
        sitting.note(member.outage_id, f"meter {member.meter_id} answers again")

    def _ask_again(self, sitting: Sitting) -> None:
        """Ask who has not come back, the presumed ones first and at once."""
        numbers = [
            member.meter_id
            for members in sitting.members.values()
            for member in members
            if member.returned_us is None
        ]
        pings = supply.pings(sitting.connection, numbers)
        room = self._rules.ask_at_once - sum(ping.state in OPEN_PINGS for ping in pings.values())
        due = []
        for number, state in supply.of(sitting.connection, numbers).items():
            ping = pings.get(number)
            gasped = state.evidence in {Evidence.GASP, Evidence.TOLD}
            pause_s = self._rules.gasped_again_s if gasped else self._rules.silent_again_s
            since_us = state.found_real_us if ping is None else ping.asked_real_us
            fresh = ping is not None and ping.asked_real_us >= state.found_real_us
            if state.evidence is Evidence.PRESUMED and not fresh:
                due.append((0, number))
            elif ping is not None and ping.state in OPEN_PINGS:
                continue
            elif sitting.now_real_us - since_us >= pause_s * MICROSECONDS:
                due.append((since_us, number))
        chosen = [number for _, number in sorted(due)[: max(0, room)]]
        supply.ask(sitting.connection, chosen, sitting.now_real_us)


def _is_part(loss: Supply, outage: Outage, sitting: Sitting) -> bool:
    """Tell whether a loss is part of an outage of its place."""
    if outage.ended_us is None and loss.is_lost:
        return True  # whatever the meter's clock says
    ends_us = sitting.now_us if outage.ended_us is None else outage.ended_us
    return outage.began_us - interruptions.EARLIER_US <= loss.lost_us <= ends_us


def _member(outage_id: int, loss: Supply) -> Member:
    return Member(
        outage_id=outage_id,
        meter_id=loss.meter_id,
        lost_us=loss.lost_us,
        returned_us=loss.returned_us,
        evidence=loss.evidence,
    )
