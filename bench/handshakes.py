# SPDX-License-Identifier: Apache-2.0
"""Mutual handshakes a second, full and resumed, one after the other; and records a second.

Beside TLS 1.2 stand OpenSSL's own `s_time` and `s_server` with the same certificates and suite.
They have no such tool for DTLS, and `s_time` does not wait for the tickets of TLS 1.3.
"""

import asyncio
import contextlib
import itertools
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from OpenSSL import SSL

from bench.identities import Identities
from bench.measure import OPENSSL, OURS, Row, Scale, Server, same
from openami.transport import tlsengine
from openami.transport.endpoint import dial
from openami.transport.tls import Secured
from openami.transport.tlspolicy import SUITES, Cipher, Policy, Version
from openami.transport.tlswire import FLIGHT_OCTETS
from openami.transport.udp import DatagramWire, dial_wrapped_dtls
from openami.transport.url import Url
from openami.transport.wire import Wire

APDU: Final = bytes(range(100))
FLIGHTS: Final = 6
UNDER_WAY: Final = 32  # records on their way at once
FOUND: Final = re.compile(r"(\d+) connections in (\d+) real seconds")
KINDS: Final = {False: "full", True: "resumed"}


class Counter:
    """A client that counts what came back, and keeps `UNDER_WAY` on their way."""

    def __init__(self, wire: Wire | DatagramWire, more: int) -> None:
        self._wire = wire
        self._more = more  # to be sent yet
        self._left = more + 1
        self.done = asyncio.get_running_loop().create_future()

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        same((source, destination, len(apdu)), (64, 1, len(APDU)), "the mirror")
        self._left -= 1
        if self._more > 0:
            self._more -= 1
            self._wire.send(1, 64, APDU)
        elif self._left <= 0 and not self.done.done():
            self.done.set_result(None)

    def closed(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(reason))


def measure(scale: Scale) -> Iterator[Row]:
    """Measure handshakes, then records."""
    with tempfile.TemporaryDirectory() as folder:
        identities = Identities(Path(folder))
        for version in Version:
            for resumed, word in KINDS.items():
                row = Row(f"{version} handshakes, {word}", "1/s", note="a frame each way with each")
                for _ in range(min(scale.rounds, 3)):
                    found = {OURS: _ours(identities, version, scale.seconds, resumed=resumed)}
                    if version is Version.TLS_1_2:
                        found[OPENSSL] = _openssl(identities, scale.seconds, resumed=resumed)
                    row.add(found)
                yield row
        for version in (Version.TLS_1_2, Version.TLS_1_3):
            for resumed, word in KINDS.items():
                name = f"{version} handshakes, {word}, both ends in one process"
                row = Row(name, "1/s", note="by processor time of one core; no sockets")
                for _ in range(min(scale.rounds, 3)):
                    row.add({OURS: _in_memory(identities, version, scale.seconds, resumed=resumed)})
                yield row
        for version in (Version.TLS_1_3, Version.DTLS_1_2):
            row = Row(f"{version} records, there and back", "1/s", note=f"{UNDER_WAY} under way")
            for _ in range(min(scale.rounds, 3)):
                row.add({OURS: _records(identities, version, scale.seconds)})
            yield row


@contextmanager
def _mirror(identities: Identities, version: Version) -> Iterator[Url]:
    datagrams = version is Version.DTLS_1_2
    with Server() as server:
        served = identities.concentrator_listens()
        served |= {"versions": [str(version)], "datagrams": datagrams}
        (port,) = server.serve("mirror", **served)
        yield Url("dtls" if datagrams else "tls", "127.0.0.1", port)


async def _opened(url: Url, secured: Secured, more: int = 0) -> tuple[Wire | DatagramWire, Counter]:
    """Dial; return the wire and what counts on it."""
    counters: list[Counter] = []

    def accept(wire: Wire | DatagramWire) -> Counter:
        counters.append(Counter(wire, more))
        return counters[0]

    dials = dial_wrapped_dtls(url, accept, secured) if url.scheme == "dtls" else None
    wire = await (dials or dial(url, accept, secured=secured))
    return wire, counters[0]


def _ours(identities: Identities, version: Version, seconds: float, *, resumed: bool) -> float:
    async def repeat(url: Url) -> float:
        secured = identities.meter_dials(Policy(versions=(version,), resumption=resumed))
        count, began = -1, time.perf_counter()  # the first is a full one in any case
        while (spent := time.perf_counter() - began) < seconds or count < 1:
            wire, counter = await _opened(url, secured)
            wire.send(1, 64, APDU)
            await counter.done
            wire.close()
            await wire.gone()
            count += 1
            if count == 0:
                began = time.perf_counter()
        same(secured.tls.tally.resumed, count if resumed else 0, "handshakes that were resumed")
        return count / spent

    with _mirror(identities, version) as url:
        return asyncio.run(repeat(url))


def _in_memory(identities: Identities, version: Version, seconds: float, *, resumed: bool) -> float:
    policy = Policy(versions=(version,), resumption=resumed)
    sides = identities.concentrator_admits(policy), identities.meter_dials(policy)

    def one(_number: int) -> None:
        ends = [side.tls.connection("there") for side in sides]
        for here, there in itertools.islice(itertools.cycle((ends[::-1], ends)), FLIGHTS):
            with contextlib.suppress(SSL.WantReadError):
                here.do_handshake()
                here.recv(1)  # takes the tickets of TLS 1.3
            with contextlib.suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(FLIGHT_OCTETS))
        for side, end in zip(sides, ends, strict=True):
            side.tls.admit(*side.tls.identify(end), side.expected)
            side.tls.count(resumed=not tlsengine.place(end).proven)
            side.tls.remember(end, "there")

    one(0)
    began, count = time.process_time(), 0
    while (spent := time.process_time() - began) < seconds or not count:
        count += 1
        one(count)
    same(sides[0].tls.tally.resumed, count if resumed else 0, "handshakes that were resumed")
    return count / spent


def _records(identities: Identities, version: Version, seconds: float) -> float:
    count = max(UNDER_WAY * 2, int(40_000 * seconds))

    async def exchange(url: Url) -> float:
        secured = identities.meter_dials(Policy(versions=(version,)))
        wire, counter = await _opened(url, secured, count - UNDER_WAY)
        began = time.perf_counter()
        for _ in range(UNDER_WAY):
            wire.send(1, 64, APDU)
        async with asyncio.timeout(60.0):
            await counter.done
        per_s = count / (time.perf_counter() - began)
        wire.close()
        await wire.gone()
        return per_s

    with _mirror(identities, version) as url:
        return asyncio.run(exchange(url))


def _openssl(identities: Identities, seconds: float, *, resumed: bool) -> float:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
    words = ("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2", "-quiet")
    words += ("-Verify", "2", "-verify_return_error", *identities.openssl("concentrator"))
    server = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await_listener(port)
        done = subprocess.run(
            [
                *("openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-tls1_2"),
                *("-cipher", SUITES[Cipher.AES128_GCM].name, "-time", str(max(1, round(seconds)))),
                *("-reuse" if resumed else "-new", *identities.openssl("meter")),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        server.kill()
        server.communicate()
    if (found := FOUND.search(done.stdout)) is None or not int(found[1]):
        raise SystemExit(f"openssl s_time said {done.stdout!r}: no figure is taken from it")
    return int(found[1]) / int(found[2])


def _await_listener(port: int) -> None:
    for _ in range(500):
        with socket.socket() as line:
            if line.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit("openssl s_server does not listen: no figure is taken")
