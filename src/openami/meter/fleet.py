# SPDX-License-Identifier: Apache-2.0
"""Many meters in one process: the same cores, one loop, one journal, one connection a meter.

Metrology and management of a meter stand in the same process here, so nothing crosses a link:
closed intervals go from the shared journal, which one fdatasync makes durable for all meters, into
each meter's ring.  Rings are synced only before the journal is shortened and at the stop; after a
crash the journal brings back the rows that a ring has lost.
"""

import asyncio
import itertools
import logging
import os
import resource
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from openami.device.storage import StorageError
from openami.exchange.events import EventCode
from openami.meter.bank import Closed, MetrologyBank
from openami.meter.config import FleetConfig, MeterConfig
from openami.meter.management import Management, Surroundings
from openami.meter.metrology import ClosedInterval, Metrology, Momentary
from openami.meter.metrology_process import metrology_of
from openami.meter.replay import ReplayedLoad
from openami.meter.serving import MeterUplink
from openami.runtime.clock import MICROSECONDS, Clock, real_us
from openami.runtime.errors import UserError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
STATUS_S: Final = 1.0
DESCRIPTORS_A_METER: Final = 6  # four files, a connection, and one to spare
DIALS_A_SECOND: Final = 50  # at the start, so that handshakes do not all wait for each other


class FleetMeter:
    """One meter of a fleet: the `Instrument` of its own management.

    Attributes:
        failing: Why the ring takes no intervals now; empty while it does.
    """

    def __init__(self, config: MeterConfig, clock: Clock, bank: MetrologyBank) -> None:
        """Open the meter's files.

        Raises:
            StorageError: A file can be neither read nor created.
            ConfigurationError: A certificate file is unusable.
        """
        load = ReplayedLoad(config.meter_id, config.seed)
        self.meter_id = config.meter_id
        self.failing = ""
        self._clock = clock
        self._bank = bank
        self._metrology: Metrology = bank.meters[config.meter_id]
        self.management = Management(
            config,
            self,
            Surroundings(
                calendar_us=clock.now_us,
                real_us=real_us,
                entropy=os.urandom,
                replayed=lambda at_s: f"{load.week(at_s)}{config.remark}",
            ),
        )
        self.uplink = MeterUplink(self.management)
        self._waiting: list[ClosedInterval] = []

    def momentary(self) -> Momentary:
        return self._metrology.momentary(self._calendar_s())

    def move_breaker(self, *, closed: bool) -> None:
        now_s = self._calendar_s()
        self._bank.set_breaker(self.meter_id, now_s, closed=closed)
        self._management_learns(now_s)

    def restore(self) -> None:
        """Fill the ring from the journal, and metrology from the ring where it knows more."""
        self.take(self._bank.kept[self.meter_id])
        if (newest := self.management.last_interval()) is not None:
            self._metrology.restore(newest)
        wanted = self.management.wants_closed
        if self._metrology.breaker_closed != wanted:
            self.move_breaker(closed=wanted)
        elif not self.management.breaker_settled:
            self._management_learns(self._calendar_s())

    def take(self, intervals: Iterable[ClosedInterval]) -> None:
        """Put durable intervals into the ring; what a full disk refuses waits in memory."""
        self._waiting += intervals
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                self.management.store(waiting)
            except StorageError as error:
                if not self.failing:
                    log.error("%s: %s", self.management.config.name, error)  # noqa: TRY400
                self.failing = str(error)
                self._waiting = waiting
            else:
                self.failing = ""

    def _management_learns(self, now_s: int) -> None:
        self.management.breaker_stands(closed=self._metrology.breaker_closed, at_s=now_s)

    def _calendar_s(self) -> int:
        return self._clock.now_us() // MICROSECONDS


