# SPDX-License-Identifier: Apache-2.0
"""The launcher of a concentrator: the immutable stage in front of its firmware.

The installed package plays mask ROM and boot in one: it compares the keys in the flash with the
hash in one-time-programmable memory, decides which bank runs (`firmware.boot`), and runs exactly
the octets that it verified, from a sealed memory file.  Nothing of the installed package can be
imported there: an update really replaces the running code.

A program that ends, for whatever reason, is a reset: all of it again.  So an image on trial that
crashes is left, and one that says nothing for twice its time of trial is ended here.
"""

import asyncio
import hashlib
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.concentrator.config import ALWAYS, AUTO, ConcentratorConfig
from openami.concentrator.own.banks import KIND, open_flash
from openami.concentrator.own.firmware import note_left
from openami.device import factory, power, sealed
from openami.device.alone import alone
from openami.device.boothost import decide
from openami.device.bootregion import BootRegionError
from openami.device.files import OTP_FILE, SECURE
from openami.device.handover import SEED_OCTETS, Component, Handover
from openami.device.otp import STAGE, Otp
from openami.device.payload import rom
from openami.device.payload.errors import PayloadError
from openami.device.payload.identity import CONCENTRATOR_CLASS_ID, CONCENTRATOR_SW_TYPE
from openami.device.payload.parts import CONCENTRATOR
from openami.device.payload.release import Single
from openami.device.payload.sources import here
from openami.device.watchdog import is_silent
from openami.firmware.bank import two_banks
from openami.firmware.boot import Recovery
from openami.firmware.errors import FirmwareError
from openami.firmware.state import StateJournal
from openami.psa.lifecycle import of_fuses
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout
from openami.runtime.status import write_status
from openami.runtime.supervisor import COMMAND, Child, ChildState, Program, Supervisor

log = logging.getLogger(__name__)

RELEASE: Final = Single(
    program=CONCENTRATOR, sw_type=CONCENTRATOR_SW_TYPE, class_id=CONCENTRATOR_CLASS_ID
)
DELIVERY: Final = "concentrator"
"""The folder below `firmware` with the first image and the keys that concentrators trust."""
LOOK_S: Final = 1.0
REMEDY: Final = "bring one with `openami concentrator install`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What is to run, and the record of it."""

    record: Handover
    program: bytes = field(repr=False)


def model_of(bank_octets: int) -> factory.Model:
    """Return what the factory makes of a concentrator with banks of so many octets."""
    flash_map = two_banks(bank_octets)
    return factory.Model(
        kind=KIND,
        flash_map=flash_map,
        flash_octets=flash_map.end,
        boot=bytes,
        image=lambda version, counter, key: RELEASE.image(here(), version, counter, key),
    )


def from_factory(config: ConcentratorConfig) -> None:
    """Make the concentrator's flash if it has none.

    Raises:
        UserError: An image or its keys cannot be used, or the disk refused.
    """
    if factory.is_made(config.home):
        return
    folder = Layout(config.home.parent.parent).firmware / DELIVERY
    model = model_of(config.bank_octets)
    try:
        delivered = factory.brought(folder, model)
        factory.make(config.home, delivered or factory.development(folder, model), model)
    except (PayloadError, FirmwareError) as error:
        raise UserError(f"no firmware for {config.name} from {folder}: {error}") from error
    if delivered is None:
        log.warning("%s was made with development keys from %s", config.name, folder)


def boots(config: ConcentratorConfig) -> bool:
    """Tell whether the firmware in the flash is to run, and not the installed package.

    Where there is a flash, it is: what somebody installed there must not lie unused beside a
    package that nobody verified.
    """
    return config.launcher == ALWAYS or (config.launcher == AUTO and factory.is_made(config.home))


def start(home: Path, rom_digest: bytes) -> Started:
    """Decide what runs, once; what it decides is durable when it returns.

    Args:
        home: The concentrator's folder.
        rom_digest: Of interpreter and libraries.

    Raises:
        UserError: Nothing may run; the sentence says why.
    """
    with alone(home / SECURE):
        flash, flash_map = open_flash(home)
        otp = Otp.open(home / SECURE / OTP_FILE)
        try:
            _, found = decide(flash, otp, flash_map, KIND)
            state = StateJournal(flash, flash_map).read()
            life_cycle = int(of_fuses(otp.read(STAGE)[0]))
        except BootRegionError as error:
            raise UserError(f"{home / SECURE}: {error}") from None
        finally:
            flash.close()
            otp.close()
    if isinstance(found, Recovery):
        raise UserError(f"no firmware runs ({found}): {REMEDY}")
    verified = found.verified
    program = verified.image.payload
    components = (
        Component("ROM", rom_digest),
        Component(CONCENTRATOR_SW_TYPE, verified.digest, verified.keyhash, str(verified.version)),
        Component("PROGRAM", hashlib.sha256(program).digest(), verified.keyhash),
    )
    record = Handover(
        bank=found.bank,
        trial=found.trial,
        problem=str(found.replaced or "") or ("" if state is None else state.error),
        seed=os.urandom(SEED_OCTETS),
        life_cycle=life_cycle,
        isolation="the program may write its own flash: both belong to one user",
        components=components,
    )
    return Started(record=record, program=program)


