# SPDX-License-Identifier: Apache-2.0
"""Meter data management as a process: one loop that drains, looks for gaps, validates, estimates.

The drain comes first in every round, so that values are live within two seconds; everything else
is done in small portions between.  What cannot be written (a full disk) is said once, tried again
with back-off, and nothing is lost: the inbox keeps what was not drained.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.mdm.config import MdmConfig
from openami.mdm.estimating import Estimator
from openami.mdm.gaps import GapFinder
from openami.mdm.intake import Drained, Intake
from openami.mdm.localdays import LocalDays
from openami.mdm.restoring import count_anew_if_apart
from openami.mdm.validation import Validator
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status
from openami.store import data_quality, inbox, live
from openami.store.database import StoreUnavailableError, open_database
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import day_of
from openami.store.publishing import publish_all

log = logging.getLogger(__name__)

PROCESS: Final = "mdm"
ROUND_S: Final = 0.5  # between two looks at the inbox, unless a batch was full
GAPS_S: Final = 3.0  # between two looks for gaps, at least
GAPS_PAUSE: Final = 60  # ... and so many times as long as a look takes
COMPACT_PAUSE: Final = 20  # between two rewrites, so many times as long as one takes
TIDY_S: Final = 60.0
STATUS_S: Final = 1.0
BACK_OFF_MOST_S: Final = 30.0
# On a fast calendar minutes pass while a message travels: real seconds it is given at least.
TRAVEL_S: Final = 10.0
READ_AGAIN_S: Final = 45.0
BATCHES_A_ROUND: Final = 4
FILES_A_DAY: Final = 24  # of the running day, before it is put in order


@dataclass(slots=True)
class Progress:
    """What was done since the start."""

    messages: int = 0
    rows: int = 0
    commits: int = 0
    rejected: int = 0
    changed: int = 0
    validated: int = 0
    findings: int = 0
    estimated: int = 0
    compactions: int = 0
    alarm: str = ""


class Mdm:
    """All parts of meter data management, bound together."""

    def __init__(
        self,
        config: MdmConfig,
        clock: Clock,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the store and the lake.

        Raises:
            UserError: One of them is damaged, of another version, or written by another process.
        """
        self.config = config
        self.clock = clock
        self.progress = Progress()
        self._monotonic_s = monotonic_s
        self._drain_due_s = self._gaps_due_s = self._compact_due_s = self._tidy_due_s = 0.0
        self.engine = open_database(config.database, create=True)
        self.writer = IntervalWriter(config.lake)
        count_anew_if_apart(self.engine, self.writer, clock.now_us())
        days = LocalDays(config.zone)
        self.intake = Intake(
            self.engine, self.writer, config.zone, config.capture_period_s, clock.now_us
        )
        self.intake.publishes = bool(config.publish)
        self.gaps = GapFinder(
            engine=self.engine,
            lake=self.writer.lake,
            now_us=clock.now_us,
            grace_us=self.grace_us,
        )
        self.validator = Validator(
            engine=self.engine,
            writer=self.writer,
            days=days,
            period_s=config.capture_period_s,
            limits=config.limits,
            now_us=clock.now_us,
            grace_us=self.grace_us,
        )
        self.estimator = Estimator(
            engine=self.engine,
            writer=self.writer,
            days=days,
            period_s=config.capture_period_s,
            limits=config.limits,
            now_us=clock.now_us,
            wait_us=self.wait_us,
        )

    def grace_us(self) -> int:
        """Return how long after its end an interval may still be on its way."""
        return _calendar_us(self.config.limits.grace_s, TRAVEL_S, self.clock.speed)

    def wait_us(self) -> int:
        """Return how long a gap waits for being read again before it is estimated."""
        return _calendar_us(self.config.limits.estimate_after_s, READ_AGAIN_S, self.clock.speed)

    def round(self) -> bool:
        """Do one round of work; tell whether there was any, so that the next may follow at once."""
        now_s = self._monotonic_s()
        drained = self._drain(now_s) if now_s >= self._drain_due_s else 0
        if now_s >= self._gaps_due_s:
            began_s = time.monotonic()
            self.gaps.run()
            # It looks at all meters: the more there are, the less often.
            took_s = time.monotonic() - began_s
            self._gaps_due_s = now_s + max(GAPS_S, GAPS_PAUSE * took_s)
        validated = self.validator.run()
        self.progress.validated += validated.days
        self.progress.findings += validated.findings
        estimated = self.estimator.run()
        self.progress.estimated += estimated
        busy = bool(drained or validated.days or estimated)
        # Where the inbox never rests, files would become so many that each batch reads them long.
        if now_s >= self._compact_due_s:
            began_s = time.monotonic()
            busy |= self._compact()
            took_s = time.monotonic() - began_s
            self._compact_due_s = now_s + COMPACT_PAUSE * took_s
        if now_s >= self._tidy_due_s:
            live.prune_feed(self.engine)
            self.writer.maintain()
            self._tidy_due_s = now_s + TIDY_S
        return busy

    def _drain(self, now_s: float) -> int:
        """Drain what waits; where all of it was drained, let some gather before the next look.

        A batch looks for what the lake has already: that costs a few messages as much as many.
        """
        messages = 0
        for _ in range(BATCHES_A_ROUND):
            drained = self.intake.drain()
            messages += drained.messages
            if drained.messages:
                self._count(drained)
            if drained.messages < self.intake.batch_messages:
                self._drain_due_s = now_s + ROUND_S
                break
        return messages

    def _count(self, drained: Drained) -> None:
        self.progress.commits += 1
        self.progress.messages += drained.messages
        self.progress.rows += drained.rows
        self.progress.rejected += drained.rejected
        self.progress.changed += drained.changed

    def _compact(self) -> bool:
        """Put one partition in order; days that are over (by UTC) first of all."""
        settled = day_of(self.clock.now_us() - self.grace_us())
        done = self.writer.compact_next(files_at_least=FILES_A_DAY, settled=settled)
        done = done or self.writer.compact_raw_next()
        self.progress.compactions += done
        return done

    def figures(self) -> Figures:
        """Return what the status file says."""
        done = self.progress
        gaps = data_quality.count_gaps(self.engine)
        return {
            "inbox": inbox.depth(self.engine),
            "messages": done.messages,
            "rows stored": done.rows,
            "commits": done.commits,
            "rejected": done.rejected,
            "findings": done.findings + done.changed,
            "days validated": done.validated,
            "gaps open": gaps.get(data_quality.OPEN, 0),
            "gaps estimated": gaps.get(data_quality.ESTIMATED, 0),
            "estimated": done.estimated,
            "compactions": done.compactions,
            "alarm": done.alarm,
        }

    def close(self) -> None:
        """Let go of the lake and the store."""
        self.writer.close()
        self.engine.dispose()


