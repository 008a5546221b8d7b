# SPDX-License-Identifier: Apache-2.0
"""Outages end: all meters are back, or the last are left behind (docs/outages.md, 5)."""

from collections.abc import Mapping, Sequence

from openami.exchange.supply import Scope, Supply
from openami.headend.directory import Directory
from openami.headend.feeders import join_feeders, judge_trunks
from openami.headend.finding import alone, single
from openami.headend.grouping import Return, Verdict, judge_return, quorum
from openami.headend.sitting import Sitting, named
from openami.runtime.clock import MICROSECONDS
from openami.store import outage_members, outages, supply, topology
from openami.store.outage_members import Member, Tally
from openami.store.outages import Outage


def judge_ends(sitting: Sitting, directory: Directory, most: int) -> bool:
    """Judge whether outages are over whose meters came back; tell whether there are more."""
    due = outages.due(sitting.connection, sitting.now_real_us, most)
    trunks = {each.outage_id: each for each in due if each.scope is Scope.FEEDER}
    others = [each for each in due if each.scope is not Scope.FEEDER]
    ended = _Ends(sitting, others).judge(directory) if others else []
    loose = {
        each.place
        for each in others
        if each.scope is Scope.TRANSFORMER and each.parent_id is None and each not in ended
    }
    if loose:  # such as were not to be part of their feeder's before
        join_feeders(sitting, loose)
    parents = {each.parent_id for each in ended if each.parent_id is not None}
    for parent in outages.some(sitting.connection, parents - trunks.keys()):
        if parent.scope is Scope.FEEDER and parent.ended_us is None:
            trunks[parent.outage_id] = parent
    if trunks:
        judge_trunks(sitting, trunks.values())
    return len(due) == most


class _Ends:
    """Outages with meters of their own, judged together."""

    def __init__(self, sitting: Sitting, due: Sequence[Outage]) -> None:
        self._sitting = sitting
        self._due = due
        connection = sitting.connection
        self._tallies = outage_members.tallies(connection, [each.outage_id for each in due])
        names = [each.place for each in due if each.scope is Scope.TRANSFORMER]
        self._under = topology.under(connection, names)
        self._ended_us: dict[int, int] = {}
        self._looks: dict[int, int | None] = {}
        self._left: list[tuple[Outage, Supply]] = []

    def judge(self, directory: Directory) -> list[Outage]:
        """Write what is over and who is left behind; return what is over."""
        near = [each for each in self._due if self._is_near_its_end(each)]
        ids = [each.outage_id for each in near]
        members = outage_members.members(self._sitting.connection, ids)
        numbers = {each.meter_id for row in members.values() for each in row}
        known = supply.of(self._sitting.connection, numbers)
        for each in self._due:
            tally = self._tallies.get(each.outage_id, Tally())
            if each.outage_id in members:
                self._judge_some(each, members[each.outage_id], known)
            elif tally.meters and not tally.dark and tally.returned_us is not None:
                self._end(each, tally.returned_us, tally.meters, tally.meters, "")
            else:
                self._looks[each.outage_id] = None  # a return will tell when to look again
        outages.end_all(self._sitting.connection, self._ended_us, self._sitting.now_real_us)
        self._sitting.look_at(self._looks)
        self._leave_behind(directory)
        return [each for each in self._due if each.outage_id in self._ended_us]

    def _is_near_its_end(self, outage: Outage) -> bool:
        """Tell whether so few are left that each may have an outage of its own soon."""
        tally = self._tallies.get(outage.outage_id, Tally())
        some = tally.returned_us is not None
        return some and 0 < tally.dark < quorum(self._sitting.rules, self._size(outage, tally))

    def _size(self, outage: Outage, tally: Tally) -> int:
        if outage.scope is Scope.TRANSFORMER:
            return len(self._under[outage.place])
        return tally.meters

    def _judge_some(
        self, outage: Outage, members: Sequence[Member], known: Mapping[int, Supply]
    ) -> None:
        rules, now_us = self._sitting.rules, self._sitting.now_real_us
        returns = {
            member.meter_id: Return(
                member.returned_us,
                known[member.meter_id].returned_real_us if member.meter_id in known else None,
            )
            for member in members
        }
        size = self._size(outage, self._tallies[outage.outage_id])
        ending = judge_return(returns, rules, size, now_us)
        if ending.ended_us is None:
            news_us = max(each.returned_real_us or 0 for each in returns.values())
            settled_us = news_us + round(rules.nested_after_s * MICROSECONDS)
            self._looks[outage.outage_id] = max(settled_us, now_us + 1)
            return
        rest = f"; {named(ending.left)} left behind" if ending.left else ""
        back = len(members) - len(ending.left)
        self._end(outage, ending.ended_us, back, len(members), rest)
        self._left += [(outage, known[number]) for number in ending.left if number in known]

    def _end(self, outage: Outage, ended_us: int, back: int, of: int, rest: str) -> None:
        self._ended_us[outage.outage_id] = ended_us
        sentence = f"supply is back at {back} of {of} meters{rest}"
        self._sitting.note(outage.outage_id, sentence)

    def _leave_behind(self, directory: Directory) -> None:
        """Begin an outage for each meter that is not back."""
        names = [single(loss.meter_id) for _, loss in self._left]
        known = outages.open_at(self._sitting.connection, Scope.METER, names)
        begun = []
        for outage, loss in self._left:
            if single(loss.meter_id) in known:
                continue
            why = Verdict(sentence=f"supply is back on {outage.place}, and not here")
            region = directory.by_id(loss.meter_id).region
            begun.append((alone(self._sitting, loss, why, region, outage.outage_id), [loss]))
        self._sitting.begin(begun)
