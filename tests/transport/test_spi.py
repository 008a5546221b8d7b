# SPDX-License-Identifier: Apache-2.0
"""SPI between two ends: slots at once either way, data-ready, ends that come and go."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine

import pytest

from device.modules import link
from openami.device.link import Message
from openami.transport import spi
from openami.transport.spi import SLOTS, SpiMaster, SpiSlave, wires

PATIENCE_S = 20.0
SAID = [bytes([n]) * (40 * n) for n in range(20)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  what is waited for sets no event
            await asyncio.sleep(0.001)


def ran(story: Callable[[int, int], Coroutine[None, None, None]]) -> None:
    with wires() as (master, slave):
        asyncio.run(story(master, slave))


@pytest.mark.parametrize("size", SLOTS)
def test_a_stream_arrives_whole_from_either_end(size: int) -> None:
    async def story(master: int, slave: int) -> None:
        at_master, at_slave = bytearray(), bytearray()
        up = SpiSlave(slave, size, at_slave.extend)
        down = SpiMaster(master, size, at_master.extend)
        up.open()
        down.open()
        said = bytes(range(1, 256)) * 9
        up.send(said)  # the slave begins: only its line can say so
        await until(lambda: bytes(at_master).rstrip(b"\x00") == said)
        assert not at_slave
        down.send(said)
        up.send(said)
        await until(lambda: bytes(at_slave).rstrip(b"\x00") == said)
        await until(lambda: bytes(at_master).replace(b"\x00", b"") == 2 * said)
        assert len(at_master) % size == len(at_slave) % size == 0
        transfers = down.transfers
        await asyncio.sleep(3 * spi.TRANSFER_S)
        assert down.transfers == up.transfers == transfers  # nobody clocks an idle line
        assert down.lost_octets == up.lost_octets == 0
        up.close()
        down.close()

    ran(story)


def test_slots_are_of_one_size_and_go_both_ways_at_once() -> None:
    async def story(master: int, slave: int) -> None:
        far = socket.socket(fileno=os.dup(master))
        far.settimeout(0)
        up = SpiSlave(slave, 64, lambda _: None)
        up.open()
        up.send(b"ready" * 20)
        assert far.recv(99) == spi.HIGH
        slots = []
        for _ in range(2):
            far.send(bytes(64))
            await until(lambda: up.transfers == len(slots) + 1)
            slots.append(far.recv(99))
            if slots[-1] == spi.LOW:
                slots[-1] = far.recv(99)
        assert slots == [(b"ready" * 20)[:64], (b"ready" * 20)[64:].ljust(64, b"\x00")]
        far.close()
        up.close()

    ran(story)


def test_what_is_clocked_to_nobody_is_lost_and_an_end_that_returns_is_heard() -> None:
    async def story(master: int, slave: int) -> None:
        heard: list[bytes] = []
        down = SpiMaster(master, 64, heard.append)
        down.open()
        down.send(b"\x05" * 640)
        await until(lambda: down.lost_octets >= 640)

        got: list[bytes] = []
        up = SpiSlave(slave, 64, got.append)
        up.open()
        down.send(b"\x06" * 64)
        await until(lambda: got == [b"\x06" * 64])
        down.close()
        up.send(b"\x07" * 64)
        down = SpiMaster(master, 64, heard.append)
        down.open()
        up.send(b"\x08" * 64)  # says again that the line is high
        await until(lambda: heard == [b"\x07" * 64, b"\x08" * 64])
        up.close()
        down.close()

    ran(story)


def test_a_queue_has_an_end_and_a_slot_a_size() -> None:
    async def story(master: int, slave: int) -> None:
        up = SpiSlave(slave, 64, lambda _: None)
        up.open()
        up.send(bytes(spi.MOST_WAITING_OCTETS))
        up.send(b"\x01")
        assert up.lost_octets == 1
        up.close()
        with pytest.raises(ValueError, match="a slot of 65"):
            SpiMaster(master, 65, lambda _: None)

    ran(story)


class Module:
    """One end of a link on its line; says twenty messages of growing length."""

    def __init__(self, kind: type[SpiMaster | SpiSlave], descriptor: int, size: int) -> None:
        self.link = link(opens=kind is SpiMaster)
        self.got: list[bytes] = []
        self._line = kind(descriptor, size, self._receive)
        self._waiting = list(SAID)
        self._line.open()

    def act(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self.link.room and self._waiting:
            self.link.send(64, self._waiting.pop(0), now_s)
        self.link.tick(now_s)
        if octets := self.link.take_output():
            self._line.send(octets)

    def close(self) -> None:
        self._line.close()

    def _receive(self, octets: bytes) -> None:
        events = self.link.receive(octets, asyncio.get_running_loop().time())
        self.got += [event.payload for event in events if isinstance(event, Message)]
        self.act()


@pytest.mark.parametrize("size", SLOTS)
def test_a_link_joins_and_delivers_over_slots(size: int) -> None:
    async def story(master: int, slave: int) -> None:
        ends = Module(SpiMaster, master, size), Module(SpiSlave, slave, size)

        def done() -> bool:
            for end in ends:
                end.act()
            return all(len(end.got) == len(SAID) for end in ends)

        await until(done)
        for end in ends:
            assert end.got == SAID
            assert end.link.spoilt_frames == 0
            end.close()

    ran(story)
