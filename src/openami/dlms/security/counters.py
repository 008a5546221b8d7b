# SPDX-License-Identifier: Apache-2.0
"""Invocation counters: no counter protects two APDUs, none is accepted twice.

DLMS UA 1000-2 Ed. 10, 9.2.3.3.7 (the counter is the variable half of the initialization vector)
and 9.2.7.2.4 (security header).  Counters count for each key and each direction; only a new key
sets one back.  Two uses under one key would give both plaintexts away, so a sender makes a whole
block of counters durable as used before it sends the first, and leaves the rest of a block unused
after a crash.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, NewType, Protocol

from openami.dlms.errors import ReplayError, SecurityError

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2.4"

InvocationCounter = NewType("InvocationCounter", int)

EXHAUSTED: Final = InvocationCounter(2**32 - 1)
"""The counter that is never sent: a key that comes here must be replaced."""


class CounterReserve(Protocol):
    """Where counters are made durable; bound by the host to a file or a table."""

    def reserve(self, count: int) -> InvocationCounter:
        """Record the next `count` counters as used, on disk, and return the first of them."""


@dataclass(slots=True)
class CounterBlock:
    """The sender's counters of one key: those reserved and not yet used.

    Attributes:
        following: The counter that `next` gives out.
        end: The first counter that is not reserved.
        reserve: Where to get more; None when the block is all there is.
        block_size: How many counters to reserve at a time.
    """

    following: int
    end: int
    reserve: CounterReserve | None = None
    block_size: int = 100

    @classmethod
    def reserving(cls, reserve: CounterReserve, block_size: int = 100) -> "CounterBlock":
        """Return a block that is empty and reserves when it is first asked."""
        return cls(0, 0, reserve, block_size)

    def next(self) -> InvocationCounter:
        """Return a counter that was never returned before.

        Raises:
            SecurityError: The reserved counters are used up, or all counters of the key are.
        """
        counter = self.following
        if counter >= self.end:
            counter = self._reserve()
        self.following = counter + 1
        return InvocationCounter(counter)

    def _reserve(self) -> int:
        if self.following >= EXHAUSTED:
            raise _exhausted()
        if self.reserve is None:
            raise SecurityError(
                f"the reserved block ends before {self.end}; reserve another block before sending",
                f"invocation counter {self.following}",
                CLAUSE,
            )
        first = self.reserve.reserve(self.block_size)
        if first < self.following:
            raise SecurityError(
                f"the reserve went back to {first}, behind counters already used; "
                "restore its newest state or replace the key",
                f"invocation counter {self.following}",
                CLAUSE,
            )
        if first >= EXHAUSTED:
            raise _exhausted()
        self.end = min(first + self.block_size, EXHAUSTED)
        return first


def _exhausted() -> SecurityError:
    return SecurityError(
        "all counters of this key are used; transfer a new key to the meter",
        f"invocation counter {EXHAUSTED}",
        CLAUSE,
    )


@dataclass(slots=True)
class ReceiveWindow:
    """The receiver's rule inside an association: each counter is above the last.

    Attributes:
        expected: The lowest counter that is accepted.
    """

    expected: int = 0

    def accept(self, counter: int) -> None:
        """Accept a counter for good.

        Raises:
            ReplayError: The counter, or a later one, was accepted before.
        """
        if counter < self.expected:
            # 2**32 has no place in four octets; the key is used up then and the answer is moot.
            expected = min(self.expected, EXHAUSTED)
            raise ReplayError(
                f"the invocation counter is not above the last one; {expected} is expected",
                f"invocation counter {counter}",
                CLAUSE,
                expected,
            )
        self.expected = counter + 1


@dataclass(slots=True)
class Windows:
    """What was accepted from one peer, beside the window of the global unicast key.

    Attributes:
        travelling: Counters under keys that travel with an APDU.
        transaction: The lowest transaction-id of a signature alone that is accepted.
    """

    travelling: ReceiveWindow = field(default_factory=ReceiveWindow)
    transaction: int = 0

    def accept_transaction(self, transaction_id: bytes) -> None:
        """Accept the transaction-id of a request that is signed and not ciphered.

        Raises:
            SecurityError: It, or a higher one, was accepted before.
        """
        number = int.from_bytes(transaction_id)
        if number < self.transaction or not transaction_id:
            raise SecurityError(
                "the transaction-id of a signed APDU must be above the last one, "
                f"{self.transaction} or more",
                f"transaction-id {transaction_id.hex().upper() or '(none)'}",
                CLAUSE,
            )
        self.transaction = number + 1


class NotificationIdentity(NamedTuple):
    """What makes a storable notification the one it is.

    A notification that waited in journals may arrive behind a later one, so no window fits it.
    The host keeps these identities beside what it stores, in the same transaction, and accepts
    each once, in any order.
    """

    system_title: bytes
    key_epoch: int
    """Counts the keys of the meter; counters start anew with each."""
    invocation_counter: InvocationCounter
