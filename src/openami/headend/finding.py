# SPDX-License-Identifier: Apache-2.0
"""Outages begin and grow: the losses of whole places become outages (docs/outages.md, 4).

`grouping` says what the losses of one place are; here that is done, for all places of a sitting
together: each statement is for all of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from openami.exchange.supply import NONE, Scope, Supply
from openami.headend.directory import Directory
from openami.headend.grouping import GIVE_UP_S, Asked, Group, Verdict, judge
from openami.headend.places import Key
from openami.headend.sitting import LOOK_AGAIN_US, Sitting, named
from openami.runtime.clock import MICROSECONDS
from openami.store import interruptions, outage_members, outages, supply, supply_work
from openami.store.outages import Outage
from openami.store.supply import Ping

STEP_US: Final = 50_000  # real: to which waits are lengthened, so that many end together


@dataclass(slots=True)
class Known:
    """What is known of places, read at once: in a blackout there are hundreds.

    Attributes:
        at: Open outages of the places.
        over: Outages of the places that are over, and not long enough for a loss not to be of them.
        single: Outages of their meters by themselves, of those that are dark.
        pings: The last questions to their meters.
    """

    at: dict[Key, Outage]
    over: dict[Key, list[Outage]]
    single: dict[int, Outage]
    pings: dict[int, Ping]


@dataclass(slots=True)
class Findings:
    """What came of it, not yet written.

    Attributes:
        joined: Losses that are part of an outage that was there.
        begun: New outages and who is in them.
        presumed: Losses of meters of which nothing was heard.
        absorbed: Outages of meters that became part of a greater one.
        ask: Whom to ask.
        over: Losses of meters that answer.
        waits: When losses that are not judged yet are looked at again.
    """

    joined: list[tuple[Outage, dict[int, Supply]]] = field(default_factory=list)
    begun: list[tuple[Outage, list[Supply]]] = field(default_factory=list)
    presumed: list[Supply] = field(default_factory=list)
    absorbed: list[int] = field(default_factory=list)
    ask: set[int] = field(default_factory=set)
    over: list[Supply] = field(default_factory=list)
    waits: dict[int, int | None] = field(default_factory=dict)


def find(sitting: Sitting, places: Mapping[Key, frozenset[int]], directory: Directory) -> list[str]:
    """Judge places; return the transformers of which an outage began."""
    losses = {
        key: {
            number: loss
            for number in meters
            if (loss := sitting.supply.get(number)) is not None and loss.outage_id is None
        }
        for key, meters in places.items()
    }
    losses = {key: found for key, found in losses.items() if found}
    if not losses:
        return []
    known = _known(sitting, {key: places[key] for key in losses}, losses)
    finder = _Finder(sitting, known, directory)
    for key, found in losses.items():
        finder.judge_place(key, places[key], found)
    finder.write()
    return [each.place for each, _ in finder.found.begun if each.scope is Scope.TRANSFORMER]


def _known(
    sitting: Sitting,
    places: Mapping[Key, frozenset[int]],
    losses: Mapping[Key, Mapping[int, Supply]],
) -> Known:
    connection = sitting.connection
    at: dict[Key, Outage] = {}
    for scope in {scope for scope, _ in places}:
        names = [place for each, place in places if each is scope]
        found = outages.open_at(connection, scope, names)
        at |= {(scope, place): outage for place, outage in found.items()}
    over: dict[Key, list[Outage]] = {}
    lost_us = min(loss.lost_us for found in losses.values() for loss in found.values())
    for outage in outages.ended_at(connection, {place for _, place in places}, lost_us):
        over.setdefault((outage.scope, outage.place), []).append(outage)
    meters: set[int] = set().union(*places.values())
    of = {
        number: loss.outage_id
        for number, loss in sitting.supply.items()
        if number in meters and loss.outage_id
    }
    known = {each.outage_id: each for each in outages.still_open(connection, set(of.values()))}
    return Known(
        at=at,
        over=over,
        single={
            number: known[outage_id]
            for number, outage_id in of.items()
            if outage_id in known and known[outage_id].scope is Scope.METER
        },
        pings=supply.pings(connection, meters),
    )


def wait(sitting: Sitting, waits: Mapping[int, int]) -> None:
    """Put losses off to when those of their place are looked at."""
    still = (number for number in waits if number in sitting.supply)
    supply_work.put_off(
        sitting.connection,
        {number: waits[number] for number in still if sitting.supply[number].is_lost},
    )


class _Finder:
    """Judges one place after the other, then writes all that came of it."""

    def __init__(self, sitting: Sitting, known: Known, directory: Directory) -> None:
        self.found = Findings()
        self._sitting = sitting
        self._known = known
        self._directory = directory

    def judge_place(self, key: Key, meters: frozenset[int], losses: dict[int, Supply]) -> None:
        """Judge the losses of a place that no outage has been found for."""
        losses = self._join(key, losses)
        if not losses:
            return
        if key in self._known.at:
            # Over before that outage began: what neighbours say now tells nothing of it.
            for loss in losses.values():
                self._begin_single(loss, Verdict(sentence=interruptions.SENTENCE))
            return
        singles = self._singles(meters)
        news, losses = losses, losses | singles
        asked = {
            number: Asked(ping.state, ping.asked_real_us)
            for number in meters
            if (ping := self._known.pings.get(number)) is not None
        }
        group = Group(meters=meters, losses=losses, asked=asked)
        verdict = judge(group, self._sitting.rules, self._sitting.now_real_us)
        self.found.ask |= set(verdict.ask)
        self._wait(news, verdict)
        self._let_go([losses[number] for number in verdict.over])
        if verdict.dark:
            self._begin_group(key, group, verdict)
            self.found.absorbed += [self._known.single[number].outage_id for number in singles]
        for number in verdict.single:
            if number not in singles:
                self._begin_single(losses[number], verdict)

    def _join(self, key: Key, losses: dict[int, Supply]) -> dict[int, Supply]:
        """Add losses to an outage of their place that they are part of; return the others."""
        mine = [self._known.at[key]] if key in self._known.at else []
        left = dict(losses)
        for outage in [*mine, *self._known.over.get(key, [])]:
            own = {
                number: loss
                for number, loss in left.items()
                if is_part(loss, outage, self._sitting.now_us)
            }
            if own:
                self.found.joined.append((outage, own))
                left = {number: loss for number, loss in left.items() if number not in own}
        return left

    def _singles(self, meters: Collection[int]) -> dict[int, Supply]:
        """Return losses of a group that have an outage of their own, which began just now."""
        window_us = self._sitting.rules.feeder_window_s * MICROSECONDS
        return {
            number: loss
            for number in meters
            if (outage := self._known.single.get(number)) is not None
            and outage.parent_id is None
            and self._sitting.now_real_us - outage.found_real_us <= window_us
            and (loss := self._sitting.supply[number])
        }

    def _wait(self, losses: Mapping[int, Supply], verdict: Verdict) -> None:
        """Say when losses are looked at again that no outage is found for now."""
        now_us = self._sitting.now_real_us
        patience_s = self._sitting.rules.ask_timeout_s + GIVE_UP_S
        until_us = (
            now_us + round(patience_s * MICROSECONDS) if verdict.ask else verdict.until_real_us
        )
        until_us = -(-until_us // STEP_US) * STEP_US
        judged = {*verdict.dark, *verdict.single, *verdict.over}
        later_us = max(until_us, now_us + 1) if until_us else now_us + LOOK_AGAIN_US
        self.found.waits |= dict.fromkeys(losses.keys() - judged, later_us)

    def _let_go(self, losses: Sequence[Supply]) -> None:
        """End losses of meters that answer: power is there."""
        self.found.over += [returned(self._sitting, loss) for loss in losses]

    def _begin_group(self, key: Key, group: Group, verdict: Verdict) -> None:
        sitting = self._sitting
        scope, place = key
        began_us = min(loss.lost_us for loss in group.losses.values())
        states = []
        for number, evidence in verdict.dark.items():
            loss = group.losses.get(number)
            if loss is None:  # nothing was heard of it
                before = sitting.supply.get(number)
                if before is not None and before.is_lost and before.outage_id:
                    continue  # it has an outage of its own, and an older one
                loss = Supply(
                    meter_id=number,
                    lost_us=began_us,
                    evidence=evidence,
                    found_real_us=sitting.now_real_us,
                )
                self.found.presumed.append(loss)
            states.append(loss)
        outage = Outage(
            scope=scope,
            place=place,
            region=self._region(states[0].meter_id),
            began_us=began_us,
            found_real_us=sitting.now_real_us,
            verified=bool(verdict.verified),
            sentence=verdict.sentence,
        )
        self.found.begun.append((outage, states))

    def _begin_single(self, loss: Supply, verdict: Verdict) -> None:
        outage = alone(self._sitting, loss, verdict, self._region(loss.meter_id))
        self.found.begun.append((outage, [loss]))

    def _region(self, meter_id: int) -> str:
        return self._directory.by_id(meter_id).region

    # Writing --------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write what came of all places."""
        sitting, found, connection = self._sitting, self.found, self._sitting.connection
        self._set_apart()
        sitting.put(
            [(outage.outage_id, loss) for outage, own in found.joined for loss in own.values()]
        )
        for outage, own in found.joined:
            sitting.note(outage.outage_id, f"also without supply: {named(own)}")
        supply.ask(connection, found.ask, sitting.now_real_us)
        supply.end(connection, found.over, sitting.now_real_us)
        supply.put(connection, sorted(found.presumed, key=lambda loss: loss.meter_id))
        sitting.supply |= {loss.meter_id: loss for loss in [*found.over, *found.presumed]}
        sitting.begin(self._new())
        outages.forget(connection, found.absorbed)
        supply_work.put_off(connection, found.waits)

    def _new(self) -> list[tuple[Outage, list[Supply]]]:
        """Return what begins; a meter whose loss before is not over yet waits for that."""
        names = [each.place for each, _ in self.found.begun if each.scope is Scope.METER]
        still = outages.open_at(self._sitting.connection, Scope.METER, names)
        later_us = self._sitting.now_real_us + LOOK_AGAIN_US
        new = []
        for outage, losses in self.found.begun:
            if outage.scope is Scope.METER and outage.place in still:
                self.found.waits |= {loss.meter_id: later_us for loss in losses}
            else:
                new.append((outage, losses))
        return new

    def _set_apart(self) -> None:
        """Keep what members that lost their supply again had of it before."""
        again = {
            (outage.outage_id, number): loss
            for outage, own in self.found.joined
            for number, loss in own.items()
        }
        ids = {outage_id for outage_id, _ in again}
        meters = {number for _, number in again}
        before = outage_members.some_members(self._sitting.connection, ids, meters)
        for place, member in before.items():
            loss = again.get(place)
            if loss and member.returned_us is not None and member.returned_us <= loss.lost_us:
                interruptions.set_apart(
                    self._sitting.connection,
                    member,
                    self._sitting.now_real_us,
                    self._region(member.meter_id),
                )


