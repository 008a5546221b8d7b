# SPDX-License-Identifier: Apache-2.0
"""The PSA Firmware Update API 1.0 over the flash of a device; one component for both worlds.

Functions, states and statuses are PSA's.  A function that is refused raises `PsaError` and has
changed nothing.  Blocks begin at multiples of `WRITE_OCTETS`; the last one may be short.  With a
manifest (SUIT, `firmware.manifest`) the image must be the one it speaks of; its sequence number may
not be below the device's security counter.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from openami.device.bootregion import BootRegion
from openami.device.files import OTP_FILE, UPDATE_KEY_FILE
from openami.device.otp import Otp
from openami.device.payload.identity import CLASS_ID, VENDOR_ID
from openami.device.payload.judge import METER, Kind, policy
from openami.device.storage import StorageError
from openami.firmware.bank import M2351, FlashMap
from openami.firmware.errors import FirmwareError, ImageError
from openami.firmware.flash import Flash, FlashError
from openami.firmware.image import Image, Version
from openami.firmware.manifest import ManifestError, accept
from openami.firmware.manifest_run import Identity, plan
from openami.firmware.state import UpdateState, UpdateStateError
from openami.firmware.transfer import TransferError
from openami.firmware.update import Update, psa_status
from openami.psa.status import PsaError, Status

log = logging.getLogger(__name__)

COMPONENT: Final = 0
WRITE_OCTETS: Final = 1024
ENCRYPTION: Final = 2
"""Flag of a component: its images may be encrypted."""
IDENTIFIER: Final = b"psa"
SCALAR_OCTETS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentInfo:
    """What `query` tells (psa_fwu_component_info_t).

    Attributes:
        state: Of the update.
        error: Word why the last one failed; empty if none did.
        version: Of the image that is confirmed.
        max_octets: Of an image.
    """

    state: UpdateState
    error: str
    version: Version
    max_octets: int
    flags: int = ENCRYPTION


def update_of(
    flash: Flash, folder: Path, flash_map: FlashMap = M2351, kind: Kind = METER
) -> Update:
    """Return the update of a device, which opens what was encrypted for it.

    Without a sound key images in the clear are taken all the same, and the log says so: a meter
    has better things to do than to stop over it.

    Args:
        flash: Of the device.
        folder: With the key, as the factory left it.
        flash_map: Where everything lies in it.
        kind: Of the device.
    """
    key: ec.EllipticCurvePrivateKey | None = None
    try:
        key = update_key(folder)
    except StorageError as error:
        log.error("%s", error)  # noqa: TRY400  the sentence says it all
    region, otp = BootRegion.read(flash), Otp.open(folder / OTP_FILE)
    try:
        keys = region.trusted(otp)
    finally:
        otp.close()
    return Update(flash, flash_map, policy(keys, key, region.root, kind))


def update_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key that opens images encrypted for the device whose secure folder this is.

    Raises:
        StorageError: It is gone, or no key.
    """
    path = folder / UPDATE_KEY_FILE
    remedy = "no encrypted image can be opened: restore it from a backup"
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    try:
        if len(octets) == SCALAR_OCTETS:
            return ec.derive_private_key(int.from_bytes(octets), ec.SECP256R1())
    except ValueError:
        pass  # as many octets, but no scalar of the curve
    raise StorageError(f"{path} holds {len(octets)} octets and no key of P-256: {remedy}")


