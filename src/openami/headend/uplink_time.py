# SPDX-License-Identifier: Apache-2.0
"""What concentrators say of their hosts' clocks, and whether it is ours that is wrong.

They ask us for the time (`uplinks` answers) and say how far off they are.  Where most of them are
off by as much, or one is that a time daemon keeps, it is this machine's clock that is to be looked
at.
"""

import logging
from collections.abc import Callable

from openami.exchange.field import ClockState
from openami.exchange.timesync import is_head_end_suspect
from openami.runtime import hostclock
from openami.runtime.clock import MICROSECONDS
from openami.runtime.status import Figures

log = logging.getLogger(__name__)


class UplinkTime:
    """The last word of each concentrator on its host's clock.

    Attributes:
        is_suspect: Whether our own clock is rather the wrong one.
    """

    def __init__(self, stands: Callable[[bytes], bool]) -> None:
        """Take what tells whether a concentrator is connected."""
        self.is_suspect = False
        self._stands = stands
        self._states: dict[bytes, ClockState] = {}

    def said(self, concentrator: bytes, state: ClockState) -> None:
        """Take a word."""
        self._states[concentrator] = state
        suspect = is_head_end_suspect(self._known())
        if suspect and not self.is_suspect:
            log.warning(
                "the clocks of concentrators' hosts agree with each other and not with this one's:"
                " keep it with a time daemon (chrony)"
            )
        self.is_suspect = suspect

    def figures(self) -> Figures:
        """Return what the status file says of it; what is not known is left out."""
        known = self._known()
        offsets = [each.offset_us for each in known if each.offset_us is not None]
        kept = hostclock.is_kept()
        return {
            "concentrator clocks known": len(offsets),
            "concentrator clocks past limit": sum(each.past_limit for each in known),
            "own clock suspect": int(self.is_suspect),
            **({"clock kept": int(kept)} if kept is not None else {}),
            **(
                {"most concentrator clock offset seconds": max(offsets, key=abs) / MICROSECONDS}
                if offsets
                else {}
            ),
        }

    def _known(self) -> list[ClockState]:
        """Return the words of those that are connected."""
        return [state for title, state in self._states.items() if self._stands(title)]
