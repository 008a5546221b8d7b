# SPDX-License-Identifier: Apache-2.0
"""Up to when a schedule was carried out, and what a clock that is set does to it (4.5.3).

A clock that is set forward is taken as a power failure: what lies between is missed, and each
class says what it makes up for.  Set back by no more than a synchronisation, what was done is not
done again; set back further, the time comes again and all that is in it.  The limit is not the
standard's; a host may choose another.
"""

from dataclasses import dataclass
from typing import Final

from openami.cosem.behaviour.localtime import SECOND_US

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

    def since(self, now_us: int) -> int:
        """Return from when on to look for what is due, and remember that all is done until now.

        Where the clock was set back that lies ahead, and nothing is due.
        """
        before = now_us if self.until_us is None else self.until_us
        if now_us < before and before - now_us <= self.synchronisation_us:
            return before
        self.until_us = now_us
        return before
