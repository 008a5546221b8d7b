# SPDX-License-Identifier: Apache-2.0
"""Which way a frame goes: the concentrator's decisions, without input or output.

From a meter, a frame for the push client goes into the journal and is receipted when it is
durable; anything else is an answer and goes up at once behind a gateway header (E7).  From the
head-end, a confirm takes an entry out of the journal; anything else behind a header (E6) goes down
to that meter, or is answered for it when it is not attached.

Nothing here reads what it carries: APDUs stay protected between meter and head-end.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from openami.concentrator.journal import Outcome, Put, long_invoke_id
from openami.dlms.apdu.faults import ExceptionResponse, ServiceError, StateError
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotificationConfirm
from openami.dlms.errors import DecodeError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.exchange.uplink import (
    COLLECTION_CLIENT,
    MANAGEMENT_SERVER,
    PUSH_CLIENT,
    Attachment,
)

log = logging.getLogger(__name__)

CLAUSE: Final = "docs/architecture.md, 5"
NOT_ATTACHED: Final = ExceptionResponse(
    state_error=StateError.SERVICE_NOT_ALLOWED,
    service_error=ServiceError.OPERATION_NOT_POSSIBLE,
).encode()


class Line(Protocol):
    """A connection: to one meter, or to the head-end."""

    def send(self, source: int, destination: int, apdu: bytes) -> bool:
        """Send a frame; False when the connection is gone."""

    def supersede(self) -> None:
        """Close: a newer connection of the same system took its place."""


Keep = Callable[[Put, Callable[[Outcome | None], None]], bool]
"""Queue a push for the journal; False when too much waits already."""


@dataclass(slots=True)
class Tally:
    """What the relay counted since its start."""

    pushes: int = 0  # frames for the push client
    receipts: int = 0  # hop receipts given
    full: int = 0  # pushes not receipted because a quota, or the room of all, was used up
    unkept: int = 0  # pushes not receipted because the journal could not be written
    answers: int = 0  # frames sent up
    commands: int = 0  # frames passed down
    unreachable: int = 0  # frames answered for a meter that is not attached


class Relay:
    """All meters of one concentrator, and the way up.

    Attributes:
        uplink: The head-end's connection while there is one.
        on_kept: Called when the journal has a new entry.
        on_confirm: Called with meter and long-invoke-id of an end receipt.
        on_change: Called when a meter came or went.
        on_line: Called with a meter and its new connection, or None when it is gone.
        on_full: Called with a meter and why when its push found no room: once a meter for its
            quota, and once for all when the journal has no room.
        on_room: Called with a meter and which of both is over when a new push of it was stored.
        on_collected: Called with a meter and what it answered to a sealed request.
        own_title: The concentrator's; frames for it go to `on_own`.
        on_own: Called with source, destination and APDU of a frame for the concentrator itself.
    """

    def __init__(self, keep: Keep, real_us: Callable[[], int], now: Callable[[], datetime]) -> None:
        self.tally = Tally()
        self.uplink: Line | None = None
        self.on_kept: Callable[[], None] = lambda: None
        self.on_confirm: Callable[[bytes, int], None] = lambda _title, _invoke_id: None
        self.on_change: Callable[[Attachment], None] = lambda _attachment: None
        self.on_line: Callable[[bytes, Line | None], None] = lambda _title, _line: None
        self.on_full: Callable[[bytes, Outcome], None] = lambda _title, _outcome: None
        self.on_room: Callable[[bytes, Outcome], None] = lambda _title, _outcome: None
        self.own_title = b""
        self.on_collected: Callable[[bytes, bytes], None] = lambda _title, _apdu: None
        self.on_own: Callable[[int, int, bytes], None] = lambda _source, _destination, _apdu: None
        self._keep = keep
        self._real_us = real_us
        self._now = now
        self._meters: dict[bytes, tuple[Line, datetime]] = {}
        self._full: set[bytes] = set()  # meters at their quota
        self._no_room = False  # for anybody

    @property
    def attached(self) -> int:
        return len(self._meters)

    def attachments(self) -> list[Attachment]:
        """Return the meters that are attached now."""
        return [
            Attachment(title=title, attached=True, since=since)
            for title, (_, since) in self._meters.items()
        ]

    def lines(self) -> list[tuple[bytes, Line]]:
        """Return the connections that stand now."""
        return [(title, line) for title, (line, _) in self._meters.items()]

    def attach(self, title: bytes, line: Line) -> None:
        """Take a meter's new connection; an older one of the same meter is closed."""
        older = self._meters.get(title)
        self._meters[title] = line, self._now()
        self.on_line(title, line)
        if older is not None:
            log.info("meter %s: a newer connection replaces the older", title.hex().upper())
            older[0].supersede()
        else:
            self._tell(title, attached=True)

    def detach(self, title: bytes, line: Line) -> None:
        """Learn that a connection is gone; one that was replaced changes nothing."""
        known = self._meters.get(title)
        if known is not None and known[0] is line:
            del self._meters[title]
            self.on_line(title, None)
            self._tell(title, attached=False)

    def from_meter(
        self, title: bytes, line: Line, source: int, destination: int, apdu: bytes
    ) -> None:
        """Take a frame from a meter.

        Raises:
            DecodeError: A push that no receipt could name.
        """
        if destination == COLLECTION_CLIENT:
            self.on_collected(title, apdu)
            return
        if destination != PUSH_CLIENT:
            self._answer(title, source, destination, apdu)
            return
        self.tally.pushes += 1
        invoke_id = long_invoke_id(apdu)
        if invoke_id is None:
            problem = "a push needs a long-invoke-id in the clear (transaction-id of 4 octets)"
            raise DecodeError(problem, apdu, 1, CLAUSE)

        def kept(outcome: Outcome | None) -> None:
            self._kept(title, line, invoke_id, outcome)

        if not self._keep(Put(title, invoke_id, apdu, self._real_us()), kept):
            self.tally.unkept += 1

    def from_head_end(self, source: int, destination: int, apdu: bytes) -> None:
        """Take a frame from the head-end.

        Raises:
            DecodeError: No gateway header with a system title, or a confirm cut short.
        """
        request = GatewayRequest.decode(apdu)
        title = request.physical_address
        if title == self.own_title and title:
            self.on_own(source, destination, request.apdu)
            return
        if source == PUSH_CLIENT and request.apdu[0] == DataNotificationConfirm.TAG:
            confirm = DataNotificationConfirm.decode(request.apdu)
            self.on_confirm(title, int(confirm.long_invoke_id_and_priority))
            return
        meter = self._meters.get(title)
        if meter is not None and meter[0].send(source, destination, request.apdu):
            self.tally.commands += 1
            return
        self.unreachable(title, destination, source)

    def unreachable(self, title: bytes, source: int, destination: int) -> None:
        """Answer the head-end for a meter that is not attached, or whose way failed."""
        if destination == COLLECTION_CLIENT:
            return  # that is us
        self.tally.unreachable += 1
        self._answer(title, source, destination, NOT_ATTACHED)

    def ask(self, title: bytes, source: int, destination: int, apdu: bytes) -> bool:
        """Ask a meter for the concentrator itself; False when it is not attached."""
        meter = self._meters.get(title)
        return meter is not None and meter[0].send(source, destination, apdu)

    def line_of(self, title: bytes) -> Line | None:
        """Return a meter's connection; None where it is not attached."""
        meter = self._meters.get(title)
        return None if meter is None else meter[0]

    def is_attached(self, title: bytes) -> bool:
        """Tell whether a meter is attached."""
        return title in self._meters

    def _answer(self, title: bytes, source: int, destination: int, apdu: bytes) -> None:
        """Send up what a meter says; without an uplink nobody waits for it any more."""
        if self.uplink is not None:
            up = GatewayResponse(physical_address=title, apdu=apdu).encode()
            if self.uplink.send(source, destination, up):
                self.tally.answers += 1

    def _kept(self, title: bytes, line: Line, invoke_id: int, outcome: Outcome | None) -> None:
        match outcome:
            case None:
                self.tally.unkept += 1
                return
            case Outcome.FULL | Outcome.NO_ROOM:
                self._note_full(title, outcome)
                return
            case Outcome.STORED:
                self.on_kept()
                self._note_room(title)
        confirm = DataNotificationConfirm(
            long_invoke_id_and_priority=LongInvokeIdAndPriority(invoke_id)
        )
        if line.send(PUSH_CLIENT, MANAGEMENT_SERVER, confirm.encode()):
            self.tally.receipts += 1

    def _note_full(self, title: bytes, outcome: Outcome) -> None:
        self.tally.full += 1
        by_quota = outcome is Outcome.FULL
        if title in self._full if by_quota else self._no_room:
            return
        if by_quota:
            self._full.add(title)
        else:
            self._no_room = True
        self.on_full(title, outcome)
        log.warning(
            "meter %s: %s, it keeps its readings itself; bring the head-end back or raise %s",
            title.hex().upper(),
            "its quota in the journal is used up" if by_quota else "the journal has no room",
            "quota_per_meter" if by_quota else "most_octets",
        )

    def _note_room(self, title: bytes) -> None:
        """Learn that a new push was stored; one that lay there already says nothing of room."""
        if self._no_room:
            self._no_room = False
            self.on_room(title, Outcome.NO_ROOM)
        if title in self._full:
            self._full.discard(title)
            self.on_room(title, Outcome.FULL)

    def _tell(self, title: bytes, *, attached: bool) -> None:
        self.on_change(Attachment(title=title, attached=attached, since=self._now()))