class FirmwareUpdate:
    """The functions."""

    def __init__(self, flash: Flash, update: Update, reboot: Callable[[], None]) -> None:
        """Bind a device.

        Args:
            flash: Of the device.
            update: Of the same flash.
            reboot: Restarts the device, now or soon.
        """
        self._flash, self._update, self._reboot = flash, update, reboot

    def query(self, component: int) -> ComponentInfo:
        self._known(component)
        standing = self._update.standing()
        with _as_psa():
            version = self._update.image(standing.confirmed).version
        return ComponentInfo(
            state=standing.state, error=standing.error, version=version, max_octets=M2351.room
        )

    def start(self, component: int, manifest: bytes | None = None) -> None:
        self._known(component)
        with _as_psa():
            digest = b"" if manifest is None else self._digest_in(manifest)
            # The digest stands in the log of the transfer: it outlives a restart.
            self._update.start(IDENTIFIER + digest, None, WRITE_OCTETS)

    def write(self, component: int, offset: int, block: bytes) -> None:
        self._known(component)
        if offset % WRITE_OCTETS or not 0 < len(block) <= WRITE_OCTETS:
            problem = f"{len(block)} octets at {offset}: blocks of {WRITE_OCTETS} follow each other"
            raise PsaError(Status.INVALID_ARGUMENT, problem, "block")
        with _as_psa():
            self._update.write(offset // WRITE_OCTETS, block)

    def finish(self, component: int) -> None:
        self._known(component)
        with _as_psa():
            self._as_in_manifest()
            self._update.finish()

    def cancel(self, component: int) -> None:
        self._known(component)
        with _as_psa():
            self._update.cancel()

    def clean(self, component: int) -> None:
        self._known(component)
        with _as_psa():
            self._update.clean()

    def install(self) -> Status:
        """Let the next start try the candidate.

        Returns:
            SUCCESS_REBOOT: `request_reboot` follows.
        """
        with _as_psa():
            self._update.install()
        return Status.SUCCESS_REBOOT

    def request_reboot(self) -> None:
        self._reboot()

    def reject(self, error: str = "rejected") -> Status:
        """Give up what is staged or on trial.

        Returns:
            SUCCESS_REBOOT where it ran on trial, else SUCCESS.
        """
        on_trial = self._update.state is UpdateState.TRIAL
        with _as_psa():
            self._update.reject(error)
        return Status.SUCCESS_REBOOT if on_trial else Status.SUCCESS

    def accept(self) -> None:
        with _as_psa():
            self._update.accept()

    def _digest_in(self, manifest: bytes) -> bytes:
        standing = self._update.standing()
        found = accept(manifest, self._update.keys, least_sequence=standing.security_counter)
        identity = Identity(
            vendor_id=VENDOR_ID.bytes,
            class_id=CLASS_ID.bytes,
            slot=int(standing.confirmed.other),
        )
        parts = plan(found, identity)
        if len(parts) != 1 or parts[0].sha256 is None:
            problem = f"{len(parts)} components; one with the digest of its image is understood"
            raise PsaError(Status.NOT_SUPPORTED, problem, "manifest")
        return parts[0].sha256

    def _as_in_manifest(self) -> None:
        """Refuse another image than the one the manifest spoke of, as it was transferred."""
        transfer = self._update.transfer
        if self._update.state is not UpdateState.WRITING or transfer is None:
            return
        digest = transfer.terms.identifier.removeprefix(IDENTIFIER)
        if not digest or transfer.is_opening:  # what is being decrypted was compared before
            return
        octets = self._flash.read(M2351.slot(transfer.bank).offset, M2351.room)
        size = Image.decode(octets, room=M2351.room).size
        if hashlib.sha256(octets[:size]).digest() != digest:
            self._update.cancel()
            problem = "the manifest speaks of another image"
            raise PsaError(Status.INVALID_SIGNATURE, problem, "image")

    @staticmethod
    def _known(component: int) -> None:
        if component != COMPONENT:
            raise PsaError(Status.DOES_NOT_EXIST, "there is one component, 0", f"{component}")


@contextmanager
def _as_psa() -> Iterator[None]:
    try:
        yield
    except UpdateStateError as error:
        raise PsaError(Status.BAD_STATE, str(error), "update") from error
    except ImageError as error:
        raise PsaError(Status(psa_status(error)), str(error), "image") from error
    except ManifestError as error:
        raise PsaError(Status.INVALID_SIGNATURE, str(error), "manifest") from error
    except TransferError as error:
        raise PsaError(Status.INVALID_ARGUMENT, str(error), "block") from error
    except FlashError as error:
        raise PsaError(Status.STORAGE_FAILURE, str(error), "flash") from error
    except FirmwareError as error:
        raise PsaError(Status.GENERIC_ERROR, str(error), "update") from error
