# SPDX-License-Identifier: Apache-2.0
"""Listening and dialling: `listen(url, …)` and `dial(url, …)` give wires, plain or TLS."""

import asyncio
import contextlib
import errno
import logging
import socket
from functools import partial
from typing import Final

from openami.runtime.errors import ExitCode, UserError
from openami.transport.doors import Doors
from openami.transport.tls import Secured
from openami.transport.tlswire import TlsWire
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Accept, Limits, Wire, WireError

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
FAREWELL_S: Final = 1.0
"""How long a refused peer is waited for to hang up."""


class Listener:
    """An open port, the wires that came in through it, and who stands at its doors."""

    def __init__(self, server: asyncio.Server, url: Url, wires: set[Wire], doors: Doors) -> None:
        self._server = server
        self.url = url  # with the port the system chose
        self.wires = wires
        self.doors = doors

    async def close(self) -> None:
        """Stop listening and close every wire."""
        self._server.close()
        for wire in list(self.wires):
            wire.close("the service stops")
        for wire in list(self.wires):
            await wire.gone()
        await self._server.wait_closed()


def _wire(url: Url, accept: Accept, limits: Limits, secured: Secured | None) -> Wire:
    if not url.encrypted:
        return Wire(accept, limits)
    if secured is None:
        sentence = f"{url} needs a certificate: give ca, certificate and key, or use tcp://"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return TlsWire(accept, limits, secured)


async def listen(
    url: Url,
    accept: Accept,
    *,
    secured: Secured | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Listener:
    """Open a port.

    Args:
        url: Where; port 0 lets the system choose.
        accept: Called for each wire that is ready; returns its handler.
        secured: `tls.server_tls` and who is let in; needed for `tls://`.
        limits: What one wire and the listener may cost.

    Raises:
        UserError: The port is taken or may not be opened; the sentence says what to do.
    """
    wires: set[Wire] = set()
    doors = Doors(limits.half_open_per_address, limits.gateways)
    doors.on_crowd = partial(_crowded, url, doors.most)

    def factory() -> Wire:
        wire = _wire(url, accept, limits, secured)
        wire.siblings, wire.doors = wires, doors
        return wire

    factory()  # refuses a missing certificate now, not at the first connection
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(factory, url.host, url.port, backlog=BACKLOG)
    except OSError as error:
        raise UserError(cannot_listen(url, error)) from error
    port = server.sockets[0].getsockname()[1]
    return Listener(server, Url(url.scheme, url.host, port), wires, doors)


def _crowded(url: Url, most: int | None, address: str) -> None:
    log.warning(
        "%s: %d TLS handshakes of %s are under way, it begins no more of them; where many peers "
        "share that address, name it under `gateways`",
        url,
        most or 0,
        address,
    )


def cannot_listen(url: Url, error: OSError) -> str:
    """Say why a port cannot be opened."""
    match error.errno:
        case errno.EADDRINUSE:
            return f"{url} is in use by another process: stop that one or choose another port"
        case errno.EACCES:
            return f"{url} may not be opened by this user: choose a port above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{url} is no address of this machine: choose one of its own, e.g. 127.0.0.1"
        case _:
            return f"{url} cannot be opened ({error.strerror or error}): choose another address"


async def dial(
    url: Url,
    accept: Accept,
    *,
    secured: Secured | None = None,
    limits: Limits = DEFAULT_LIMITS,
    local_host: str | None = None,
) -> Wire:
    """Connect, shake hands, and return the wire; its handler is what `accept` returned.

    Args:
        url: Where to.
        accept: Called once the peer is known; returns the wire's handler.
        secured: `tls.client_tls` and whom we want there; needed for `tls://`.
        limits: What the wire may cost; `connect_timeout_s` bounds this call.
        local_host: Our own address; fleets spread over many to have more ports.

    Raises:
        WireError: Nobody there, no answer, or the wrong peer; one sentence with the remedy.
    """
    loop = asyncio.get_running_loop()
    wire = _wire(url, accept, limits, secured)
    wire.opened = opened = loop.create_future()
    local = (local_host, 0) if local_host else None
    connected = False
    try:
        async with asyncio.timeout(limits.connect_timeout_s):
            await loop.create_connection(lambda: wire, url.host, url.port, local_addr=local)
            connected = True
            await opened
    except TimeoutError as error:
        wire.close("no answer in time")
        what = "complete the TLS handshake" if connected else "answer"
        late = f"{url} did not {what} within {limits.connect_timeout_s:g} s"
        raise WireError(f"{late}: check address, port and network") from error
    except WireError as error:
        # Our alert lingers until the peer has read it; nobody else waits for this wire to end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await wire.gone()
        raise WireError(f"{url}: {error}") from error
    except OSError as error:
        raise WireError(cannot_dial(url, error)) from error
    except asyncio.CancelledError:
        wire.close("no longer wanted")
        raise
    finally:
        if opened.done() and not opened.cancelled():
            opened.exception()  # seen, even where a time-out came first
    return wire


def cannot_dial(url: Url, error: OSError) -> str:
    """Say why there is no connection; asyncio joins several refusals into one error."""
    problem, remedy = f"cannot be dialled ({error.strerror or error})", "check address and port"
    if isinstance(error, socket.gaierror):
        problem = f"names an unknown host {url.host!r}"
        remedy = "check the spelling or use its IP address"
    elif isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower():
        problem = "refused the connection"
        remedy = "nothing listens there; start it or check the port"
    elif isinstance(error, ConnectionResetError):
        problem, remedy = "reset the connection", "check that the port speaks DLMS/COSEM"
    elif error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        problem, remedy = "cannot be reached", "check the address and the network"
    elif error.errno in (errno.EADDRNOTAVAIL, errno.EMFILE):
        remedy = "raise `ulimit -n`, or spread connections over more local addresses"
    return f"{url} {problem}: {remedy}"
