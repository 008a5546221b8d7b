# SPDX-License-Identifier: Apache-2.0
"""The update of a device whose flash is behind the wall: the port `firmware.update.Updating`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from openami.device.secure.client import SecureClient
from openami.device.secure.codec import Value
from openami.device.secure.updating import NO_STATUS, NOTHING
from openami.firmware.errors import FirmwareError, ImageError, Reason
from openami.firmware.state import Call, UpdateState, UpdateStateError
from openami.firmware.transfer import Terms, TransferError
from openami.firmware.update import REJECTED
from openami.psa.status import PsaError, Status


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
