# SPDX-License-Identifier: Apache-2.0
"""Outages end: all meters are back, or the last are left behind (docs/outages.md, 5)."""

from collections.abc import Mapping, Sequence

from openami.exchange.supply import Scope, Supply
from openami.headend.directory import Directory
from openami.headend.feeders import join_feeders, judge_trunks
from openami.headend.finding import alone, single
from openami.headend.grouping import Return, Verdict, judge_return, quorum
from openami.headend.sitting import LOOK_AGAIN_US, Sitting, named
from openami.runtime.clock import MICROSECONDS
from openami.store import outage_members, outages, topology
from openami.store.outage_members import Member, Tally
from openami.store.outages import Outage


class Ends:
    """Outages whose ends are judged in one sitting.

    Whoever keeps a notice holds what is known of its meters and then asks for their outages; so do
    we: all meters are held before the first outage is written.

    Attributes:
        more: Whether there are more.
    """

    def __init__(self, sitting: Sitting, most: int) -> None:
        """Choose them, and hold the meters that may be left behind."""
        connection, now_us = sitting.connection, sitting.now_real_us
        due = {each.outage_id: each for each in outages.due(connection, now_us, most)}
        self.more = len(due) == most
        due |= {each.outage_id: each for each in outages.still_open(connection, sitting.looks)}
        sitting.looks |= dict.fromkeys(due)
        self._sitting = sitting
        self._trunks = {n: each for n, each in due.items() if each.scope is Scope.FEEDER}
        self._others = [each for n, each in due.items() if n not in self._trunks]
        self._ends = _Ends(sitting, self._others) if self._others else None
        outages.hold(connection)

    def judge(self, directory: Directory) -> None:
        """Write what is over, and who is left behind."""
        sitting, trunks = self._sitting, self._trunks
        ended = self._ends.judge(directory) if self._ends else []
        loose = {
            each.place
            for each in self._others
            if each.scope is Scope.TRANSFORMER and each.parent_id is None and each not in ended
        }
        if loose:  # such as were not to be part of their feeder's before
            join_feeders(sitting, loose)
        # A feeder's that begins in this sitting is not known to those that were chosen before.
        parents = outages.parent_ids(sitting.connection, [each.outage_id for each in ended])
        for parent in outages.still_open(sitting.connection, parents - trunks.keys()):
            if parent.scope is Scope.FEEDER:
                trunks[parent.outage_id] = parent
        if trunks:
            judge_trunks(sitting, trunks.values())


class _Ends:
    """Outages with meters of their own, judged together."""

    def __init__(self, sitting: Sitting, due: Sequence[Outage]) -> None:
        self._sitting = sitting
        self._due = due
        connection = sitting.connection
        self._tallies = outage_members.tallies(connection, [each.outage_id for each in due])
        names = [each.place for each in due if each.scope is Scope.TRANSFORMER]
        self._under = topology.under(connection, names)
        near = [each for each in due if self._is_near_its_end(each)]
        self._members = outage_members.members(connection, [each.outage_id for each in near])
        sitting.hold(each.meter_id for row in self._members.values() for each in row)
        self._ended_us: dict[int, int] = {}
        self._left: list[tuple[Outage, Supply]] = []

    def judge(self, directory: Directory) -> list[Outage]:
        """Write what is over and who is left behind; return what is over."""
        for each in self._due:
            tally = self._tallies.get(each.outage_id, Tally())
            if each.outage_id in self._members:
                self._judge_some(each, self._members[each.outage_id], self._sitting.supply)
            elif tally.meters and not tally.dark and tally.returned_us is not None:
                self._end(each, tally.returned_us, tally.meters, tally.meters, "")
            # Else a return will tell when to look again.
        outages.end_all(self._sitting.connection, self._ended_us, self._sitting.now_real_us)
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
        if any(each.returned_us is None and each.meter_id not in known for each in members):
            self._sitting.looks[outage.outage_id] = now_us + LOOK_AGAIN_US  # it tells just now
            return
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
            self._sitting.looks[outage.outage_id] = max(settled_us, now_us + 1)
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
