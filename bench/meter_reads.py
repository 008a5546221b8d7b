# SPDX-License-Identifier: Apache-2.0
"""Meters fully read: associate with HLS-GMAC and suite 0, read a day of the profile, release.

One process is the head-end's side, one process holds all meters.  Measured with a new TCP
connection for each meter, with a new mutual TLS handshake for each meter, and over TLS
connections that stand, which is how meters that dial work.  Invocation counters are in memory on
both sides; a head-end reserves them durably, a block at a time.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.identities import Identities
from bench.measure import OURS, Goal, Row, Scale, Server, same
from bench.street import (
    LAST_COUNTER,
    LOAD_PROFILE,
    MANAGEMENT,
    PERIOD,
    READ_ROWS,
    START,
    import_wh,
    parameters,
)
from openami.cosem.client import Client, ClientParameters, Steps
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE
from openami.dlms.security.counters import CounterBlock
from openami.transport.client import open_session
from openami.transport.endpoint import dial
from openami.transport.session import SessionHandler
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import Wire

AT_ONCE = 32
FIRST_ROW = 96
GOAL = Goal(figure=1_000)


@dataclass(slots=True)
class Household:
    """A meter as the reading side knows it."""

    number: int
    url: Url
    parameters: ClientParameters
    counters: CounterBlock
    handler: SessionHandler | None = None


def measure(scale: Scale) -> Iterator[Row]:
    """Measure full reads."""
    with tempfile.TemporaryDirectory() as folder, Server() as plain, Server() as tls:
        identities = Identities(Path(folder))
        numbers = list(range(1, scale.meters + 1))
        served = identities.meters_listen()
        streets = {
            "tcp": _street("tcp", plain.serve("meters", numbers=numbers)),
            "tls": _street("tls", tls.serve("meters", numbers=numbers, **served)),
        }
        secured = identities.client_dials()
        size = f"{scale.meters} meters in one process, {AT_ONCE} at once; {READ_ROWS} rows each"
        rows = (
            Row("meters read, new TCP each", "1/s", goal=GOAL, note=size),
            Row("meters read, new TLS each", "1/s", note=size),
            Row("meters read, standing TLS", "1/s", note=size),
        )
        for _ in range(scale.rounds):
            for row, scheme, standing in zip(
                rows, ("tcp", "tls", "tls"), (False, False, True), strict=True
            ):
                tls_side = secured if scheme == "tls" else None
                run = _standing if standing else _dialling
                row.add({OURS: asyncio.run(run(streets[scheme], tls_side, scale))})
        yield from rows


def _street(scheme: Literal["tcp", "tls"], ports: Sequence[int]) -> list[Household]:
    return [
        Household(
            number,
            Url(scheme, "127.0.0.1", port),
            parameters(number, protected=True),
            CounterBlock(1, LAST_COUNTER),
        )
        for number, port in enumerate(ports, start=1)
    ]


async def _dialling(street: list[Household], secured: Secured | None, scale: Scale) -> float:
    async def read(meter: Household) -> None:
        async with open_session(
            meter.url, meter.parameters, secured=secured, counters=meter.counters
        ) as session:
            check(meter, await session.run(day(session.client)))

    return await _per_second(street, read, scale)


async def _standing(street: list[Household], secured: Secured | None, scale: Scale) -> float:
    async def connect(meter: Household) -> Wire:
        def accept(wire: Wire) -> SessionHandler:
            meter.handler = SessionHandler(wire, MANAGEMENT, MANAGEMENT_LOGICAL_DEVICE)
            return meter.handler

        return await dial(meter.url, accept, secured=secured)

    def conversation(client: Client) -> Steps[bytes]:
        yield from client.associate()
        octets = yield from day(client)
        yield from client.release()
        return octets

    async def read(meter: Household) -> None:
        assert meter.handler is not None
        client = Client(meter.parameters, entropy=os.urandom, counters=meter.counters)
        check(meter, await meter.handler.session.run(conversation(client)))

    wires = [await connect(meter) for meter in street]
    try:
        return await _per_second(street, read, scale)
    finally:
        for wire in wires:
            wire.close()
        for wire in wires:
            await wire.gone()


async def _per_second(
    street: list[Household], read: Callable[[Household], Awaitable[None]], scale: Scale
) -> float:
    """Read the street, over and over, for a while; return meters a second."""
    done, began = 0, time.perf_counter()

    async def reader(first: int) -> None:
        nonlocal done
        mine = street[first::AT_ONCE]
        while mine:
            for meter in mine:
                await read(meter)
                done += 1
                if time.perf_counter() - began >= scale.seconds:
                    return

    await asyncio.gather(*(reader(first) for first in range(AT_ONCE)))
    return done / (time.perf_counter() - began)


def day(client: Client) -> Steps[bytes]:
    """Read a day of half-hours by range."""
    first = START + FIRST_ROW * PERIOD
    return client.profile(LOAD_PROFILE, first, first + (READ_ROWS - 1) * PERIOD)


def check(meter: Household, octets: bytes) -> None:
    """Hold what came to what the meter has: decoded to columns, counted, summed up."""
    columns = decode_profile(octets)
    same(columns.rows, READ_ROWS, f"meter {meter.number}: rows of a day")
    wanted = sum(import_wh(meter.number, FIRST_ROW + row) for row in range(READ_ROWS))
    same(int(columns.values[2].sum()), wanted, f"meter {meter.number}: Wh of a day")
