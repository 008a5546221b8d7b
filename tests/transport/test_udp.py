# SPDX-License-Identifier: Apache-2.0
"""Wrapper frames in datagrams."""

import asyncio
import logging
import socket

import pytest

from openami.cosem.classes.measurement import Register
from openami.cosem.client import ClientParameters
from openami.cosem.server import ServerConnection
from openami.dlms.hls import Mechanism
from openami.runtime.errors import UserError
from openami.transport.carrier import Carrier
from openami.transport.client import open_session
from openami.transport.udp import dial_udp, listen_udp
from openami.transport.url import Url
from openami.transport.wire import Limits, WireError
from playbooks.demo_meter import ENERGY, PASSWORD, READER, DemoMeter, entropy
from transport.hdlcmeter import until
from transport.parties import Remembering

ANY_PORT = Url("udp", "127.0.0.1", 0)
PARAMETERS = ClientParameters(client_sap=READER, mechanism=Mechanism.LLS, secret=PASSWORD)


class Serving:
    def __init__(self, wire: Carrier, meter: DemoMeter) -> None:
        self.wire = wire
        self.server = ServerConnection(meter, entropy=entropy())

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        answer = self.server.receive(source, apdu)
        while answer is not None:
            self.wire.send(destination, source, answer)
            answer = self.server.following()

    def closed(self, reason: str) -> None:
        del reason
        self.server.lost()


def remember(wire: Carrier) -> Remembering:
    return Remembering(wire)  # type: ignore[arg-type]  # any carrier will do


def test_sessions_of_two_clients_at_a_time() -> None:
    async def conversation() -> None:
        meter = DemoMeter()
        port = await listen_udp(ANY_PORT, lambda wire: Serving(wire, meter))
        async with (
            open_session(port.url, PARAMETERS) as one,
            open_session(port.url, PARAMETERS) as two,
        ):
            for each in (one, two):
                assert await each.run(each.client.get(Register.value, at=ENERGY)) == 123_456
            assert len(port.wires) == 2
        await port.close()

    asyncio.run(conversation())


def test_nobody_there() -> None:
    async def conversation() -> None:
        port = await listen_udp(ANY_PORT, remember)
        await port.close()
        with pytest.raises(WireError, match="nobody listens there"):
            async with open_session(port.url, PARAMETERS, timeout_s=2.0):
                pass

    asyncio.run(conversation())


def test_a_datagram_that_breaks_a_rule_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        handlers: list[Remembering] = []

        def accept(wire: Carrier) -> Remembering:
            handlers.append(remember(wire))
            return handlers[-1]

        port = await listen_udp(ANY_PORT, accept)
        frame = bytes.fromhex("0001001000010001c0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect((port.url.host, port.url.port))
            for octets in (b"GET /", frame[:-1], frame + frame, frame):
                line.send(octets)
            await until(lambda: bool(handlers) and len(handlers[0].frames) == 3)
        assert handlers[0].frames == [(16, 1, b"\xc0")] * 3
        await port.close()
        assert handlers[0].reasons == ["the service stops"]

    with caplog.at_level(logging.WARNING):
        asyncio.run(conversation())
    assert sum("a datagram is dropped" in each for each in caplog.messages) == 2


def test_strangers_who_make_no_sense_leave_nothing_behind() -> None:
    async def conversation() -> None:
        port = await listen_udp(ANY_PORT, remember, Limits(max_connections=1))
        for garbage in (b"", b"GET /", bytes(8), bytes.fromhex("0001001000010002c0")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                line.sendto(garbage, (port.url.host, port.url.port))
        wire = await dial_udp(port.url, remember)
        wire.send(16, 1, b"\xc0")
        await until(lambda: bool(port.wires))
        assert len(port.wires) == 1
        wire.close()
        await port.close()

    asyncio.run(conversation())


def test_too_many_peers_are_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        port = await listen_udp(ANY_PORT, remember, Limits(max_connections=1))
        first = await dial_udp(port.url, remember)
        second = await dial_udp(port.url, remember)
        first.send(16, 1, b"\xc0")
        await until(lambda: bool(port.wires))
        second.send(16, 1, b"\xc0")
        await until(lambda: "is not heard" in caplog.text)
        assert len(port.wires) == 1
        first.close()
        second.close()
        await port.close()

    asyncio.run(conversation())


def test_what_cannot_be_sent() -> None:
    async def conversation() -> None:
        wire = await dial_udp(Url("udp", "127.0.0.1", 9), remember)
        with pytest.raises(WireError, match="65500 octets does not fit a datagram of 65499"):
            wire.send(1, 1, bytes(65500))
        wire.close()
        await wire.gone()
        with pytest.raises(WireError, match=r"nothing can be sent to 127\.0\.0\.1:9: closed here"):
            wire.send(1, 1, b"\xc0")

    asyncio.run(conversation())


def test_a_port_that_is_taken() -> None:
    async def conversation() -> None:
        port = await listen_udp(ANY_PORT, remember)
        with pytest.raises(UserError, match="is in use by another process"):
            await listen_udp(port.url, remember)
        await port.close()

    asyncio.run(conversation())
