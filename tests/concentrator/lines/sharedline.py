# SPDX-License-Identifier: Apache-2.0
"""A line that several meters share, as RS-485 does: everybody hears everybody.

The concentrator's end is a pseudo-terminal or a TCP port.  Each meter is the product's HDLC server
before a test meter; it may be silent, or cut off.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chain import TestMeter
from chainparts import MeterLine
from openami.dlms.hdlc.address import Station
from openami.transport.hdlc import DEFAULT_SETTINGS, HdlcServerWire
from openami.transport.serial import PtyLine, SerialLine


@dataclass
class Drop:
    """Where a meter hangs on the line."""

    shared: "SharedLine"
    wire: "HdlcServerWire | SerialEar"
    is_cut: bool = False

    def send(self, octets: bytes) -> None:
        if not self.is_cut:
            self.shared.from_meter(self, octets)

    def close(self) -> None:
        if isinstance(self.wire, HdlcServerWire):
            self.wire.line_lost("the meter is taken off")

    def octets(self, octets: bytes) -> None:
        if not self.is_cut:
            self.wire.octets(octets)


@dataclass
class SerialEar:
    """What a meter of another process hears."""

    line: SerialLine

    def octets(self, octets: bytes) -> None:
        self.line.send(octets)


class OnLine(MeterLine):
    """The test meter behind HDLC."""

    def disconnected(self, client: int) -> None:
        self.server.lost(client)


@dataclass
class SharedLine:
    """The line.

    Attributes:
        to_master: Where octets of meters go.
        drops: By physical address.
        heard: All that the master said.
        answered: Octets of all meters.
        online: Meters of this process, by physical address.
        spoken: Physical addresses of meters that spoke, in order.
    """

    to_master: Callable[[bytes], None] = lambda _octets: None
    drops: dict[int, Drop] = field(default_factory=dict)
    heard: bytearray = field(default_factory=bytearray)
    answered: int = 0
    online: dict[int, "OnLine"] = field(default_factory=dict)
    spoken: list[int] = field(default_factory=list)
    lose: int = 0  # the next so many answers of meters are lost

    def hang(self, meter: TestMeter, physical: int) -> OnLine:
        """Hang a meter on the line."""
        made: list[OnLine] = []

        def accept(wire: HdlcServerWire) -> OnLine:
            made.append(OnLine(meter, wire))  # type: ignore[arg-type]  # it sends as a wire does
            return made[0]

        wire = HdlcServerWire(Station.of([1], physical), DEFAULT_SETTINGS, "master", accept)
        drop = Drop(self, wire)
        wire.line = drop
        self.drops[physical] = drop
        self.online[physical] = made[0]
        return made[0]

    def hang_serial(self, physical: int, of: type[SerialLine], path: Path) -> None:
        """Hang a meter of another process on the line, by its own serial line."""
        line = of(path, lambda octets: self.from_meter(drop, octets))
        drop = Drop(self, SerialEar(line))
        line.open()
        self.drops[physical] = drop

    def from_master(self, octets: bytes) -> None:
        self.heard += octets
        for drop in list(self.drops.values()):
            drop.octets(octets)

    def from_meter(self, drop: Drop, octets: bytes) -> None:
        self.answered += len(octets)
        self.spoken += [number for number, each in self.drops.items() if each is drop]
        if self.lose:
            self.lose -= 1
            return
        self.to_master(octets)
        for other in self.drops.values():
            if other is not drop:
                other.octets(octets)

    def pty(self, path: Path) -> PtyLine:
        """Give the master a pseudo-terminal."""
        line = PtyLine(path, self.from_master)
        line.open()
        self.to_master = line.send
        return line

    async def tcp(self) -> asyncio.Server:
        """Give the master a TCP port, of one connection at a time."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.to_master = writer.write
            try:
                while octets := await reader.read(4096):
                    self.from_master(octets)
            except ConnectionError:
                pass
            finally:
                self.to_master = lambda _octets: None
                writer.close()

        return await asyncio.start_server(serve, "127.0.0.1", 0)
