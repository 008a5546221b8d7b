# SPDX-License-Identifier: Apache-2.0
"""Lines for testers: silence is an answer, and the next question is asked all the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loops import in_loop
from openami.dlms.hdlc.address import Station
from openami.transport.endpoint import listen
from openami.transport.hdlc import HdlcSettings
from openami.transport.hdlcpoint import listen_hdlc
from openami.transport.testline import ApduLine, OctetLine, Patience
from openami.transport.url import Url
from openami.transport.wire import Wire, WireError
from transport.hdlcmeter import Lines

PATIENCE = Patience(connect_s=5.0, response_s=0.1)
ANYWHERE = Url("tcp", "127.0.0.1", 0)
LINE = Url("hdlc+tcp", "127.0.0.1", 0)


class Parrot:
    """Answers by the first octet: E echoes, S is silent, X hangs up."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.ended: list[str] = []

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        if apdu[:1] == b"E":
            self.wire.send(destination, source, apdu)
        elif apdu[:1] == b"X":
            self.wire.close()

    def closed(self, reason: str) -> None:
        self.ended.append(reason)


@asynccontextmanager
async def parrots() -> AsyncIterator[tuple[ApduLine, list[Parrot]]]:
    heard: list[Parrot] = []

    def accept(wire: Wire) -> Parrot:
        heard.append(Parrot(wire))
        return heard[-1]

    listener = await listen(ANYWHERE, accept)
    line = ApduLine(listener.url, 1, patience=PATIENCE)
    try:
        yield line, heard
    finally:
        await line.hang_up()
        await listener.close()


@in_loop
async def test_an_apdu_is_answered_or_met_by_silence() -> None:
    async with parrots() as (line, _):
        await line.connect(16)
        assert await line.exchange(b"E1") == b"E1"
        assert await line.exchange(b"S") is None
        assert await line.exchange(b"E2") == b"E2"


@in_loop
async def test_a_late_answer_is_not_taken_for_the_next() -> None:
    async with parrots() as (line, heard):
        await line.connect(16)
        assert await line.exchange(b"S") is None
        heard[0].wire.send(1, 16, b"late")
        await asyncio.sleep(0.05)
        assert await line.exchange(b"E") == b"E"


@in_loop
async def test_a_meter_that_hangs_up_is_silent_until_it_is_called_again() -> None:
    async with parrots() as (line, heard):
        await line.connect(16)
        assert await line.exchange(b"X") is None
        assert await line.exchange(b"E") is None
        await line.connect(32)
        assert await line.exchange(b"E") == b"E"
        assert len(heard) == 2


@in_loop
async def test_each_connection_is_a_new_one() -> None:
    async with parrots() as (line, heard):
        await line.connect(16)
        await line.exchange(b"E")
        await line.connect(16)
        await line.exchange(b"E")
        assert len(heard) == 2
        assert heard[0].ended


@in_loop
async def test_nothing_is_said_without_a_connection() -> None:
    async with parrots() as (line, _):
        with pytest.raises(WireError, match="nobody is connected"):
            await line.exchange(b"E")


@in_loop
async def test_an_apdu_line_over_hdlc_ends_in_disc() -> None:
    lines = Lines()
    listener = await listen_hdlc(LINE, lines.accept, Station.of([1], 17))
    line = ApduLine(listener.url, 1, patience=PATIENCE, hdlc=HdlcSettings(physical=17))
    await line.connect(16)
    answer = await line.exchange(bytes.fromhex("C001C1000100002A0000FF0200"))
    await line.hang_up()
    await listener.close()
    assert answer == bytes.fromhex("D80101")
    assert lines.serving[0].gone == [16]


@asynccontextmanager
async def line_to(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[OctetLine]:
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = Url("hdlc+tcp", "127.0.0.1", port)
    line = OctetLine(url, baud=9600, patience=PATIENCE, over=lambda heard: heard.endswith(b"."))
    await line.open()
    try:
        yield line
    finally:
        line.close()
        await ended.wait()
        server.close()
        await server.wait_closed()


@in_loop
async def test_octets_are_heard_until_the_answer_is_over() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while question := await reader.read(100):
            for part in (question[:1], question[1:]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)

    async with line_to(serve) as line:
        assert await line.exchange(b"ab.") == b"ab."
        assert await line.exchange(b"cd") == b"cd", "what does not end is heard until silence"
        assert await line.exchange(b"ef.") == b"ef."


@in_loop
async def test_silence_of_a_line_is_nothing() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            pass

    async with line_to(serve) as line:
        assert await line.exchange(b"who is there") == b""
        assert await line.exchange(b"again") == b""


@in_loop
async def test_a_line_to_nobody_is_refused() -> None:
    url = Url("hdlc+tcp", "127.0.0.1", 9)
    line = OctetLine(url, baud=9600, patience=PATIENCE, over=bool)
    with pytest.raises(WireError, match="cannot be reached"):
        await line.open()
    with pytest.raises(WireError, match="is not open"):
        await line.exchange(b"")
    serial = Url.serial("/dev/nothing-of-this-name")
    with pytest.raises(WireError, match="cannot be opened"):
        await OctetLine(serial, baud=9600, patience=PATIENCE, over=bool).open()
