# SPDX-License-Identifier: Apache-2.0
"""The web process: an HTTP server on one port, its status each second, a clean end."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from openami.runtime.clock import Clock
from openami.runtime.errors import UserError
from openami.runtime.process import run_until_stopped
from openami.runtime.status import write_status
from openami.store.database import open_database
from openami.transport.doors import Doors
from openami.web.app import create_app
from openami.web.config import WebConfig
from openami.web.context import Context
from openami.web.lake import LakeReadings
from openami.web.money import load_prices
from openami.web.visitors import MOST_HEAD_OCTETS, visitors

log = logging.getLogger(__name__)

GRACE_S: Final = 5  # for open answers, when the process is told to stop


def open_port(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        UserError: The port is in use or the address is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise _refused(host, port, error) from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    return listener


def _refused(host: str, port: int, error: OSError) -> UserError:
    remedy = "or name another port in web/config.toml, listen"
    if error.errno == errno.EADDRINUSE:
        return UserError(f"port {port} of {host} is in use: end the other program, {remedy}")
    sentence = f"{host}:{port} cannot be listened on ({error.strerror}): take an address of this"
    return UserError(f"{sentence} machine, {remedy}")


class Server(uvicorn.Server):
    """A server that leaves signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(home: Path) -> None:
    """Serve the pages until SIGTERM."""
    config = WebConfig.load(home)
    listener = open_port(config.host, config.port)
    with listener:
        context = open_context(config)
        run_until_stopped(lambda stop: serve(context, listener, stop))


def open_context(config: WebConfig) -> Context:
    """Open the stores that a configuration names.

    The tables are made if there are none: parts are started together, in no order.
    """
    engine = open_database(config.database_url, create=True)
    return Context(
        config=config,
        engine=engine,
        clock=Clock(config.clock),
        readings=LakeReadings(config.lake),
        prices=load_prices(config.tariff, config.zone),
    )


async def serve(context: Context, listener: socket.socket, stop: asyncio.Event) -> None:
    """Answer on `listener` until `stop` is set."""
    config = context.config
    doors = Doors(config.half_open_per_address, config.gateways)
    doors.on_crowd = lambda address: log.warning(
        "%s has %d connections without a request: more are closed", address, doors.most
    )
    server = Server(
        uvicorn.Config(
            create_app(context),
            http=visitors(doors, config.request_timeout_s),
            ws="none",
            h11_max_incomplete_event_size=MOST_HEAD_OCTETS,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            limit_concurrency=1000,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    log.info("pages at http://%s:%s", host, port)
    while not stop.is_set() and not serving.done():
        figures: dict[str, int | float | str] = {
            "open_pages": context.tailer.open_pages,
            "requests": server.server_state.total_requests,
            "strangers refused": doors.refused,
        }
        write_status(context.config.run, "web", figures)
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            continue
    context.tailer.stop()  # open event streams end, so that the server can
    server.should_exit = True
    await serving
