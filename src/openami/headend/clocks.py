# SPDX-License-Identifier: Apache-2.0
"""Meters' clocks are kept: measured along with scheduled reads, judged, corrected by commands.

Each head-end measures the meters that it reads.  One of them at a time, under a lease, asks what
`clock_policy` says: durable commands like anybody's, in the same transaction in which it is noted
that the meter was corrected, so nobody asks twice (docs/clocks.md).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine

from openami.access.accounts import Role
from openami.dlms.obis import Obis
from openami.exchange.commands import CommandKind, Priority
from openami.headend.books import Books
from openami.headend.clock_policy import (
    HOUR_US,
    Ask,
    Judgement,
    Left,
    Meter,
    Standing,
    is_fine,
    judge,
)
from openami.headend.config import ClockSettings
from openami.headend.deviation import Deviation, Timeless
from openami.headend.directory import Directory
from openami.headend.requests import Request, ask
from openami.runtime.clock import MICROSECONDS
from openami.runtime.errors import UserError
from openami.store import clocks, leases, live, registry
from openami.store.clocks import Kept, Measured, Suspicion
from openami.store.commands import MeterBusyError
from openami.store.database import transaction
from openami.store.leases import Kind, Lease, LostLeaseError, Worker

log = logging.getLogger(__name__)

ASKER: Final = "clock keeping"
ITEM: Final = "clocks"
LEASE_S: Final = 15.0
DAY_S: Final = 86_400.0
EARLY_PART: Final = 0.75  # a full read measures that early: the next is a day away
JUDGED_MOST: Final = 500  # at one look
SAMPLE_MOST: Final = 2000  # measurements by which a head-end is judged
SAMPLE_US: Final = 36 * HOUR_US
LEAST_VALID_S: Final = 1.0  # real; the command itself stays away from the ends of intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockBook:
    """What is measured of clocks, on its way into the store.

    Attributes:
        settings: How often, and what is well enough.
        books: The store.
        directory: The meters, and what is tolerated of their kinds.
        worker: Our name.
        now_us: The calendar.
    """

    settings: ClockSettings
    books: Books
    directory: Directory
    worker: str
    now_us: Callable[[], int]

    async def due(self, meter: registry.Meter, *, full: bool) -> Obis | None:
        """Return the clock that a read is to read along; None where that is not due.

        Args:
            meter: That is read.
            full: It is its daily read, in which the clock costs no question of its own.
        """
        every_s = self.settings.measure_every_s
        if not full and every_s >= DAY_S:
            return None
        at = self.directory.companion(meter).objects.get("clock")
        if at is None:
            return None
        known = await self.books.run(clocks.latest, self.books.engine, meter.meter_id)
        rest_s = every_s * EARLY_PART if full else every_s
        if known is not None and self.now_us() - known.measured_us < rest_s * MICROSECONDS:
            return None
        return at

    def write(
        self,
        connection: Connection,
        meter: registry.Meter,
        found: Deviation | Timeless,
        *,
        moved: bool = False,
    ) -> Kept:
        """Store what was measured now, in a transaction."""
        settings, companion = self.settings, self.directory.companion(meter)
        tolerated_s = settings.tolerated_s or float(companion.clock_limit_s)
        off_s = found.off_s if isinstance(found, Deviation) else None
        measured = Measured(
            meter_id=meter.meter_id,
            measured_us=self.now_us(),
            deviation_s=off_s,
            uncertainty_s=found.uncertainty_s,
            status=found.status,
            moved=moved,
            worker=self.worker,
        )
        settled = is_fine(off_s, found.uncertainty_s, settings)
        return clocks.record(
            connection, measured, tolerated_s=tolerated_s, settled=settled, keep=settings.history
        )

    async def record(self, meter: registry.Meter, found: Deviation | Timeless) -> None:
        """Store what was measured after a command."""
        await self.books.write(
            meter.meter_id, lambda connection: self.write(connection, meter, found, moved=True)
        )


class ClockKeeping:
    """Judges what was measured, and asks for corrections.

    Attributes:
        asked: How many it asked for since its start.
        noticed: How many clocks wait for a person.
        trouble: Why it corrects nobody; empty where it does.
    """

    def __init__(
        self,
        book: ClockBook,
        worker: Worker,
        speed: Callable[[], float],
        own_doubt: Callable[[], bool] = lambda: False,
    ) -> None:
        """Bind the ports.

        Args:
            book: The store and the limits.
            worker: Us.
            speed: Calendar seconds a real second.
            own_doubt: Tells whether concentrators say that our clock is wrong (`uplink_time`).
        """
        self.asked = self.noticed = 0
        self.trouble = ""
        self._book = book
        self._worker = worker
        self._speed = speed
        self._own_doubt = own_doubt

    async def run(self) -> None:
        """Look until cancelled."""
        settings, books = self._book.settings, self._book.books
        while True:
            try:
                await books.run(self.sit, books.engine)
            except UserError as error:
                log.warning("clocks are looked at later: %s", error)
            await asyncio.sleep(settings.look_s)

    def sit(self, engine: Engine) -> None:
        """Judge what was measured and not judged yet, unless another worker does.

        Raises:
            UserError: The store cannot be used.
        """
        settings, now_us = self._book.settings, self._book.now_us()
        self._hear_concentrators(engine, now_us)
        self.noticed = clocks.noticed_count(engine)
        self.trouble = "; ".join(
            f"{each.worker}: {each.said}"
            for each in clocks.suspicions(engine).values()
            if each.said
        )
        if not settings.on:
            return
        until_us = now_us - round(settings.settle_s * MICROSECONDS)
        if not self.trouble and not clocks.to_judge(engine, until_us, 1):
            return
        given = leases.take(engine, Kind.CLOCKS, [ITEM], self._worker, LEASE_S)
        for lease in given:
            try:
                self._judge(engine, until_us, now_us, lease)
            except LostLeaseError:
                log.info("clocks are judged by another worker")

    def _hear_concentrators(self, engine: Engine, now_us: int) -> None:
        """Write what concentrators' hosts say of our clock, the other witness beside meters."""
        name, known = self._worker.name, clocks.suspicions(engine)
        own = known.get(name, Suspicion(worker=name))
        if self._own_doubt() and now_us >= own.trusted_until_us:
            clocks.agree_against(engine, name, now_us)
        elif own.agreed_us:
            clocks.agree_against(engine, name, 0)
        others = {each.worker for each in known.values() if each.agreed_us} - {name}
        for dead in others - (leases.alive(engine) if others else others):
            clocks.agree_against(engine, dead, 0)  # it can no longer say so itself

    def _judge(self, engine: Engine, until_us: int, now_us: int, lease: Lease) -> None:
        told: list[live.Entry] = []
        with transaction(engine) as connection:
            leases.require(connection, lease)
            found = clocks.to_judge(connection, until_us, JUDGED_MOST)
            judgement = judge(
                found,
                self._meters(found),
                clocks.sample(connection, now_us - SAMPLE_US, SAMPLE_MOST),
                Standing(
                    open=clocks.under_way(connection, ASKER),
                    last_hour=clocks.corrected_since(connection, now_us - HOUR_US),
                    suspicions=clocks.suspicions(connection),
                ),
                self._book.settings,
                now_us,
            )
            self._hold(connection, judgement)
            # By meter, as those who read write them: neither waits for the other in a ring.
            both: list[Ask | Left] = [*judgement.asks, *judgement.left]
            for each in sorted(both, key=lambda verdict: verdict.clock.meter_id):
                if isinstance(each, Left):
                    clocks.judge(connection, each.clock, said=each.said, notice=each.notice)
                elif not self._ask(connection, each, now_us):
                    continue
                if each.notice and not each.clock.notice:
                    told.append(_entry(each.clock, each.said, now_us))
            leases.release(connection, [lease])
        # Writers of the feed wait for one another, so nobody waits there with meters in hand.
        live.append_feed(engine, told)

    def _meters(self, found: Iterable[Kept]) -> dict[int, Meter]:
        """Return what is known of meters; one that has left the registry is left out."""
        known = {}
        for clock in found:
            try:
                meter = self._book.directory.by_id(clock.meter_id)
            except registry.UnknownMeterError:
                continue
            companion = self._book.directory.companion(meter)
            known[clock.meter_id] = Meter(
                period_s=meter.capture_period_s, settable=companion.clock_settable
            )
        return known

    @staticmethod
    def _hold(connection: Connection, judgement: Judgement) -> None:
        """Write what is held against head-ends."""
        known = clocks.suspicions(connection)
        clocks.suspect(connection, judgement.suspicions)
        for each in judgement.suspicions:
            before = known.get(each.worker)
            if each.sentence and (before is None or not before.sentence):
                log.error("clocks measured by %s: %s", each.worker, each.sentence)
            elif not each.sentence:
                log.warning("clocks measured by %s are believed again", each.worker)

    def _ask(self, connection: Connection, wish: Ask, now_us: int) -> bool:
        """Ask for a correction, unless the meter still works on something else."""
        clock, guard_s = wish.clock, self._book.settings.guard_s
        argument: dict[str, object] = {"action": wish.action, "guard_s": guard_s}
        if wish.shift_s:
            argument["shift_s"] = wish.shift_s
        wanted = Request(
            kind=CommandKind.CLOCK,
            argument=argument,
            reason=wish.said,
            priority=Priority.LOW,
            valid_in_s=wish.window.opens_s / self._speed(),
            valid_s=max(LEAST_VALID_S, wish.window.lasts_s / self._speed()),
        )
        try:
            command_id = ask(connection, clock.meter_id, wanted, login=ASKER, role=Role.OPERATOR)
        except MeterBusyError as busy:
            log.debug("a clock is corrected later: %s", busy)
            return False
        asked = now_us, command_id
        clocks.judge(connection, clock, said=wish.said, notice=wish.notice, asked=asked)
        self.asked += 1
        log.info("meter %d: clock %s: %s", clock.meter_id, wish.action, wish.said)
        return True


def _entry(clock: Kept, said: str, now_us: int) -> live.Entry:
    """Return what pages are told of a clock that waits for a person."""
    log.warning("meter %d: the clock waits for a person: %s", clock.meter_id, said)
    return live.Entry(kind="clock", meter_id=clock.meter_id, at_us=now_us, body={"said": said})
