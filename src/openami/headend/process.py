# SPDX-License-Identifier: Apache-2.0
"""The head-end as a process: uplinks, pushes, sessions, schedule, commands, watch in one loop."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from openami.access.custody import Custody
from openami.exchange.field import ClockState, Word
from openami.headend.associations import Associations, MeterSession
from openami.headend.books import Books
from openami.headend.campaigns import Campaigns
from openami.headend.cells import Cells
from openami.headend.clocks import ClockBook, ClockKeeping
from openami.headend.commands import Commands
from openami.headend.commissioning import Commissionings
from openami.headend.companion import Companions
from openami.headend.concentrator_updates import ConcentratorUpdates
from openami.headend.conductor import Conductor
from openami.headend.config import HeadEndConfig
from openami.headend.directory import Directory
from openami.headend.group_keys import GroupKeyChanges
from openami.headend.holdings import Holdings
from openami.headend.key_changes import KeyChanges
from openami.headend.notifications import Notifications
from openami.headend.outages import Outages
from openami.headend.pairs import believing, key_pairs
from openami.headend.presence import Presence
from openami.headend.registry_import import import_shipment, load_shipment
from openami.headend.routes import Routes
from openami.headend.schedule import Schedule
from openami.headend.sealing import Sealing
from openami.headend.sessions import Group, Sessions
from openami.headend.uplink_time import UplinkTime
from openami.headend.uplinks import Uplinks, listen_for_concentrators
from openami.headend.watch import Watch
from openami.runtime.clock import Clock
from openami.runtime.layout import Layout
from openami.runtime.process import until_stopped
from openami.runtime.status import Figures, write_status
from openami.store import registry, topology
from openami.store.database import open_database
from openami.store.leases import Worker
from openami.store.registry import UnknownMeterError
from openami.transport.endpoint import Listener
from openami.transport.url import Url

log = logging.getLogger(__name__)

PROCESS: Final = "headend"  # of the worker of this name; others append theirs
STATUS_S: Final = 1.0


class HeadEnd:
    """All parts of the head-end, bound together.

    Attributes:
        listener: The open port for concentrators, while `run` runs.
    """

    def __init__(
        self,
        config: HeadEndConfig,
        now_us: Callable[[], int],
        speed: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """Open the store and the keys, enter the shipment; call inside a running loop.

        Args:
            config: What it is told.
            now_us: The calendar.
            speed: Calendar seconds a real second.

        Raises:
            UserError: The store, the keystore or the shipment cannot be used.
        """
        self.config = config
        self.listener: Listener | None = None
        engine = open_database(config.database, create=True)
        shipment = load_shipment(config.shipment)
        new = import_shipment(engine, shipment, believing(config))
        if config.topology is not None:
            topology.put(engine, topology.load_csv(config.topology, registry.meters(engine)))
        custody = Custody.open(config.keystore)
        self.directory = Directory(
            engine, custody.unwrap, shipment.places, Companions.load(config.profiles)
        )
        log.info("%d meters in the registry, %d of them new", len(self.directory), new)
        for meter in self.directory.meters():
            self.directory.ciphers(meter.meter_id)  # a wrong keystore is found now, not at night
            break
        self.books = Books(engine, publishes_events=config.publish_events)
        worker = Worker(config.worker.name, uuid.uuid4().hex)
        self.holdings = Holdings(self.books, worker, config.worker.lease_s)
        self.cells = Cells(self.books, self.holdings, config.sessions.cell_parallel)
        self.clock_book = ClockBook(
            settings=config.clocks,
            books=self.books,
            directory=self.directory,
            worker=worker.name,
            now_us=now_us,
        )
        self.clocks = ClockKeeping(
            self.clock_book, worker, speed, lambda: self.uplink_time.is_suspect
        )
        self.notifications = Notifications(
            self.directory, config.title, self.books.arrivals.submit, now_us
        )
        self.uplinks = Uplinks(self.notifications, self._belongs)
        self.presence = Presence(
            self.books,
            self.directory,
            self.uplinks.attached,
            self.uplinks.stands,
            now_us,
            worker.name,
        )
        self.routes = Routes(config, self.directory, self.uplinks)
        self.associations = Associations(
            config,
            self.directory,
            self.routes,
            self.books,
            self.holdings,
            key_pairs(config, custody),
        )
        self.sessions: Sessions[MeterSession] = Sessions(
            self.associations.open,
            parallel=config.sessions.parallel,
            idle_s=config.sessions.idle_s,
            groups_of=self._ways_of,
        )
        self.associations.in_place = self.sessions.in_place
        self.schedule = Schedule(
            config.schedule,
            self.books,
            self.holdings,
            self.directory,
            self.sessions,
            self.routes.reachable,
            now_us,
            self.clock_book,
        )
        self.commands = Commands(
            config.commands,
            self.books,
            self.holdings,
            self.sessions,
            Conductor(
                books=self.books,
                directory=self.directory,
                now_us=now_us,
                clock_most_s=config.commands.clock_most_s,
                clocks=self.clock_book,
            ),
            self._reachable,
            now_us,
        )
        self.key_changes = KeyChanges(
            config.key_changes,
            self.books,
            self.directory,
            self.sessions,
            custody,
            self.routes.reachable,
            self.holdings,
        )
        self.group_keys = GroupKeyChanges(config.key_changes, self.books, custody)
        self.commissionings = Commissionings(
            config.commissioning,
            self.books,
            self.directory,
            self.sessions,
            self.schedule.read_meter,
            now_us,
            self.holdings,
        )
        self.campaigns = Campaigns(
            config.campaigns,
            config.zone,
            self.books,
            self.holdings,
            self.directory,
            self.sessions,
            self.routes.reachable,
            now_us,
            own_title=config.title,
            uplinks=self.uplinks,
            custody=custody,
        )
        self.concentrator_updates = ConcentratorUpdates(
            self.books, self.uplinks, custody.unwrap, config.title
        )
        self.outages = Outages(
            config.outages,
            self.books,
            self.directory,
            self.sessions,
            self._reachable,
            now_us,
            self.holdings.worker,
        )
        self.watch = Watch(self.books, self.sessions, self._reachable, now_us)
        self.sealing = Sealing(
            config.collection,
            config.title,
            directory=self.directory,
            uplinks=self.uplinks,
            associations=self.associations,
            sessions=self.sessions,
            now_us=now_us,
            speed=speed,
        )
        self.notifications.on_collected = self.sealing.answered
        self.uplink_time = UplinkTime(self.uplinks.stands)
        self.uplinks.on_word = self._word
        self.notifications.on_push = self.presence.heard
        self.holdings.on_lapse = self.presence.tell_again
        self.uplinks.on_attachment = self.presence.meter
        self.uplinks.on_carrier = self.presence.carrier

    async def run(self, stop: asyncio.Event, run_folder: Path | None = None) -> None:
        """Serve until `stop` is set; what was received until then is stored and confirmed.

        Raises:
            UserError: The port for concentrators is taken, or a certificate file is unusable.
        """
        try:
            own = await self.holdings.come_alive()
            self.listener = await listen_for_concentrators(self.config, self.uplinks)
        except BaseException:
            await self.books.stop()
            raise
        worker = self.holdings.worker.name
        log.info("head-end listens on %s, as worker %s", self.listener.url, worker)
        self.presence.start()
        tasks = [
            asyncio.create_task(work)
            for work in (
                self.holdings.run(own),
                self.cells.run(),
                self.presence.run(),
                self.schedule.run(),
                self.commands.work.run(),
                self.key_changes.work.run(),
                self.group_keys.run(),
                self.commissionings.work.run(),
                self.campaigns.run(),
                self.concentrator_updates.run(),
                self.sealing.run(),
                self.watch.run(),
                self.outages.run(),
                self.clocks.run(),
                self._report(run_folder),
            )
        ]
        try:
            await until_stopped(stop, tasks)
        finally:
            await self._stop(tasks, self.listener)
        log.info("head-end stopped")

    async def _stop(self, tasks: "list[asyncio.Task[None]]", listener: Listener) -> None:
        """Drain: release sessions, store and confirm what waits, then close the port."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.presence.stop()
        self.cells.let_go()
        await self.sessions.stop()
        await self.books.arrivals.stop()
        await listener.close()
        await self.holdings.stop()
        await self.books.stop()

    def figures(self) -> Figures:
        """Return what the status file says."""
        pushes = self.notifications
        return {
            "uplinks up": self.uplinks.up,
            "strangers refused": 0 if self.listener is None else self.listener.doors.refused,
            "meters reachable": self.uplinks.reachable,
            "meters": len(self.directory),
            "pushes": pushes.accepted,
            "repeated": pushes.repeated,
            "rejected": pushes.rejected,
            "reads": self.schedule.reads,
            "live reads": self.watch.reads,
            "backfills": self.schedule.backfills,
            "sessions": self.sessions.active,
            "jobs waiting": self.sessions.waiting,
            "failed jobs": self.sessions.failed,
            "commands open": self.commands.work.under_way,
            "key changes open": self.key_changes.work.under_way,
            "commissionings open": self.commissionings.work.under_way,
            "firmware updates open": (
                self.campaigns.work.under_way + self.campaigns.following.under_way
            ),
            "firmware blocks": self.campaigns.updates.blocks,
            "firmware broadcasts": self.campaigns.broadcasting.blocks,
            "outages open": self.outages.open,
            "clocks corrected": self.clocks.asked,
            "clocks noticed": self.clocks.noticed,
            "clock trouble": int(bool(self.clocks.trouble)),
            "sealed plans": self.sealing.plans,
            "leases": self.holdings.count,
            "alarm": self.books.arrivals.trouble or self.clocks.trouble,
            **self.uplink_time.figures(),
        }

    async def _report(self, run_folder: Path | None) -> None:
        name = self.holdings.worker.name
        process = PROCESS if name == PROCESS else f"{PROCESS}-{name}"
        while run_folder is not None:
            write_status(run_folder, process, self.figures())
            await asyncio.sleep(STATUS_S)
        await asyncio.Event().wait()

    def _word(self, concentrator: bytes, word: Word, confirm: Callable[[], None]) -> None:
        if isinstance(word, ClockState):
            self.uplink_time.said(concentrator, word)
        self.sealing.heard(concentrator, word)
        self.books.word(concentrator, word, confirm)

    def _belongs(self, title: bytes, concentrator: bytes) -> bool:
        meter = self.directory.by_title(title)
        return meter is not None and meter.concentrator == concentrator

    def _ways_of(self, meter_id: int) -> list[Group]:
        """Return what a meter shares with others on its way: its cell, its concentrator."""
        try:
            meter = self.directory.by_id(meter_id)
        except UnknownMeterError:
            return []  # it is said where the association is opened
        ways: list[Group] = []
        if meter.cell:
            ways.append(self.cells.of(meter.cell))
        if self.uplinks.has_route(meter.title):  # else it is dialled
            ways.append((meter.concentrator, self.config.sessions.concentrator_parallel))
        return ways

    def _reachable(self, meter_id: int) -> bool:
        return self.routes.reachable(self.directory.by_id(meter_id))


async def serve(
    home: Path, stop: asyncio.Event, *, worker: str | None = None, listen: Url | None = None
) -> None:
    """Run the head-end of folder `home`, below `var`, until `stop` is set.

    `worker` and `listen` take the place of what config.toml says: several head-ends share one.
    """
    config = HeadEndConfig.load(home)
    if worker is not None:
        config = replace(config, worker=replace(config.worker, name=worker))
    if listen is not None:
        config = replace(config, listen=listen)
    layout = Layout(home.parent)
    clock = Clock(layout.clock)
    await HeadEnd(config, clock.now_us, lambda: clock.speed).run(stop, layout.run)
