# SPDX-License-Identifier: Apache-2.0
"""Memory a connection: meters held at once in one server process, by mutual TLS.

The growth of the resident set, divided by the connections; each has carried a frame both ways.
Beside it, asyncio's own TLS with the same settings.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.identities import Identities
from bench.measure import BARE, OURS, Row, Scale, Server, same
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE, Sap
from openami.dlms.wrapper import WrapperFrame
from openami.transport.endpoint import dial
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import Wire

PUSH_CLIENT = Sap(64)
APDU = bytes(range(100))
FIRST = 10  # connections before the first look: what is paid once is no cost of a connection
AT_ONCE = 16
SERVED = {OURS: "mirror", BARE: "echo"}


class Holder:
    """A client that counts what came."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.answered: asyncio.Future[tuple[int, int, int]] | None = None

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        assert self.answered is not None
        self.answered.set_result((source, destination, len(apdu)))

    def closed(self, reason: str) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionError(reason))

    async def exchange(self) -> None:
        """Send a frame and see it come back."""
        self.answered = asyncio.get_running_loop().create_future()
        self.wire.send(MANAGEMENT_LOGICAL_DEVICE, PUSH_CLIENT, APDU)
        wanted = (PUSH_CLIENT, MANAGEMENT_LOGICAL_DEVICE, len(APDU))
        same(await self.answered, wanted, "the mirror")
        self.answered = None


def measure(scale: Scale) -> Iterator[Row]:
    """Measure memory and handshakes."""
    size = f"{scale.connections} mutual TLS 1.3 connections held at once"
    memory = Row("memory a TLS connection", "KiB", note=size, less_is_better=True)
    handshakes = Row("mutual TLS handshakes", "1/s", note="with a frame each way; " + size)
    with tempfile.TemporaryDirectory() as folder:
        identities = Identities(Path(folder))
        for _ in range(min(scale.rounds, 2)):
            found = {who: _hold(who, identities, scale.connections) for who in SERVED}
            memory.add({who: kib for who, (kib, _) in found.items()})
            handshakes.add({who: per_s for who, (_, per_s) in found.items()})
    yield memory
    yield handshakes


def _hold(who: str, identities: Identities, connections: int) -> tuple[float, float]:
    """Return KiB a connection of the server, and connections made a second."""
    with Server() as server:
        served = identities.concentrator_listens()
        if who == BARE:
            served["answer"] = (
                WrapperFrame(PUSH_CLIENT, MANAGEMENT_LOGICAL_DEVICE, APDU).encode().hex()
            )
        (port,) = server.serve(SERVED[who], **served)
        url = Url("tls", "127.0.0.1", port)
        return asyncio.run(_connect(server, url, identities.meter_dials(), connections))


async def _connect(
    server: Server, url: Url, secured: Secured, connections: int
) -> tuple[float, float]:
    held = [await _one(url, secured) for _ in range(FIRST)]
    before = server.resident_octets()
    began = time.perf_counter()

    async def some(count: int) -> None:
        held.extend([await _one(url, secured) for _ in range(count)])

    shares = [connections // AT_ONCE + (n < connections % AT_ONCE) for n in range(AT_ONCE)]
    await asyncio.gather(*(some(count) for count in shares))
    per_s = connections / (time.perf_counter() - began)
    same(sum(wire.is_open for wire in held), FIRST + connections, "connections held at once")
    after = server.resident_octets()
    for wire in held:
        wire.close()
    for wire in held:
        await wire.gone()
    return (after - before) / connections / 1024, per_s


async def _one(url: Url, secured: Secured) -> Wire:
    holders: list[Holder] = []

    def accept(wire: Wire) -> Holder:
        holders.append(Holder(wire))
        return holders[0]

    wire = await dial(url, accept, secured=secured)
    await holders[0].exchange()
    return wire
