# SPDX-License-Identifier: Apache-2.0
"""The octets of one line: a serial device, or a TCP connection that is dialled for ever."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from openami.concentrator.lines.config import LineConfig
from openami.transport.endpoint import cannot_dial
from openami.transport.serial import SerialLine
from openami.transport.url import Url

log = logging.getLogger(__name__)

Receive = Callable[[bytes], None]


class Port(Protocol):
    """A line that opens itself, and again whenever it is gone."""

    @property
    def is_open(self) -> bool:
        """Whether octets can be sent now."""

    def open(self) -> None:
        """Open it now, or as soon as it can be."""

    def send(self, octets: bytes) -> None:
        """Put octets on the line; they are lost where it is gone."""

    def close(self) -> None:
        """Close it for good."""


class TcpPort(asyncio.Protocol):
    """A TCP connection to whatever has the line at its other end, e.g. a serial device server."""

    def __init__(self, url: Url, receive: Receive, reopen_s: float) -> None:
        self._url = url
        self._receive = receive
        self._reopen_s = reopen_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def open(self) -> None:
        if self._dialling is None and not self._closed:
            self._dialling = self._loop.create_task(self._dial())

    def send(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)

    def close(self) -> None:
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._closed:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  gone is gone
        self._transport = None
        if not self._closed:
            self._dialling = self._loop.create_task(self._dial(self._reopen_s))

    async def _dial(self, pause_s: float = 0.0) -> None:
        said = ""
        while not self._closed:
            await asyncio.sleep(pause_s)
            pause_s = self._reopen_s
            try:
                await self._loop.create_connection(lambda: self, self._url.host, self._url.port)
            except OSError as error:
                if (sentence := cannot_dial(self._url, error)) != said:
                    log.info("%s", sentence)
                    said = sentence
            else:
                break
        self._dialling = None


def port_of(config: LineConfig, receive: Receive) -> Port:
    """Return the port of a line, not open yet.

    Raises:
        UserError: The line has no such speed.
    """
    if config.url.scheme == "hdlc+serial":
        return SerialLine(Path(config.url.path), receive, config.baud)
    return TcpPort(config.url, receive, config.reopen_s)
