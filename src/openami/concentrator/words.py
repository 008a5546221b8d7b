# SPDX-License-Identifier: Apache-2.0
"""What the concentrator tells the head-end of itself: heartbeat, links, notices, firmware, clock.

A notice is told until it is confirmed; a heartbeat, and the state of links and firmware where it
changed, are told anew and never repeated.  Without a confirm of anything for three heartbeats the
uplink is taken for dead, which a NAT that forgot the connection would not tell.  It does no input
or output and is told the time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from openami.concentrator.registry import Registry
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.exchange.field import (
    MOST_LINKS,
    MOST_NOTICES,
    FirmwareState,
    Heartbeat,
    LinkState,
    encode_firmware,
    encode_heartbeat,
    encode_links,
    encode_notices,
)

if TYPE_CHECKING:
    from openami.concentrator.questions import Questions

LINKS_EVERY: Final = 2  # heartbeats
DEAD_AFTER: Final = 3  # heartbeats without a confirm


class Words:
    """Says what there is to say over whichever uplink there is.

    Attributes:
        heartbeat_s: From one heartbeat to the next.
        round_trip_s: From the last heartbeat to its confirm; None before the first.
        questions: Tell of the clock and ask for the time; None: nobody does.
    """

    def __init__(
        self,
        registry: Registry,
        heartbeat: Callable[[], Heartbeat],
        monotonic_s: Callable[[], float],
        heartbeat_s: float,
        firmware: Callable[[], FirmwareState | None] = lambda: None,
    ) -> None:
        """Bind the ports.

        Args:
            registry: Links and notices.
            heartbeat: Says how the concentrator is now.
            monotonic_s: The time.
            heartbeat_s: From one heartbeat to the next.
            firmware: Says what runs; None where nothing was booted.
        """
        self.questions: Questions | None = None
        self._firmware = firmware
        self._said_firmware: FirmwareState | None = None
        self.heartbeat_s = heartbeat_s
        self.round_trip_s: float | None = None
        self._registry = registry
        self._heartbeat = heartbeat
        self._monotonic_s = monotonic_s
        self._invoke_id = 0
        self._beats = 0
        self._next_s = 0.0
        self._confirmed_s = 0.0
        self._beat: tuple[int, float] | None = None  # under way: long-invoke-id, since
        self._notices: tuple[int, list[int]] | None = None  # under way
        self._said: dict[bytes, LinkState] = {}

    def begin(self) -> None:
        """Begin on a new uplink: all is said again."""
        self._confirmed_s = self._next_s = self._monotonic_s()
        self._beats = 0
        self._beat = self._notices = None
        self._said.clear()
        self._said_firmware = None
        if self.questions is not None:
            self.questions.begin()

    @property
    def is_dead(self) -> bool:
        """Whether the head-end has confirmed nothing for too long."""
        return self._monotonic_s() - self._confirmed_s > DEAD_AFTER * self.heartbeat_s

    def due(self) -> list[bytes]:
        """Return the APDUs that are to be sent now."""
        apdus = []
        now_s = self._monotonic_s()
        if now_s >= self._next_s:
            self._next_s = now_s + self.heartbeat_s
            invoke_id = self._number()
            self._beat = _confirmed(invoke_id), now_s
            apdus.append(encode_heartbeat(self._heartbeat(), invoke_id))
            self._notices = None  # not confirmed until now: told again
            if self._beats % LINKS_EVERY == 0:
                apdus += self._links()
            self._beats += 1
        firmware = self._firmware()
        if firmware is not None and firmware != self._said_firmware:
            self._said_firmware = firmware
            apdus.append(encode_firmware(firmware, self._number()))
        if self._notices is None and (notices := self._registry.untold(MOST_NOTICES)):
            invoke_id = self._number()
            self._notices = _confirmed(invoke_id), [notice.number for notice in notices]
            apdus.append(encode_notices(notices, invoke_id))
        if self.questions is not None:
            question = self.questions.due(self._number, _confirmed)
            if question is not None:
                apdus.insert(0, question)  # its time was taken just now: nothing goes before it
        return apdus

    def confirmed(self, long_invoke_id: int) -> None:
        """Take a confirm of the head-end."""
        self._confirmed_s = self._monotonic_s()
        if self._beat is not None and self._beat[0] == long_invoke_id:
            self.round_trip_s = self._confirmed_s - self._beat[1]
            self._beat = None
        elif self._notices is not None and self._notices[0] == long_invoke_id:
            self._registry.told(self._notices[1])
            self._notices = None
        elif self.questions is not None:
            self.questions.confirmed(long_invoke_id)

    def _links(self) -> list[bytes]:
        """Return the APDUs of the links that are not as they were said last."""
        changed = [link for link in self._registry.links() if self._said.get(link.title) != link]
        self._said.update((link.title, link) for link in changed)
        return [
            encode_links(changed[start : start + MOST_LINKS], self._number())
            for start in range(0, len(changed), MOST_LINKS)
        ]

    def _number(self) -> int:
        self._invoke_id = (self._invoke_id + 1) & LongInvokeIdAndPriority.LARGEST_ID
        return self._invoke_id


def _confirmed(long_invoke_id: int) -> int:
    """Return the four octets, as a number, that a confirm brings back."""
    return int(LongInvokeIdAndPriority.of(long_invoke_id, confirmed=True))
