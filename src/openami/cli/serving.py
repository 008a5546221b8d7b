# SPDX-License-Identifier: Apache-2.0
"""One logical device behind any listener: wrapper or CoAP, plain or protected, or HDLC."""

import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

from openami.cli.simulated_ports import Guard
from openami.cosem.behaviour.guarding import GuardedConnection
from openami.cosem.device import LogicalDevice
from openami.cosem.server import ServerConnection
from openami.dlms.hdlc.address import Station
from openami.dlms.sap import ALL_STATION
from openami.runtime.errors import ExitCode, UserError
from openami.transport.anywhere import listen_anywhere
from openami.transport.carrier import Awaited
from openami.transport.hdlcpoint import listen_hdlc, serve_line
from openami.transport.serial import PtyLine, SerialLine
from openami.transport.tls import Secured
from openami.transport.url import ALL_SCHEMES, Scheme, Url
from openami.transport.wire import Limits

SERVED: Final[frozenset[Scheme]] = ALL_SCHEMES
LIMITS: Final = Limits(max_connections=256, idle_timeout_s=3600.0)


class _Sends(Protocol):
    def send(self, source: int, destination: int, apdu: bytes) -> None: ...


class Conversation:
    """One connection to the device."""

    def __init__(self, wire: _Sends, device: LogicalDevice, guard: Guard | None = None) -> None:
        self._wire = wire
        self._device = device
        if guard is None:
            self._server = ServerConnection(device, entropy=os.urandom)
            self._receive: Callable[[int, bytes], bytes | None] = self._server.receive
        else:
            guarded = GuardedConnection(device, guard.protection, entropy=os.urandom)
            self._server = guarded.server
            self._receive = lambda source, apdu: guarded.receive(source, apdu, guard.now_us())

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        """Answer one APDU; another logical device than ours does not answer."""
        if destination not in {self._device.sap, ALL_STATION}:
            return
        answer = self._receive(source, apdu)
        if answer is None and isinstance(self._wire, Awaited):
            self._wire.silent(destination, source)
        while answer is not None and destination != ALL_STATION:
            self._wire.send(destination, source, answer)
            answer = self._server.following()

    def disconnected(self, client: int) -> None:
        """Forget the association of a client whose HDLC link ended."""
        self._server.lost(client)

    def closed(self, _reason: str) -> None:
        """Forget all associations of a connection that ended."""
        self._server.lost()


class Opened:
    """A listener that is open."""

    def __init__(self, url: Url, close: Callable[[], Awaitable[None]]) -> None:
        self.url = url  # with the port the system chose
        self.close = close


async def serve(
    device: LogicalDevice,
    url: Url,
    physical: int = 0,
    secured: Secured | None = None,
    guard: Guard | None = None,
) -> Opened:
    """Let clients reach a device.

    Args:
        device: Whom.
        url: Where; port 0 lets the system choose.  Of `hdlc+serial://` the path of a line that is
            there, or of a pseudo-terminal that is made.
        physical: The device's physical address on HDLC.
        secured: Its side of TLS or DTLS, and who is let in.
        guard: Locks the port after failed attempts; None lets everybody try for ever.

    Raises:
        UserError: The port is taken or may not be opened, or a certificate is missing.
    """
    match url.scheme:
        case "hdlc+tcp":
            station = _station(device, physical)
            hdlc = await listen_hdlc(
                url, lambda wire: Conversation(wire, device, guard), station, limits=LIMITS
            )
            return Opened(hdlc.url, hdlc.close)
        case "hdlc+serial":
            return _serve_line(device, Path(url.path), physical, guard)
        case _:
            port = await listen_anywhere(
                url, lambda wire: Conversation(wire, device, guard), secured=secured, limits=LIMITS
            )
            return Opened(port.url, port.close)


def _station(device: LogicalDevice, physical: int) -> Station:
    try:
        return Station.of([device.sap], physical)
    except ValueError as error:
        raise UserError(f"{error}: choose another --physical", ExitCode.ASKED_WRONGLY) from None


def _is_terminal(path: Path) -> bool:
    """Tell whether a path is that of a line; one that may not be opened is waited for."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return stat.S_ISCHR(path.stat().st_mode)
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def _serve_line(device: LogicalDevice, path: Path, physical: int, guard: Guard | None) -> Opened:
    """Serve a serial line that is there, or a pseudo-terminal that is made and taken away."""
    is_line = path.exists() and not path.is_symlink()
    if is_line and not _is_terminal(path):
        sentence = f"hdlc+serial://{path} is no serial line: give a device such as /dev/ttyUSB0"
        raise UserError(f"{sentence}, or a path that is not there for a pseudo-terminal")
    of = SerialLine if is_line else PtyLine
    station = _station(device, physical)
    wire = serve_line(of, path, lambda line: Conversation(line, device, guard), station)

    async def close() -> None:
        wire.close("the service stops")
        await wire.gone()
        if not is_line:
            path.unlink(missing_ok=True)  # noqa: ASYNC240  one name, at the end

    return Opened(Url.serial(str(path)), close)
