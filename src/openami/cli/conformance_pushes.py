# SPDX-License-Identifier: Apache-2.0
"""Where a meter under test pushes to: a listener whose pushes are queued, and answered."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from openami.cosem.conformance.case import Inconclusive
from openami.transport.anywhere import OpenPort, listen_anywhere
from openami.transport.carrier import Carrier
from openami.transport.url import Url


@dataclass(slots=True)
class PushEar:
    """Hears pushes.

    Attributes:
        url: Where; None where no pushes are declared.
    """

    url: Url | None
    _port: OpenPort | None = None
    _heard: asyncio.Queue[tuple[Carrier, int, int, bytes]] = field(default_factory=asyncio.Queue)
    _last: tuple[Carrier, int, int] | None = None

    async def open(self) -> None:
        """Listen."""
        if self.url is not None and self._port is None:
            self._port = await listen_anywhere(self.url, self._accept)

    async def next(self, seconds: float) -> bytes | None:
        """Return the next push; None if none comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                wire, source, destination, apdu = await self._heard.get()
                self._last = wire, source, destination
                return apdu
        return None

    def answer(self, apdu: bytes) -> None:
        """Send an APDU to where the last push came from."""
        if self._last is None:
            raise Inconclusive("no push came that could be answered")
        wire, source, destination = self._last
        wire.send(destination, source, apdu)

    async def close(self) -> None:
        """Listen no more."""
        port, self._port = self._port, None
        if port is not None:
            await port.close()

    def _accept(self, wire: Carrier) -> "_Ear":
        return _Ear(self._heard, wire)


@dataclass(frozen=True, slots=True)
class _Ear:
    heard: asyncio.Queue[tuple[Carrier, int, int, bytes]]
    wire: Carrier

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.heard.put_nowait((self.wire, source, destination, apdu))

    def closed(self, reason: str) -> None:
        """Nothing more comes."""
