# SPDX-License-Identifier: Apache-2.0
"""Our meter on a port, and foreign programs as processes."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from openami.cosem.device import AssociationPolicy
from openami.cosem.rights import READ_ALL
from openami.cosem.server import ServerConnection
from openami.dlms.association import State
from openami.dlms.sap import Sap
from openami.transport.endpoint import Listener, listen
from openami.transport.hdlcpoint import HdlcListener
from openami.transport.url import Url
from openami.transport.wire import Wire
from playbooks.demo_meter import DemoMeter, entropy

ROOT = Path(__file__).parents[2]
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEERS = Path(__file__).parent / "peers"
LOOPBACK = Url("tcp", "127.0.0.1", 0)
OPEN = Sap(48)
"""A client without security that may read everything: for this bench only."""


class PeerFailedError(Exception):
    """A foreign program ended with an error."""


class Handler:
    """One connection of a peer to the meter."""

    def __init__(self, wire: Wire, meter: DemoMeter, associated: set[int], tags: set[int]) -> None:
        self._wire = wire
        self._tags = tags
        self._server = ServerConnection(meter, entropy=entropy())
        self._associated = associated

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self._tags.add(apdu[0])
        answer = self._server.receive(source, apdu)
        if self._server.state(source) is State.ASSOCIATED:
            self._associated.add(source)
        while answer is not None:
            self._wire.send(destination, source, answer)
            answer = self._server.following()

    def closed(self, reason: str) -> None:
        del reason
        self._server.lost()


def open_meter(rows: int = 500) -> DemoMeter:
    """The demo meter with one more client."""
    meter = DemoMeter(rows)
    meter.associations[OPEN] = AssociationPolicy(client_sap=OPEN, grants=READ_ALL)
    return meter


class Served(NamedTuple):
    """A meter that listens."""

    port: int
    associated: set[int]
    """The clients that ever came as far as an association."""
    tags: set[int]
    """Tags of the APDUs that came."""


@contextmanager
def listening(meter: DemoMeter) -> Iterator[Served]:
    """Serve the demo meter on a port of this machine, in a thread of its own."""
    associated: set[int] = set()
    tags: set[int] = set()

    async def open_port() -> Listener:
        return await listen(LOOPBACK, lambda wire: Handler(wire, meter, associated, tags))

    with running(open_port) as port:
        yield Served(port, associated, tags)


@contextmanager
def running(open_port: Callable[[], Awaitable[Listener | HdlcListener]]) -> Iterator[int]:
    """Run a listener in a thread of its own; give its port."""
    ready = threading.Event()
    ports: list[int] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        listener = await open_port()
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        ports.append(listener.url.port)
        ready.set()
        await stop.wait()
        await listener.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10), "the meter does not listen"
        yield ports[0]
    finally:
        for loop, stop in loops:
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def peer(script: str, **ask: Any) -> dict[str, Any]:
    """Run a foreign client to its end and return what it read."""
    assert PEER_PYTHON.exists(), "the foreign implementations are missing: run `make setup-peers`"
    done = subprocess.run(
        [PEER_PYTHON, PEERS / script, json.dumps(ask)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise PeerFailedError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