class Fleet:
    """All meters of one process.

    Attributes:
        meters: In the order of the configuration.
        closed: How many intervals were closed since the start.
    """

    def __init__(self, home: Path, configs: Sequence[MeterConfig], clock: Clock) -> None:
        """Open everything and bring it to one state; call inside a running loop.

        Raises:
            StorageError: A file can be neither read nor created.
            ConfigurationError: A certificate file is unusable.
        """
        make_room_for_descriptors(DESCRIPTORS_A_METER * len(configs) + 64)
        self.closed = 0
        self._clock = clock
        home.mkdir(parents=True, exist_ok=True)
        metrology = {config.meter_id: metrology_of(config) for config in configs}
        self.bank = MetrologyBank(home / "metrology.journal", metrology, keep=1)
        self.meters = [FleetMeter(config, clock, self.bank) for config in configs]
        self._by_id = {meter.meter_id: meter for meter in self.meters}
        for meter in self.meters:
            meter.restore()
        self.bank.forget_old()
        if self.bank.finding is not None:
            log.error("%s", self.bank.finding)
            for meter in self.meters:
                meter.management.log_event(EventCode.STATE_RESTORED)

    async def run(self, stop: asyncio.Event, run_folder: Path) -> None:
        """Measure and serve until `stop` is set."""
        dialling = [
            asyncio.create_task(self._dial_later(meter, number / DIALS_A_SECOND))
            for number, meter in enumerate(self.meters)
        ]
        said_s = 0.0
        try:
            while not stop.is_set():
                now_s = time.monotonic()
                self.step(now_s)
                if now_s - said_s >= STATUS_S:
                    said_s = now_s
                    raise_faults(dialling)
                    write_status(run_folder, "fleet", self.figures())
                await asyncio.sleep(TICK_S)
        finally:
            for task in dialling:
                task.cancel()
            await asyncio.gather(*dialling, return_exceptions=True)
            self.close()
        log.info("fleet of %d meters stopped", len(self.meters))

    def step(self, now_s: float) -> None:
        """Close what has ended, store it, push it."""
        self._store(self.bank.advance(self._clock.now_us() // MICROSECONDS))
        if self.bank.is_long:
            self._checkpoint()
        for meter in self.meters:
            meter.management.tick_pushes(now_s)

    def figures(self) -> Figures:
        """Return what the status file says."""
        outboxes = [meter.management.outbox for meter in self.meters]
        return {
            "meters": len(self.meters),
            "connected": sum(meter.uplink.is_attached for meter in self.meters),
            "intervals closed": self.closed,
            "pushes pending": sum(outbox.pending for outbox in outboxes),
            "receipts": sum(outbox.receipts for outbox in outboxes),
            "alarm": self.bank.failing or next(filter(None, self._failures()), ""),
        }

    def close(self) -> None:
        """Sync and close every file."""
        self.bank.close()
        for meter in self.meters:
            meter.management.close()

    def _failures(self) -> Iterable[str]:
        return (meter.failing or meter.management.failing for meter in self.meters)

    def _store(self, closed: Sequence[Closed]) -> None:
        self.closed += len(closed)
        for meter_id, group in itertools.groupby(closed, key=lambda one: one.meter_id):
            self._by_id[meter_id].take(one.interval for one in group)

    def _checkpoint(self) -> None:
        """Sync the rings, then shorten the journal that stood behind them."""
        try:
            for meter in self.meters:
                meter.take(())
                meter.management.sync()
                meter.management.note_state()
        except StorageError as error:
            log.error("%s", error)  # noqa: TRY400
            return
        # What a full disk keeps out of a ring stands in the journal only.
        if not any(meter.failing for meter in self.meters):
            self.bank.shorten()

    async def _dial_later(self, meter: FleetMeter, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        await meter.uplink.run()


def raise_faults(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raise what ended a task that should go on for ever."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def make_room_for_descriptors(needed: int) -> None:
    """Raise the soft limit of open files to what is needed.

    Raises:
        UserError: The hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UserError(
            f"this fleet needs {needed} open files and the system allows {hard}: "
            "raise the limit (ulimit -Hn) or carry fewer meters in one process"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def serve(home: Path, stop: asyncio.Event) -> None:
    """Run the fleet of folder `home`, `var/fleet`, until `stop` is set."""
    layout = Layout(home.parent)
    started_s = time.monotonic()
    configs = [MeterConfig.load(folder) for folder in FleetConfig.load(home).homes]
    fleet = Fleet(home, configs, Clock(layout.clock))
    log.info("fleet of %d meters ready in %.1f s", len(configs), time.monotonic() - started_s)
    await fleet.run(stop, layout.run)
