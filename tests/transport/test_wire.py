# SPDX-License-Identifier: Apache-2.0
"""Frames over both kinds of wire: order, back-pressure, garbage, limits, closing."""

import asyncio
import contextlib
import logging
import socket

import pytest

from openami.dlms.errors import DecodeError
from openami.runtime.errors import UserError
from openami.transport.endpoint import dial, listen
from openami.transport.url import Url
from openami.transport.wire import Limits, Wire, WireError
from ports import free_port
from transport.parties import ANY_PORT, Pair, Party, Pki, connect, echo

SCHEMES = ["tcp", "tls"]
GOOD = bytes.fromhex("0001 0001 0010 0002 c001")


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def raw(url: Url) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(url.host, url.port)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Read until the service closes; a reset counts."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_frames_arrive_whole_and_in_order(scheme: str, pki: Pki) -> None:
    async def conversation() -> None:
        pair = await connect(scheme, pki)
        apdus = [
            bytes([n]) * size for n, size in enumerate([1, 2, 7, 8, 9, 16_384, 40_000, 65_535])
        ]
        for apdu in apdus:
            pair.wire.send(16, 1, apdu)
        async with asyncio.timeout(10):
            while len(pair.here.frames) < len(apdus):
                pair.here.arrived.clear()
                await pair.here.arrived.wait()
        assert pair.here.frames == [(1, 16, apdu) for apdu in apdus]
        await pair.close()

    asyncio.run(conversation())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_closing_here_tells_both_ends_once(scheme: str, pki: Pki) -> None:
    async def conversation() -> None:
        pair = await connect(scheme, pki)
        pair.wire.close("enough")
        pair.wire.close("again")
        await until(pair.there.handlers[0].ended)
        await pair.wire.gone()
        assert pair.here.reasons == ["enough"]
        (said,) = pair.there.handlers[0].reasons
        assert said.startswith("the peer closed the connection")
        with pytest.raises(WireError, match="enough"):
            pair.wire.send(1, 1, b"late")
        await pair.listener.close()
        assert not pair.listener.wires

    asyncio.run(conversation())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_was_sent_before_closing_still_arrives(scheme: str, pki: Pki) -> None:
    async def conversation() -> None:
        pair = await connect(scheme, pki, answer=None)
        apdus = [bytes([n]) * 30_000 for n in range(40)]
        for apdu in apdus:
            pair.wire.send(1, 64, apdu)
        pair.wire.close()
        await until(pair.there.handlers[0].ended)
        assert [apdu for _, _, apdu in pair.there.handlers[0].frames] == apdus
        await pair.close()

    asyncio.run(conversation())


def test_octet_by_octet_is_a_frame_too() -> None:
    async def conversation() -> None:
        party = Party(echo)
        listener = await listen(ANY_PORT["tcp"], party.accept)
        reader, writer = await raw(listener.url)
        for octet in GOOD:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await reader.readexactly(10) == bytes.fromhex("0001 0010 0001 0002 c001")
        writer.close()
        await listener.close()

    asyncio.run(conversation())


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "wrapper version is 4745"),
        (bytes.fromhex("7ea00a00020423219318717e"), "wrapper version is 7EA0"),
        (bytes.fromhex("0001 0001 0010 0000"), "wrapper length is 0"),
    ],
)
def test_garbage_closes_that_connection_with_one_warning(
    octets: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        party = Party(echo)
        listener = await listen(ANY_PORT["tcp"], party.accept)
        good_reader, good = await raw(listener.url)
        reader, writer = await raw(listener.url)
        writer.write(GOOD + octets)
        assert await rest(reader) == bytes.fromhex("0001 0010 0001 0002 c001")
        good.write(GOOD)
        assert len(await good_reader.readexactly(10)) == 10
        good.close()
        writer.close()
        await listener.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("127.0.0.1:")
    assert reason in record.getMessage()
    assert record.exc_info is None


def test_a_frame_that_never_ends_is_given_up() -> None:
    async def conversation() -> None:
        party = Party(echo)
        limits = Limits(frame_timeout_s=0.1)
        listener = await listen(ANY_PORT["tcp"], party.accept, limits=limits)
        reader, writer = await raw(listener.url)
        writer.write(GOOD[:5])
        assert await rest(reader) == b""
        assert party.handlers[0].reasons == ["a frame was not whole after 0.1 s"]
        writer.close()
        await listener.close()

    asyncio.run(conversation())


def test_dripping_octets_do_not_buy_time() -> None:
    async def conversation() -> None:
        party = Party(echo)
        limits = Limits(frame_timeout_s=0.2)
        listener = await listen(ANY_PORT["tcp"], party.accept, limits=limits)
        reader, writer = await raw(listener.url)

        async def drip() -> None:
            writer.write(bytes.fromhex("0001 0001 0010 ffff"))
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"\x00")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await until(party.met)
        await until(party.handlers[0].ended)
        assert "not whole" in party.handlers[0].reasons[0]
        dripping.cancel()
        writer.close()
        await listener.close()

    asyncio.run(conversation())


def test_an_idle_connection_is_closed_where_that_is_asked_for() -> None:
    async def conversation() -> None:
        party = Party(echo)
        limits = Limits(idle_timeout_s=0.1)
        listener = await listen(ANY_PORT["tcp"], party.accept, limits=limits)
        reader, writer = await raw(listener.url)
        assert await rest(reader) == b""
        assert party.handlers[0].reasons == ["no frame for 0.1 s"]
        writer.close()
        await listener.close()

    asyncio.run(conversation())


