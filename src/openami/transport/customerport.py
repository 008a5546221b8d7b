# SPDX-License-Identifier: Apache-2.0
"""Listening to a meter's customer port: on a serial line, or on TCP behind a serial server.

The line is read and never written.  HDLC ports mostly run at 9600 baud or faster with 8 data bits
and no parity, M-Bus ports at 2400 baud with even parity.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from openami.dlms.customer_port import CustomerPort, Pushed
from openami.transport.endpoint import cannot_dial
from openami.transport.serial import SerialLine
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, WireError

log = logging.getLogger(__name__)

SILENCE_S: Final = 0.5
"""After so long without an octet a frame that has begun is given up."""

Take = Callable[[Pushed], None]


class PortListener(asyncio.Protocol):
    """One customer port.

    Attributes:
        port: What it has found, and dropped.
        ended: Done when the line is gone, with the reason.
    """

    def __init__(self, take: Take, name: str) -> None:
        self.port = CustomerPort()
        self.name = name
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._line: SerialLine | None = None

    def octets(self, octets: bytes) -> None:
        """Take what the line brought."""
        dropped = self.port.dropped
        self._deliver(self.port.feed(octets))
        if self.port.dropped > dropped:
            log.debug("%s: dropped: %s", self.name, self.port.last_fault)
        self._cancel()
        if self.port.is_within_frame:
            self._timer = self._loop.call_later(SILENCE_S, self._silent)

    def close(self, reason: str = "closed here") -> None:
        """Listen no more."""
        if self._line is not None:
            self._line.close()
        if self._transport is not None:
            self._transport.close()
        self._end(reason)

    def on_line(self, line: SerialLine) -> None:
        """Remember the serial line, to be closed at the end."""
        self._line = line

    # What asyncio calls -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.octets(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the peer {'closed' if exc is None else 'reset'} the connection")

    # Inside -------------------------------------------------------------------------------------

    def _silent(self) -> None:
        self._timer = None
        self._deliver(self.port.expire())

    def _deliver(self, pushed: list[Pushed]) -> None:
        for each in pushed:
            self._take(each)

    def _end(self, reason: str) -> None:
        self._cancel()
        if not self.ended.done():
            self.ended.set_result(reason)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def listen_to_port(
    url: Url,
    take: Take,
    *,
    baud: int = 9600,
    even_parity: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> PortListener:
    """Listen to a customer port.

    Args:
        url: `hdlc+serial://` names the line, `hdlc+tcp://` or `tcp://` a serial server; which
            framing is spoken there shows by itself.
        take: Called with each APDU.
        baud: Of a serial line.
        even_parity: Of a serial line, as M-Bus has it.
        limits: `connect_timeout_s` bounds this call.

    Raises:
        WireError: The line or the serial server is not there.
        UserError: A speed that serial lines do not have.
    """
    listener = PortListener(take, url.path or f"{url.host}:{url.port}")
    if url.scheme == "hdlc+serial":
        line = SerialLine(Path(url.path), listener.octets, baud, even_parity=even_parity)
        line.open()
        listener.on_line(line)
        if not line.is_open:
            listener.close()
            raise WireError(f"{url} cannot be opened: check that the device is there")
        return listener
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.connect_timeout_s):
            await loop.create_connection(lambda: listener, url.host, url.port)
    except TimeoutError as error:
        late = f"{url} did not answer within {limits.connect_timeout_s:g} s"
        raise WireError(f"{late}: check address, port and network") from error
    except OSError as error:
        raise WireError(cannot_dial(url, error)) from error
    return listener
