# SPDX-License-Identifier: Apache-2.0
"""Firmware of a fleet's meters: two banks each, image transfer, trial, confirmation, revert.

All left the factory with one image of the flash (`flash.image`); what a meter changed is a file of
its own (`device.sharedflash`), and what many received alike is kept once (`device.sharedoctets`).
Boot, update and trial are those of the single meter, and so is their verdict; only the program
that runs is the fleet's, whatever image was confirmed.  `fleet_faults` says whose self-test fails.

A flash is open while something is asked of it.  What its meter runs stands in the fleet's journal,
so that those who are not asked cost nothing:

======  =========  ===================================================================
octets  field      value of a note
======  =========  ===================================================================
1       flags      1 started or tried: the next start of the fleet boots it,
                   2 an image is coming
32      signature  hash of the image that runs
n       version    of it, UTF-8
======  =========  ===================================================================
"""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self

from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.behaviour.image import ImageProgress, ImageReceiver, Verdict
from openami.cosem.classes.image_transfer import (
    ImageToActivate,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.model import Refused
from openami.device.images import IMAGE_BLOCK_OCTETS, IMAGE_TRANSFER, Firmware
from openami.device.storage import StorageError
from openami.device.trial import Checks, Trial
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.errors import SecurityError
from openami.firmware.errors import FirmwareError
from openami.firmware.state import UpdateState
from openami.firmware.update import Updating
from openami.meter.config import MeterConfig
from openami.meter.fleet_faults import Faults
from openami.meter.fleet_records import FleetRecords
from openami.meter.management import Management
from openami.psa.status import PsaError
from openami.runtime.errors import ConfigurationError

log = logging.getLogger(__name__)

HEAD: Final = struct.Struct(">B32s")
RESTLESS: Final = 1
RECEIVING: Final = 2
ANSWER_S: Final = 0.3  # before a restart: whoever asked for it hears so
IDLE_S: Final = 30.0  # after which a flash that nobody asks for is closed
THING: Final = ImageTransfer(IMAGE_TRANSFER, image_block_size=IMAGE_BLOCK_OCTETS)
AT_ONCE: Final = 4  # meters that boot between two steps: a boot takes milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What stands in the fleet's journal of a meter that received an image."""

    flags: int = 0
    signature: bytes
    version: str

    def encode(self) -> bytes:
        return HEAD.pack(self.flags, self.signature) + self.version.encode()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        flags, signature = HEAD.unpack_from(octets)
        return cls(flags=flags, signature=signature, version=octets[HEAD.size :].decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """What boot decided for a meter, and the update of its flash."""

    signature: bytes
    version: str
    trial: bool
    problem: str
    update: Updating


class Flashes(Protocol):
    """Where the flashes of meters are."""

    def is_changed(self, config: MeterConfig) -> bool:
        """Tell whether a meter ever wrote into its flash."""

    def update(self, config: MeterConfig) -> Updating:
        """Return the update of a meter's flash as it runs; raises `StorageError`."""

    def boot(self, config: MeterConfig, *, again: bool) -> Booted:
        """Start a meter, `again` if that is not the first time; raises `StorageError`."""

    def close(self, meter_id: int) -> None:
        """Close a meter's flash, where that costs no association."""

    def abandon(self, meter_id: int) -> None:
        """Close a meter's flash and forget what did not become durable."""


class Updated(Protocol):
    """A meter of the fleet."""

    management: Management

    @property
    def is_attached(self) -> bool:
        """Whether it has its concentrator."""

    def restart(self) -> None:
        """Lose what a reset loses."""


@dataclass(slots=True)
class Open:
    """A meter whose flash is open."""

    update: Updating
    sink: FirmwareSink
    used_s: float
    trial: Trial | None = None
    restart_at_s: float | None = None


class FleetFirmware:
    """The firmware of all meters of a fleet.

    Attributes:
        confirmed: How many trials were confirmed since the start.
        reverted: How many were not.
        failing: Why a meter does not start; empty while all do.
    """

    def __init__(
        self,
        flashes: Flashes,
        first: tuple[str, bytes],
        records: FleetRecords,
        faults: Faults,
    ) -> None:
        """Take up what the journal says.

        Args:
            flashes: Of the meters.
            first: Version and hash of the image that all left the factory with.
            records: The fleet's journal.
            faults: Whose self-tests fail.
        """
        self.confirmed = self.reverted = 0
        self.failing = ""
        self._flashes, self._records, self._faults = flashes, records, faults
        self._meters: dict[int, Updated] = {}
        self._open: dict[int, Open] = {}
        self._now_s = 0.0
        version, signature = first
        self._first = Note(signature=signature, version=version)
        self._waiting: dict[int, bool] = {}  # meters that are to be booted, and whether again

    def add(self, meter_id: int, meter: Updated) -> None:
        """Take a meter; one that was on trial when the fleet ended, or about to be, is booted.

        So is one whose note was lost with the journal: its flash knows better.
        """
        self._meters[meter_id] = meter
        lost = self._records.finding is not None and not self.has_flash(meter_id)
        if self._note(meter_id).flags & RESTLESS or (
            lost and self._flashes.is_changed(meter.management.config)
        ):
            self._waiting[meter_id] = False

    def of(self, meter_id: int) -> Firmware:
        """Return what a meter says of its firmware."""
        note = self._note(meter_id)
        return Firmware(
            version=note.version,
            signature=note.signature,
            sink=FleetSink(self, meter_id),
            is_receiving=bool(note.flags & RECEIVING),
        )

    def step(self, now_s: float) -> None:
        """Restart, try, confirm, revert, and close what nobody uses."""
        self._now_s = now_s
        for meter_id in list(self._waiting)[:AT_ONCE]:
            self._boot(meter_id, again=self._waiting.pop(meter_id))
        for meter_id, held in list(self._open.items()):
            if held.restart_at_s is not None:
                if now_s >= held.restart_at_s:
                    self._waiting[meter_id] = True
            elif held.trial is not None:
                self._try(meter_id, held.trial)
            else:
                self._tend(meter_id, held)

    def supply_is_back(self, meter_id: int) -> None:
        """Boot a meter that may have been on trial when it lost its supply."""
        if self._note(meter_id).flags & RESTLESS:
            self._waiting.setdefault(meter_id, True)

    @property
    def opened(self) -> int:
        """How many flashes are open."""
        return len(self._open)

    @property
    def on_trial(self) -> int:
        """How many meters run an image on trial."""
        return sum(held.trial is not None for held in self._open.values())

    # For the sinks ----------------------------------------------------------------------------

    def has_flash(self, meter_id: int) -> bool:
        """Tell whether a meter ever received an image."""
        return meter_id in self._records.firmware

    def sink(self, meter_id: int) -> FirmwareSink:
        """Return the sink of a meter, whose flash is open from now on.

        Raises:
            StorageError: It cannot be opened.
        """
        held = self._open.get(meter_id)
        if held is None:
            held = self._hold(meter_id, self._flashes.update(self._config(meter_id)))
        held.used_s = self._now_s
        return held.sink

    def receives(self, meter_id: int) -> None:
        """Write down that a meter is about to receive an image.

        Raises:
            StorageError: The disk refused.
        """
        note = self._note(meter_id)
        self._keep(meter_id, replace(note, flags=note.flags | RECEIVING))

    def abandon(self, meter_id: int) -> None:
        """Forget what the disk refused: what is durable is looked at anew."""
        if self._open.pop(meter_id, None) is not None:
            self._flashes.abandon(meter_id)

    def activate(self, meter_id: int) -> Verdict:
        """Activate a meter's image; a fleet that ends behind this boots the meter.

        Raises:
            StorageError: The disk refused.
        """
        sink = self.sink(meter_id)
        if self._open[meter_id].update.state is UpdateState.CANDIDATE:
            self._keep(meter_id, replace(self._note(meter_id), flags=RESTLESS))
        return sink.activate()

    # Inside -----------------------------------------------------------------------------------

    def _config(self, meter_id: int) -> MeterConfig:
        return self._meters[meter_id].management.config

    def _note(self, meter_id: int) -> Note:
        octets = self._records.firmware.get(meter_id)
        return self._first if octets is None else Note.decode(octets)

    def _keep(self, meter_id: int, note: Note) -> None:
        if self._records.firmware.get(meter_id) != (octets := note.encode()):
            self._records.keep_firmware(meter_id, octets)

    def _hold(self, meter_id: int, update: Updating) -> Open:
        def restart() -> None:
            held.restart_at_s = self._now_s + ANSWER_S

        held = Open(update, FirmwareSink(update, restart), self._now_s)
        self._open[meter_id] = held
        return held

    def _boot(self, meter_id: int, *, again: bool) -> None:
        meter, config = self._meters[meter_id], self._config(meter_id)
        if not meter.management.supplied:
            return  # it boots when the supply is back
        self._open.pop(meter_id, None)
        meter.restart()
        try:
            found = self._flashes.boot(config, again=again)
            flags = RESTLESS if found.trial else 0
            note = Note(flags=flags, signature=found.signature, version=found.version)
            self._keep(meter_id, note)
            checks = self._checks(meter, note) if found.trial else {}
        except (StorageError, ConfigurationError) as error:
            log.error("%s", error)  # noqa: TRY400
            self.failing = str(error)
            return
        held = self._hold(meter_id, found.update)
        if found.trial:
            until_s = self._now_s + config.trial_s
            held.trial = Trial(found.update, checks, until_s)
        elif found.problem:
            self.reverted += 1
            log.info("%s runs %s again: %s", config.name, note.version, found.problem)
        if not found.trial:
            self._go_on(meter_id)

    def _checks(self, meter: Updated, note: Note) -> Checks:
        """Return what must work before firmware on trial is confirmed, as in the single meter."""
        management = meter.management
        config = management.config
        fails = self._faults.failing(config.meter_id, note.version)
        real: Checks = {
            "metrology": lambda: True,  # it is the fleet's own
            "storage": lambda: not management.failing,
            "profile": lambda: management.profile.ring.last > 0,
            "uplink": lambda: meter.is_attached,
        }
        return {name: (lambda: False) if name == fails else each for name, each in real.items()}

    def _try(self, meter_id: int, trial: Trial) -> None:
        name = self._config(meter_id).name
        if not self._meters[meter_id].management.supplied:
            return
        try:
            trial.tick(self._now_s)
        except (StorageError, PsaError, FirmwareError) as error:
            log.error("%s: %s", name, error)  # noqa: TRY400
            trial.failed = "image"
        if trial.failed is None:
            return
        self._open[meter_id].trial = None
        if trial.failed:
            log.error("%s: the firmware on trial failed its check %r", name, trial.failed)
            self._waiting[meter_id] = True
        else:
            self.confirmed += 1
            log.info("%s: the firmware on trial is confirmed", name)
            self._settle(meter_id)
            self._go_on(meter_id)

    def _go_on(self, meter_id: int) -> None:
        """Let the transfer know what came of its activation, if nobody looks at it."""
        if self._meters[meter_id].management.images is None:
            receiver = ImageReceiver(THING, FleetSink(self, meter_id))
            if receiver.status is ImageTransferStatus.ACTIVATION_INITIATED:
                with suppress(Refused):  # the log has said why
                    receiver.tick(0)

    def _settle(self, meter_id: int) -> None:
        try:
            self._keep(meter_id, replace(self._note(meter_id), flags=0))
        except StorageError as error:  # the next start boots it, and finds it confirmed
            log.warning("%s: %s", self._config(meter_id).name, error)

    def _tend(self, meter_id: int, held: Open) -> None:
        images, now_us = self._meters[meter_id].management.images, round(self._now_s * 1e6)
        if images is not None and (due_us := images.due_us()) is not None:
            if due_us <= now_us:
                with suppress(Refused):  # the log has said why; it is tried again
                    images.tick(now_us)
            held.used_s = self._now_s
        elif self._now_s - held.used_s > IDLE_S:
            del self._open[meter_id]
            try:
                self._flashes.close(meter_id)
            except StorageError as error:
                log.error("%s: %s", self._config(meter_id).name, error)  # noqa: TRY400


class FleetSink:
    """Receives images for one meter: the port `ImageSink`, over a flash that is open or not."""

    __slots__ = ("_fleet", "_meter_id")

    def __init__(self, fleet: FleetFirmware, meter_id: int) -> None:
        self._fleet, self._meter_id = fleet, meter_id

    def progress(self) -> ImageProgress | None:
        """Return what was received; None also where the flash cannot be used.

        The meter is read all the same; who initiates a transfer is told that its hardware fails.
        """
        if not self._fleet.has_flash(self._meter_id):
            return None
        try:
            return self._sink.progress()
        except (StorageError, PsaError, SecurityError, FirmwareError) as error:
            log.error("what was received is not known: %s", error)  # noqa: TRY400
            self._fleet.abandon(self._meter_id)
            return None

    def begin(self, identifier: bytes, size: int, block_size: int) -> None:
        with self._refused():
            self._fleet.receives(self._meter_id)
            self._sink.begin(identifier, size, block_size)

    def write(self, number: int, value: bytes) -> None:
        with self._refused():
            self._sink.write(number, value)

    def remember(self, status: ImageTransferStatus) -> None:
        with self._refused():
            self._sink.remember(status)

    def verify(self) -> Verdict:
        with self._refused():
            return self._sink.verify()

    def images(self) -> tuple[ImageToActivate, ...]:
        return self._sink.images()

    def activate(self) -> Verdict:
        with self._refused():
            return self._fleet.activate(self._meter_id)

    @property
    def _sink(self) -> FirmwareSink:
        return self._fleet.sink(self._meter_id)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Tell a client that the flash refused, as a meter tells of its hardware."""
        try:
            yield
        except (StorageError, PsaError, SecurityError, FirmwareError) as error:
            log.error("an image is not taken: %s", error)  # noqa: TRY400
            self._fleet.abandon(self._meter_id)
            raise Refused(ActionResult.HARDWARE_FAULT) from error