def _calendar_us(calendar_s: float, real_s: float, speed: float) -> int:
    return round(max(calendar_s, real_s * speed) * MICROSECONDS)


async def run(mdm: Mdm, stop: asyncio.Event, run_folder: Path | None = None) -> None:
    """Work until `stop` is set; a round that has begun is finished.

    Raises:
        UserError: The store or the lake is damaged.
    """
    beside = [asyncio.create_task(_report(mdm, run_folder))]
    if url := mdm.config.publish:
        from openami.store.jetstream import JetStream  # noqa: PLC0415  optional

        store = hashlib.sha256(mdm.engine.url.render_as_string().encode()).hexdigest()[:12]
        beside.append(
            asyncio.create_task(publish_all(mdm.engine, lambda: JetStream.connect(url, store)))
        )
    pause_s = ROUND_S
    try:
        while not stop.is_set():
            try:
                busy = await asyncio.to_thread(mdm.round)
            except StoreUnavailableError as error:
                if not mdm.progress.alarm:
                    log.error("%s; nothing is lost, trying again", error)  # noqa: TRY400  one line
                mdm.progress.alarm = str(error)
                pause_s = min(BACK_OFF_MOST_S, pause_s * 2)
            else:
                if mdm.progress.alarm:
                    log.info("the store can be written again")
                mdm.progress.alarm = ""
                pause_s = 0.0 if busy else ROUND_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _report(mdm: Mdm, run_folder: Path | None) -> None:
    while run_folder is not None:
        with contextlib.suppress(StoreUnavailableError):
            write_status(run_folder, PROCESS, await asyncio.to_thread(mdm.figures))
        await asyncio.sleep(STATUS_S)


async def serve(home: Path, stop: asyncio.Event) -> None:
    """Run meter data management of folder `home`, below `var`, until `stop` is set."""
    config = MdmConfig.load(home)
    layout = Layout(home.parent)
    mdm = Mdm(config, Clock(layout.clock))
    log.info("draining %s into %s", mdm.engine.url.render_as_string(), config.lake)
    try:
        await run(mdm, stop, layout.run)
    finally:
        mdm.close()
    log.info("stopped; %d messages drained", mdm.progress.messages)
