# SPDX-License-Identifier: Apache-2.0
"""How long a visitor may take to say what it wants, and how many of one address may be at it.

uvicorn answers 503 beyond a number of connections, and closes those that are idle after an answer.
For a first request, or the rest of one, it would wait for ever: a thousand connections that say
nothing would keep everybody out.  So a connection is half open from when something is expected of
it until its request is whole, as at the other ports from TCP to the end of the handshake.
"""

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from openami.transport.doors import Doors

MOST_HALF_OPEN: Final = 500  # of all addresses; the oldest makes room
MOST_HEAD_OCTETS: Final = 16 * 1024


class Visitor(H11Protocol):
    """One connection.

    Attributes:
        doors: How many of an address may be half open.
        patience_s: How long a connection may be.
        half_open: Those that are, the oldest first.
    """

    doors: ClassVar[Doors]
    patience_s: ClassVar[float]
    half_open: ClassVar[dict["Visitor", asyncio.TimerHandle]]
    _address: str = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self._expect()
        else:
            self._understood()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._understood()

    def on_response_complete(self) -> None:
        self._understood()
        super().on_response_complete()

    def _expect(self) -> None:
        if self in self.half_open or self.transport.is_closing():
            return
        if not self.doors.enter(self._address):
            self.transport.close()
            return
        if len(self.half_open) >= MOST_HALF_OPEN:
            next(iter(self.half_open)).give_up()
        self.half_open[self] = self.loop.call_later(self.patience_s, self.give_up)

    def _understood(self) -> None:
        if (timer := self.half_open.pop(self, None)) is not None:
            timer.cancel()
            self.doors.leave(self._address)

    def give_up(self) -> None:
        """Close it: it did not say what it wants."""
        self._understood()
        self.transport.close()


def visitors(doors: Doors, patience_s: float) -> type[Visitor]:
    """Return the connections of one port, which share their bounds."""
    shared = {"doors": doors, "patience_s": patience_s, "half_open": {}}
    return type("PortVisitor", (Visitor,), shared)
