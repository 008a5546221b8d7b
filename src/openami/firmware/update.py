# SPDX-License-Identifier: Apache-2.0
"""An update: received into the bank that does not run, verified, tried, confirmed or reverted.

The calls are those of the PSA Firmware Update API 1.0, the order in which they may come is
`state.CALLS`.  What a call did is durable when it returns; after a power cut a new `Update` goes on
where the last one was.  `accept` raises the security counter in the record that confirms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from openami.firmware.bank import Bank, FlashMap, load
from openami.firmware.errors import FirmwareError, ImageError, Reason
from openami.firmware.flash import Flash
from openami.firmware.keys import VerifyingKey
from openami.firmware.state import (
    CALLS,
    BootState,
    Call,
    StateJournal,
    UpdateState,
    UpdateStateError,
)
from openami.firmware.transfer import Terms, Transfer, TransferError, check
from openami.firmware.verify import Policy, Verified

CANCELLED: Final = "cancelled"
REJECTED: Final = "rejected"

PSA_STATUS: Final[Mapping[Reason, int]] = {
    Reason.SIGNATURE_MISSING: -149,
    Reason.SIGNATURE_WRONG: -149,
    Reason.KEY_UNKNOWN: -149,
    Reason.HASH_MISSING: -149,
    Reason.HASH_WRONG: -149,
    Reason.COUNTER_LOW: -133,
    Reason.COUNTER_MISSING: -133,
    Reason.DEPENDENCY: -156,
    Reason.TOO_LARGE: -142,
    Reason.UNSUPPORTED: -134,
}
"""Statuses of the PSA API for refusals: invalid signature, not permitted, dependency needed,
insufficient storage, not supported; what is not here is invalid data."""
DATA_INVALID: Final = -153


def psa_status(error: ImageError) -> int:
    """Return the PSA status of a refusal."""
    return PSA_STATUS.get(error.reason, DATA_INVALID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the update stands, for whoever asks.

    Attributes:
        error: The word why it failed; empty if it did not.
        missing: How many blocks are still to come.
    """

    state: UpdateState
    error: str
    confirmed: Bank
    security_counter: int
    missing: int


class Digested(Protocol):
    """An image that was verified."""

    @property
    def digest(self) -> bytes:
        """Its hash."""


class Transferring(Protocol):
    """A transfer under way, or done."""

    terms: Terms
    status: int | None

    @property
    def received(self) -> bytes:
        """An octet for each block: 1 where it is there."""

    def remember(self, status: int) -> None:
        """Keep a status beside the blocks."""


class Updating(Protocol):
    """What image transfer and a trial need of an update: `Update`, or what stands for one."""

    @property
    def transfer(self) -> Transferring | None:
        """The transfer; None without one."""

    @property
    def state(self) -> UpdateState:
        """How the update stands."""

    def check(self, identifier: bytes, size: int | None, block_octets: int) -> None:
        """Refuse what cannot fit."""

    def start(self, identifier: bytes, size: int | None, block_octets: int) -> None:
        """Make room for an image."""

    def write(self, number: int, octets: bytes) -> None:
        """Keep one block."""

    def give_up(self) -> None:
        """Make ready for the next update."""

    def candidate(self) -> Digested | None:
        """Return the image that was verified last."""

    def finish(self) -> object:
        """Decrypt and verify what was received."""

    def install(self) -> None:
        """Let the next start try the candidate."""

    def conclude(self, checks: Mapping[str, Callable[[], bool]]) -> str | None:
        """Test the image that is on trial; accept it, or reject it with the test's name."""


