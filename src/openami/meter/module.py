# SPDX-License-Identifier: Apache-2.0
"""The management module in its host: booted at each start, and again whenever it ends.

A crash of what runs is a reset of the module, so boot decides anew: an image on trial that dies is
left.  While no image may run, boot itself stays and waits for a technician (`device.recovery`); the
meter's other module measures on.
"""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from openami.device import power, sealed
from openami.device.files import SECURE
from openami.device.handover import SEED_OCTETS, Component, Handover
from openami.device.payload import rom
from openami.device.power import Booted, Recovering
from openami.device.secure.door import open_door
from openami.device.watchdog import is_silent
from openami.firmware.bank import Bank
from openami.meter.config import MeterConfig
from openami.meter.partition import Partition, partition_of
from openami.meter.walls import Walls
from openami.psa.lifecycle import LifeCycle
from openami.runtime.status import Figures
from openami.runtime.supervisor import COMMAND, Child, Program, Supervisor, open_log

log = logging.getLogger(__name__)

NAME: Final = "management"
SECURE_WORLD: Final = "secure"
LOOK_S: Final = 1.0
SOURCE: Final = "the package's source, unverified"
NOT_STARTED, NO_FIRMWARE = 10, 11
"""What the meter's glass shows as its error where boot does not start, or no image may run."""


