# SPDX-License-Identifier: Apache-2.0
"""The link between a meter's modules: sealed messages a second, over each line.

Both ends run in this process and share one core, so a figure holds all the work of both: sealing,
framing, acknowledging, the line itself.  A message is one closed interval, 30 octets; seven may be
under way.  Each arrives once and in order, or no figure is taken.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.measure import OURS, Row, Scale, same
from openami.device.link import Link, Message
from openami.device.pairing import Pair, SoftwareKey
from openami.meter.line import DescriptorLine, Line
from openami.transport.serial import Receive, make_raw
from openami.transport.spi import SpiMaster, SpiSlave, wires

KIND = 64
INTERVAL = bytes(range(22))
LINES = ("UART (pseudo-terminal)", "SPI, slots of 64 octets", "SPI, slots of 256 octets")


class End:
    """One module: sends on whenever there is room, and counts what comes."""

    def __init__(self, pair: Pair, *, opens: bool) -> None:
        self.link = Link(pair=pair, opens=opens, entropy=os.urandom)
        self.line: Line | None = None
        self.sending = False
        self.sent = self.got = 0

    def receive(self, octets: bytes) -> None:
        for event in self.link.receive(octets, time.monotonic()):
            if isinstance(event, Message):
                same(int.from_bytes(event.payload[:8]), self.got, "the next message")
                self.got += 1
        self.act()

    def act(self) -> None:
        now_s = time.monotonic()
        while self.sending and self.link.room:
            self.link.send(KIND, self.sent.to_bytes(8) + INTERVAL, now_s)
            self.sent += 1
        self.link.tick(now_s)
        if self.line is not None and (octets := self.link.take_output()):
            self.line.send(octets)


def measure(scale: Scale) -> Iterator[Row]:
    """Measure each line."""
    for name in LINES:
        row = Row(f"meter's modules, {name}", "messages/s", note="both ends on one core")
        for _ in range(scale.rounds):
            row.add({OURS: asyncio.run(_rate(name, scale.seconds))})
        yield row


async def _rate(name: str, seconds: float) -> float:
    keys = [SoftwareKey.fresh(os.urandom) for _ in range(2)]
    management = End(Pair(keys[0], keys[1].public), opens=True)
    metrology = End(Pair(keys[1], keys[0].public), opens=False)
    with _joined(name, management.receive, metrology.receive) as lines:
        for end, line in zip((management, metrology), lines, strict=True):
            end.line = line
            line.open()
        while not metrology.link.joined:
            management.act()
            metrology.act()
            await asyncio.sleep(0.001)
        metrology.sending, began = True, time.perf_counter()
        metrology.act()
        while (spent := time.perf_counter() - began) < seconds:
            await asyncio.sleep(0.01)
            metrology.act()
        count = management.got
        for line in lines:
            line.close()
    if not count:
        raise SystemExit(f"nothing arrived over {name}: no figure is taken from it")
    return count / spent


@contextmanager
def _joined(name: str, up: Receive, down: Receive) -> Iterator[tuple[Line, Line]]:
    """Lend both ends of a line: management's and metrology's."""
    if name == LINES[0]:
        master, slave = os.openpty()
        try:
            make_raw(slave)
            yield DescriptorLine(slave, up), DescriptorLine(master, down)
        finally:
            os.close(master)
            os.close(slave)
    else:
        size = 64 if name == LINES[1] else 256
        ends = partial(SpiMaster, slot_octets=size), partial(SpiSlave, slot_octets=size)
        with wires() as (master, slave):
            yield ends[0](master, receive=up), ends[1](slave, receive=down)
