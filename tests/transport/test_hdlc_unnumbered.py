# SPDX-License-Identifier: Apache-2.0
"""UI frames between wires: unconfirmed services, events that are polled for, busy servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from openami.cosem.client import Client
from openami.dlms.apdu.acse import Aarq
from openami.dlms.association import State
from openami.dlms.hdlc.address import Address, Station
from openami.dlms.hdlc.link import LinkTimings, Unnumbered
from openami.transport.hdlc import HdlcClientWire, HdlcSettings
from openami.transport.hdlcpoint import TcpLine, link_pair, listen_hdlc
from openami.transport.url import Url
from openami.transport.wire import WireError
from playbooks.demo_meter import READER, DemoMeter
from transport.hdlcmeter import Lines, until
from transport.parties import Remembering
from transport.test_hdlc import PARAMETERS

SETTINGS = HdlcSettings(physical=17, timings=LinkTimings(poll_s=0.05, answer_s=0.05))
EVERYONE = Address(0x7F, 0x7F, 2)


class Scene:
    def __init__(self, lines: Lines, wire: HdlcClientWire, notified: list[Unnumbered]) -> None:
        self.lines = lines
        self.wire = wire
        self.notified = notified
        self.heard: list[bytes] = []

    async def connect(self) -> None:
        self.wire.connect()
        await self.wire.opened


@asynccontextmanager
async def scene(client: int = READER, *, told: bool = True) -> AsyncIterator[Scene]:
    lines = Lines(DemoMeter())
    notified: list[Unnumbered] = []
    station = Station.of([1], 17)
    url = Url("hdlc+tcp", "127.0.0.1", 0)
    listener = await listen_hdlc(url, lines.accept, station, settings=SETTINGS)
    pair = link_pair(client, 1, SETTINGS)

    def accept(wire: object) -> Remembering:
        return Remembering(wire)  # type: ignore[arg-type]

    wire = HdlcClientWire(pair, SETTINGS, "meter", accept, notified.append if told else None)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: TcpLine(wire), listener.url.host, listener.url.port)
    await until(lambda: bool(lines.serving))
    yield Scene(lines, wire, notified)
    wire.close()
    await wire.gone()
    await listener.close()


def aarq() -> bytes:
    """An association request as a client makes it."""
    octets = next(Client(PARAMETERS, entropy=bytes).associate())
    assert Aarq.decode(octets)
    return octets


@pytest.mark.parametrize("to_all", [False, True])
def test_an_association_that_is_asked_for_in_ui_is_not_answered(*, to_all: bool) -> None:
    async def conversation() -> None:
        async with scene() as here:
            serving = here.lines.serving[0]
            here.wire.send_unnumbered(aarq(), EVERYONE if to_all else None)
            await until(lambda: serving.server.state(READER) is State.ASSOCIATED)
            await asyncio.sleep(0.05)
            assert here.notified == []
            # A link, with confirmed services, begins with an association of its own.
            await here.connect()

    asyncio.run(conversation())


def test_a_meter_keeps_an_event_until_it_is_polled() -> None:
    async def conversation() -> None:
        async with scene(client=1) as here:
            server = here.lines.serving[0].wire
            server.notify(1, 1, b"\xc2event")
            await asyncio.sleep(0.05)
            assert here.notified == []
            here.wire.poll_events()
            await until(lambda: bool(here.notified))
            assert here.notified[0].apdu == b"\xc2event"
            with pytest.raises(WireError, match="does not fit into one UI frame"):
                server.notify(1, 1, bytes(300))

    asyncio.run(conversation())


def test_without_a_listener_of_its_own_an_event_goes_to_the_handler() -> None:
    async def conversation() -> None:
        async with scene(client=1, told=False) as here:
            await here.connect()
            here.lines.serving[0].wire.notify(1, 1, b"\xc2event")
            here.wire.poll_events()
            handler = here.wire._handler
            assert isinstance(handler, Remembering)
            await until(lambda: bool(handler.frames))
            assert handler.frames == [(1, 1, b"\xc2event")]

    asyncio.run(conversation())


def test_a_busy_meter_is_waited_for() -> None:
    async def conversation() -> None:
        async with scene() as here:
            await here.connect()
            server = here.lines.serving[0].wire
            server.busy = True
            assert server.busy
            handler = here.wire._handler
            assert isinstance(handler, Remembering)
            here.wire.send(READER, 1, aarq())
            await asyncio.sleep(0.2)
            assert handler.frames == []
            server.busy = False
            await until(lambda: bool(handler.frames))
            assert handler.frames[0][2][:1] == b"\x61"

    asyncio.run(conversation())


def test_nothing_is_sent_on_a_line_that_is_gone() -> None:
    async def conversation() -> None:
        async with scene() as here:
            server = here.lines.serving[0].wire
            here.wire.close()
            await here.wire.gone()
            await until(lambda: not server.is_open)
            with pytest.raises(WireError, match="nothing can be sent"):
                here.wire.send_unnumbered(b"\xc1")
            with pytest.raises(WireError, match="nothing can be sent"):
                server.notify(1, 1, b"\xc2")

    asyncio.run(conversation())
