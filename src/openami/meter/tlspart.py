# SPDX-License-Identifier: Apache-2.0
"""The TLS partition as a process: management's program, begun elsewhere and as another user.

    tls HOME DOOR USER INSIDE

DOOR is the descriptor where management knocks to have its uplink dialled, USER management's user,
INSIDE the path where management takes callers; empty where nobody may call inside TLS.

It reads `device.toml` and the files of TLS, and has no other key.  That it is management's program
costs the slot nothing: what counts is that it is another process.
"""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Final

from openami.device.secure.hardening import HardeningError, harden
from openami.device.tlsrelay import Callers, Uplink, serve_uplink
from openami.meter.config import MeterConfig
from openami.runtime.errors import UserError
from openami.transport.anywhere import OpenPort, listen_anywhere
from openami.transport.tls import Expected, Role, Secured, client_tls, server_tls
from openami.transport.wire import Limits

log = logging.getLogger(__name__)

WORD: Final = "tls"
"""The first argument of the program that says which part of it is to begin."""
CALLERS: Final = frozenset({Role.CLIENT, Role.HEAD_END})
CALLER_LIMITS: Final = Limits(max_connections=32, idle_timeout_s=600.0)


async def serve(arguments: list[str], stop: asyncio.Event) -> None:
    """End TLS until `stop` is set.

    Raises:
        ConfigurationError: `device.toml` or a certificate cannot be used.
        UserError: A port is taken, or the process cannot be closed.
    """
    home, descriptor, user, inside = arguments
    config = MeterConfig.load(Path(home))
    servers: list[asyncio.Server] = []
    ports: list[OpenPort] = []
    if config.uplink.encrypted:
        expected = Expected(roles=frozenset({Role.CONCENTRATOR}), title=config.concentrator_title)
        uplink = Uplink(
            url=config.uplink,
            secured=Secured(client_tls(config.identity), expected),
            limits=Limits(connect_timeout_s=config.connect_timeout_s),
        )
        door = socket.socket(fileno=int(descriptor))
        servers.append(await serve_uplink(door, int(user), uplink))
    if config.protected_listener is not None and inside:
        ports.append(
            await listen_anywhere(
                config.protected_listener,
                Callers(Path(inside), CALLER_LIMITS).accept,
                secured=Secured(server_tls(config.identity), Expected(roles=CALLERS)),
                limits=CALLER_LIMITS,
            )
        )
    log.info("TLS of %s ends here", config.name)
    await stop.wait()
    for port in ports:
        await port.close()
    for server in servers:
        server.close()


def close(arguments: list[str]) -> None:
    """Close the process before it reads a key.

    Raises:
        UserError: The system refuses.
    """
    try:
        harden({int(arguments[1])})
    except HardeningError as error:
        raise UserError(f"the TLS partition does not start: {error}") from error