@dataclass(slots=True)
class Module(Child):
    """The management module.

    Attributes:
        home: The meter's folder.
        line: To metrology, in the words of `line.management_line`, and the descriptor in them.
        service: Descriptor of the technician's line, and its path for people.
        config: What the meter is told.
        walls: What keeps the meter's parts apart.
        beside: Tells what was measured of the other module; where that changes this one is reset,
            so that its attestation tells the truth.
        from_source: Run the package instead of what lies in the flash.
        watchdog_s: Firmware on trial that says nothing for so long is reset.
        record: Of the last start.
        recovering: Why no image runs; empty while one does.
    """

    home: Path = field(kw_only=True)
    line: tuple[str, Sequence[int]] = field(kw_only=True)
    service: tuple[int, str] = field(kw_only=True)
    config: MeterConfig = field(kw_only=True)
    walls: Walls = field(default_factory=Walls, kw_only=True)
    beside: Callable[[], tuple[Component, ...]] = field(default=tuple, kw_only=True)
    from_source: bool = field(default=False, kw_only=True)
    watchdog_s: float = field(default=240.0, kw_only=True)
    record: Handover | None = None
    recovering: str = ""
    _told: tuple[Component, ...] = ()

    async def run_once(self, stop: asyncio.Event) -> int:
        """Boot, run what was handed over, and return the exit status of what ended first."""
        self.record, self.recovering, self._told = None, "", self.beside()
        found = self._from_source() if self.from_source else await self._booted()
        if isinstance(found, Recovering):
            self.recovering = found.reason
            return await self.watch(found.process, stop)
        self.record = found.record
        door = None if self.walls.door is None else open_door(self.walls.door)
        try:
            with partition_of(self.config, self.walls, self.log.parent, found) as partition:
                programs = self._programs(found, door, partition)
                return await self._run(programs, partition, stop)
        finally:
            found.close()
            if door is not None:
                door.close()

    def figures(self) -> Figures:
        """Return what the status says of the firmware."""
        record = self.record
        if record is None:
            why = self.recovering or self.last_words.removeprefix(COMMAND)
            code = NO_FIRMWARE if self.recovering else NOT_STARTED
            return {"firmware": f"none: {why}", "firmware error": code} if why else {}
        image = [each for each in record.components if each.signer.strip(b"\0")]
        version = image[0].version if image else ""
        trial = ", on trial" if record.trial else ""
        return {
            "firmware": SOURCE
            if record.from_source
            else f"{version} in bank {record.bank.name}{trial}",
            "firmware problem": record.problem,
            "isolation": f"reduced: {record.isolation}" if record.isolation else "full",
        }

    @property
    def trouble(self) -> str:
        """Why nothing runs, for the alarm; empty while it does."""
        if not self.recovering:
            return ""
        _, path = self.service
        return f"no firmware runs ({self.recovering}): send one through the service line {path}"

    async def _booted(self) -> Booted | Recovering:
        with open_log(self.log) as log:
            return await power.start(
                self.home / SECURE,
                self.service[0],
                log.fileno(),
                isolation=self.walls.reduced,
                user=self.walls.secure,
                beside=self._told,
            )

    def _from_source(self) -> Booted:
        record = Handover(
            bank=Bank.A,
            trial=False,
            seed=os.urandom(SEED_OCTETS),
            life_cycle=LifeCycle.UNKNOWN,
            isolation=self.walls.reduced,
            components=(Component("ROM", rom.measure(rom.libraries())),),
            from_source=True,
        )
        nothing = sealed.seal(NAME, b"")
        record_file = sealed.seal("record", record.encode())
        return Booted(record=record, record_file=record_file, management=nothing, secure=None)

    def _programs(
        self, found: Booted, door: socket.socket | None, partition: Partition | None
    ) -> Sequence[Program]:
        where = "" if self.walls.door is None else str(self.walls.door)
        environment = None if self.from_source else power.environment()
        if self.from_source:
            arguments = ("--home", self.home, "--line", self.line[0], "--record", found.record_file)
            opening = ("--door", where) if where else ()
            words = ("-m", "openami", "meter", NAME, *arguments, *opening)
            command: Sequence[str] = [sys.executable, *map(str, words)]
        else:
            through = () if partition is None else partition.through.words
            parts = (self.home, self.line[0], found.record_file, where, *through)
            command = rom.command(found.management, rom.libraries(), *parts)
        descriptors = (found.management, found.record_file, *self.line[1])
        if partition is not None and partition.through.callers is not None:
            descriptors = (*descriptors, partition.through.callers)
        user = self.walls.management
        management = Program(NAME, command, descriptors, user=user, environment=environment)
        if door is None:
            return [management]
        return [management, self._secure(found, door)]

    def _secure(self, found: Booted, door: socket.socket) -> Program:
        """Return the secure world: what boot verified with management, sealed.

        An image of former days brings none: the package's runs then, and as no measurement tells of
        it, the attestation matches no release.
        """
        words = (self.home / SECURE, door.fileno(), found.record_file, self.walls.callers)
        descriptors: tuple[int, ...] = (door.fileno(), found.record_file)
        if found.secure is None:
            command = [sys.executable, "-m", "openami.device.secure", *map(str, words)]
            if not self.from_source:
                log.warning("the image holds no secure world, the package's runs: send a new image")
        else:
            command = [*rom.command(found.secure, rom.libraries(), *words)]
            descriptors = (found.secure, *descriptors)
        return Program(
            SECURE_WORLD,
            command,
            descriptors,
            user=self.walls.secure,
            environment=power.environment(),
        )

    def _is_silent(self, began_s: float) -> bool:
        """Tell whether the watchdog has to bark: firmware that began on trial says nothing.

        What was confirmed is left alone: on a full disk nobody can write a status.
        """
        if self.record is None or not self.record.trial:
            return False
        return is_silent(self.log.parent, NAME, began_s, self.watchdog_s)

    async def _run(
        self, programs: Sequence[Program], partition: Partition | None, stop: asyncio.Event
    ) -> int:
        """Run the worlds until one ends, which ends the others, or until `stop`.

        The partition where TLS ends is started again by itself: only the uplink notices.
        """
        over = asyncio.Event()
        beside = Supervisor([] if partition is None else [partition.program], self.log.parent)
        beside.start()
        worlds = [Child(each, self.log.with_name(f"{each.name}.log")) for each in programs]
        running = [asyncio.ensure_future(world.run_once(over)) for world in worlds]
        stopping = asyncio.ensure_future(stop.wait())
        began_s, done = time.monotonic(), set[asyncio.Future[Any]]()
        while not done and not (changed := self.beside() != self._told):
            if self._is_silent(began_s):
                break
            done, _ = await asyncio.wait(
                {*running, stopping}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            self.state = worlds[0].state
        if changed:
            log.info("metrology runs another image: the management module is reset")
        elif not done:
            log.error("the management module says nothing for %g s: reset", self.watchdog_s)
        stopping.cancel()
        over.set()
        statuses = await asyncio.gather(*running)
        await beside.stop()
        first = [status for task, status in zip(running, statuses, strict=True) if task in done]
        return first[0] if first else statuses[0]
