# SPDX-License-Identifier: Apache-2.0
"""Lines on which a meter talks by itself: what comes between two silences is one telegram.

Nobody is asked and nothing is sent: a serial line of ours, lines that call us over TCP, and
adapters that we call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

from openami.runtime.errors import UserError
from openami.transport.endpoint import cannot_dial, cannot_listen
from openami.transport.serial import SerialLine
from openami.transport.url import Url

BURST_S: Final = 0.3
"""A line that is silent so long has said all: what came is one telegram."""
REDIAL_S: Final = 5.0
LONGEST_BURST_OCTETS: Final = 65_536

Close = Callable[[], Awaitable[None]]


class TelegramReceiver(Protocol):
    """Who takes telegrams."""

    def telegram(self, burst: bytes, source: str) -> None:
        """Take what came between two silences."""

    def refuse(self, source: str, why: str) -> None:
        """Say what went wrong."""

    def gone(self, source: str) -> None:
        """Forget a sender."""


class Bursts:
    """Gathers what comes on a line until it is silent."""

    def __init__(self, name: str, receiver: TelegramReceiver) -> None:
        self.name = name
        self._receiver = receiver
        self._octets = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def octets(self, octets: bytes) -> None:
        """Take what came."""
        self._octets += octets
        if len(self._octets) > LONGEST_BURST_OCTETS:
            self.flush()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(BURST_S, self.flush)

    def flush(self) -> None:
        """Hand on what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._octets:
            burst = bytes(self._octets)
            self._octets.clear()
            self._receiver.telegram(burst, self.name)


class BurstProtocol(asyncio.Protocol):
    """A TCP connection that carries the octets of a line."""

    def __init__(self, receiver: TelegramReceiver, wires: set[asyncio.BaseTransport]) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._receiver = receiver
        self._wires = wires
        self._wire: asyncio.BaseTransport | None = None
        self._bursts: Bursts | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport
        self._wires.add(transport)
        host, port, *_ = transport.get_extra_info("peername") or ("unknown", 0)
        self._bursts = Bursts(f"{host}:{port}", self._receiver)

    def data_received(self, data: bytes) -> None:
        if self._bursts is not None:
            self._bursts.octets(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._wire is not None:
            self._wires.discard(self._wire)
        if self._bursts is not None:
            self._bursts.flush()
            self._receiver.gone(self._bursts.name)
        if not self.gone.done():
            self.gone.set_result(None)


def open_line(url: Url, receiver: TelegramReceiver, baud: int) -> tuple[Url, Close]:
    """Listen on a serial line; raises `UserError` if it cannot be opened."""
    bursts = Bursts(url.path, receiver)
    line = SerialLine(Path(url.path), bursts.octets, baud)
    line.open()
    if not line.is_open:
        raise UserError(f"{url} cannot be opened: check that it is there and may be used")

    async def close() -> None:
        bursts.flush()
        line.close()

    return url, close


async def listen_for_lines(url: Url, receiver: TelegramReceiver) -> tuple[Url, Close]:
    """Let adapters call us; raises `UserError` if the port cannot be opened."""
    loop, wires = asyncio.get_running_loop(), set[asyncio.BaseTransport]()
    try:
        server = await loop.create_server(
            lambda: BurstProtocol(receiver, wires), url.host, url.port
        )
    except OSError as error:
        raise UserError(cannot_listen(url, error)) from error

    async def close() -> None:
        server.close()
        for wire in list(wires):
            wire.close()
        await asyncio.sleep(0)

    return Url(url.scheme, url.host, server.sockets[0].getsockname()[1]), close


async def dial_line(url: Url, receiver: TelegramReceiver) -> tuple[Url, Close]:
    """Call an adapter, and call again whenever it hangs up."""
    loop, wires = asyncio.get_running_loop(), set[asyncio.BaseTransport]()

    async def connect() -> BurstProtocol:
        try:
            _, protocol = await loop.create_connection(
                lambda: BurstProtocol(receiver, wires), url.host, url.port
            )
        except OSError as error:
            raise UserError(cannot_dial(url, error)) from error
        return protocol

    async def stay(protocol: BurstProtocol) -> None:
        while True:
            await protocol.gone
            await asyncio.sleep(REDIAL_S)
            try:
                protocol = await connect()
            except UserError as error:
                receiver.refuse(str(url), str(error))

    task = asyncio.create_task(stay(await connect()))

    async def close() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for wire in list(wires):
            wire.close()
        await asyncio.sleep(0)

    return url, close
