# SPDX-License-Identifier: Apache-2.0
"""Words for many meters: once on each line that has one of them, to the others one by one.

What is said cannot be read here, and nobody answers it.  A line gives the time: the order is done
when the octets have left it.  Connections over IP take the same octets each.
"""

import asyncio
from typing import Protocol, runtime_checkable

from openami.concentrator.relay import Relay
from openami.dlms.sap import ALL_STATION
from openami.exchange.orders import Broadcast


class SharedLine(Protocol):
    """A line on which one word reaches all meters."""

    def announce(self, client: int, apdu: bytes) -> asyncio.Future[bool]:
        """Queue a word for all meters; its future tells whether it went out."""


@runtime_checkable
class OnSharedLine(Protocol):
    """A meter that shares its line with others."""

    @property
    def shared(self) -> SharedLine:
        """Where one word reaches all meters."""


class Broadcasts:
    """Carries out orders to speak to many.

    Attributes:
        said: How often something went on a line or a connection.
    """

    def __init__(self, relay: Relay) -> None:
        self.said = 0
        self._relay = relay

    async def take(self, order: Broadcast) -> None:
        """Say it; meters that are not attached miss it, as any other that does not hear."""
        lines: dict[int, SharedLine] = {}
        for title in order.titles:
            line = self._relay.line_of(title)
            if isinstance(line, OnSharedLine):
                lines[id(line.shared)] = line.shared
            elif line is not None and line.send(order.client, ALL_STATION, order.apdu):
                self.said += 1
        gone = [line.announce(order.client, order.apdu) for line in lines.values()]
        self.said += sum(await asyncio.gather(*gone))
