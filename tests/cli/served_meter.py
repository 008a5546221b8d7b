# SPDX-License-Identifier: Apache-2.0
"""A demo meter behind a real port, in a thread of its own: commands run beside it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from openami.cosem.server import ServerConnection
from openami.transport.endpoint import listen
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import Wire
from playbooks.demo_meter import DemoMeter, entropy

Spoil = Callable[[bytes], bytes | None]  # what becomes of an answer; None drops it


@dataclass
class Serving:
    """One connection to the meter."""

    wire: Wire
    server: ServerConnection
    spoil: Spoil

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        answer = self.server.receive(source, apdu)
        if answer is not None and (spoilt := self.spoil(answer)) is not None:
            self.wire.send(destination, source, spoilt)

    def closed(self, _reason: str) -> None:
        self.server.lost()


@dataclass
class ServedMeter:
    """Use as a context manager; `url` is where it listens."""

    url: Url
    secured: Secured | None = None
    meter: DemoMeter = field(default_factory=DemoMeter)
    spoil: Spoil = lambda answer: answer

    def __enter__(self) -> Self:
        ready = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            listener = await listen(self.url, self._accept, secured=self.secured)
            self.url = listener.url
            ready.set()
            await self._stop.wait()
            await listener.close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _accept(self, wire: Wire) -> Serving:
        server = ServerConnection(self.meter, entropy=entropy())
        return Serving(wire, server, self.spoil)
