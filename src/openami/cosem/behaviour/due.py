# SPDX-License-Identifier: Apache-2.0
"""Up to when a schedule was carried out, and what a clock that is set does to it (4.5.3).

A clock that is set forward is taken as a power failure: what lies between is missed, and each
class says what it makes up for.  Set back by no more than a synchronisation, what was done is not
done again; set back further, the time comes again and all that is in it.  The limit is not the
standard's; a host may choose another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.cosem.behaviour.localtime import DAY_US, SECOND_US

SYNCHRONISATION_US: Final = 900 * SECOND_US
"""The furthest that shift_time sets a clock back."""


@dataclass(slots=True)
class Done:
    """Up to when everything was carried out.

    Attributes:
        until_us: Calendar time; None before the first tick.
        synchronisation_us: The furthest that a clock is set back without the time coming again.
    """

    until_us: int | None = None
    synchronisation_us: int = SYNCHRONISATION_US

    def passes(self, now_us: int, due_us: int | None) -> bool:
        """Return whether nothing is due yet, and remember that all is done until now."""
        if self.until_us is None or now_us < self.until_us:
            return False
        if due_us is not None and due_us <= now_us:
            return False
        self.until_us = now_us
        return True

    def since(self, now_us: int) -> int:
        """Return from when on to look for what is due, and remember that all is done until now.

        Where the clock was set back that lies ahead, and nothing is due.
        """
        before = now_us if self.until_us is None else self.until_us
        if now_us < before and before - now_us <= self.synchronisation_us:
            return before
        self.until_us = now_us
        return before


class Next:
    """When something is due next, found once and kept while it holds."""

    def __init__(self) -> None:
        self._key: object = None
        self._since_us = 0
        self._at_us: int | None = None
        self._is_known = False

    def forget(self) -> None:
        """Look anew the next time."""
        self._is_known = False

    def after(self, since_us: int, key: object, find: Callable[[int], int | None]) -> int | None:
        """Return what `find` gives for a time; it is asked again only if that may have changed.

        Args:
            since_us: The time after which to look.
            key: What else the answer depends on.
            find: Gives the first time after another; None if there is none for at least a day.
        """
        end_us = self._since_us + DAY_US if self._at_us is None else self._at_us
        if self._is_known and self._key == key and self._since_us <= since_us < end_us:
            return self._at_us
        self._key, self._since_us, self._is_known = key, since_us, True
        self._at_us = find(since_us)
        return self._at_us
