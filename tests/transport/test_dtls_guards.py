# SPDX-License-Identifier: Apache-2.0
"""What strangers, repeated hellos, silence and crowds do to a listener with DTLS: nothing."""

import asyncio
import logging
import socket

import pytest

from openami.transport.dtls import client_random
from openami.transport.wire import Limits, WireError
from transport.dtlsscene import Scene, play
from transport.hdlcmeter import until
from transport.parties import Pki
from transport.relay import open_relay


def test_strangers_cost_nothing_and_are_not_answered_at_length(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        relay = await open_relay(port.url)
        wire = await scene.dial(relay.url("dtls"))
        hello = next(data for upward, data in relay.seen if upward)
        assert client_random(hello) is not None
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(0.0)
            line.connect((port.url.host, port.url.port))
            for garbage in (b"", b"\x16", b"GET / HTTP/1.0", bytes(2000), hello[:40], hello[:-1]):
                line.send(garbage)
            for _ in range(50):
                line.send(hello)
                answer = await asyncio.wait_for(loop.sock_recv(line, 2000), 5.0)
                assert answer[13] == 3, "HelloVerifyRequest"
                assert len(answer) < len(hello)
        assert len(port.channels) == 1
        assert port.beginning == {}
        await scene.echoed(wire, b"undisturbed")
        wire.close()
        relay.close()
        await port.close()

    play(act)


def test_a_device_that_restarts_begins_anew_from_the_same_address(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        relay = await open_relay(port.url)
        first_wire = await scene.dial(relay.url("dtls"))
        first = scene.there.handlers[0]
        second_wire = await scene.dial(relay.url("dtls"))  # the relay's address is the same
        await scene.echoed(second_wire, b"anew")
        assert first.reasons == ["the peer began anew"]
        assert len(port.channels) == 1
        first_wire.close()
        second_wire.close()
        relay.close()
        await port.close()

    play(act)


def test_a_repeated_client_hello_ends_nothing(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        relay = await open_relay(port.url)
        wire = await scene.dial(relay.url("dtls"))
        hellos = [data for upward, data in relay.seen if upward and client_random(data)]
        assert len(hellos) == 2, "one without a cookie, one with"
        forged = bytearray(hellos[1])
        forged[30] ^= 1  # another random, the same cookie: its handshake is never completed
        for data in (*hellos, bytes(forged)):
            relay.transport.sendto(data, relay.to)
        await scene.echoed(wire, b"undisturbed")
        assert scene.there.handlers[0].reasons == []
        wire.close()
        relay.close()
        await port.close()

    play(act)


def test_silence_ends_a_channel(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki, Limits(idle_timeout_s=0.2))
        port = await scene.listen()
        wire = await scene.dial()
        await scene.there.handlers[0].ended.wait()
        await until(lambda: not wire.is_open)
        assert port.channels == {}
        assert "nothing was heard for 0.2 s" in {
            *scene.there.handlers[0].reasons,
            *scene.here.handlers[0].reasons,
        }
        await port.close()

    play(act)


def test_more_peers_than_are_allowed(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        scene = Scene(pki, Limits(max_connections=1, connect_timeout_s=1.0))
        port = await scene.listen()
        wire = await scene.dial()
        with pytest.raises(WireError, match="did not complete the DTLS handshake within 1 s"):
            await scene.dial()
        assert "1 peers speak already" in caplog.text
        wire.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


def test_a_handshake_that_stops_half_way_is_forgotten(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        scene = Scene(pki, Limits(handshake_timeout_s=0.3, connect_timeout_s=0.5))
        port = await scene.listen()
        passed = []

        def hellos_only(data: bytes, upward: bool) -> list[bytes]:  # noqa: FBT001
            passed.append(data)
            return [data] if not upward or client_random(data) else []

        relay = await open_relay(port.url, hellos_only)
        with pytest.raises(WireError, match="DTLS handshake within"):
            await scene.dial(relay.url("dtls"))
        await until(lambda: "no DTLS handshake within 0.3 s" in caplog.text)
        assert port.beginning == {}
        relay.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


@pytest.mark.parametrize("behind", [1, 1000, 3000, 5000, 20_000, 60_000])
def test_what_stands_behind_a_hello_disturbs_nobody(pki: Pki, behind: int) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        relay = await open_relay(port.url)
        first = await scene.dial(relay.url("dtls"))
        hellos = [data for upward, data in relay.seen if upward and client_random(data)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect((port.url.host, port.url.port))
            for _ in range(3):
                for hello in hellos:
                    line.send(hello + hello * 2 + bytes(behind))
                    line.send(hello + bytes(behind))
            await scene.echoed(await scene.dial(), b"undisturbed")
        for handler in scene.here.handlers:
            handler.wire.close()
        assert not first.is_open
        relay.close()
        await port.close()

    play(act)