def single(meter_id: int) -> str:
    """Name the place of an outage of one meter."""
    return f"meter {meter_id}"


def alone(
    sitting: Sitting, loss: Supply, verdict: Verdict, region: str, parent_id: int | None = None
) -> Outage:
    """Return an outage of one meter by itself."""
    return Outage(
        scope=Scope.METER,
        place=single(loss.meter_id),
        region=region,
        began_us=loss.lost_us,
        found_real_us=sitting.now_real_us,
        verified=loss.meter_id in verdict.verified,
        sentence=verdict.sentence,
        parent_id=parent_id,
    )


def returned(sitting: Sitting, loss: Supply) -> Supply:
    """Return a loss that is over because its meter answers."""
    return replace(
        loss,
        returned_us=max(loss.lost_us, sitting.now_us),
        returned_real_us=sitting.now_real_us,
        outage_id=loss.outage_id or NONE,
    )


def is_part(loss: Supply, outage: Outage, now_us: int) -> bool:
    """Tell whether a loss is part of an outage of its place."""
    if outage.ended_us is None and loss.is_lost:
        return True  # whatever the meter's clock says
    ends_us = now_us if outage.ended_us is None else outage.ended_us
    return outage.began_us - interruptions.EARLIER_US <= loss.lost_us <= ends_us
