# SPDX-License-Identifier: Apache-2.0
"""Sittings over the evidence: outages begin, grow, are asked about, end.

A sitting takes up a bounded part of what there is to do, inside the transaction that the worker
with the lease has opened: in a blackout the first outages are seen while others are still judged,
and nobody else waits long to write.  What there is to do stands in the store, by time, so that a
sitting reads what changed and not all that is dark; nothing is remembered from one to the next.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from openami.exchange.supply import Scope
from openami.headend.config import OutageSettings
from openami.headend.directory import Directory
from openami.headend.ending import Ends
from openami.headend.feeders import join_feeders
from openami.headend.finding import find, wait
from openami.headend.following import ask, follow, hear
from openami.headend.grouping import GIVE_UP_S
from openami.headend.places import choose
from openami.headend.reach import judge_uplinks
from openami.headend.sitting import Sitting
from openami.runtime.clock import MICROSECONDS
from openami.store import outages, supply, supply_work
from openami.store.database import reading


class Portion(NamedTuple):
    """How much one sitting takes up, about."""

    losses: int = 500  # that are judged, by whole places
    seen: int = 1000  # losses of which the places that tell most are chosen
    news: int = 500  # meters of outages that told something
    answers: int = 200  # each may be for a place to be judged
    ends: int = 200  # outages whose meters came back


USUAL: Final = Portion()


class Seen(NamedTuple):
    """What a sitting found.

    Attributes:
        open: How many outages are open.
        more: Whether it left something for the next one, which need not wait.
    """

    open: int
    more: bool


class Bench:
    """Judges what is in the store."""

    def __init__(
        self, rules: OutageSettings, directory: Directory, portion: Portion = USUAL
    ) -> None:
        self._rules = rules
        self._directory = directory
        self._portion = portion

    def has_work(self, engine: Engine, now_real_us: int) -> bool:
        """Tell whether a sitting could find anything."""
        with reading(engine) as connection:
            return (
                supply_work.has_work(connection, now_real_us, self._stale_us(now_real_us))
                or bool(outages.due(connection, now_real_us, 1))
                or any(not uplink.up for uplink in supply.uplinks(connection))
                or bool(outages.open_at(connection, Scope.CONCENTRATOR))
            )

    def _stale_us(self, now_real_us: int) -> int:
        patience_s = self._rules.ask_timeout_s + GIVE_UP_S
        return now_real_us - round(patience_s * MICROSECONDS)

    def sit(self, connection: Connection, now_us: int, now_real_us: int) -> Seen:
        """Judge once."""
        portion, directory = self._portion, self._directory
        sitting = Sitting(connection, self._rules, now_us, now_real_us)
        supply.give_up(connection, self._stale_us(now_real_us), now_real_us)
        losses = supply_work.to_judge(connection, now_real_us, portion.seen)
        news = supply_work.news(connection, portion.news)
        answers = supply.answered(connection, portion.answers)
        waking = [ping.meter_id for ping in answers] if supply_work.any_unjudged(connection) else []
        chosen = choose(sitting, directory, losses, waking, portion.losses)
        answers = [ping for ping in answers if ping.meter_id not in chosen.unheard]
        room = max(0, self._rules.ask_at_once - supply.open_pings(connection))
        to_ask = supply_work.to_ask(connection, now_real_us, room)

        sitting.hold(
            {*news, *to_ask, *chosen.waits, *(ping.meter_id for ping in answers)}.union(
                *chosen.meters.values()
            )
        )
        supply.put_aside(connection, chosen.homeless)
        wait(sitting, chosen.waits)
        follow(sitting, news)
        hear(sitting, answers)
        begun = find(sitting, chosen.meters, directory)
        ends = Ends(sitting, portion.ends)
        join_feeders(sitting, begun)
        ends.judge(directory)
        ask(sitting, to_ask)
        judge_uplinks(sitting, directory)
        sitting.close()
        return Seen(
            open=outages.count_open(connection),
            more=chosen.more
            or len(losses) == portion.seen
            or len(news) == portion.news
            or len(answers) == portion.answers
            or ends.more,
        )
