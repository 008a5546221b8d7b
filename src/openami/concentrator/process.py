# SPDX-License-Identifier: Apache-2.0
"""The concentrator as a process: journal, meters' side and uplink in one event loop."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Final

from openami.concentrator.broadcasts import Broadcasts
from openami.concentrator.collection import Collection
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.journal import Journal, Outcome, Put, Remove
from openami.concentrator.lasttime import LastTime
from openami.concentrator.lines.service import HdlcLine
from openami.concentrator.meters_side import listen_for_meters
from openami.concentrator.observer import Observer
from openami.concentrator.own.device import OwnConnection, OwnDevice, OwnWire
from openami.concentrator.own.firmware import OwnFirmware
from openami.concentrator.own.objects import Sources
from openami.concentrator.owntime import HostClock, OwnTime
from openami.concentrator.plans import Plans
from openami.concentrator.questions import Questions
from openami.concentrator.registry import Registry, read_notices
from openami.concentrator.relay import Relay
from openami.concentrator.sqlitefile import open_reader
from openami.concentrator.uplink import Uplink
from openami.concentrator.window import Window
from openami.concentrator.words import Words
from openami.device.alone import alone
from openami.device.files import SECURE
from openami.device.handover import Handover
from openami.device.trial import Checks
from openami.exchange.field import Heartbeat, Notice, NoticeCode
from openami.exchange.orders import Broadcast, Plan, TimeAnswer, decode_order
from openami.runtime import hostclock
from openami.runtime.clock import real_us, to_us
from openami.runtime.errors import ConfigurationError, ExitCode
from openami.runtime.groupcommit import GroupCommit
from openami.runtime.layout import Layout
from openami.runtime.process import until_stopped
from openami.runtime.status import Figures, write_status
from openami.transport.doors import Doors
from openami.transport.endpoint import Listener, listen
from openami.transport.tls import Expected, Role, Secured, server_tls

log = logging.getLogger(__name__)

STATUS_S: Final = 1.0
FIRMWARE_S: Final = 0.2
ANSWER_S: Final = 0.3
HEARD_S: Final = 0.05
FAREWELL_S: Final = 2.0  # in which the head-end may confirm that it knows that we go
THIS_HOST: Final = HostClock(real_us, lambda: time.monotonic_ns() // 1000, hostclock.is_kept)
TOOLS: Final = Expected(roles=frozenset({Role.CLIENT, Role.HEAD_END}))


class Concentrator:
    """One concentrator, from its opened journal to its stop.

    Attributes:
        config: As loaded.
        time: Its own.
        relay: Its decisions and what it counted.
        uplink: The way to the head-end.
        lines: HDLC lines with meters.
        listener: The open port for meters, while `run` runs.
        tools: The open port for tools that read the concentrator itself; None for none.
    """

    listener: Listener | None = None
    tools: Listener | None = None

    def __init__(
        self,
        config: ConcentratorConfig,
        record: Handover | None = None,
        host: HostClock = THIS_HOST,
    ) -> None:
        """Open the journal; call inside a running loop.

        Args:
            config: As loaded.
            record: Of this start, where firmware was booted; None where the package runs.
            host: The clocks of the machine.

        Raises:
            ConfigurationError: The journal cannot be opened, or the flash holds no state.
            StorageError: The flash cannot be opened.
        """
        self.config = config
        self.time = OwnTime(host, config.clock_limit_s)
        self.last_time = LastTime(config.home)
        if (noted := self.last_time.recall(self.time.monotonic_us())) is not None:
            self.time.heard(noted, head_end_kept=None)
        self._started_s = time.monotonic()
        self.firmware: OwnFirmware | None = None
        if record is not None:
            until_s = time.monotonic() + config.trial_s
            self.firmware = OwnFirmware(config.home, record, trial_until_s=until_s)
        self.journal = Journal(
            config.journal, quota=config.quota_per_meter, most_octets=config.most_octets
        )
        try:
            self.registry = Registry(config.registry)
        except ConfigurationError:
            self.journal.close()
            raise
        self.writer: GroupCommit[Put | Remove, Outcome] = GroupCommit(
            str(config.journal), self.journal.apply, expected=(sqlite3.Error,)
        )
        self.relay = Relay(self.writer.submit, self.time.now_us, self.time.now)
        window = Window(
            most_entries=config.window_entries, receipt_timeout_s=config.receipt_timeout_s
        )
        self.words = Words(
            self.registry,
            self.heartbeat,
            time.monotonic,
            config.heartbeat_s,
            lambda: None if self.firmware is None else self.firmware.told(),
        )
        self.questions = self.words.questions = Questions(self.time, config.time_every_s)
        self.own = OwnDevice(config.name, config.title, config.keys, self._sources(), self.firmware)
        self.uplink = Uplink(
            self.relay,
            self.journal,
            self.writer,
            window,
            self.words,
            time.monotonic,
            OwnConnection(self.own),
        )
        self.observer = Observer(self.registry, self.relay, self.writer, config, self.time)
        self.plans = Plans(config.plans)
        self.collection = Collection(
            self.plans,
            self.relay,
            self.registry,
            keep=self.writer.submit,
            is_online=lambda: self.uplink.is_up,
            time=self.time,
        )
        self.own.on_failing = self._counters_failing
        self.broadcasts = Broadcasts(self.relay)
        self.uplink.on_order = self._order
        self._orders: set[asyncio.Task[None]] = set()
        self.lines = [
            HdlcLine(line, self.relay, self.registry, self.time.now) for line in config.lines
        ]
        self.observer.began(
            {
                NoticeCode.JOURNAL_SET_ASIDE: self.journal.set_aside,
                NoticeCode.PLANS_SET_ASIDE: self.plans.set_aside,
                NoticeCode.REGISTRY_SET_ASIDE: self.registry.set_aside,
            }
        )
        if self.firmware is not None:
            self.firmware.bind(
                self.checks(),
                lambda: self.uplink.is_up,
                lambda code, text: self.registry.note(code, self.time.now(), text=text),
            )

    async def run(self, stop: asyncio.Event, run_folder: Path | None = None) -> None:
        """Serve until `stop` is set; what meters sent until then is journalled and receipted.

        Raises:
            UserError: The port for meters is taken, or a certificate file is unusable.
        """
        try:
            if self.config.own_listen is not None:
                url = self.config.own_listen
                secured = None
                if url.encrypted:
                    secured = Secured(server_tls(self.config.identity), TOOLS)
                self.tools = await listen(
                    url, lambda wire: OwnWire(wire, self.own), secured=secured
                )
            self.listener = listener = await listen_for_meters(self.config, self.relay)
            self._watch_doors(listener.doors)
        except BaseException:
            if self.tools is not None:
                await self.tools.close()
            await self._close_journal()
            raise
        log.info("concentrator %s listens on %s", self.config.name, listener.url)
        if self.tools is not None:
            log.info("it listens for tools on %s, unprotected below DLMS", self.tools.url)
        tasks = [
            asyncio.create_task(self.uplink.drain()),
            asyncio.create_task(self.uplink.keep_connected(self.config)),
            asyncio.create_task(self.registry.run()),
            asyncio.create_task(self.observer.run()),
            asyncio.create_task(self.collection.run()),
            asyncio.create_task(self._report(run_folder)),
            asyncio.create_task(self._follow_firmware(stop)),
            *(asyncio.create_task(line.run()) for line in self.lines),
        ]
        try:
            await until_stopped(stop, tasks)
            if not self._restarting:
                await self._told(self.observer.ended())
        finally:
            await self._end(tasks, listener)
        log.info("concentrator %s stopped, %d entries wait", self.config.name, self.journal.depth)

    async def _end(self, tasks: Sequence[asyncio.Task[None]], listener: Listener) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.writer.stop()
        await listener.close()
        if self.tools is not None:
            await self.tools.close()
        self.uplink.supersede()
        if self._restarting:
            self.observer.ended()  # the last that was told stays that it comes back
        await self._close_journal()
        if self.firmware is not None:
            self.firmware.close()

    def checks(self) -> Checks:
        """Return what must work before firmware on trial is confirmed, beside the uplink."""
        return {
            "journal": lambda: not (self.writer.trouble or self.registry.failing),
            "ports": lambda: (
                self.listener is not None
                and (self.tools is not None or self.config.own_listen is None)
            ),
        }

    async def _follow_firmware(self, stop: asyncio.Event) -> None:
        """Keep trial and image transfer going; end the process where a new start is wanted."""
        own, images = self.firmware, self.own.images
        if own is not None:
            await self.registry.flush()
            if not self.registry.failing:
                own.noted()
        while own is not None:
            own.tick(time.monotonic())
            now_us = round(time.monotonic() * 1e6)
            if images is not None and (due_us := images.due_us()) is not None and due_us <= now_us:
                images.tick(now_us)
            if own.restarting:
                await asyncio.sleep(ANSWER_S)  # whoever asked for it hears so
                await self._told(self.registry.note(NoticeCode.RESTARTING, self.time.now()))
                stop.set()
            await asyncio.sleep(FIRMWARE_S)
        await asyncio.Event().wait()

    @property
    def _restarting(self) -> bool:
        return self.firmware is not None and self.firmware.restarting

    async def _told(self, farewell: int) -> None:
        """Tell the head-end that we go, and how, so that it waits before it looks for us.

        Args:
            farewell: The notice that says so.
        """
        self.uplink.speak_now()
        for _ in range(round(FAREWELL_S / HEARD_S)):
            if not (self.uplink.is_up and self.registry.waits(farewell)):
                break
            await asyncio.sleep(HEARD_S)

    def _sources(self) -> Sources:
        def notices(newest: int) -> list[Notice]:
            with closing(open_reader(self.config.registry)) as connection:
                return read_notices(connection, newest=newest)

        return Sources(
            heartbeat=self.heartbeat,
            links=self.registry.links,
            notices=notices,
            is_up=lambda: self.uplink.is_up,
            collected=lambda: self.collection.collected,
            window_expected=lambda: 0,
            clock=self.time.state,
        )

    def figures(self) -> Figures:
        """Return what the status file says."""
        tally = self.relay.tally
        return {
            "meters attached": self.relay.attached,
            "journal": self.journal.depth,
            "uplink up": int(self.uplink.is_up),
            "pushes": tally.pushes,
            "receipts": tally.receipts,
            "forwarded": self.uplink.forwarded,
            "confirmed": self.uplink.confirmed,
            "commands": tally.commands,
            "meters at quota": self.journal.full_meters(),
            "not kept": tally.full + tally.unkept,
            "journal octets": self.journal.octets,
            "meters known": len(self.registry),
            "collected": self.collection.collected,
            "broadcasts": self.broadcasts.said,
            "sealed refused": self.collection.refused,
            "strangers refused": 0 if self.listener is None else self.listener.doors.refused,
            "lines": len(self.lines),
            "lines up": sum(line.is_up for line in self.lines),
            "alarm": self.alarm,
            **self.time.figures(),
            **({} if self.firmware is None else self.firmware.figures()),
        }

    def heartbeat(self) -> Heartbeat:
        """Return how the concentrator is now."""
        now = self.time.now()
        oldest_us = self.journal.oldest_real_us()
        return Heartbeat(
            at=now,
            started=now - timedelta(seconds=time.monotonic() - self._started_s),
            entries=self.journal.depth,
            octets=self.journal.octets,
            most_octets=self.journal.most_octets,
            oldest_s=0 if oldest_us is None else max(0, (to_us(now) - oldest_us) // 1_000_000),
            meters=len(self.registry),
            attached=self.relay.attached,
            at_quota=self.journal.full_meters(),
            refused=self.relay.tally.full + self.relay.tally.unkept,
            alarm=self.alarm,
        )

    async def _report(self, run_folder: Path | None) -> None:
        while run_folder is not None:
            write_status(run_folder, f"concentrator-{self.config.name}", self.figures())
            await asyncio.sleep(STATUS_S)
        await asyncio.Event().wait()

    def _watch_doors(self, doors: Doors) -> None:
        """Tell the head-end, too, whose handshakes crowd the port for meters."""
        told = doors.on_crowd

        def crowded(address: str) -> None:
            told(address)
            self.registry.note(NoticeCode.STRANGERS_REFUSED, self.time.now(), text=address)

        doors.on_crowd = crowded

    def _counters_failing(self, sentence: str) -> None:
        code = NoticeCode.COUNTERS_FAILING if sentence else NoticeCode.COUNTERS_WRITTEN_AGAIN
        self.registry.note(code, self.time.now(), text=sentence)

    @property
    def alarm(self) -> str:
        """The sentence of what fails now; empty for nothing."""
        return self.writer.trouble or self.registry.failing or self.own.failing

    def _order(self, apdu: bytes, done: Callable[[], None]) -> None:
        """Take an order of the head-end; it is confirmed when it is stored, or done."""
        _, order = decode_order(apdu)
        if isinstance(order, TimeAnswer):
            self.questions.answered(order)
            self.last_time.note(self.time.best)
            self.observer.look_at_clock()
            return
        if order is None:
            done()  # of a later version: there is nothing to be done
            return

        async def take(order: Plan | Broadcast) -> None:
            if isinstance(order, Broadcast):
                await self.broadcasts.take(order)
                done()
            elif await self.collection.take(order):
                done()

        task = asyncio.create_task(take(order))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _close_journal(self) -> None:
        await self.writer.stop()
        await asyncio.gather(*self._orders)
        await self.collection.close()
        self.journal.close()
        await self.registry.close()


async def serve(home: Path, stop: asyncio.Event, record: Handover | None = None) -> ExitCode:
    """Run the concentrator of folder `home`, below `var/concentrators`, until `stop` is set.

    Args:
        home: With its files.
        stop: Ends it.
        record: Of this start, where firmware was booted; then nobody else may write the flash.

    Returns:
        The exit status: `RESTART` where the firmware wants a new start from the flash.
    """
    run_folder = Layout(home.parent.parent).run
    config = ConcentratorConfig.load(home)
    with nullcontext() if record is None else alone(home / SECURE):
        running = Concentrator(config, record)
        await running.run(stop, run_folder)
        own = running.firmware
        return ExitCode.RESTART if own is not None and own.restarting else ExitCode.DONE
