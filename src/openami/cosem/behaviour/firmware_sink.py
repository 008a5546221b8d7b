# SPDX-License-Identifier: Apache-2.0
"""Image transfer into a device's banks: the port `ImageSink` bound to an update of its firmware.

==========================  ======================================================
image transfer              update
==========================  ======================================================
image_transfer_initiate     start, after giving up what was there
image_block_transfer        write
image_verify                finish: decrypted and verified, it is a candidate
image_activate              install; running until the start after it is confirmed
==========================  ======================================================

The status of the transfer is kept in the transfer's own log, so that it outlives the restart that
an activation is.
"""

from collections.abc import Callable

from openami.cosem.behaviour.image import ImageProgress, Verdict
from openami.cosem.classes.image_transfer import ImageToActivate, ImageTransferStatus
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import BitString
from openami.firmware.errors import FirmwareError, ImageError
from openami.firmware.state import UpdateState, UpdateStateError
from openami.firmware.transfer import TransferError
from openami.firmware.update import Updating

_S = UpdateState
_VERIFIED = frozenset({_S.CANDIDATE, _S.STAGED, _S.TRIAL, _S.UPDATED})
_ACTIVATION = {
    _S.STAGED: Verdict.RUNNING,
    _S.TRIAL: Verdict.RUNNING,
    _S.UPDATED: Verdict.GOOD,
}


class FirmwareSink:
    """Receives images for one device."""

    def __init__(self, update: Updating, restart: Callable[[], None]) -> None:
        """Bind an update.

        Args:
            update: Of the device; made anew at each start.
            restart: Called once the candidate is staged; restarts the device, now or later.
        """
        self._update, self._restart = update, restart

    def progress(self) -> ImageProgress | None:
        transfer = self._update.transfer
        if transfer is None:
            return None
        bits = BitString.from_bits("".join("01"[there] for there in transfer.received))
        status = transfer.status
        return ImageProgress(
            identifier=transfer.terms.identifier,
            size=transfer.terms.size,
            block_size=transfer.terms.block_octets,
            received=bits.octets,
            status=ImageTransferStatus.INITIATED if status is None else ImageTransferStatus(status),
        )

    def begin(self, identifier: bytes, size: int, block_size: int) -> None:
        update = self._update
        if update.state in {_S.STAGED, _S.TRIAL, _S.REJECTED}:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        try:
            update.check(identifier, size, block_size)
            update.give_up()
            update.start(identifier, size, block_size)
        except TransferError as error:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED) from error

    def write(self, number: int, value: bytes) -> None:
        try:
            self._update.write(number, value)
        except FirmwareError as error:
            raise Refused(ActionResult.OTHER_REASON) from error

    def remember(self, status: ImageTransferStatus) -> None:
        transfer = self._update.transfer
        if transfer is not None:
            transfer.remember(status)

    def verify(self) -> Verdict:
        if self._update.state in _VERIFIED:
            return Verdict.GOOD
        try:
            self._update.finish()
        except FirmwareError:
            return Verdict.BAD
        return Verdict.GOOD

    def images(self) -> tuple[ImageToActivate, ...]:
        """Return the verified image; its signature, as image_signature, is the image's hash."""
        try:
            found = self._update.candidate()
        except ImageError:
            found = None
        transfer = self._update.transfer
        if found is None or transfer is None:
            return ()
        terms = transfer.terms
        return (ImageToActivate(terms.size, terms.identifier, found.digest),)

    def activate(self) -> Verdict:
        try:
            self._update.install()
        except UpdateStateError as error:
            return _ACTIVATION.get(error.state, Verdict.BAD)
        self._restart()
        return Verdict.RUNNING
