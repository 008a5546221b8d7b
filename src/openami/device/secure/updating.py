# SPDX-License-Identifier: Apache-2.0
"""The update of the device's flash, carried out behind the wall; `walledupdate` is its near side.

Beside PSA's own calls, image transfer needs blocks in any order and of its own size, a status that
outlives restarts, and what was verified.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from openami.device.secure.codec import Value
from openami.firmware.errors import FirmwareError, ImageError
from openami.firmware.state import UpdateStateError
from openami.firmware.transfer import TransferError
from openami.firmware.update import Update
from openami.psa.status import PsaError, Status

NO_STATUS: Final = 0xFFFFFFFF
NOTHING: Final = 0xFFFFFFFF
"""As size: no transfer is there."""


class UpdateCalls:
    """The functions, over the update of the device."""

    def __init__(self, update: Update) -> None:
        self._update = update

    def call(self, method: str, arguments: tuple[Value, ...]) -> object:
        """Carry a function out; returns its results."""
        with _refusals(self._update):
            return getattr(self, method)(*arguments)

    def standing(self) -> tuple[Value, ...]:
        transfer, state = self._update.transfer, int(self._update.state)
        if transfer is None:
            return state, b"", NOTHING, 0, b"", NO_STATUS
        terms = transfer.terms
        status = NO_STATUS if transfer.status is None else transfer.status
        return state, terms.identifier, terms.size, terms.block_octets, transfer.received, status

    def check(self, identifier: bytes, size: int, block_octets: int) -> None:
        self._update.check(identifier, size, block_octets)

    def begin(self, identifier: bytes, size: int, block_octets: int) -> None:
        self._update.start(identifier, size, block_octets)

    def block(self, number: int, octets: bytes) -> None:
        self._update.write(number, octets)

    def remember(self, status: int) -> None:
        if self._update.transfer is not None:
            self._update.transfer.remember(status)

    def give_up(self) -> None:
        self._update.give_up()

    def candidate(self) -> bytes:
        found = self._update.candidate()
        return b"" if found is None else found.digest

    def finish(self) -> None:
        self._update.finish()

    def install(self) -> None:
        self._update.install()

    def accept(self) -> None:
        self._update.accept()

    def reject(self, error: bytes) -> None:
        self._update.reject(error.decode(errors="replace"))


@contextmanager
def _refusals(update: Update) -> Iterator[None]:
    try:
        yield
    except UpdateStateError as error:
        raise PsaError(Status.BAD_STATE, str(error), update.state.name) from error
    except TransferError as error:
        raise PsaError(Status.INVALID_ARGUMENT, str(error), "block") from error
    except ImageError as error:
        raise PsaError(Status.INVALID_SIGNATURE, str(error), error.place) from error
    except FirmwareError as error:
        raise PsaError(Status.GENERIC_ERROR, str(error), "update") from error
