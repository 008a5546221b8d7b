# SPDX-License-Identifier: Apache-2.0
"""Secure worlds of a fleet's meters: the single meter's, in the fleet's own process.

`openami fleet personalise` takes meters through their factory: the flash that all left it with is
one image (`flash.image`), and a meter's file holds what it changed, which is its protected storage
and images that it received (`fleet_flash`).  Boot verifies the image in each meter's flash, and
its keys, counters and associations are behind the calls of `device.secure`; only the wall between
two processes is missing, which the attestation says.  A world is opened when its meter first needs
a key.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openami.cosem.device import Protector
from openami.cosem.serving.security_setup import CertificatePort, KeyStorePort
from openami.device import boothost, factory
from openami.device.bootregion import BootRegionError
from openami.device.files import ATTESTATION_PUBLIC, FLASH_FILE, OTP_FILE, SECURE
from openami.device.handover import SEED_OCTETS, Handover
from openami.device.otp import Otp
from openami.device.payload import rom
from openami.device.payload.errors import PayloadError
from openami.device.payload.identity import SW_TYPE
from openami.device.secure.access import Caller
from openami.device.secure.calls import BY_NAME
from openami.device.secure.client import SecureClient
from openami.device.secure.codec import Reply, Request, Value, write
from openami.device.secure.personal import Certify, personalise_device
from openami.device.secure.service import Service, Session
from openami.device.secure.updating import UpdateCalls
from openami.device.secure.walledupdate import WalledUpdate
from openami.device.secure.world import World
from openami.device.sharedflash import SharedFlash
from openami.device.storage import StorageError
from openami.dlms.errors import SecurityError
from openami.dlms.security.credentials import Credentials
from openami.firmware.errors import FirmwareError
from openami.meter.config import FleetConfig, MeterConfig
from openami.meter.fleet_firmware import Booted
from openami.meter.fleet_flash import (
    IMAGE_FILE,
    Factory,
    burned,
    is_changed,
    own_update,
    read_image,
    shown,
)
from openami.meter.fleet_records import FleetRecords
from openami.meter.keys import GROUP_FILE, Group, WalledSecurity
from openami.meter.personalise import given
from openami.psa.status import PsaError
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, erase, write_durably
from openami.runtime.layout import Layout

log = logging.getLogger(__name__)

SHARED: Final = "meters of a fleet share one process"
AT_ONCE: Final = 16  # meters that are written at once: most of it is waiting for the disk
AGAIN_S: Final = 60.0  # for which a meter that does not start is left alone: a boot takes long


class InsideClient(SecureClient):
    """Calls of a secure world in this process."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def close(self) -> None:
        """Forget what was begun."""
        self._session.close()

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        """Call a function by its name in `calls`; raises `PsaError` as over the wall."""
        function = BY_NAME[name]
        request = Request(function.number, 1, write(function.arguments, arguments))
        return Reply.decode(self._session.serve(request.encode())).results(function.results)


@dataclass(slots=True)
class Opened:
    """A meter whose secure world is open."""

    config: MeterConfig
    world: World
    flash: SharedFlash
    record: Handover
    service: Service
    security: WalledSecurity


