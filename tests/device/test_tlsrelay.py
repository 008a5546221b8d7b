# SPDX-License-Identifier: Apache-2.0
"""The TLS partition passes frames both ways, tells why it ends, and lets nobody else through."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openami.device.secure.door import open_door
from openami.device.throughdoor import NO_STATION, READY, DoorWire, dial_through, listen_inside
from openami.device.tlsrelay import Callers, Uplink, serve_uplink
from openami.transport.anywhere import listen_anywhere
from openami.transport.client import dial_carrier
from openami.transport.endpoint import Listener, listen
from openami.transport.tls import Expected, Role, Secured, server_tls
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, Wire, WireError
from transport.parties import ANY_PORT, METER, Party, Pki, Remembering, dialler, echo

BRIEF = Limits(connect_timeout_s=5.0)
ME = os.geteuid()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def door_in(folder: Path, name: str = "tls.door") -> socket.socket:
    return open_door(folder / name, socket.SOCK_STREAM)


async def soon(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  nobody tells when
            await asyncio.sleep(0.01)


@asynccontextmanager
async def relayed(
    folder: Path, pki: Pki, there: Party, user: int = ME
) -> AsyncIterator[tuple[Listener, Path]]:
    """A concentrator, and a partition that dials it."""
    listener = await listen(ANY_PORT["tls"], there.accept, secured=pki.concentrator())
    uplink = Uplink(url=listener.url, secured=pki.meter(), limits=BRIEF)
    server = await serve_uplink(door_in(folder), user, uplink)
    try:
        yield listener, folder / "tls.door"
    finally:
        await listener.close()
        server.close()
        await asyncio.sleep(0.05)


def test_frames_pass_both_ways_in_their_order(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        here = Party()
        async with relayed(tmp_path, pki, Party(echo)) as (_, door):
            wire = await dial_through(door, here.accept, BRIEF)
            assert wire.name.startswith("concentrator 4F414DC000000001 at 127.0.0.1:")
            apdus = [bytes((number,)) * (1 + number * 4000) for number in range(16)]
            for apdu in apdus:
                wire.send(1, 103, apdu)
            handler = here.handlers[0]
            await soon(lambda: len(handler.frames) == len(apdus))
            assert handler.frames == [(103, 1, apdu) for apdu in apdus]
            wire.close()
            await wire.gone()

    asyncio.run(act())


def test_who_hangs_up_is_told_to_the_other_side(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        here, there = Party(), Party(echo)
        async with relayed(tmp_path, pki, there) as (_, door):
            wire = await dial_through(door, here.accept, BRIEF)
            await soon(lambda: there.handlers)
            there.handlers[0].wire.close()
            await soon(lambda: here.handlers[0].reasons)
            (reason,) = here.handlers[0].reasons
            assert reason.startswith("the peer closed the connection before its first frame")
            await wire.gone()
            again = await dial_through(door, here.accept, BRIEF)
            await soon(lambda: len(there.handlers) == 2)
            again.close()
            await soon(lambda: there.handlers[1].reasons)

    asyncio.run(act())


def test_why_there_is_no_connection_is_told(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        async with relayed(tmp_path, pki, Party(echo)) as (listener, door):
            await listener.close()
            with pytest.raises(WireError, match="refused the connection"):
                await dial_through(door, Party().accept, BRIEF)
        with pytest.raises(WireError, match="the TLS partition is not there"):
            await dial_through(tmp_path / "other.door", Party().accept, BRIEF)

    asyncio.run(act())


def test_the_partition_lets_in_no_other_peer(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        impostor = Secured(
            server_tls(pki.identity(METER, Role.METER)), Expected(roles=frozenset({"meter"}))
        )
        listener = await listen(ANY_PORT["tls"], Party(echo).accept, secured=impostor)
        uplink = Uplink(url=listener.url, secured=pki.meter(), limits=BRIEF)
        server = await serve_uplink(door_in(tmp_path), ME, uplink)
        here = Party()
        with pytest.raises(WireError, match="has role meter"):
            await dial_through(tmp_path / "tls.door", here.accept, BRIEF)
        assert not here.handlers
        await listener.close()
        server.close()

    asyncio.run(act())


def test_another_user_is_not_dialled_for(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        there = Party(echo)
        async with relayed(tmp_path, pki, there, user=ME + 1) as (_, door):
            with pytest.raises(WireError, match="the peer"):
                await dial_through(door, Party().accept, BRIEF)
            assert not there.handlers

    asyncio.run(act())


def test_nothing_goes_out_before_the_peer_is_known_and_no_word_ever(
    tmp_path: Path, pki: Pki
) -> None:
    async def act() -> None:
        there = Party()
        async with relayed(tmp_path, pki, there) as (_, door):
            raw = Party()
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            line.connect(str(door))
            line.setblocking(False)  # noqa: FBT003
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_unix_connection(
                lambda: DoorWire(raw.accept, DEFAULT_LIMITS), sock=line
            )
            wire.send(1, 103, b"too early")
            await soon(lambda: raw.handlers[0].frames)
            assert raw.handlers[0].frames[0][2][:1] == READY
            wire.send(NO_STATION, NO_STATION, b"Q")
            wire.send(1, 103, b"in time")
            await soon(lambda: there.handlers and there.handlers[0].frames)
            assert there.handlers[0].frames == [(1, 103, b"in time")]
            wire.close()
            await wire.gone()

    asyncio.run(act())


@pytest.mark.parametrize("scheme", ["tls", "dtls", "coaps"])
def test_who_calls_is_brought_to_the_device(tmp_path: Path, pki: Pki, scheme: str) -> None:
    def answers(wire: Wire, source: int, destination: int, apdu: bytes) -> None:
        if apdu == b"nothing":
            wire.silent(destination, source)  # type: ignore[attr-defined]
        else:
            echo(wire, source, destination, apdu)

    async def act() -> None:
        there, here = Party(answers), Party()
        deep = tmp_path / ("deep" * 50)  # more than the system takes as a socket's path
        deep.mkdir()
        door = door_in(deep)
        server = await listen_inside(door, there.accept, ME)  # type: ignore[arg-type]
        callers = Callers(deep / "tls.door", DEFAULT_LIMITS)
        url = Url(scheme, "127.0.0.1", 0)  # type: ignore[arg-type]
        port = await listen_anywhere(url, callers.accept, secured=pki.concentrator())
        carrier = await dial_carrier(port.url, here.accept, (32, 1), secured=pki.meter())  # type: ignore[arg-type]
        carrier.send(32, 1, b"hello")
        handler: Remembering = here.handlers[0]
        await soon(lambda: handler.frames)
        assert handler.frames == [(1, 32, b"hello")]
        assert there.handlers[0].wire.name.startswith("meter 4F414D0000000001")
        carrier.send(32, 1, b"nothing")
        carrier.send(32, 1, b"again")
        await soon(lambda: len(handler.frames) == 2)
        carrier.close()
        await soon(lambda: there.handlers[0].reasons)
        await port.close()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(act())


def test_a_caller_hears_that_the_device_is_not_there(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        here = Party()
        callers = Callers(tmp_path / "no.door", DEFAULT_LIMITS)
        port = await listen(ANY_PORT["tls"], callers.accept, secured=pki.concentrator())
        carrier = await dial_carrier(port.url, here.accept, (32, 1), secured=pki.meter())  # type: ignore[arg-type]
        await soon(lambda: here.handlers[0].reasons)
        assert not carrier.is_open
        await port.close()

    asyncio.run(act())


def test_only_the_partition_brings_callers(tmp_path: Path, pki: Pki) -> None:
    async def act() -> None:
        there = Party(echo)
        server = await listen_inside(door_in(tmp_path), there.accept, ME + 1)  # type: ignore[arg-type]
        callers = Callers(tmp_path / "tls.door", DEFAULT_LIMITS)
        port = await listen(ANY_PORT["tls"], callers.accept, secured=pki.concentrator())
        here = Party()
        await dial_carrier(
            port.url, here.accept, (32, 1), secured=dialler(pki.identity(METER, Role.METER))
        )  # type: ignore[arg-type]
        await soon(lambda: here.handlers[0].reasons)
        assert not there.handlers
        await port.close()
        server.close()

    asyncio.run(act())