class Update:
    """The update of one device."""

    transfer: Transfer | None

    def __init__(self, flash: Flash, flash_map: FlashMap, policy: Policy) -> None:
        """Take up what the flash tells.

        Args:
            flash: Of the device.
            flash_map: Where everything lies in it.
            policy: What an image must satisfy; its counter and address are known here.

        Raises:
            FirmwareError: The device was never prepared.
        """
        self._flash, self._map, self._policy = flash, flash_map, policy
        self._journal = StateJournal(flash, flash_map)
        self._reread()

    def _reread(self) -> None:
        state = self._journal.read()
        if state is None:
            raise FirmwareError("the boot's state is not there: prepare the device first")
        self._state: BootState = state
        bank = state.candidate
        self.transfer = None if bank is None else Transfer.open(self._flash, self._map, bank)

    @property
    def state(self) -> UpdateState:
        return self._state.state

    @property
    def keys(self) -> tuple[VerifyingKey, ...]:
        """Keys that images and manifests are believed by."""
        return self._policy.keys

    def standing(self) -> Standing:
        """Say how the update stands."""
        return Standing(
            state=self._state.state,
            error=self._state.error,
            confirmed=self._state.confirmed,
            security_counter=self._state.counter,
            missing=0 if self.transfer is None else len(self.transfer.missing),
        )

    def check(self, identifier: bytes, size: int | None, block_octets: int) -> None:
        """Refuse what `start` would refuse of an image, whatever the state.

        Raises:
            TransferError: It cannot fit.
        """
        check(self._terms(identifier, size, block_octets), self._map)

    def start(self, identifier: bytes, size: int | None, block_octets: int) -> None:
        """Make room for an image.

        Args:
            identifier: Of the transfer; means something to whoever transfers.
            size: In octets; None where it is not known before the end, as in PSA's own call.  The
                last block may then be short, and everything behind it stays erased.
            block_octets: A power of two up to a page.

        Raises:
            UpdateStateError: Something is there: `cancel` and `clean` first.
            TransferError: It cannot fit.
        """
        self._may(Call.START)
        terms = self._terms(identifier, size, block_octets)
        check(terms, self._map)
        bank = self._state.confirmed.other
        self._forget(bank)
        self._move(Call.START, candidate=bank, error="")
        self.transfer = Transfer.begin(self._flash, self._map, bank, terms)

    def _terms(self, identifier: bytes, size: int | None, block_octets: int) -> Terms:
        return Terms(
            identifier=identifier,
            size=self._map.room if size is None else size,
            block_octets=block_octets,
            open_ended=size is None,
        )

    def write(self, number: int, octets: bytes) -> None:
        """Keep one block.

        Raises:
            UpdateStateError: Nothing is being received.
            TransferError: The block is none of this image.
        """
        self._may(Call.WRITE)
        self._under_way().write(number, octets)

    def finish(self) -> Verified:
        """Decrypt and verify what was received; it is a candidate then.

        Raises:
            UpdateStateError: Nothing is being received.
            TransferError: Blocks are missing; it goes on.
            ImageError: The image is refused, and the update failed.
        """
        self._may(Call.FINISH)
        transfer = self._under_way()
        if missing := transfer.missing:
            first = ", ".join(map(str, missing[:5]))
            raise TransferError(f"{len(missing)} blocks are missing, the first are {first}")
        try:
            transfer.decrypt(self._policy.decryption_key)
            verified = self.image(transfer.bank)
        except ImageError as error:
            self._write(replace(self._state, state=UpdateState.FAILED, error=error.reason.word))
            raise
        self._move(Call.FINISH)
        return verified

    def cancel(self) -> None:
        """Give up what is received or a candidate."""
        self._move(Call.CANCEL, error=CANCELLED)

    def give_up(self) -> None:
        """Make ready for the next update, whatever was received before.

        Raises:
            UpdateStateError: Something is staged or on trial.
        """
        if self.state in {UpdateState.WRITING, UpdateState.CANDIDATE}:
            self.cancel()
        if self.state is not UpdateState.READY:
            self.clean()

    def clean(self) -> None:
        """Make ready for the next update."""
        self._move(Call.CLEAN, error="")

    def install(self) -> None:
        """Let the next start try the candidate; the caller restarts the device."""
        self._move(Call.INSTALL)

    def accept(self) -> None:
        """Confirm the image that is on trial, and refuse older ones from now on.

        Raises:
            UpdateStateError: None is on trial.
            ImageError: Its bank does not hold it any more.
        """
        self._may(Call.ACCEPT)
        bank = self._state.confirmed.other
        counter = self.image(bank).security_counter or 0
        self._move(Call.ACCEPT, confirmed=bank, counter=max(self._state.counter, counter))

    def reject(self, error: str = REJECTED) -> None:
        """Give up the image that is staged or on trial; the caller restarts the device."""
        self._move(Call.REJECT, error=error)

    def conclude(self, checks: Mapping[str, Callable[[], bool]]) -> str | None:
        """Test the image that is on trial; accept it, or reject it with the test's name.

        Returns:
            The name of the test that failed; None if all passed and the image is confirmed.
        """
        self._may(Call.ACCEPT)
        for name, passes in checks.items():
            if not passes():
                self.reject(name)
                return name
        self.accept()
        return None

    def candidate(self) -> Verified | None:
        """Return the image that was verified last, as it lies in its bank; None without one."""
        if self.transfer is None or self.state not in {
            UpdateState.CANDIDATE,
            UpdateState.STAGED,
            UpdateState.TRIAL,
        }:
            return None
        return self.image(self.transfer.bank)

    def image(self, bank: Bank) -> Verified:
        """Return what lies in a bank.

        Raises:
            ImageError: It may not run.
        """
        policy = replace(self._policy, counter=self._state.counter)
        return load(self._flash, self._map, bank, policy)

    def _forget(self, bank: Bank) -> None:
        """Erase the log of the transfer before, so that nobody takes it for the new one's."""
        for page in self._map.pages(self._map.log(bank)):
            self._flash.erase(page)
        self._flash.sync()

    def _under_way(self) -> Transfer:
        if self.transfer is None:
            raise TransferError("the transfer was cut off before it began: cancel and start anew")
        return self.transfer

    def _may(self, call: Call) -> UpdateState:
        after = CALLS.get((self._state.state, call))
        if after is None:
            raise UpdateStateError(call, self._state.state)
        return after

    def _move(self, call: Call, **changes: object) -> None:
        self._write(replace(self._state, state=self._may(call), **changes))  # type: ignore[arg-type]

    def _write(self, state: BootState) -> None:
        self._journal.write(state)
        self._state = state