class Worlds:
    """The secure worlds of a fleet; the port `fleet_firmware.Flashes` of their meters.

    Args:
        factory: With the image that all began with.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._measured: boothost.Measured | None = None
        self._opened: dict[int, Opened] = {}

    def security(self, config: MeterConfig) -> "LazySecurity":
        """Return a meter's security, behind a world that is opened when it is first needed."""
        return LazySecurity(lambda: self.open(config).security)

    def open(self, config: MeterConfig) -> Opened:
        """Boot a meter and open its secure world, if it is not open.

        Raises:
            SecurityError: It has no keys.
            StorageError: A file cannot be read, or its firmware does not run.
        """
        if (there := self._opened.get(config.meter_id)) is not None:
            return there
        if self._measured is None:
            self._measured = boothost.Measured(rom=rom.measure(rom.libraries()))
        folder = config.home / SECURE
        flash = self._factory.open(folder)
        try:
            world, record = self._world(config, flash, folder / OTP_FILE, self._measured)
            service = Service(world)
            inside = InsideClient(service.connect(Caller.NON_SECURE))
            security = WalledSecurity(inside, config)
        except BaseException:
            self._factory.close(flash)
            raise
        found = Opened(config, world, flash, record, service, security)
        self._opened[config.meter_id] = found
        return found

    def is_changed(self, config: MeterConfig) -> bool:
        return is_changed(config)

    def update(self, config: MeterConfig) -> WalledUpdate:
        held = self.open(config)
        if held.service.update is None:
            folder = config.home / SECURE
            try:
                held.service.update = UpdateCalls(own_update(held.flash, folder))
            except (BootRegionError, FirmwareError) as error:
                raise StorageError(f"{config.name} takes no firmware: {error}") from error
        return WalledUpdate(InsideClient(held.service.connect(Caller.NON_SECURE)))

    def boot(self, config: MeterConfig, *, again: bool) -> Booted:
        """Start a meter, which the opening of its world does; raises `StorageError`."""
        if again:
            self._shut(config.meter_id)
        try:
            record = self.open(config).record
        except SecurityError as error:
            raise StorageError(f"{config.name}: {error}") from error
        image = next(each for each in record.components if each.kind == SW_TYPE)
        return Booted(
            signature=image.measurement,
            version=shown(image.version),
            trial=record.trial,
            problem=record.problem,
            update=self.update(config),
        )

    def close(self, meter_id: int) -> None:
        """Keep a world, whose meter has an association; its update is made anew."""
        if (held := self._opened.get(meter_id)) is not None:
            held.service.update = None

    def abandon(self, meter_id: int) -> None:
        """Keep a world, as `close` does: counters of its meter are in the same flash."""
        self.close(meter_id)

    def close_all(self) -> None:
        """Note exactly what each meter has accepted: nothing is skipped at the next start."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self._shut, [*self._opened]):
                pass

    def _shut(self, meter_id: int) -> None:
        held = self._opened.pop(meter_id, None)
        if held is None:
            return
        try:
            try:
                held.world.close()
            finally:
                self._factory.close(held.flash)
        except (PsaError, StorageError) as error:
            name = held.config.name
            log.error("%s: some counters are skipped at the next start: %s", name, error)  # noqa: TRY400

    @staticmethod
    def _world(
        config: MeterConfig, flash: SharedFlash, fuses: Path, measured: boothost.Measured
    ) -> tuple[World, Handover]:
        otp = Otp.open(fuses)
        try:
            found = boothost.start(flash, otp, os.urandom(SEED_OCTETS), SHARED, measured)
            if isinstance(found, str):
                raise StorageError(f"{config.name}: no firmware runs ({found}): exchange the meter")
            return World(flash, otp, found.record, os.urandom), found.record
        except (BootRegionError, PsaError) as error:
            raise StorageError(f"{config.name} cannot start: {error}") from error
        finally:
            otp.close()


class LazySecurity:
    """The port `meter.keys.Security`, whose keys are looked for when they are first needed.

    A meter that does not start is refused for a minute with the same words.
    """

    __slots__ = ("_again_s", "_found", "_open", "_refusal")

    def __init__(self, open_world: Callable[[], WalledSecurity]) -> None:
        self._open = open_world
        self._found: WalledSecurity | None = None
        self._refusal: Exception | None = None
        self._again_s = 0.0

    @property
    def expected(self) -> int | None:
        """The lowest counter that is accepted; None while the world is closed."""
        return None if self._found is None else self._found.expected

    @property
    def ciphering(self) -> Protector:
        return self._world.ciphering

    @property
    def keys(self) -> KeyStorePort:
        return self._world.keys

    @property
    def group(self) -> Group:
        return self._world.group

    @property
    def certificates(self) -> CertificatePort | None:
        return self._world.certificates

    def credentials(self) -> Credentials | None:
        return self._world.credentials()

    def when_certified(self, told: Callable[[], None]) -> None:
        self._world.when_certified(told)

    def is_password(self, password: bytes) -> bool:
        return self._world.is_password(password)

    def notify(self, recipient: bytes, apdu: bytes) -> tuple[bytes, int]:
        return self._world.notify(recipient, apdu)

    def forget(self) -> None:
        """Look for the keys anew: the meter was reset."""
        self._found = self._refusal = None

    @property
    def _world(self) -> WalledSecurity:
        if self._found is None:
            if self._refusal is not None and time.monotonic() < self._again_s:
                raise self._refusal
            try:
                self._found = self._open()
            except (SecurityError, StorageError) as error:
                self._refusal = error.with_traceback(None)
                self._again_s = time.monotonic() + AGAIN_S
                raise
        return self._found


def make_image(path: Path, firmware: Path) -> bytes:
    """Return the image; make it first where it is missing.

    Raises:
        UserError: The firmware or its keys cannot be used, or the disk refused.
    """
    if path.exists():
        return read_image(path)
    try:
        delivered = factory.brought(firmware) or factory.development(firmware)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            factory.make(Path(scratch), delivered)
            octets = (Path(scratch) / SECURE / FLASH_FILE).read_bytes()
    except (PayloadError, FirmwareError) as error:
        raise UserError(f"no firmware for a fleet from {firmware}: {error}") from error
    write_durably(path, octets, mode=PRIVATE)
    return octets


def leave_factory(home: Path, firmware: Path) -> str:
    """Make the image of the flash where it is missing; return why it cannot be, if so.

    A fleet without it measures and pushes all the same, and takes no firmware.
    """
    try:
        make_image(home / IMAGE_FILE, firmware)
    except (UserError, StorageError) as error:
        return f"the meters of {home} take no firmware: {error}"
    return ""


def personalise_fleet(
    home: Path,
    progress: Callable[[int, int], None],
    certifier: Callable[[Path], Certify] | None = None,
) -> int:
    """Bring the keys of a fleet's meters into their secure worlds; return how many had any.

    The fleet must not run.  It may be cut off anywhere and called again.

    Args:
        home: The fleet's folder.
        progress: Told how many of how many are done.
        certifier: Gives who certifies the key pairs of the meter in a folder, in suites 1 and 2.

    Raises:
        UserError: A file cannot be used, or the disk refused.
    """
    configs = [MeterConfig.load(folder) for folder in FleetConfig.load(home).homes]
    waiting = [config for config in configs if config.keys_file.exists()]
    if not waiting:
        return 0
    make_image(home / IMAGE_FILE, Layout(home.parent).firmware)
    factory = Factory(home)
    records = FleetRecords.of(home, real_us, event_entries=configs[0].event_entries)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done: Iterable[None] = pool.map(
                lambda config: _personalise(
                    config, factory, records, certifier and certifier(config.home)
                ),
                waiting,
            )
            for number, _ in enumerate(done, 1):
                progress(number, len(waiting))
    finally:
        records.close()
    return len(waiting)


def _personalise(
    config: MeterConfig, factory: Factory, records: FleetRecords, certify: Certify | None = None
) -> None:
    folder = config.home / SECURE
    folder.mkdir(mode=0o700, exist_ok=True)

    def counters() -> tuple[int, int]:
        meter_id = config.meter_id
        return records.following(meter_id), records.state(meter_id).window_expected

    flash = factory.open(folder)
    otp = burned(flash, folder)
    try:
        point = personalise_device(flash, otp, lambda: given(config, counters, certify), os.urandom)
    except (PsaError, StorageError, SecurityError) as error:
        raise UserError(f"{config.name} cannot be personalised: {error}") from error
    finally:
        factory.close(flash)
        otp.close()
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_durably(config.home / ATTESTATION_PUBLIC, pem)  # before the file goes
    erase(config.keys_file)
    erase(config.home / GROUP_FILE)  # the head-end transfers them again, into the secure world
