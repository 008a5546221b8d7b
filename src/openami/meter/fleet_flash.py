# SPDX-License-Identifier: Apache-2.0
"""The flashes of a fleet's meters: one image that all left the factory with, and what each changed.

Meters without a secure world are booted here; those that were personalised by their own
(`fleet_secure`).
"""

import logging
from pathlib import Path
from threading import Lock
from typing import Final

from openami.device.boothost import decide
from openami.device.bootregion import BootRegion, BootRegionError
from openami.device.files import OTP_FILE, SECURE
from openami.device.otp import BLANK, BOOT, BOOT_ENTRIES, ENTRY_OCTETS, Otp
from openami.device.payload.judge import policy
from openami.device.sharedflash import SharedFlash, names_in
from openami.device.sharedoctets import SharedOctets
from openami.device.storage import StorageError
from openami.firmware.bank import M2351, Bank, load
from openami.firmware.boot import Recovery
from openami.firmware.errors import FirmwareError
from openami.firmware.flash import PAGE_OCTETS
from openami.firmware.state import StateJournal
from openami.firmware.update import Update, Updating
from openami.meter import fleet_firmware
from openami.meter.config import MeterConfig
from openami.meter.fleet_firmware import Booted

log = logging.getLogger(__name__)

IMAGE_FILE: Final = "flash.image"
PAGES_FILE: Final = "flash.pages"
OCTETS_FILE: Final = "flash.octets"
"""What many meters of the fleet received alike."""
LONGEST_OCTETS: Final = 8 * 1024 * 1024
"""Beyond, what no meter names any more is left out at a start: forty images."""
ALIKE: Final = frozenset(
    page
    for slot in M2351.slots
    for page in range(slot.offset // PAGE_OCTETS, slot.end // PAGE_OCTETS)
)
"""Pages of images; the storage between the banks holds keys."""


def read_image(path: Path) -> bytes:
    """Return the image of the flash that a fleet's meters left their factory with.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "restore it from a backup: the meters' protected storage lies over it"
        raise StorageError(f"{path} cannot be read ({error.strerror}): {remedy}") from error


def shown(version: object) -> str:
    """Return a version as a meter shows it."""
    return f"openami {version}"


class Factory:
    """The image, and what meters hold alike.

    Args:
        home: The fleet's folder.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / IMAGE_FILE
        self._image: bytes | None = None
        self._alike = SharedOctets(home / OCTETS_FILE)
        self._open = 0
        self._lock = Lock()

    @property
    def is_there(self) -> bool:
        """Whether the meters left a factory."""
        return self._path.exists()

    def first(self) -> tuple[str, bytes]:
        """Return version and hash of the image that all began with.

        Raises:
            StorageError: It cannot be read, or is damaged.
        """
        flash = SharedFlash(read_image(self._path), Path(self._path, "none"))
        try:
            region = BootRegion.read(flash)
            verified = load(flash, M2351, Bank.A, policy(region.keys, root=region.root))
        except (BootRegionError, FirmwareError) as error:
            raise StorageError(f"{self._path} is damaged ({error}): restore it") from error
        return shown(verified.version), verified.digest

    def open(self, folder: Path) -> SharedFlash:
        """Open the flash of a meter by its secure folder; give it back with `close`.

        Raises:
            StorageError: A file cannot be read, or is damaged.
        """
        with self._lock:
            if self._image is None:
                self._image = read_image(self._path)
            image = self._image
            self._open += 1
        try:
            return SharedFlash(image, folder / PAGES_FILE, alike=self._alike, shared=ALIKE)
        except BaseException:
            self._one_less()
            raise

    def close(self, flash: SharedFlash) -> None:
        """Sync and close a flash; with the last one nothing of them stays in memory."""
        try:
            flash.close()
        finally:
            self._one_less()

    def _one_less(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._open:
                self._image = None
                self._alike.close()

    def tidy(self, folders: list[Path]) -> None:
        """Leave out what no meter names any more, if the file is long.

        Args:
            folders: The secure folders of all meters of the fleet.

        Raises:
            StorageError: A file cannot be read or written.
        """
        path = self._alike.path
        if not path.exists() or path.stat().st_size < LONGEST_OCTETS:
            return
        wanted = [names_in(folder / PAGES_FILE) for folder in folders]
        self._alike.leave_out(set().union(*wanted))
        self._alike.close()


class OwnFlashes:
    """Flashes of meters that have no secure world; the port `fleet_firmware.Flashes`.

    Their one-time-programmable memory is made when they are first asked for.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._opened: dict[int, SharedFlash] = {}

    def is_changed(self, config: MeterConfig) -> bool:
        return is_changed(config)

    def update(self, config: MeterConfig) -> Update:
        flash = self._open(config)
        try:
            return own_update(flash, config.home / SECURE)
        except (BootRegionError, FirmwareError) as error:
            raise StorageError(f"{config.name} takes no firmware: {error}") from error

    def boot(self, config: MeterConfig, *, again: bool) -> Booted:  # noqa: ARG002  each is one
        self.close(config.meter_id)
        flash = self._open(config)
        otp = burned(flash, folder := config.home / SECURE)
        try:
            _, found = decide(flash, otp)
            if isinstance(found, Recovery):
                raise StorageError(f"{config.name}: no firmware runs ({found}): exchange the meter")
            state = StateJournal(flash, M2351).read()
            return Booted(
                signature=found.verified.digest,
                version=shown(found.verified.version),
                trial=found.trial,
                problem=str(found.replaced or "") or ("" if state is None else state.error),
                update=own_update(flash, folder),
            )
        except (BootRegionError, FirmwareError) as error:
            raise StorageError(f"{config.name} cannot start: {error}") from error
        finally:
            otp.close()

    def close(self, meter_id: int) -> None:
        flash = self._opened.pop(meter_id, None)
        if flash is not None:
            self._factory.close(flash)

    def abandon(self, meter_id: int) -> None:
        if meter_id in self._opened:
            self._opened[meter_id].forget_unsynced()
            self.close(meter_id)

    def _open(self, config: MeterConfig) -> SharedFlash:
        folder = config.home / SECURE
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flash = self._opened.get(config.meter_id)
        if flash is None:
            flash = self._opened[config.meter_id] = self._factory.open(folder)
        return flash

    def close_all(self) -> None:
        """Close every flash."""
        for meter_id in [*self._opened]:
            try:
                self.close(meter_id)
            except StorageError as error:
                log.error("%s", error)  # noqa: TRY400


def is_changed(config: MeterConfig) -> bool:
    """Tell whether a meter ever wrote into its flash."""
    return (config.home / SECURE / PAGES_FILE).exists()


def own_update(flash: SharedFlash, folder: Path) -> Update:
    """Return the update of a meter's flash; there is no key here for encrypted images.

    Raises:
        StorageError: A file cannot be used.
        BootRegionError: The keys that images are judged by are not those that were burned.
        FirmwareError: The flash was never prepared.
    """
    otp = burned(flash, folder)
    try:
        region = BootRegion.read(flash)
        region.verify(otp)
        return Update(flash, M2351, policy(region.trusted(otp), root=region.root))
    finally:
        otp.close()


def burned(flash: SharedFlash, folder: Path) -> Otp:
    """Return a meter's one-time-programmable memory; a blank one gets what the factory burns.

    Raises:
        StorageError: It cannot be used.
        BootRegionError: The flash holds no boot.
    """
    otp = Otp.open(folder / OTP_FILE)
    if otp.read(BOOT, BOOT_ENTRIES) == BLANK * ENTRY_OCTETS * BOOT_ENTRIES:
        otp.burn(BOOT, BootRegion.read(flash).digest)
    return otp


class Flashes:
    """The flashes of all meters of a fleet, behind walls or not."""

    def __init__(self, own: OwnFlashes, walled: fleet_firmware.Flashes) -> None:
        self._own, self._walled = own, walled

    def is_changed(self, config: MeterConfig) -> bool:
        return is_changed(config)

    def update(self, config: MeterConfig) -> Updating:
        return self._of(config).update(config)

    def boot(self, config: MeterConfig, *, again: bool) -> Booted:
        return self._of(config).boot(config, again=again)

    def close(self, meter_id: int) -> None:
        self._own.close(meter_id)
        self._walled.close(meter_id)

    def abandon(self, meter_id: int) -> None:
        self._own.abandon(meter_id)
        self._walled.abandon(meter_id)

    def _of(self, config: MeterConfig) -> fleet_firmware.Flashes:
        return self._walled if config.keys is None else self._own
