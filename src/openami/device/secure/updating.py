# SPDX-License-Identifier: Apache-2.0
"""The update of the device's flash as the near side sees it, and as it is carried out behind.

Beside PSA's own calls, image transfer needs blocks in any order and of its own size, a status that
outlives restarts, and what was verified.  `WalledUpdate` is the port `firmware.update.Updating`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from openami.device.secure.client import SecureClient
from openami.device.secure.codec import Value
from openami.firmware.errors import FirmwareError, ImageError, Reason
from openami.firmware.state import Call, UpdateState, UpdateStateError
from openami.firmware.transfer import Terms, TransferError
from openami.firmware.update import REJECTED, Update
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


@dataclass(frozen=True, slots=True)
class Verified:
    """What is told of an image that was verified."""

    digest: bytes


class WalledTransfer:
    """A transfer as it stood when it was asked for."""

    def __init__(self, client: SecureClient, said: tuple[Value, ...]) -> None:
        identifier, size, block_octets, received, status = said
        self.terms = Terms(
            identifier=identifier,  # type: ignore[arg-type]  # the table says what each is
            size=size,  # type: ignore[arg-type]
            block_octets=block_octets,  # type: ignore[arg-type]
        )
        self.received: bytes = received  # type: ignore[assignment]
        self.status: int | None = None if status == NO_STATUS else status  # type: ignore[assignment]
        self._client = client

    def remember(self, status: int) -> None:
        self._client.call("update_remember", status)


class WalledUpdate:
    """The update of a device whose flash is behind the wall."""

    def __init__(self, client: SecureClient) -> None:
        self._client = client

    @property
    def transfer(self) -> WalledTransfer | None:
        said = self._client.call("update_standing")
        return None if said[2] == NOTHING else WalledTransfer(self._client, said[1:])

    @property
    def state(self) -> UpdateState:
        return UpdateState(self._client.call("update_standing")[0])  # type: ignore[arg-type]

    def check(self, identifier: bytes, size: int | None, block_octets: int) -> None:
        self._call("update_check", identifier, size or 0, block_octets)

    def start(self, identifier: bytes, size: int | None, block_octets: int) -> None:
        self._call("update_begin", identifier, size or 0, block_octets)

    def write(self, number: int, octets: bytes) -> None:
        self._call("update_block", number, octets)

    def give_up(self) -> None:
        self._call("update_give_up")

    def candidate(self) -> Verified | None:
        with self._as_firmware():
            digest = self._client.octets("update_candidate")
        return Verified(digest) if digest else None

    def finish(self) -> None:
        self._call("update_finish")

    def install(self) -> None:
        self._call("update_install")

    def conclude(self, checks: Mapping[str, Callable[[], bool]]) -> str | None:
        """Test what is on trial here; what comes of it is noted behind the wall."""
        for name, passes in checks.items():
            if not passes():
                self._call("update_reject", name.encode() or REJECTED.encode())
                return name
        self._call("update_accept")
        return None

    def _call(self, name: str, *arguments: Value) -> None:
        with self._as_firmware():
            self._client.call(name, *arguments)

    @contextmanager
    def _as_firmware(self) -> Iterator[None]:
        try:
            yield
        except PsaError as error:
            match error.status:
                case Status.BAD_STATE:
                    raise UpdateStateError(Call.INSTALL, self.state) from error
                case Status.INVALID_ARGUMENT:
                    raise TransferError(error.problem) from error
                case Status.INVALID_SIGNATURE:
                    raise ImageError(Reason.SIGNATURE_WRONG, error.problem, error.place) from error
                case _:
                    raise FirmwareError(str(error)) from error


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
