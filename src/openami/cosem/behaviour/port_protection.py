# SPDX-License-Identifier: Apache-2.0
"""Communication port protection: a port that locks itself after failed attempts.

DLMS UA 1000-1 Ed. 12, 4.4.12.  The server of the port asks `is_locked` before it lets anybody
associate, and tells `failed` and `succeeded` how authentications ended.  A lock-out lasts the
initial time, and with every further failure ``steepness_factor`` times as long, up to the maximum.
The cumulative counter is never reset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.classes.protection import (
    CommunicationPortProtection,
    PortProtectionMode,
    PortProtectionStatus,
)

_MOST: Final = 2**32 - 1
_MOST_DOUBLINGS: Final = 64
"""No lock-out time of four octets grows further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortState:
    """What of a port a power cut must not lose.

    Attributes:
        failed: Attempts that failed since the last success or reset.
        cumulative: All attempts that ever failed.
        locked_until_us: When the lock-out ends, microseconds UTC.
    """

    failed: int
    cumulative: int
    locked_until_us: int


class PortProtection:
    """The behaviour of one port; an actor that unlocks it."""

    def __init__(
        self,
        thing: CommunicationPortProtection,
        *,
        locks_at_limit: bool = False,
        heard: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """Guard a port.

        Args:
            thing: With its settings.
            locks_at_limit: Whether the failure that reaches ``allowed_failed_attempts`` locks the
                port; without it the one after.  Sources do not say which.
            heard: Hears when the port is locked and unlocked.
        """
        self.thing, self._locks_at_limit, self._heard = thing, locks_at_limit, heard
        self._failed: int = thing.values.get(9, 0)
        self._cumulative: int = thing.values.get(10, 0)
        self._locked_until_us = self._told_us = 0

    @property
    def status(self) -> PortProtectionStatus:
        """What protection_status shows."""
        match self.thing.protection_mode:
            case PortProtectionMode.LOCKED:
                return PortProtectionStatus.LOCKED
            case PortProtectionMode.LOCKED_ON_FAILED_ATTEMPTS if self._locked_until_us:
                return PortProtectionStatus.TEMPORARILY_LOCKED
            case _:
                return PortProtectionStatus.UNLOCKED

    def is_locked(self, now_us: int) -> bool:
        """Tell whether nobody may associate over the port now."""
        self.tick(now_us)
        return self.status is not PortProtectionStatus.UNLOCKED

    def due_us(self) -> int | None:
        return self._locked_until_us or None

    def tick(self, now_us: int) -> None:
        if self._locked_until_us and now_us < self._told_us:
            self._locked_until_us -= self._told_us - now_us  # the clock was set back
        self._told_us = now_us
        if self._locked_until_us and now_us >= self._locked_until_us:
            self._locked_until_us = 0
            self._heard("the lock-out of the port is over")

    def failed(self, now_us: int) -> None:
        """Hear that an authentication over the port failed."""
        thing, self._told_us = self.thing, now_us
        self._failed = min(self._failed + 1, _MOST)
        self._cumulative = min(self._cumulative + 1, _MOST)
        beyond = self._failed - thing.allowed_failed_attempts + self._locks_at_limit
        is_guarded = thing.protection_mode == PortProtectionMode.LOCKED_ON_FAILED_ATTEMPTS
        if not is_guarded or beyond < 1:
            return
        growth = thing.steepness_factor ** min(beyond - 1, _MOST_DOUBLINGS)
        seconds = min(thing.initial_lockout_time * growth, thing.max_lockout_time)
        if seconds:
            self._locked_until_us = now_us + seconds * SECOND_US
            self._heard(f"the port is locked for {seconds} s after {self._failed} failed attempts")

    def succeeded(self) -> None:
        """Hear that an authentication over the port succeeded."""
        self._failed = 0

    def reset(self) -> None:
        """Unlock the port and forget the failed attempts, but for the cumulative counter."""
        self._failed = self._locked_until_us = 0

    def state(self) -> PortState:
        """Return what must not be lost."""
        return PortState(
            failed=self._failed,
            cumulative=self._cumulative,
            locked_until_us=self._locked_until_us,
        )

    def restore(self, state: PortState) -> None:
        """Go on from a state."""
        self._failed, self._cumulative = state.failed, state.cumulative
        self._locked_until_us = state.locked_until_us


def port_protection(port: PortProtection) -> PortProtection:
    """Bind a communication port protection object."""
    declared = CommunicationPortProtection
    port.thing.bind(declared.protection_status, lambda: port.status)
    port.thing.bind(declared.failed_attempts, lambda: port.state().failed)
    port.thing.bind(declared.cumulative_failed_attempts, lambda: port.state().cumulative)
    port.thing.bind_method(declared.reset, lambda _argument: port.reset())
    return port
