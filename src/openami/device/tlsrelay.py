# SPDX-License-Identifier: Apache-2.0
"""The far side of the TLS partition: it ends TLS and DTLS, and passes wrapper frames through.

It holds one key, that of (D)TLS.  Who is at the other end is proved here, and whom the device dials
is told here: who stands at the door chooses neither.  What is inside of the frames is ciphered by
others, and their keys are not here.  `throughdoor` is the near side, and tells the words.
"""

import asyncio
import logging
import socket
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from openami.device.secure.door import knock
from openami.device.throughdoor import ENDS, NO_STATION, OVER, READY, SILENT, DoorWire
from openami.transport.carrier import Awaited, Carrier
from openami.transport.endpoint import dial
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, Wire, WireError

log = logging.getLogger(__name__)

MOST_WAITING: Final = 16
"""Frames of a caller that are kept until the door is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """Whom the device dials, and how its peer has to prove itself."""

    url: Url
    secured: Secured = field(repr=False)
    limits: Limits = DEFAULT_LIMITS


class _Relayed:
    """One connection of the device: a wire to the near side, and a carrier to the world."""

    def __init__(self, inside: DoorWire | None = None, outside: Carrier | None = None) -> None:
        self.inside, self.outside = inside, outside
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[int, int, bytes]] = deque()

    def begin(self, task: asyncio.Task[None]) -> None:
        """Hold the task that brings the other side."""
        self._task = task

    def inward(self, source: int, destination: int, apdu: bytes) -> None:
        """Pass a frame to the near side."""
        if source == destination == NO_STATION:
            return  # the words are between us
        if self.inside is not None:
            self._pass(self.inside, source, destination, apdu)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append((source, destination, apdu))

    def outward(self, source: int, destination: int, apdu: bytes) -> None:
        """Pass a frame to the world; nothing goes before the peer is known."""
        if self.outside is None:
            return
        if source != NO_STATION or destination != NO_STATION:
            self._pass(self.outside, source, destination, apdu)
        elif isinstance(self.outside, Awaited) and apdu[:1] == SILENT and len(apdu) == ENDS.size:
            _, *ends = ENDS.unpack(apdu)
            self.outside.silent(*ends)

    def stands(self) -> None:
        """Both sides are there."""
        if self.inside is None or self.outside is None:
            raise AssertionError("both sides are there")
        self.inside.word(READY, self.outside.name)
        while self._waiting:
            self._pass(self.inside, *self._waiting.popleft())

    def over(self, reason: str) -> None:
        """End both sides; the near one is told why."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self.inside is not None and self.inside.is_open:
            self.inside.word(OVER, reason)
            self.inside.close(reason)
        if self.outside is not None and self.outside.is_open:
            self.outside.close(reason)

    def _pass(self, carrier: Carrier, source: int, destination: int, apdu: bytes) -> None:
        try:
            carrier.send(source, destination, apdu)
        except WireError as error:
            self.over(str(error))


@dataclass(frozen=True, slots=True)
class _Inside:
    """Handles what comes from the near side."""

    relayed: _Relayed

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.relayed.outward(source, destination, apdu)

    def closed(self, reason: str) -> None:
        self.relayed.over(reason)


@dataclass(frozen=True, slots=True)
class _Outside:
    """Handles what comes from the world."""

    relayed: _Relayed

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.relayed.inward(source, destination, apdu)

    def closed(self, reason: str) -> None:
        self.relayed.over(reason)


async def serve_uplink(door: socket.socket, user: int, uplink: Uplink) -> asyncio.Server:
    """Dial for whoever knocks, if it is this user.

    Args:
        door: A listening socket of kind STREAM.
        user: Of the near side.
        uplink: Whom to dial.
    """

    async def bring(relayed: _Relayed) -> None:
        def accept(wire: Wire) -> _Outside:
            relayed.outside = wire
            relayed.stands()
            return _Outside(relayed)

        try:
            await dial(uplink.url, accept, secured=uplink.secured, limits=uplink.limits)
        except WireError as error:
            relayed.over(str(error))

    def knocked(wire: Wire) -> _Inside:
        if not isinstance(wire, DoorWire) or wire.user != user:
            raise WireError("a stranger stands at the partition's door")
        relayed = _Relayed(inside=wire)
        relayed.begin(asyncio.get_running_loop().create_task(bring(relayed)))
        return _Inside(relayed)

    return await asyncio.get_running_loop().create_unix_server(
        lambda: DoorWire(knocked, uplink.limits), sock=door
    )


class Callers:
    """Brings those who call the device to its near side."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Take the path of the near side's door."""
        self._path, self._limits = path, limits

    def accept(self, carrier: Carrier) -> _Outside:
        """Take a caller who has proved who it is."""
        relayed = _Relayed(outside=carrier)
        relayed.begin(asyncio.get_running_loop().create_task(self._bring(relayed)))
        return _Outside(relayed)

    async def _bring(self, relayed: _Relayed) -> None:
        def entered(wire: Wire) -> _Inside:
            relayed.inside = cast("DoorWire", wire)  # made below
            return _Inside(relayed)

        loop = asyncio.get_running_loop()
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            knock(line, self._path)
        except OSError as error:
            line.close()
            relayed.over(f"the device is not there ({error.strerror})")
            return
        await loop.create_unix_connection(lambda: DoorWire(entered, self._limits), sock=line)
        relayed.stands()
