# SPDX-License-Identifier: Apache-2.0
"""GET round trips on one connection, both ends on this machine, the server in its own process.

Four clients, each with a meter of its own in one server process of ours, for the peers bring no
server: `bare asyncio` exchanges as many octets through two `asyncio.Protocol` and does nothing
with them.
"""

import asyncio
import time
from collections.abc import Iterator

from bench.measure import (
    BARE,
    DLMS_COSEM,
    FRESH,
    GURUX,
    OURS,
    Goal,
    Peer,
    Row,
    Scale,
    Server,
    awake,
    fresh_echo,
    same,
)
from bench.street import (
    CLIENT_TITLE,
    ENERGY,
    ENERGY_WH,
    LAST_COUNTER,
    MANAGEMENT,
    cipher,
    parameters,
    title,
)
from openami.cosem.classes.measurement import Register
from openami.cosem.client import Client, Steps
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.get import GetRequestNormal, GetResponseNormal
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.data import DoubleLongUnsigned
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.counters import CounterBlock
from openami.dlms.wrapper import WrapperFrame
from openami.transport.client import open_session
from openami.transport.url import Url

PARTIES = (OURS, GURUX, DLMS_COSEM)
COUNTERS_A_ROUND = 10_000_000
SLICES = 3  # rounds are cut finer here: who shares the machine disturbs both parties alike
WARM = 192  # round trips before the clock starts
LOOK = 64  # round trips between two looks at the clock
GOALS = {False: 0.70, True: 0.55}


def measure(scale: Scale) -> Iterator[Row]:
    """Measure round trips without and with protection."""
    with (
        Server() as server,
        Peer("gurux_peer.py") as gurux,
        Peer("dlms_cosem_peer.py") as dlms_cosem,
    ):
        ports = dict(zip(PARTIES, server.serve("meters", numbers=[1, 2, 3]), strict=True))
        parties = Parties(server, {GURUX: gurux, DLMS_COSEM: dlms_cosem}, ports)
        with awake():
            for protected in (False, True):
                yield parties.row(scale, protected=protected, goal=GOALS[protected])
        for protected in (False, True):
            yield parties.row(scale, protected=protected)


class Parties:
    """Who makes round trips with which meter."""

    def __init__(self, server: Server, peers: dict[str, Peer], ports: dict[str, int]) -> None:
        self._server, self._peers, self._ports = server, peers, ports
        self._round = 0

    def row(self, scale: Scale, *, protected: bool, goal: float | None = None) -> Row:
        """Measure one row; without a goal, on cores that may fall asleep between two frames."""
        what = "with" if protected else "without"
        idle = ", cores idle" if goal is None else ""
        row = Row(
            f"GET round trip {what} protection{idle}",
            "1/s",
            goal=None if goal is None else Goal(figure=goal, beside=BARE),
            note="one connection at a time; the peers' clients ask our server; "
            + ("cores may sleep between two frames" if idle else "cores are kept awake"),
        )
        seconds = scale.seconds / SLICES
        request, answer = frame_octets(protected=protected)
        (echo,) = self._server.serve("echo", answer=bytes(answer).hex())
        for _ in range(scale.rounds * SLICES):
            self._round += 1
            first = 1 + self._round * COUNTERS_A_ROUND
            ours_at = self._ports[OURS]
            figures = {
                FRESH: fresh_echo("asker", request, answer, seconds),
                BARE: asyncio.run(bare(echo, request, answer, seconds)),
                OURS: asyncio.run(ours(ours_at, first, seconds, protected=protected)),
            }
            for meter, (who, peer) in enumerate(self._peers.items(), 2):
                keys = cipher(meter).keys
                figures[who], check = peer.ask(
                    "round_trips",
                    port=self._ports[who],
                    protected=protected,
                    guek=keys.encryption_key.hex(),
                    gak=keys.authentication_key.hex(),
                    client_title=CLIENT_TITLE.hex(),
                    counter=first,
                    obis=list(ENERGY),
                    seconds=seconds,
                )
                same(check, ENERGY_WH, f"GET of {who}")
            row.add(figures)
        return row


def frame_octets(*, protected: bool) -> tuple[int, int]:
    """Return how long the request and the answer are on the wire."""
    invoke_id = InvokeIdAndPriority(0xC1)
    attribute = AttributeDescriptor(class_id=3, instance_id=ENERGY, attribute_id=2)
    result = DoubleLongUnsigned(ENERGY_WH)
    request = GetRequestNormal(invoke_id_and_priority=invoke_id, attribute=attribute).encode()
    answer = GetResponseNormal(invoke_id_and_priority=invoke_id, result=result).encode()
    if protected:
        channel = SecureChannel(
            cipher=cipher(1),
            role=Role.CLIENT,
            own_title=title(1),
            counters=CounterBlock(0, LAST_COUNTER),
        )
        request, answer = channel.protect(request), channel.protect(answer)
    saps = MANAGEMENT, MANAGEMENT_LOGICAL_DEVICE
    frames = WrapperFrame(*saps, request), WrapperFrame(*saps, answer)
    return len(frames[0].encode()), len(frames[1].encode())


class Asking(asyncio.Protocol):
    """The client of the bare echo."""

    def __init__(self, request: int, answer: int, seconds: float) -> None:
        self._request, self._answer, self._seconds = bytes(request), answer, seconds
        self._count = 0
        self._began = 0.0
        self.per_s: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        same(len(data), self._answer, "the bare echo")
        self._count += 1
        timed = self._count - WARM
        if timed == 0:
            self._began = time.perf_counter()
        elif timed > 0 and timed % LOOK == 0:
            spent = time.perf_counter() - self._began
            if spent >= self._seconds:
                self.per_s.set_result(timed / spent)
                self._transport.close()
                return
        self._transport.write(self._request)


async def bare(port: int, request: int, answer: int, seconds: float) -> float:
    """Return round trips a second of two bare protocols."""
    loop = asyncio.get_running_loop()
    _, asking = await loop.create_connection(
        lambda: Asking(request, answer, seconds), "127.0.0.1", port
    )
    return await asking.per_s


async def ours(port: int, first_counter: int, seconds: float, *, protected: bool) -> float:
    """Return round trips a second of our client."""
    counters = CounterBlock(first_counter, LAST_COUNTER) if protected else None
    async with open_session(
        Url("tcp", "127.0.0.1", port), parameters(1, protected=protected), counters=counters
    ) as meter:
        return await meter.run(asking(meter.client, seconds))


def asking(client: Client, seconds: float) -> Steps[float]:
    """Read one register again and again; return times a second."""
    for _ in range(WARM):
        yield from client.get(Register.value, at=ENERGY)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(LOOK):
            value = yield from client.get(Register.value, at=ENERGY)
            same(value, ENERGY_WH, "our GET")
        count += LOOK
    return count / spent