@dataclass(slots=True)
class Module(Child):
    """The concentrator's program in its launcher.

    Attributes:
        config: What the concentrator is told.
        record: Of the last start; None while nothing runs.
    """

    config: ConcentratorConfig = field(kw_only=True)
    record: Handover | None = None
    _hung: bool = False  # the program that ended last, as the watchdog saw it
    _ended: str = ""  # how it ended
    _asked_for_start: bool = False  # the program that ended last, as after an activation

    async def run_once(self, stop: asyncio.Event) -> int:
        """Verify, seal and run an image; return its exit status."""
        before, self.record = self.record, None
        home = self.config.home
        measured = await asyncio.to_thread(rom.measure, rom.libraries())
        try:
            started = await asyncio.to_thread(start, home, measured)
        except UserError:
            self._asked_for_start = False
            raise
        self.record = started.record
        await asyncio.to_thread(self._note_left, before, started.record)
        image = sealed.seal(self.program.name, started.program)
        record = sealed.seal("record", started.record.encode())
        try:
            self.program = Program(
                self.program.name,
                rom.command(image, rom.libraries(), home, record),
                (image, record),
                environment=power.environment(),
            )
            status = await self._watched(stop)
        finally:
            os.close(image)
            os.close(record)
        self._asked_for_start = status == ExitCode.RESTART
        self._ended = f"it ended with status {status}"
        if started.record.trial and status == ExitCode.ASKED_WRONGLY:
            return ExitCode.REFUSED  # what was confirmed may understand its configuration
        return status

    def _note_left(self, before: Handover | None, now: Handover) -> None:
        """Keep how firmware on trial ended that is left now, for the program to tell.

        What failed a check has told that itself, and asked for the new start.
        """
        hung, self._hung = self._hung, False
        if before is None or not before.trial or now.bank == before.bank or self._asked_for_start:
            return
        how = f"it said nothing for {self.watchdog_s:g} s" if hung else self._ended
        version = next(c.version for c in before.components if c.kind == CONCENTRATOR_SW_TYPE)
        try:
            note_left(self.config.home, version, how, hung=hung)
        except UserError as error:
            log.warning("how firmware on trial ended is not kept: %s", error)

    async def _watched(self, stop: asyncio.Event) -> int:
        """Run the program until it ends, `stop`, or the watchdog barks."""
        over, began_s = asyncio.Event(), time.monotonic()
        running = asyncio.ensure_future(Child.run_once(self, over))
        stopping = asyncio.ensure_future(stop.wait())
        while not running.done() and not stop.is_set():
            if self._hangs(began_s):
                log.error("the firmware on trial says nothing for %g s: reset", self.watchdog_s)
                self._hung = True
                break
            await asyncio.wait(
                {running, stopping}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
        stopping.cancel()
        over.set()
        return await running

    @property
    def watchdog_s(self) -> float:
        """How long firmware on trial may say nothing."""
        return 2 * self.config.trial_s

    def _hangs(self, began_s: float) -> bool:
        """What was confirmed is left alone: on a full disk nobody can write a status."""
        if self.record is None or not self.record.trial:
            return False
        return is_silent(self.log.parent, self.program.name, began_s, self.watchdog_s)

    @property
    def trouble(self) -> str:
        """Why nothing runs, in the words of who refused; empty while the program runs."""
        if self._asked_for_start or self.state not in {ChildState.PAUSING, ChildState.REFUSED}:
            return ""
        return self.last_words.removeprefix(COMMAND) or "the program ended: see its log"


async def serve(home: Path, stop: asyncio.Event) -> None:
    """Boot the concentrator in `home`, again whenever its program ends, until `stop` is set.

    Raises:
        UserError: It cannot be made, or its configuration is wrong.
    """
    config = ConcentratorConfig.load(home)
    layout = Layout(home.parent.parent)
    await asyncio.to_thread(from_factory, config)
    name = f"concentrator-{config.name}"
    module = Module(Program(name, ()), layout.run / f"{name}.log", config=config)
    supervisor = Supervisor([module], layout.run)
    supervisor.start()
    said = ""
    try:
        while not stop.is_set() and module.state is not ChildState.REFUSED:
            if module.trouble and module.trouble != said:
                log.error("concentrator %s does not run: %s", config.name, module.trouble)
            said = module.trouble
            if said and module.record is None:
                write_status(layout.run, name, {"firmware": f"none: {said}", "alarm": said})
            try:
                await asyncio.wait_for(stop.wait(), LOOK_S)
            except TimeoutError:
                continue
    finally:
        await supervisor.stop()
    if module.state is ChildState.REFUSED:
        raise UserError(module.trouble, ExitCode.ASKED_WRONGLY)