def test_a_truncated_frame_is_told_when_the_peer_closes() -> None:
    async def conversation() -> None:
        party = Party(echo)
        listener = await listen(ANY_PORT["tcp"], party.accept)
        _, writer = await raw(listener.url)
        writer.write(GOOD[:9])
        writer.close()
        await until(party.met)
        await until(party.handlers[0].ended)
        assert party.handlers[0].reasons == [
            "the peer closed the connection in the middle of a frame"
        ]
        await listener.close()

    asyncio.run(conversation())


def test_a_longer_apdu_than_agreed_is_refused_before_it_arrives() -> None:
    async def conversation() -> None:
        party = Party(echo)
        limits = Limits(max_apdu_octets=100)
        listener = await listen(ANY_PORT["tcp"], party.accept, limits=limits)
        reader, writer = await raw(listener.url)
        writer.write(bytes.fromhex("0001 0001 0010 0065"))
        assert await rest(reader) == b""
        assert "wrapper length is 101" in party.handlers[0].reasons[0]
        here = Party()
        wire = await dial(listener.url, here.accept, limits=limits)
        with pytest.raises(WireError, match="does not fit a frame of 100"):
            wire.send(1, 1, bytes(101))
        wire.close()
        writer.close()
        await listener.close()

    asyncio.run(conversation())


def test_one_connection_too_many_is_refused() -> None:
    async def conversation() -> None:
        party = Party(echo)
        limits = Limits(max_connections=2)
        listener = await listen(ANY_PORT["tcp"], party.accept, limits=limits)
        writers = []
        for _ in range(2):
            party.met.clear()
            writers.append((await raw(listener.url))[1])
            await until(party.met)
        reader, third = await raw(listener.url)
        assert await rest(reader) == b""
        assert len(party.handlers) == 2
        for writer in [*writers, third]:
            writer.close()
        await listener.close()

    asyncio.run(conversation())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_peer_that_does_not_read_holds_the_sender_back(scheme: str, pki: Pki) -> None:
    async def conversation() -> None:
        pair = await connect(scheme, pki, answer=None)
        reading = pair.there.handlers[0].wire
        reading.pause_reading()
        sent = 0
        while pair.wire.writable:
            pair.wire.send(1, 64, bytes(60_000))
            sent += 1
        waiting = asyncio.create_task(pair.wire.drain())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        reading.resume_reading()
        async with asyncio.timeout(10):
            await waiting
        assert pair.wire.writable
        pair.wire.close()
        await until(pair.there.handlers[0].ended)
        assert len(pair.there.handlers[0].frames) == sent
        await pair.close()

    asyncio.run(conversation())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_peer_that_never_reads_is_dropped_at_the_limit(scheme: str, pki: Pki) -> None:
    async def conversation() -> None:
        limits = Limits(max_buffered_octets=1_000_000)
        pair = await connect(scheme, pki, answer=None, limits=limits)
        pair.there.handlers[0].wire.pause_reading()
        with pytest.raises(WireError, match="wait for a peer that does not"):  # noqa: PT012
            for _ in range(1000):
                pair.wire.send(1, 64, bytes(60_000))
        assert "does not read" in pair.here.reasons[0]
        await pair.close()

    asyncio.run(conversation())


def test_a_handler_that_finds_an_apdu_unsound_closes_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def pedantic(_wire: Wire, _source: int, _destination: int, apdu: bytes) -> None:
        raise DecodeError("APDU tag is C0, not C4", apdu, 0, "9.5")

    async def conversation() -> None:
        pair: Pair = await connect("tcp", None, answer=pedantic)  # type: ignore[arg-type]
        pair.wire.send(1, 1, b"\xc0\x01")
        await until(pair.here.ended)
        assert pair.there.handlers[0].reasons[0].startswith("APDU tag is C0")
        await pair.close()

    asyncio.run(conversation())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_port_in_use_is_one_sentence() -> None:
    async def conversation() -> None:
        listener = await listen(ANY_PORT["tcp"], Party().accept)
        with pytest.raises(UserError) as refusal:
            await listen(listener.url, Party().accept)
        assert str(refusal.value) == (
            f"{listener.url} is in use by another process: stop that one or choose another port"
        )
        await listener.close()

    asyncio.run(conversation())


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(UserError, match="is no address of this machine"):
        asyncio.run(listen(Url("tcp", "192.0.2.1", 0), Party().accept))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (Url("tcp", "127.0.0.1", free_port()), "refused the connection: nothing listens there"),
        (Url("tcp", "no-such-host.invalid", 1), "names an unknown host 'no-such-host.invalid'"),
    ],
)
def test_nobody_there_is_one_sentence(url: Url, sentence: str) -> None:
    with pytest.raises(WireError) as refusal:
        asyncio.run(dial(url, Party().accept))
    assert str(refusal.value).startswith(f"{url} {sentence}")


def test_tls_without_a_certificate_is_asked_wrongly() -> None:
    with pytest.raises(UserError, match="needs a certificate"):
        asyncio.run(dial(Url("tls", "127.0.0.1", 1), Party().accept))
    with pytest.raises(UserError, match="needs a certificate"):
        asyncio.run(listen(Url("tls", "127.0.0.1", 0), Party().accept))


def test_a_peer_that_vanished_is_noticed() -> None:
    async def conversation() -> None:
        pair: Pair = await connect("tcp", None)  # type: ignore[arg-type]
        line = pair.wire._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        pair.wire._transport.abort()  # type: ignore[union-attr]
        await until(pair.there.handlers[0].ended)
        await pair.close()

    asyncio.run(conversation())
