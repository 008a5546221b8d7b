# SPDX-License-Identifier: Apache-2.0
"""A listener with DTLS, and what dials it."""

import asyncio
from collections.abc import Callable, Coroutine

from openami.transport.dtlsport import DtlsPort
from openami.transport.tls import Secured
from openami.transport.udp import DatagramWire, dial_wrapped_dtls, listen_wrapped_dtls
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits
from transport.parties import Party, Pki, echo

ANY_PORT = Url("dtls", "127.0.0.1", 0)


class Scene:
    """A listener that echoes, and what dials it."""

    def __init__(
        self, pki: Pki, limits: Limits = DEFAULT_LIMITS, there: Secured | None = None
    ) -> None:
        self.pki = pki
        self.secured = there or pki.concentrator()
        self.limits = limits
        self.there = Party(echo)
        self.here = Party()

    async def listen(self) -> DtlsPort:
        self.port = await listen_wrapped_dtls(
            ANY_PORT,
            self.there.accept,  # type: ignore[arg-type]  # any carrier will do
            self.secured,
            self.limits,
        )
        return self.port

    async def dial(self, url: Url | None = None, secured: Secured | None = None) -> DatagramWire:
        return await dial_wrapped_dtls(
            url or self.port.url,
            self.here.accept,  # type: ignore[arg-type]
            secured or self.pki.meter(),
            self.limits,
        )

    async def echoed(self, wire: DatagramWire, apdu: bytes) -> None:
        """Send until the echo comes: datagrams may be lost."""
        handler = self.here.handlers[-1]
        async with asyncio.timeout(20.0):
            while (1, 16, apdu) not in handler.frames:
                wire.send(16, 1, apdu)
                await asyncio.sleep(0.02)


def play(act: Callable[[], Coroutine[None, None, None]]) -> None:
    async def to_the_end() -> None:
        await act()
        await asyncio.sleep(0.01)  # sockets are closed by then

    asyncio.run(to_the_end())
