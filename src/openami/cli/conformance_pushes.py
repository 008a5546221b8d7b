# SPDX-License-Identifier: Apache-2.0
"""Where a meter under test pushes to: a listener whose pushes are queued, and answered."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import click

from openami.cli.push_lines import Close, listen_for_lines, open_line
from openami.cosem.conformance.case import LineLost
from openami.dlms.apdu.block import Assembler, GeneralBlockTransfer
from openami.dlms.errors import DlmsError
from openami.dlms.recordings.framings import frames
from openami.dlms.recordings.recorded import Framed
from openami.transport.anywhere import OpenPort, listen_anywhere
from openami.transport.carrier import Carrier
from openami.transport.url import Url

HDLC: Final = "hdlc"
BLOCK: Final = bytes((GeneralBlockTransfer.TAG,))


class _Heard(NamedTuple):
    """A push: its APDU, as it came on a line, and where it came from."""

    apdu: bytes
    framed: bytes = b""
    origin: tuple[Carrier, int, int] | None = None


@dataclass(slots=True)
class PushEar:
    """Hears pushes.

    Attributes:
        url: Where; None where no pushes are declared.
        baud: Of a serial line.
        bound: The line, once it is open; port 0 lets the system choose.
    """

    url: Url | None
    baud: int = 9600
    bound: Url | None = None
    _port: OpenPort | None = None
    _line: Close | None = None
    _heard: asyncio.Queue[_Heard] = field(default_factory=asyncio.Queue)
    _last: tuple[Carrier, int, int] | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            UserError: The port is taken, or there is no such device.
        """
        if self.url is None or self._port is not None or self._line is not None:
            return
        match self.url.scheme:
            case "hdlc+serial":
                self.bound, self._line = open_line(self.url, _Line(self._heard), self.baud)
            case "hdlc+tcp":
                self.bound, self._line = await listen_for_lines(self.url, _Line(self._heard))
            case _:
                self._port = await listen_anywhere(self.url, self._accept)

    async def next(self, seconds: float, *, framed: bool = False) -> bytes | None:
        """Return the next push, as an APDU or as it came on a line; None if none comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                found = await self._heard.get()
                self._last = found.origin
                return found.framed if framed else found.apdu
        return None

    def answer(self, apdu: bytes) -> None:
        """Send an APDU to where the last push came from.

        Raises:
            LineLost: No push came that could be answered.
        """
        if self._last is None:
            raise LineLost("no push came that could be answered")
        wire, source, destination = self._last
        wire.send(destination, source, apdu)

    async def close(self) -> None:
        """Listen no more."""
        port, self._port = self._port, None
        if port is not None:
            await port.close()
        line, self._line = self._line, None
        if line is not None:
            await line()

    def _accept(self, wire: Carrier) -> "_Ear":
        return _Ear(self._heard, wire)


@dataclass(frozen=True, slots=True)
class _Ear:
    heard: asyncio.Queue[_Heard]
    wire: Carrier

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.heard.put_nowait(_Heard(apdu, origin=(self.wire, source, destination)))

    def closed(self, reason: str) -> None:
        """Nothing more comes."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Takes what comes on a line between two silences."""

    heard: asyncio.Queue[_Heard]

    def telegram(self, burst: bytes, source: str) -> None:
        """Take the notifications of a telegram; what is no frame stays for the case to judge."""
        del source
        found = [each for each in frames(burst, HDLC) or () if isinstance(each, Framed)]
        try:
            whole = list(_joined([each.apdu for each in found if each.apdu is not None]))
        except DlmsError:
            whole = []
        for apdu in whole or [burst]:
            self.heard.put_nowait(_Heard(apdu, burst))

    def refuse(self, source: str, why: str) -> None:
        """Say what went wrong with the line."""
        click.echo(f"openami: {source}: {why}", err=True)

    def gone(self, source: str) -> None:
        """Forget nothing: a telegram is whole when the line is silent."""


def _joined(apdus: list[bytes]) -> Iterator[bytes]:
    """Yield APDUs that came whole, and those that blocks hold together."""
    assembler = Assembler()
    for apdu in apdus:
        if not apdu.startswith(BLOCK):
            yield apdu
            continue
        whole = assembler.take(GeneralBlockTransfer.decode(apdu))
        if whole is not None:
            yield whole
