# SPDX-License-Identifier: Apache-2.0
"""Listening to customer ports on pseudo-terminals and serial servers."""

import asyncio
from pathlib import Path

import pytest

from dlms.test_customer_port import EXPECTED, MBUS, UI
from openami.transport import customerport
from openami.transport.customerport import listen_to_port
from openami.transport.serial import PtyLine
from openami.transport.url import Url
from openami.transport.wire import Limits, WireError
from transport.hdlcmeter import until


@pytest.mark.parametrize("framing", ["hdlc", "m-bus"])
def test_a_serial_port(tmp_path: Path, framing: str) -> None:
    octets = UI if framing == "hdlc" else MBUS

    async def conversation() -> None:
        meter = PtyLine(tmp_path / "port", lambda _octets: None)
        meter.open()
        pushed: list[object] = []
        url = Url.serial(str(tmp_path / "port"))
        speed = {"baud": 2400, "even_parity": True} if framing == "m-bus" else {}
        listener = await listen_to_port(url, pushed.append, **speed)  # type: ignore[arg-type]
        meter.send(octets[:5])
        await asyncio.sleep(0.02)
        meter.send(octets[5:])
        await until(lambda: bool(pushed))
        assert pushed == [EXPECTED[framing]]
        listener.close()
        assert listener.ended.result() == "closed here"
        meter.close()

    asyncio.run(conversation())


def test_a_serial_server_that_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customerport, "SILENCE_S", 0.05)

    async def conversation() -> None:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(
            lambda _reader, writer: writers.append(writer), "127.0.0.1", 0
        )
        host, number = server.sockets[0].getsockname()
        pushed: list[object] = []
        listener = await listen_to_port(Url("tcp", host, number), pushed.append)
        await until(lambda: bool(writers))
        writers[0].write(UI + UI[:-3])
        await until(lambda: listener.port.dropped == 1)
        writers[0].write(UI)
        await until(lambda: len(pushed) == 2)
        assert pushed == [EXPECTED["hdlc"]] * 2
        writers[0].close()
        assert await listener.ended == "the peer closed the connection"
        server.close()
        await server.wait_closed()

    asyncio.run(conversation())


def test_ports_that_are_not_there(tmp_path: Path) -> None:
    async def conversation() -> None:
        serial = Url.serial(str(tmp_path / "nothing"))
        with pytest.raises(WireError, match="cannot be opened: check that the device is there"):
            await listen_to_port(serial, print)
        with pytest.raises(WireError, match="nothing listens there"):
            await listen_to_port(Url("tcp", "127.0.0.1", 1), print, limits=Limits())

    asyncio.run(conversation())
