# SPDX-License-Identifier: Apache-2.0
"""Management as a process: the line to metrology on one side, the concentrator on the other."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from pathlib import Path
from typing import Final

from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.device.files import FLASH_FILE, MANAGEMENT, SECURE
from openami.device.flash import FlashFile
from openami.device.fwu import update_of
from openami.device.handover import Handover
from openami.device.images import Firmware
from openami.device.link import Link
from openami.device.pairing import pair_of
from openami.device.payload.identity import SW_TYPE
from openami.device.secure.client import SecureClient
from openami.device.secure.linkkey import WalledAgreement
from openami.device.secure.walledupdate import WalledUpdate
from openami.device.trial import Checks, Trial
from openami.dlms.errors import SecurityError
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.update import Update
from openami.meter.config import MeterConfig
from openami.meter.instrument import ManagementEnd
from openami.meter.keys import Security, WalledSecurity
from openami.meter.line import management_line
from openami.meter.management import Management, Surroundings
from openami.meter.serving import MeterUplink, listen_called, listen_plain, listen_protected
from openami.meter.through import Behind, Through
from openami.psa.status import PsaError
from openami.runtime.clock import Clock, real_us
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status
from openami.transport.anywhere import OpenPort

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
STATUS_S: Final = 1.0
ANSWER_S: Final = 0.3
NOTHING: Final = Behind()


class ManagementProcess:
    """One meter's management, from its opened files to its stop."""

    def __init__(  # noqa: PLR0913, PLR0917  each comes from elsewhere
        self,
        config: MeterConfig,
        clock: Clock,
        line: str,
        record: Handover | None = None,
        wall: SecureClient | None = None,
        through: Through | None = None,
    ) -> None:
        """Open every file and prepare the line; call inside a running loop.

        Raises:
            StorageError: A file can be neither read nor created.
            ConfigurationError: A certificate file is unusable.
        """
        self._config = config
        self.record = record
        self.restarting = False
        self.trial: Trial | None = None
        self._wall = wall
        firmware = None if record is None or record.from_source else self._firmware(record)
        walled = None if wall is None else WalledAgreement(wall)
        pair, unpaired = pair_of(config.home / MANAGEMENT, os.urandom, walled)
        if unpaired:
            log.error("%s: %s", config.name, unpaired)
        self._link = Link(pair=pair, opens=True, entropy=os.urandom)
        self.end = ManagementEnd(self._link, clock.now_us)
        self.management = Management(
            config,
            self.end,
            Surroundings(
                calendar_us=clock.now_us,
                real_us=real_us,
                entropy=os.urandom,
                replayed=lambda _at_s: self.end.source,
                firmware=None if firmware is None else lambda: firmware,
                security=None if wall is None else _behind(wall, config),
            ),
        )
        self.management.take_images()  # an activation goes on, whoever asks
        self.end.bind(self.management)
        self._through = through
        self._called: asyncio.Server | None = None
        self.uplink = MeterUplink(
            self.management, through=None if through is None else through.uplink
        )
        self._line = management_line(config, line, self._received)

    def _firmware(self, record: Handover) -> Firmware:
        """Take up the update of the flash that this was started from."""
        update = self._update() if self._wall is None else WalledUpdate(self._wall)
        if record.trial:
            self.trial = Trial(update, self.checks(), time.monotonic() + self._config.trial_s)
        image = next(each for each in record.components if each.kind == SW_TYPE)
        return Firmware(
            version=f"openami {image.version}",
            signature=image.measurement,
            sink=FirmwareSink(update, self._restart),
        )

    def _update(self) -> Update:
        folder = self._config.home / SECURE
        return update_of(FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS), folder)

    def checks(self) -> Checks:
        """Return what must work before firmware on trial is confirmed."""
        return {
            "metrology": lambda: self._link.joined,
            "storage": lambda: not (self.end.failing or self.management.failing),
            "profile": lambda: self.management.profile.ring.last > 0,
            "uplink": lambda: self.uplink.is_attached,
        }

    def _restart(self) -> None:
        self.restarting = True

    async def run(self, stop: asyncio.Event, run_folder: Path) -> ExitCode:
        """Serve until `stop` is set, or a restart is wanted; return which.

        Raises:
            UserError: A listener's port is taken, or its certificate cannot be used.
        """
        listeners = await self._listen()
        self._line.open()
        dialling = asyncio.create_task(self.uplink.run())
        said_s = 0.0
        try:
            while not stop.is_set() and not self.restarting:
                now_s = time.monotonic()
                self.step(now_s)
                if now_s - said_s >= STATUS_S:
                    said_s = now_s
                    if dialling.done():
                        dialling.result()  # it goes on for ever unless there is a fault
                    self.management.note_state()
                    write_status(run_folder, "management", self.figures())
                await asyncio.sleep(TICK_S)
            if self.restarting:
                await asyncio.sleep(ANSWER_S)  # whoever asked for it hears so
        finally:
            dialling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await dialling
            for listener in listeners:
                await listener.close()
            if self._called is not None:
                self._called.close()
            self._line.close()
            self.management.close()
        log.info("management stopped at interval %d", self.management.profile.ring.last)
        return ExitCode.RESTART if self.restarting else ExitCode.DONE

    async def _listen(self) -> list[OpenPort]:
        """Open what tools and peers may call; who calls inside TLS may come through the partition.

        Raises:
            UserError: A port is taken, or its certificate cannot be used.
        """
        listeners: list[OpenPort] = []
        plain, protected = self._config.plain_listener, self._config.protected_listener
        if plain is not None:
            listeners.append(await listen_plain(self.management, plain))
        if protected is not None and self._through is None:
            listeners.append(await listen_protected(self.management, protected))
        elif self._through is not None and self._through.callers is not None:
            door = socket.socket(fileno=self._through.callers)
            self._called = await listen_called(self.management, door, self._through.user)
        return listeners

    def step(self, now_s: float) -> None:
        """Keep link and pushes going."""
        self.end.tick(now_s)
        self._send()
        self.management.tick_pushes(now_s)
        self.management.tick()
        images, now_us = self.management.images, round(now_s * 1e6)
        if images is not None and (due_us := images.due_us()) is not None and due_us <= now_us:
            images.tick(now_us)
        if self.trial is not None and self.trial.failed is None:
            self.trial.tick(now_s)
            if self.trial.failed:
                log.error("the firmware on trial failed its check %r", self.trial.failed)
                self.restarting = True
            elif self.trial.failed is not None:
                log.info("the firmware on trial is confirmed")

    def figures(self) -> Figures:
        """Return what the status file says."""
        return {
            "metrology attached": int(self._link.joined),
            "metrology": self._link.standing,
            "connected": int(self.uplink.is_attached),
            "intervals stored": self.management.profile.ring.last,
            "events": self.management.events.ring.last,
            "pushes pending": self.management.outbox.pending,
            "receipts": self.management.outbox.receipts,
            "without supply": int(not self.management.supplied),
            "firmware on trial": int(self.trial is not None and self.trial.failed is None),
            "alarm": self.end.failing or self.management.failing,
        }

    def _received(self, octets: bytes) -> None:
        now_s = time.monotonic()
        self.end.receive(octets, now_s)
        self._send()
        self.management.tick_pushes(now_s)

    def _send(self) -> None:
        if octets := self._link.take_output():
            self._line.send(octets)


def _connected(door: Path) -> SecureClient:
    try:
        return SecureClient.connect(door)
    except PsaError as error:
        raise UserError(f"the secure world behind {door} cannot be called: {error}") from error


def _behind(wall: SecureClient, config: MeterConfig) -> Security:
    try:
        return WalledSecurity(wall, config)
    except SecurityError as error:
        raise UserError(f"the secure world has no keys: {error}") from error


async def serve(
    home: Path,
    line: str,
    stop: asyncio.Event,
    record: Handover | None = None,
    behind: Behind = NOTHING,
) -> ExitCode:
    """Run management of the meter in `home` on a line until `stop` is set; return its exit status.

    Args:
        home: With its files.
        line: To metrology, in the words of `line.management_line`.
        stop: Ends it.
        record: Of this start, from boot; None where nothing was booted.
        behind: Where its keys are.
    """
    layout = Layout(home.parent.parent)
    config = MeterConfig.load(home)
    wall = None if behind.door is None else _connected(behind.door)
    process = ManagementProcess(config, Clock(layout.clock), line, record, wall, behind.tls)
    return await process.run(stop, layout.run)
