# SPDX-License-Identifier: Apache-2.0
"""Many associations at once: round trips over 100 connections, and what each association keeps.

The meters stand in one process, the clients in another.  `bare asyncio` exchanges as many octets
over as many connections, once in processes that have been at work and once in new ones: each read
of `asyncio.Protocol` asks for 256 KiB, which a new process gets from the system and gives back each
time, until it has freed something larger (`measure.FRESH`).
"""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Final

from bench.measure import BARE, FRESH, OURS, Goal, Row, Scale, Server, fresh_echo, same
from bench.round_trips import COUNTERS_A_ROUND, frame_octets
from bench.street import ENERGY, ENERGY_WH, LAST_COUNTER, parameters
from openami.cosem.classes.measurement import Register
from openami.cosem.client import Client, Steps
from openami.dlms.security.counters import CounterBlock
from openami.transport.carrier import Carrier
from openami.transport.endpoint import dial
from openami.transport.session import SessionHandler
from openami.transport.url import Url

CONNECTIONS: Final = 100
FIRST: Final = 10  # associations before the first look: what is paid once is no cost of one
AT_ONCE: Final = 16
WARM_S: Final = 0.2
CLIENT_KIB: Final = 20
METER_KIB: Final = 60
SHARE: Final = 0.5


class Held:
    """One association that stands."""

    def __init__(self, port: int, number: int, first_counter: int, *, protected: bool) -> None:
        self._url = Url("tcp", "127.0.0.1", port)
        self._parameters = parameters(number, protected=protected)
        counters = CounterBlock(first_counter, LAST_COUNTER) if protected else None
        self.client = Client(self._parameters, entropy=os.urandom, counters=counters)

    async def open(self) -> None:
        """Connect, associate, and read once."""
        saps = self._parameters.client_sap, self._parameters.server_sap
        handlers: list[SessionHandler] = []

        def accept(wire: Carrier) -> SessionHandler:
            handlers.append(SessionHandler(wire, *saps))
            return handlers[0]

        self.wire = await dial(self._url, accept)
        self.session = handlers[0].session
        await self.session.run(self.client.associate())
        value = await self.session.run(self.client.get(Register.value, at=ENERGY))
        same(value, ENERGY_WH, "the first GET of an association")


async def opened(
    port: int, count: int, *, first: int = 1, first_counter: int = 1, protected: bool
) -> list[Held]:
    """Open associations with meters `first`, `first` + 1, …; a few at a time."""
    held = [
        Held(port, number, first_counter, protected=protected)
        for number in range(first, first + count)
    ]
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(association: Held) -> None:
        async with turns:
            await association.open()

    await asyncio.gather(*map(one, held))
    return held


def measure(scale: Scale) -> Iterator[Row]:
    """Measure round trips over many connections, and memory an association."""
    yield from _round_trips(scale)
    yield from _memory(scale)


def _round_trips(scale: Scale) -> Iterator[Row]:
    for protected in (False, True):
        what = "with" if protected else "without"
        row = Row(
            f"GET round trips over {CONNECTIONS} connections {what} protection",
            "1/s",
            goal=Goal(figure=SHARE, beside=BARE),
            note="one request under way on each; round trips of all together",
        )
        request, answer = frame_octets(protected=protected)
        with Server() as server:
            (echo,) = server.serve("echo", answer=bytes(answer).hex())
            for number in range(scale.rounds):
                # Each round has meters of its own: the crowd counts its connections.
                (port,) = server.serve("crowd")
                first = 1 + number * COUNTERS_A_ROUND
                row.add(
                    {
                        FRESH: fresh_echo("askers", request, answer, scale.seconds),
                        BARE: asyncio.run(bare(echo, request, answer, scale.seconds)),
                        OURS: asyncio.run(_ours(port, first, scale.seconds, protected=protected)),
                    }
                )
        yield row


class Window:
    """Counts round trips of many while it is open."""

    def __init__(self) -> None:
        self.count = 0
        self.over = False

    async def per_second(self, seconds: float) -> float:
        """Let everybody warm up, then count for `seconds`."""
        await asyncio.sleep(WARM_S)
        before, began = self.count, time.perf_counter()
        found = 0
        while not found:  # on a busy machine not one may come through in so short a time
            await asyncio.sleep(seconds)
            found = self.count - before
        spent = time.perf_counter() - began
        self.over = True
        return found / spent


class Asker(asyncio.Protocol):
    """One client of the bare echo."""

    def __init__(self, request: bytes, answer_octets: int, window: Window) -> None:
        self._request, self._answer_octets, self._window = request, answer_octets, window

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        same(len(data), self._answer_octets, "the bare echo")
        self._window.count += 1
        if self._window.over:
            self._transport.close()
        else:
            self._transport.write(self._request)


async def bare(port: int, request: int, answer: int, seconds: float) -> float:
    loop, window = asyncio.get_running_loop(), Window()
    for _ in range(CONNECTIONS):
        await loop.create_connection(
            lambda: Asker(bytes(request), answer, window), "127.0.0.1", port
        )
    return await window.per_second(seconds)


def _asking(client: Client, window: Window) -> Steps[None]:
    while not window.over:
        value = yield from client.get(Register.value, at=ENERGY)
        same(value, ENERGY_WH, "our GET")
        window.count += 1


async def _ours(port: int, first_counter: int, seconds: float, *, protected: bool) -> float:
    held = await opened(port, CONNECTIONS, first_counter=first_counter, protected=protected)
    window = Window()
    asking = asyncio.gather(*(each.session.run(_asking(each.client, window)) for each in held))
    found = await window.per_second(seconds)
    await asking
    for each in held:
        each.wire.close()
    return found


def _memory(scale: Scale) -> Iterator[Row]:
    size = f"{scale.associations} protected associations held at once, TCP; growth of the process"
    client = Row(
        "memory an open client association",
        "KiB",
        goal=Goal(figure=CLIENT_KIB),
        note=f"socket, session, client, keys; {size}",
        less_is_better=True,
    )
    meter = Row(
        "memory a served meter",
        "KiB",
        goal=Goal(figure=METER_KIB),
        note=f"objects, a day of load profile, connection, association; {size}",
        less_is_better=True,
    )
    for _ in range(min(scale.rounds, 2)):
        with Server() as meters, Server() as clients:
            (port,) = meters.serve("crowd")
            clients.exchange({"serve": "clients", "port": port, "first": 1, "count": FIRST})
            before = meters.resident_octets(), clients.resident_octets()
            count = scale.associations
            clients.exchange({"serve": "clients", "port": port, "first": FIRST + 1, "count": count})
            after = meters.resident_octets(), clients.resident_octets()
            meter.add({OURS: (after[0] - before[0]) / count / 1024})
            client.add({OURS: (after[1] - before[1]) / count / 1024})
    yield client
    yield meter
