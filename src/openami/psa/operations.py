# SPDX-License-Identifier: Apache-2.0
"""Multi-part operations: which call may follow which, as one table a kind.

PSA Certified Crypto API, Multi-part operations.  An operation is inactive, active in one of the
states of its kind, or in error.  A call that its state does not know is refused with BAD_STATE and
changes nothing in an inactive operation.  A call that fails leaves an inactive operation inactive
and takes an active one into error, which only `abort` leaves.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import ClassVar, TypeAlias

from openami.psa.status import PsaError, Status


class State(Enum):
    """Where an operation is."""

    INACTIVE = auto()
    ACTIVE = auto()
    """Hash, key derivation: takes input."""
    SIGNING = auto()
    VERIFYING = auto()
    ENCRYPT_IV = auto()
    """Cipher: an initialization vector must come first."""
    DECRYPT_IV = auto()
    RUNNING = auto()
    """Cipher: takes input."""
    ENCRYPT_NONCE = auto()
    """AEAD: lengths may come, a nonce must."""
    DECRYPT_NONCE = auto()
    ENCRYPT_AD = auto()
    """AEAD: takes additional data."""
    DECRYPT_AD = auto()
    ENCRYPT_DATA = auto()
    """AEAD: takes the message; additional data is over."""
    DECRYPT_DATA = auto()
    OUTPUT = auto()
    """Key derivation: gives output; inputs are over."""
    ERROR = auto()


class Call(Enum):
    """What is asked of an operation."""

    SETUP = auto()
    SETUP_WITHOUT_IV = auto()
    """Setup of a cipher that needs no initialization vector (ECB)."""
    ENCRYPT_SETUP = auto()
    DECRYPT_SETUP = auto()
    SIGN_SETUP = auto()
    VERIFY_SETUP = auto()
    GENERATE_IV = auto()
    SET_IV = auto()
    SET_LENGTHS = auto()
    GENERATE_NONCE = auto()
    SET_NONCE = auto()
    UPDATE_AD = auto()
    UPDATE = auto()
    FINISH = auto()
    VERIFY = auto()
    CLONE = auto()
    GET_CAPACITY = auto()
    SET_CAPACITY = auto()
    INPUT = auto()
    """Any of input_bytes, input_integer, input_key, key_agreement."""
    READ = auto()
    """Any of output_bytes, output_key, verify_bytes, verify_key."""


Transitions: TypeAlias = Mapping[tuple[State, Call], State]

HASH: Transitions = {
    (State.INACTIVE, Call.SETUP): State.ACTIVE,
    (State.ACTIVE, Call.UPDATE): State.ACTIVE,
    (State.ACTIVE, Call.CLONE): State.ACTIVE,
    (State.ACTIVE, Call.FINISH): State.INACTIVE,
    (State.ACTIVE, Call.VERIFY): State.INACTIVE,
}

MAC: Transitions = {
    (State.INACTIVE, Call.SIGN_SETUP): State.SIGNING,
    (State.INACTIVE, Call.VERIFY_SETUP): State.VERIFYING,
    (State.SIGNING, Call.UPDATE): State.SIGNING,
    (State.VERIFYING, Call.UPDATE): State.VERIFYING,
    (State.SIGNING, Call.FINISH): State.INACTIVE,
    (State.VERIFYING, Call.VERIFY): State.INACTIVE,
}

CIPHER: Transitions = {
    (State.INACTIVE, Call.ENCRYPT_SETUP): State.ENCRYPT_IV,
    (State.INACTIVE, Call.DECRYPT_SETUP): State.DECRYPT_IV,
    (State.INACTIVE, Call.SETUP_WITHOUT_IV): State.RUNNING,
    (State.ENCRYPT_IV, Call.GENERATE_IV): State.RUNNING,
    (State.ENCRYPT_IV, Call.SET_IV): State.RUNNING,
    (State.DECRYPT_IV, Call.SET_IV): State.RUNNING,
    (State.RUNNING, Call.UPDATE): State.RUNNING,
    (State.RUNNING, Call.FINISH): State.INACTIVE,
}

AEAD: Transitions = {
    (State.INACTIVE, Call.ENCRYPT_SETUP): State.ENCRYPT_NONCE,
    (State.INACTIVE, Call.DECRYPT_SETUP): State.DECRYPT_NONCE,
    (State.ENCRYPT_NONCE, Call.SET_LENGTHS): State.ENCRYPT_NONCE,
    (State.DECRYPT_NONCE, Call.SET_LENGTHS): State.DECRYPT_NONCE,
    (State.ENCRYPT_NONCE, Call.GENERATE_NONCE): State.ENCRYPT_AD,
    (State.ENCRYPT_NONCE, Call.SET_NONCE): State.ENCRYPT_AD,
    (State.DECRYPT_NONCE, Call.SET_NONCE): State.DECRYPT_AD,
    (State.ENCRYPT_AD, Call.UPDATE_AD): State.ENCRYPT_AD,
    (State.DECRYPT_AD, Call.UPDATE_AD): State.DECRYPT_AD,
    (State.ENCRYPT_AD, Call.UPDATE): State.ENCRYPT_DATA,
    (State.DECRYPT_AD, Call.UPDATE): State.DECRYPT_DATA,
    (State.ENCRYPT_DATA, Call.UPDATE): State.ENCRYPT_DATA,
    (State.DECRYPT_DATA, Call.UPDATE): State.DECRYPT_DATA,
    (State.ENCRYPT_AD, Call.FINISH): State.INACTIVE,
    (State.ENCRYPT_DATA, Call.FINISH): State.INACTIVE,
    (State.DECRYPT_AD, Call.VERIFY): State.INACTIVE,
    (State.DECRYPT_DATA, Call.VERIFY): State.INACTIVE,
}

DERIVATION: Transitions = {
    (State.INACTIVE, Call.SETUP): State.ACTIVE,
    (State.ACTIVE, Call.INPUT): State.ACTIVE,
    (State.ACTIVE, Call.GET_CAPACITY): State.ACTIVE,
    (State.ACTIVE, Call.SET_CAPACITY): State.ACTIVE,
    (State.ACTIVE, Call.READ): State.OUTPUT,
    (State.OUTPUT, Call.GET_CAPACITY): State.OUTPUT,
    (State.OUTPUT, Call.SET_CAPACITY): State.OUTPUT,
    (State.OUTPUT, Call.READ): State.OUTPUT,
}
"""A derivation does not finish: it is aborted when nothing more is to be read."""


class Operation:
    """A multi-part operation of one kind; each call of a kind runs inside `_call`."""

    TABLE: ClassVar[Transitions]

    state: State = State.INACTIVE

    def abort(self) -> None:
        """Forget everything; allowed in any state."""
        self._forget()
        self.state = State.INACTIVE

    def _forget(self) -> None:
        """Drop what the operation holds."""
        raise NotImplementedError

    @contextmanager
    def _call(self, call: Call, harmless: frozenset[Status] = frozenset()) -> Iterator[None]:
        """Hold one call to the table.

        Args:
            call: What is asked.
            harmless: Failures with these statuses leave an active operation as it is.
        """
        after = self._after(call)
        try:
            yield
        except PsaError as error:
            if error.status not in harmless:
                self._fail()
            raise
        self.state = after
        if after is State.INACTIVE:
            self._forget()

    def _after(self, call: Call) -> State:
        after = self.TABLE.get((self.state, call))
        if after is None:
            problem = f"{call.name.lower()} is not allowed when {self.state.name.lower()}"
            self._fail()
            raise PsaError(Status.BAD_STATE, problem, type(self).__name__)
        return after

    def _fail(self) -> None:
        """Take an active operation into error; nothing happens to an inactive one."""
        if self.state is not State.INACTIVE:
            self._forget()
            self.state = State.ERROR
