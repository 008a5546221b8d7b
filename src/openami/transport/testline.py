# SPDX-License-Identifier: Apache-2.0
"""Lines for testers: octets as they are, and APDUs whatever they hold; silence is an answer.

A session (`session`) believes in its peer and gives up when no answer comes.  A tester asks
questions that must not be answered, and goes on.  `OctetLine` puts octets on a serial line or into
a TCP connection and hears what comes; `ApduLine` does it with APDUs over any carrier.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from openami.transport.carrier import Carrier
from openami.transport.client import dial_carrier
from openami.transport.hdlc import DEFAULT_SETTINGS, HdlcSettings
from openami.transport.serial import SerialLine
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import WireError

GONE_S: Final = 2.0


class _Sender(Protocol):
    def send(self, octets: bytes) -> None: ...
    def close(self) -> None: ...


class _Tcp(asyncio.Protocol):
    """The octets of a TCP connection."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard(data)

    def send(self, octets: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            raise WireError("the meter closed the connection")
        self.transport.write(octets)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a tester waits."""

    connect_s: float = 10.0
    response_s: float = 3.0
    """How long silence lasts before it counts as one."""


class OctetLine:
    """A line that is opened once and carries any octets.

    Args:
        url: `hdlc+tcp://` or `hdlc+serial://`.
        baud: Of a serial line.
        patience: How long to wait.
        over: Tells of what was heard whether the answer is whole, so that nobody waits longer.
    """

    def __init__(
        self, url: Url, *, baud: int, patience: Patience, over: Callable[[bytes], bool]
    ) -> None:
        self._url = url
        self._baud = baud
        self._patience = patience
        self._over = over
        self._line: _Sender | None = None
        self._heard = bytearray()
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Open the line.

        Raises:
            WireError: Nobody there, or no such device.
        """
        if self._url.scheme == "hdlc+serial":
            serial = SerialLine(Path(self._url.path), self._take, self._baud)
            serial.open()
            if not serial.is_open:
                serial.close()
                raise WireError(f"{self._url} cannot be opened: check the device and its rights")
            self._line = serial
            return
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience.connect_s):
                _, tcp = await loop.create_connection(
                    lambda: _Tcp(self._take), self._url.host, self._url.port
                )
        except (OSError, TimeoutError) as error:
            raise WireError(f"{self._url} cannot be reached: {error or 'no answer'}") from error
        self._line = tcp

    async def exchange(self, octets: bytes) -> bytes:
        """Put octets on the line; return what is heard, nothing for silence.

        Raises:
            WireError: The line is gone.
        """
        if self._line is None:
            raise WireError(f"{self._url} is not open")
        self._heard.clear()
        self._line.send(octets)
        with contextlib.suppress(TimeoutError):
            # Whoever goes on speaking is waited for: each new octet gives him the time again.
            while not self._over(bytes(self._heard)):
                async with asyncio.timeout(self._patience.response_s):
                    await self._news.wait()
                self._news.clear()
        self._news.clear()
        return bytes(self._heard)

    def close(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _take(self, octets: bytes) -> None:
        self._heard += octets
        self._news.set()


class ApduLine:
    """One connection after the other to a meter, for any client, with any APDU.

    Args:
        url: The meter's listener.
        server_sap: Whom the APDUs are for.
        patience: How long to wait.
        secured: For `tls://` and its like.
        hdlc: How to speak HDLC.
    """

    def __init__(
        self,
        url: Url,
        server_sap: int,
        *,
        patience: Patience,
        secured: Secured | None = None,
        hdlc: HdlcSettings = DEFAULT_SETTINGS,
    ) -> None:
        self._url = url
        self._server_sap = server_sap
        self._client_sap = 0
        self._patience = patience
        self._secured = secured
        self._hdlc = hdlc
        self._wire: Carrier | None = None
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def connect(self, client_sap: int) -> None:
        """Hang up whatever stands, and connect anew for a client.

        Raises:
            WireError: Nobody there, or no link.
        """
        await self.hang_up()
        self._client_sap = client_sap
        self._heard = asyncio.Queue()
        self._wire = await dial_carrier(
            self._url,
            self._accept,
            (client_sap, self._server_sap),
            secured=self._secured,
            timeout_s=self._patience.connect_s,
            hdlc=self._hdlc,
        )

    async def exchange(self, apdu: bytes) -> bytes | None:
        """Send an APDU; return the one that comes, None for silence or a connection that ends.

        Raises:
            WireError: There is no connection.
        """
        if self._wire is None:
            raise WireError(f"{self._url}: nobody is connected")
        if not self._wire.is_open:
            return None  # the meter hung up over what it was asked before
        while not self._heard.empty():
            self._heard.get_nowait()  # what comes unasked is no answer
        self._wire.send(self._client_sap, self._server_sap, apdu)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.response_s):
                return await self._heard.get()
        return None

    def send(self, apdu: bytes) -> None:
        """Send an APDU and wait for nothing.

        Raises:
            WireError: There is no connection.
        """
        if self._wire is None:
            raise WireError(f"{self._url}: nobody is connected")
        if self._wire.is_open:
            self._wire.send(self._client_sap, self._server_sap, apdu)

    async def hear(self) -> bytes | None:
        """Return the next APDU that comes unasked; None for silence."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.response_s):
                return await self._heard.get()
        return None

    async def hang_up(self) -> None:
        """Close the connection in order: DISC on HDLC."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        wire.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GONE_S):
                await wire.gone()

    def _accept(self, _wire: Carrier) -> "_Ear":
        return _Ear(self._heard)


class _Ear:
    """Puts what a wire brings into a queue; None for its end."""

    def __init__(self, heard: asyncio.Queue[bytes | None]) -> None:
        self._heard = heard

    def frame(self, _source: int, _destination: int, apdu: bytes) -> None:
        self._heard.put_nowait(apdu)

    def closed(self, _reason: str) -> None:
        self._heard.put_nowait(None)
