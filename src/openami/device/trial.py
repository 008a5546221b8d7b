# SPDX-License-Identifier: Apache-2.0
"""The self-test of firmware that is on trial: what must work before it is confirmed.

Checks are asked until all pass, or the time is over; then the first that does not is the reason of
the reject, and the confirmed firmware comes back at the restart that follows.
"""

from collections.abc import Callable, Mapping

from openami.firmware.update import Updating

Checks = Mapping[str, Callable[[], bool]]


class Trial:
    """One trial, from the start of the firmware to its verdict.

    Attributes:
        failed: The check that failed; None while none has, empty once the firmware is confirmed.
    """

    def __init__(self, update: Updating, checks: Checks, until_s: float) -> None:
        """Begin.

        Args:
            update: On trial.
            checks: By name.
            until_s: Monotonic time at which it is over.
        """
        self.failed: str | None = None
        self._update, self._checks, self._until_s = update, checks, until_s

    def tick(self, now_s: float) -> None:
        """Ask the checks; conclude when all pass or the time is over."""
        if self.failed is not None:
            return
        if now_s >= self._until_s or all(passes() for passes in self._checks.values()):
            self.failed = self._update.conclude(self._checks) or ""
