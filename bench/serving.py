# SPDX-License-Identifier: Apache-2.0
"""The server's process: echoes and meters, on ports of this machine; told what by lines of JSON.

`python -m bench.serving` reads requests from standard input, answers each on standard output, and
ends with standard input.
"""

import asyncio
import gc
import itertools
import json
import os
import resource
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench import crowd, round_trips
from bench.crowd import Held, opened
from bench.memory import AT_ONCE, Holder
from bench.street import READ_ROWS, device
from openami.cosem.device import LogicalDevice
from openami.cosem.server import ServerConnection
from openami.device.secure.ciphering import WalledCiphering
from openami.device.secure.client import SecureClient
from openami.transport.endpoint import Listener, dial, listen
from openami.transport.tls import Expected, Secured, TlsIdentity, client_tls, server_tls
from openami.transport.tlspolicy import Policy, Version
from openami.transport.udp import DatagramWire, listen_wrapped_dtls
from openami.transport.url import Url
from openami.transport.wire import Limits, Wire

HOST: Final = "127.0.0.1"
CROWDED: Final = Limits(max_connections=100_000)


def any_port(*, encrypted: bool) -> Url:
    return Url("tls" if encrypted else "tcp", HOST, 0)


class Echo(asyncio.Protocol):
    """What asyncio itself can do: whatever comes, the same octets go back."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  a bare echo looks at nothing
        self._transport.write(self._answer)


class Meter:
    """One connection to a meter."""

    __slots__ = ("_connection", "_wire")

    def __init__(self, wire: Wire, meter: LogicalDevice) -> None:
        self._wire = wire
        self._connection = ServerConnection(meter, entropy=os.urandom)

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        answer = self._connection.receive(source, apdu)
        while answer is not None:
            self._wire.send(destination, source, answer)
            answer = self._connection.following()

    def closed(self, reason: str) -> None:  # noqa: ARG002
        self._connection.lost()


class Mirror:
    """One connection to a concentrator that sends each frame back."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire | DatagramWire) -> None:
        self._wire = wire

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self._wire.send(destination, source, apdu)

    def closed(self, reason: str) -> None:
        pass


def secured(asked: Mapping[str, Any]) -> Secured | None:
    if "identity" not in asked:
        return None
    return Secured(server_tls(identity(asked)), Expected(roles=frozenset({asked["peer_role"]})))


def identity(asked: Mapping[str, Any]) -> TlsIdentity:
    ca, certificate, key = (Path(path) for path in asked["identity"])
    policy = Policy(versions=tuple(Version(name) for name in asked.get("versions", Version)))
    return TlsIdentity(ca, certificate, key, policy)


async def serve_echo(asked: Mapping[str, Any]) -> list[int]:
    loop = asyncio.get_running_loop()
    context = None
    if "identity" in asked:
        ca, certificate, key = asked["identity"]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate, key)
    answer = bytes.fromhex(asked["answer"])
    server = await loop.create_server(lambda: Echo(answer), HOST, 0, ssl=context, backlog=1024)
    return [server.sockets[0].getsockname()[1]]


async def serve_mirror(asked: Mapping[str, Any]) -> list[int]:
    tls = secured(asked)
    if asked.get("datagrams"):
        port = await listen_wrapped_dtls(Url("dtls", HOST, 0), Mirror, tls, CROWDED)
        return [port.url.port]
    listener = await listen(
        any_port(encrypted=tls is not None), Mirror, secured=tls, limits=CROWDED
    )
    return [listener.url.port]


async def serve_meters(asked: Mapping[str, Any]) -> list[int]:
    tls = secured(asked)

    async def open_meter(number: int) -> Listener:
        meter = device(number)
        url = any_port(encrypted=tls is not None)
        return await listen(url, lambda wire: Meter(wire, meter), secured=tls)

    return [(await open_meter(number)).url.port for number in asked["numbers"]]


async def serve_walled(asked: Mapping[str, Any]) -> list[int]:
    """Serve a meter whose keys are in the secure world behind a door."""
    ciphering = WalledCiphering(SecureClient.connect(Path(asked["door"])))
    meter = device(asked["number"], ciphering=ciphering)
    return [(await listen(any_port(encrypted=False), lambda wire: Meter(wire, meter))).url.port]


async def serve_crowd(asked: Mapping[str, Any]) -> list[int]:  # noqa: ARG001
    """Serve on one port: the first connection reaches meter 1, the second meter 2, and so on."""
    numbers = itertools.count(1)

    def accept(wire: Wire) -> Meter:
        return Meter(wire, device(next(numbers), rows=READ_ROWS))

    return [(await listen(any_port(encrypted=False), accept)).url.port]


async def hold_clients(asked: Mapping[str, Any]) -> list[int]:
    """Associate with a crowd, one connection after the other, and stay."""
    for number in range(asked["first"], asked["first"] + asked["count"]):
        HELD.extend(await opened(asked["port"], 1, first=number, protected=True))
    return [asked["port"]]


async def hold_meters(asked: Mapping[str, Any]) -> list[int]:
    """Dial by TLS from several addresses, `AT_ONCE` at a time, a frame both ways each; stay."""
    shared = dialling(asked)
    numbers = itertools.count(len(STANDING))

    async def some(count: int) -> None:
        for _ in range(count):
            side = dialling(asked) if asked["own"] else shared
            local = f"127.0.0.{2 + next(numbers) % asked['addresses']}"
            url = Url("tls", HOST, asked["port"])
            holders: list[Holder] = []

            def accept(wire: Wire, holders: list[Holder] = holders) -> Holder:
                holders.append(Holder(wire))
                return holders[0]

            await dial(url, accept, secured=side, limits=CROWDED, local_host=local)
            await holders[0].exchange()
            STANDING.append(holders[0])

    count = asked["count"]
    shares = [count // AT_ONCE + (n < count % AT_ONCE) for n in range(AT_ONCE)]
    await asyncio.gather(*(some(share) for share in shares))
    return [len(STANDING)]


def dialling(asked: Mapping[str, Any]) -> Secured:
    return Secured(client_tls(identity(asked)), Expected(roles=frozenset({asked["peer_role"]})))


async def ask_again(asked: Mapping[str, Any]) -> list[int]:  # noqa: ARG001
    """Send a frame over each connection that stands; return how many answered."""
    await asyncio.gather(*(holder.exchange() for holder in STANDING))
    return [len(STANDING)]


async def ask_echo(asked: Mapping[str, Any]) -> list[int]:
    """Ask a bare echo over one connection, or over many; return round trips a second."""
    ask = crowd.bare if asked["serve"] == "askers" else round_trips.bare
    return [round(await ask(asked["port"], asked["request"], asked["answer"], asked["seconds"]))]


HELD: Final[list[Held]] = []
STANDING: Final[list[Holder]] = []


def resident_octets() -> int:
    """Return the resident set size of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


SERVED: Final = {
    "echo": serve_echo,
    "mirror": serve_mirror,
    "meters": serve_meters,
    "walled": serve_walled,
    "crowd": serve_crowd,
    "clients": hold_clients,
    "standing": hold_meters,
    "standing again": ask_again,
    "asker": ask_echo,
    "askers": ask_echo,
}


async def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        if asked["serve"] == "resident":
            print(json.dumps({"octets": resident_octets()}), flush=True)
        else:
            print(json.dumps({"ports": await SERVED[asked["serve"]](asked)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
