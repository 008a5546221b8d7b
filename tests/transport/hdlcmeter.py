# SPDX-License-Identifier: Apache-2.0
"""The demo meter behind HDLC."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from openami.cosem.device import LogicalDevice
from openami.cosem.server import ServerConnection
from openami.transport.carrier import Awaited
from openami.transport.hdlc import HdlcServerWire
from playbooks.demo_meter import DemoMeter, entropy


class Serving:
    """One line to the meter."""

    def __init__(self, wire: HdlcServerWire, meter: LogicalDevice) -> None:
        self.wire = wire
        self.server = ServerConnection(meter, entropy=entropy())
        self.gone: list[int] = []
        self.tags: set[int] = set()
        self.reasons: list[str] = []

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.tags.add(apdu[0])
        answer = self.server.receive(source, apdu)
        if answer is None and isinstance(self.wire, Awaited):
            self.wire.silent(destination, source)
        while answer is not None:
            self.wire.send(destination, source, answer)
            answer = self.server.following()

    def disconnected(self, client: int) -> None:
        self.gone.append(client)
        self.server.lost(client)

    def closed(self, reason: str) -> None:
        self.reasons.append(reason)
        self.server.lost()


@dataclass
class Lines:
    """Makes a `Serving` for each line."""

    meter: DemoMeter = field(default_factory=DemoMeter)
    serving: list[Serving] = field(default_factory=list)

    def accept(self, wire: HdlcServerWire) -> Serving:
        self.serving.append(Serving(wire, self.meter))
        return self.serving[-1]


async def until(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110  nobody tells when
            await asyncio.sleep(0.001)
