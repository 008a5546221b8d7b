# SPDX-License-Identifier: Apache-2.0
"""A relay between two UDP sockets that loses, doubles and reorders datagrams."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from openami.transport.url import Url

Address = tuple[str, int]
Fate = Callable[[bytes, bool], list[bytes]]
"""Given a datagram and whether it goes to the listener, return what is passed on."""


def clean(datagram: bytes, _upward: bool) -> list[bytes]:  # noqa: FBT001
    return [datagram]


@dataclass
class BadLine:
    """Loses some, doubles some and holds some back until the next comes."""

    seed: int = 1
    lost: float = 0.2
    doubled: float = 0.1
    held: float = 0.1
    count: int = 0
    _random: random.Random = field(init=False)
    _held: dict[bool, list[bytes]] = field(default_factory=lambda: {True: [], False: []})

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self, datagram: bytes, upward: bool) -> list[bytes]:  # noqa: FBT001
        drawn = self._random.random()
        late, self._held[upward] = self._held[upward], []
        if drawn < self.lost:
            self.count += 1
            return late
        if drawn < self.lost + self.doubled:
            return [datagram, datagram, *late]
        if drawn < self.lost + self.doubled + self.held:
            self._held[upward] = [datagram]
            return late
        return [datagram, *late]


class Relay(asyncio.DatagramProtocol):
    """Stands before a listener; one client at a time."""

    def __init__(self, to: Address, fate: Fate) -> None:
        self.to = to
        self.fate = fate
        self.client: Address | None = None
        self.seen: list[tuple[bool, bytes]] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        upward = addr[:2] != self.to
        if upward:
            self.client = addr
        self.seen.append((upward, data))
        for each in self.fate(data, upward):
            if (to := self.to if upward else self.client) is not None:
                self.transport.sendto(each, to)

    @property
    def address(self) -> Address:
        return cast("Address", self.transport.get_extra_info("sockname")[:2])

    def url(self, scheme: Any) -> Url:
        return Url(scheme, *self.address)

    def close(self) -> None:
        self.transport.close()


async def open_relay(url: Url, fate: Fate = clean) -> Relay:
    loop = asyncio.get_running_loop()
    _, relay = await loop.create_datagram_endpoint(
        lambda: Relay((url.host, url.port), fate), local_addr=("127.0.0.1", 0)
    )
    return relay
