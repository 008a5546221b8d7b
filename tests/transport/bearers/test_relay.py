# SPDX-License-Identifier: Apache-2.0
"""A bearer between two processes: real sockets and lines, octets whole, times as the bearer has."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from loops import in_loop
from openami.runtime.errors import UserError
from openami.transport.bearers.medium import Medium
from openami.transport.bearers.parameters import Bearer, Range, preset
from openami.transport.bearers.relay import Between, Relay, relay_serial, relay_tcp, relay_udp
from openami.transport.serial import PtyLine, SerialLine
from openami.transport.url import Url

FAST = Bearer(
    name="fast",
    down_bit_s=Range(80e6, 80e6),
    up_bit_s=Range(80e6, 80e6),
    round_trip_s=Range(0.001, 0.001),
    mtu_octets=1_400,
)


def tcp(port: int = 0) -> Url:
    return Url("tcp", "127.0.0.1", port)


class Echo(asyncio.Protocol):
    """Sends back what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class End(asyncio.Protocol):
    """Keeps what it hears, and knows when it is over."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.news = asyncio.Event()
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.news.set()

    def eof_received(self) -> None:
        self.ended = True
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.ended = True
        self.news.set()

    async def until(self, octets: int) -> bytes:
        """Wait for as many octets, or for the end."""
        async with asyncio.timeout(60):
            while len(self.heard) < octets and not self.ended:
                await self.news.wait()
                self.news.clear()
        return bytes(self.heard)


@asynccontextmanager
async def relayed(bearer: Bearer, speed: float = 1.0) -> AsyncIterator[tuple[End, Relay]]:
    """Yield an end that has dialled an echo through a relay."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    to = tcp(server.sockets[0].getsockname()[1])
    relay = await relay_tcp(tcp(), to, Between(medium=Medium(bearer), speed=speed))
    _, end = await loop.create_connection(End, "127.0.0.1", relay.url.port)
    try:
        yield end, relay
    finally:
        end.transport.abort()
        await relay.close()
        server.close()
        await asyncio.sleep(0.05)  # the echo's side learns of it


@in_loop
async def test_octets_come_back_whole_and_the_end_is_told() -> None:
    sent = os.urandom(700_000)
    async with relayed(FAST.with_figures({"loss": 0.01, "attempts": 3}, "test")) as (end, relay):
        end.transport.write(sent)

        assert await end.until(len(sent)) == sent

        end.transport.write_eof()
        await end.until(len(sent) + 1)
        assert end.ended
        assert relay.counts[0][0].octets == len(sent)


@in_loop
async def test_a_slow_bearer_is_slow_and_speed_makes_its_hours_short() -> None:
    slow = FAST.with_figures({"up_bit_s": 8_000, "down_bit_s": 8_000}, "test")
    async with relayed(slow, speed=100.0) as (end, _):
        began_s = time.monotonic()
        end.transport.write(bytes(20_000))  # twenty seconds there, twenty back

        assert await end.until(20_000) == bytes(20_000)
        assert (time.monotonic() - began_s) * 100 >= 20


@in_loop
async def test_a_dialler_learns_that_nobody_is_behind_the_relay() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        to = tcp(unused.getsockname()[1])
        relay = await relay_tcp(tcp(), to, Between(medium=Medium(FAST)))
        loop = asyncio.get_running_loop()
        _, end = await loop.create_connection(End, "127.0.0.1", relay.url.port)

        assert await end.until(1) == b""
        assert end.ended
        end.transport.close()
        await relay.close()


@in_loop
async def test_an_idle_connection_is_forgotten_by_the_network() -> None:
    async with relayed(FAST.with_figures({"nat_tcp_s": 60}, "test"), speed=200.0) as (end, _):
        end.transport.write(b"here")
        assert await end.until(4) == b"here"

        await asyncio.sleep(0.6)
        end.transport.write(b"still here?")

        assert await end.until(5) == b"here"
        assert end.ended


@in_loop
async def test_a_taken_port_is_refused_with_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = tcp(taken.getsockname()[1])

        with pytest.raises(UserError, match="is in use by another process"):
            await relay_tcp(url, tcp(9), Between(medium=Medium(FAST)))


class Answerer(asyncio.DatagramProtocol):
    """Sends each datagram back."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


class Hearer(asyncio.DatagramProtocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
        self.heard.put_nowait(data)


@in_loop
async def test_each_address_is_a_flow_of_its_own() -> None:
    loop = asyncio.get_running_loop()
    back, _ = await loop.create_datagram_endpoint(Answerer, local_addr=("127.0.0.1", 0))
    to = Url("udp", "127.0.0.1", back.get_extra_info("sockname")[1])
    relay = await relay_udp(Url("udp", "127.0.0.1", 0), to, Between(medium=Medium(FAST)))
    ends = [
        await loop.create_datagram_endpoint(Hearer, remote_addr=("127.0.0.1", relay.url.port))
        for _ in range(3)
    ]

    for number, (transport, _) in enumerate(ends):
        for index in range(5):
            transport.sendto(bytes((number, index)))

    for number, (_, hearer) in enumerate(ends):
        heard = {await asyncio.wait_for(hearer.heard.get(), 20) for _ in range(5)}
        assert heard == {bytes((number, index)) for index in range(5)}
    assert len(relay.counts) == 3
    for transport, _ in ends:
        transport.close()
    await relay.close()
    back.close()
    await asyncio.sleep(0)


@in_loop
async def test_a_serial_line_keeps_its_order_through_the_relay(tmp_path: Path) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    far = PtyLine(tmp_path / "meter", heard.put_nowait)
    far.open()
    line = preset("rs485").with_figures({"bit_errors": 0}, "test")
    relay = relay_serial(
        tmp_path / "tool", tmp_path / "meter", Between(medium=Medium(line), speed=100.0)
    )
    near = SerialLine(tmp_path / "tool", heard.put_nowait)
    near.open()
    sent = os.urandom(2_500)

    near.send(sent)

    arrived = b""
    async with asyncio.timeout(30):
        while len(arrived) < len(sent):
            arrived += await heard.get()
    assert arrived == sent
    near.close()
    await relay.close()
    far.close()


@pytest.mark.parametrize(
    ("listen", "to", "sentence"),
    [
        ("tool", "nothing", "nothing cannot be opened: give a serial line"),
        ("tool", "notes", "notes cannot be opened: give a serial line"),
        ("nowhere/tool", "meter", "tool cannot be opened: permit making a link there"),
        ("notes", "meter", "notes is there and no link of ours: choose another path"),
    ],
)
@in_loop
async def test_what_is_no_line_is_refused_and_left_as_it_is(
    tmp_path: Path, listen: str, to: str, sentence: str
) -> None:
    notes = tmp_path / "notes"
    notes.write_text("my notes")
    meter = PtyLine(tmp_path / "meter", lambda _octets: None)
    meter.open()

    with pytest.raises(UserError, match=sentence):
        relay_serial(tmp_path / listen, tmp_path / to, Between(medium=Medium(FAST)))

    assert notes.read_text() == "my notes"
    assert not notes.is_symlink()
    meter.close()
