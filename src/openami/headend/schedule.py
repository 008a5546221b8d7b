# SPDX-License-Identifier: Apache-2.0
"""Meters are read without being asked for: a look at each day, and what is missing.

Each meter has its moment of the calendar day, spread over some hours.  Then, and when it is met for
the first time, it is read: its load profile since the last read, its event log, its breaker, what
it says it replays, and its clock (docs/clocks.md).  The event log alone is read more often, because
alarms stand in it.

Gaps that MDM found are read back by range, in pieces, and tried again with growing pauses.  A read
that finds what is there already does no harm: MDM ignores the same value.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from openami.dlms.errors import DlmsError
from openami.headend.alarms import fetch_alarms
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.clocks import ClockBook
from openami.headend.config import ScheduleSettings
from openami.headend.directory import Directory
from openami.headend.eventlog import fetch_events
from openami.headend.holdings import Holdings
from openami.headend.notifications import Arrival
from openami.headend.reading import (
    Along,
    read_along,
    read_profile,
    rows_in,
)
from openami.headend.sessions import Sessions, Urgency
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import data_quality, inbox, registry
from openami.store.data_quality import Gap
from openami.store.database import StoreUnavailableError, transaction
from openami.store.inbox import Message
from openami.store.leases import Lease
from openami.store.registry import Meter

log = logging.getLogger(__name__)

DAY_US: Final = 86_400 * MICROSECONDS
FIRST_READ_US: Final = 25 * 3600 * MICROSECONDS  # the most a scheduled read looks back
SPREAD_PRIME: Final = 2_654_435_761  # Knuth's multiplicative hash: neighbours land far apart


FILLING_MOST: Final = 1000  # meters whose gaps are being asked for
READING_MOST: Final = 2000  # meters whose scheduled read waits or runs
LOOKED_AT: Final = 5000  # meters at one look: what a look costs does not grow with the registry

Claimed = tuple[Gap, Lease]
ReadJob = Callable[[MeterSession], Awaitable[None]]


@dataclass(slots=True)
class Retry:
    """A meter whose scheduled read failed."""

    failures: int = 0
    not_before_s: float = 0.0


class Schedule:
    """Reads what is due.

    Attributes:
        reads: Meters read in full.
        rows: Profile rows fetched, new or not.
        backfills: Pieces of gaps that were asked for.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: ScheduleSettings,
        books: Books,
        holdings: Holdings,
        directory: Directory,
        sessions: Sessions[MeterSession],
        reachable: Callable[[Meter], bool],
        now_us: Callable[[], int],
        clocks: ClockBook,
    ) -> None:
        self.reads = self.rows = self.backfills = 0
        self._settings = settings
        self._books = books
        self._holdings = holdings
        self._directory = directory
        self._sessions = sessions
        self._reachable = reachable
        self._now_us = now_us
        self._clocks = clocks
        self._retries: dict[int, Retry] = {}
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._next: Iterator[int] = iter(())
        self._filling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            while True:
                self._look_at_day()
                try:
                    await self._look_at_gaps()
                except UserError as error:
                    log.warning("gaps are looked for later: %s", error)
                await asyncio.sleep(self._settings.look_s)
        finally:
            tasks = [*self._reading.values(), *self._filling]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def due_us(self, meter_id: int, now_us: int) -> int:
        """Return the last moment at which a meter was to be read, not after `now_us`."""
        share = (meter_id * SPREAD_PRIME & 0xFFFFFFFF) / 2**32
        offset_us = int((self._settings.daily_at_s + share * self._settings.spread_s) * 1e6)
        return (now_us - offset_us) // DAY_US * DAY_US + offset_us

    def _look_at_day(self) -> None:
        """Begin what is due among the next meters: all have their turn, some at each look."""
        now_us, now_s = self._now_us(), asyncio.get_running_loop().time()
        due: dict[int, tuple[Meter, ReadJob]] = {}
        for meter_id in self._some(due):
            meter = self._directory.by_id(meter_id)
            job = self._due_job(meter, now_us)
            if job is None or meter_id in self._reading or not self._reachable(meter):
                continue
            retry = self._retries.get(meter_id)
            if retry is None or retry.not_before_s <= now_s:
                due[meter_id] = meter, job
        if due:
            self._directory.read_keys(due)
        for meter_id, (meter, job) in due.items():
            self._reading[meter_id] = asyncio.create_task(self._read(meter, job))

    def _some(self, due: Mapping[int, object]) -> Iterator[int]:
        """Return the meters to look at now, none of them twice, while more reads have room."""
        for _ in range(min(LOOKED_AT, len(self._directory))):
            if len(self._reading) + len(due) >= READING_MOST:
                return
            meter_id = next(self._next, None)
            if meter_id is None:
                self._next = iter([meter.meter_id for meter in self._directory.meters()])
                meter_id = next(self._next)
            yield meter_id

    def _due_job(self, meter: Meter, now_us: int) -> ReadJob | None:
        read_us, events_us = meter.profile_read_us, meter.events_read_us
        if read_us is None or read_us < self.due_us(meter.meter_id, now_us):
            return self.read_meter
        every_us = self._settings.events_every_s * MICROSECONDS
        if events_us is None or events_us + every_us <= now_us:
            return self.read_log
        return None

    async def _read(self, meter: Meter, job: ReadJob) -> None:
        try:
            await self._sessions.run(meter.meter_id, Urgency.SCHEDULE, job)
        except (UserError, DlmsError) as error:
            self._failed(meter.meter_id, error)
        except Exception as error:  # a fault of ours must not be repeated each second
            log.exception("meter %d: scheduled read", meter.meter_id)
            self._failed(meter.meter_id, error)
        else:
            self._retries.pop(meter.meter_id, None)
        finally:
            del self._reading[meter.meter_id]

    def _failed(self, meter_id: int, error: Exception) -> None:
        retry = self._retries.setdefault(meter_id, Retry())
        pause_s = self._pause_s(retry.failures)
        retry.failures += 1
        retry.not_before_s = asyncio.get_running_loop().time() + pause_s
        log.info("meter %d: scheduled read in %.0f s again: %s", meter_id, pause_s, error)

    def _pause_s(self, failures: int) -> float:
        doubled = self._settings.retry_first_s * 2.0 ** min(failures, 30)
        return min(doubled, self._settings.retry_most_s)

    async def read_meter(self, session: MeterSession) -> None:
        """The job of a scheduled read."""
        meter = await self._fresh(session)
        now_us = self._now_us()
        if self._due_job(meter, now_us) is None:
            return  # another worker has read it
        since_us = max(meter.profile_read_us or 0, meter.installed_us, now_us - FIRST_READ_US)
        await self._fetch(session, since_us, now_us)
        await fetch_events(session, self._books, now_us)
        await self._fetch_alarms(session)
        at = await self._clocks.due(meter, full=True)
        along = await read_along(session, at, self._now_us)

        def store(connection: Connection) -> Meter:
            row = _store(connection, meter, now_us, along)
            if along.clock is not None:  # after the meter, in the order in which it is judged
                self._clocks.write(connection, meter, along.clock)
            return row

        self._directory.take(await self._books.write(meter.meter_id, store))
        self.reads += 1

    async def _fresh(self, session: MeterSession) -> Meter:
        """Return the meter's row as it is by now, whoever wrote it."""
        engine, meter_id = self._books.engine, session.meter.meter_id
        meter = await self._books.run(registry.meter, engine, meter_id)
        self._directory.take(meter)
        return meter

    async def read_log(self, session: MeterSession) -> None:
        """The job of a read of the event log, and of what a meter did not know at its start."""
        meter_id = session.meter.meter_id
        await fetch_events(session, self._books, self._now_us())
        await self._fetch_alarms(session)
        meter = self._directory.by_id(meter_id)
        at = await self._clocks.due(meter, full=False)
        if at is not None or not meter.source:
            along = await read_along(session, at, self._now_us)
            if (found := along.clock) is not None:
                write = self._clocks.write
                await self._books.write(meter_id, lambda c: write(c, meter, found))
            if along.source not in {None, meter.source}:
                source = along.source or ""
                await self._books.run(registry.set_source, self._books.engine, meter_id, source)
        self._directory.take(await self._books.run(registry.meter, self._books.engine, meter_id))

    async def _fetch_alarms(self, session: MeterSession) -> None:
        companion = self._directory.companion(session.meter)
        await fetch_alarms(session, self._books, companion, self._now_us)

    async def _look_at_gaps(self) -> None:
        if len(self._filling) >= FILLING_MOST:
            return
        asked_s = asyncio.get_running_loop().time()
        due = await self._books.run(
            data_quality.claim_gaps,
            self._books.engine,
            real_us(),
            self._holdings.worker,
            seconds=self._holdings.seconds,
        )
        by_meter: dict[int, list[Claimed]] = defaultdict(list)
        for gap, lease in due:
            self._holdings.add([lease], asked_s)
            by_meter[gap.meter_id].append((gap, lease))
        for meter_id, claimed in by_meter.items():
            task = asyncio.create_task(self._fill(meter_id, claimed))
            self._filling.add(task)
            task.add_done_callback(self._filling.discard)

    async def _fill(self, meter_id: int, claimed: list[Claimed]) -> None:
        """Ask a meter for its gaps, a piece a job, so that commands come in between."""
        try:
            if not self._reachable(self._directory.by_id(meter_id)):
                await self._attempted([gap for gap, _ in claimed], "the meter cannot be reached")
                return
            for gap, lease in claimed:
                if not self._holdings.holds(lease):
                    continue  # another worker asks for it
                error: str | None = None
                try:
                    if await self._fill_gap(gap) == 0:
                        error = "the meter has no rows of this time"
                except (UserError, DlmsError) as caught:
                    error = str(caught)
                    log.info("meter %d: back-fill: %s", meter_id, error)
                except Exception as caught:  # a fault of ours counts as an attempt, too
                    log.exception("meter %d: back-fill", meter_id)
                    error = repr(caught)
                await self._attempted([gap], error)
        except UserError as error:
            log.warning("meter %d: back-fill goes on later: %s", meter_id, error)
        finally:
            await self._holdings.give_back(*(lease for _, lease in claimed))

    async def _fill_gap(self, gap: Gap) -> int:
        """Read a gap back; return how many rows came."""
        meter = self._directory.by_id(gap.meter_id)
        period_us = meter.capture_period_s * MICROSECONDS
        step_us = self._settings.gap_rows * period_us
        rows = 0
        # The clock of a row is the end of its interval.
        for start_us in range(gap.from_us, gap.to_us, step_us):
            first_us = start_us + period_us
            last_us = min(start_us + step_us, gap.to_us)

            async def job(
                session: MeterSession, first_us: int = first_us, last_us: int = last_us
            ) -> int:
                return await self._fetch(session, first_us, last_us)

            rows += await self._sessions.run(gap.meter_id, Urgency.BACKFILL, job)
            self.backfills += 1
        return rows

    async def _attempted(self, gaps: list[Gap], error: str | None) -> None:
        def note() -> None:
            with transaction(self._books.engine) as connection:
                for gap in gaps:
                    pause_us = round(self._pause_s(gap.attempts) * MICROSECONDS)
                    data_quality.attempt(connection, gap.gap_id, real_us() + pause_us, error)

        await self._books.run(note)

    async def _fetch(self, session: MeterSession, first_us: int, last_us: int) -> int:
        """Read profile rows into the inbox; return how many."""
        array = await read_profile(session, first_us, last_us)
        count = rows_in(array)
        if count:
            message = Message(
                meter_id=session.meter.meter_id,
                kind=inbox.PROFILE,
                received_us=self._now_us(),
                epoch=session.epoch,
                hops=session.hops,
                octets=array,
                rows=array,
            )
            if await self._books.arrivals.commit(Arrival(message)) is None:
                sentence = self._books.arrivals.failing or "the head-end stops"
                raise StoreUnavailableError(f"rows read are not kept: {sentence}")
            self.rows += count
        return count


def _store(connection: Connection, meter: Meter, now_us: int, along: Along) -> Meter:
    """Record what was read along; return the meter's new row."""
    told: dict[str, object] = {"last_seen_us": now_us, "profile_read_us": now_us}
    if along.state is not None:
        told |= {"breaker": int(along.state), "breaker_us": now_us}
    if along.source not in {None, meter.source}:
        told["source"] = along.source
    return registry.told(connection, meter.meter_id, **told)
