# SPDX-License-Identifier: Apache-2.0
"""A line over a pseudo-terminal: every octet value, a peer that goes and comes, a full line."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from openami.runtime.errors import UserError
from openami.transport.serial import MOST_WAITING_OCTETS, PtyLine, SerialLine


class End:
    """Collects what arrives and lets a test wait for it."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.changed = asyncio.Event()

    def receive(self, octets: bytes) -> None:
        self.octets += octets
        self.changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                self.changed.clear()
                await self.changed.wait()


async def opened(line: SerialLine) -> None:
    line.open()
    async with asyncio.timeout(10):
        while not line.is_open:  # noqa: ASYNC110  the line polls for its device
            await asyncio.sleep(0.01)


def test_all_octets_cross_in_both_directions(tmp_path: Path) -> None:
    async def conversation() -> None:
        here, there = End(), End()
        metrology = PtyLine(tmp_path / "uart", here.receive)
        management = SerialLine(tmp_path / "uart", there.receive, speed=115_200)
        await opened(metrology)
        await opened(management)
        everything = bytes(range(256)) * 8
        metrology.send(everything)
        management.send(everything)
        await there.until(lambda: there.octets == everything)
        await here.until(lambda: here.octets == everything)
        management.close()
        metrology.close()

    asyncio.run(conversation())


def test_a_peer_may_open_before_the_line_is_there(tmp_path: Path) -> None:
    async def conversation() -> None:
        there = End()
        management = SerialLine(tmp_path / "uart", there.receive)
        management.open()
        assert not management.is_open
        metrology = PtyLine(tmp_path / "uart", End().receive)
        await opened(metrology)
        async with asyncio.timeout(10):
            while not management.is_open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        metrology.send(b"here")
        await there.until(lambda: there.octets == b"here")
        management.close()
        metrology.close()

    asyncio.run(conversation())


def test_the_slave_side_may_go_and_come(tmp_path: Path) -> None:
    async def conversation() -> None:
        here = End()
        metrology = PtyLine(tmp_path / "uart", here.receive)
        await opened(metrology)
        for number in range(3):
            management = SerialLine(tmp_path / "uart", End().receive)
            await opened(management)
            management.send(bytes([number]))
            await here.until(lambda number=number: len(here.octets) == number + 1)
            management.close()
        assert here.octets == bytes([0, 1, 2])
        metrology.close()

    asyncio.run(conversation())


def test_the_master_side_may_go_and_come(tmp_path: Path) -> None:
    async def conversation() -> None:
        there = End()
        management = SerialLine(tmp_path / "uart", there.receive)
        for number in range(3):
            metrology = PtyLine(tmp_path / "uart", End().receive)
            await opened(metrology)

            async def keep_sending(line: PtyLine = metrology, octet: int = number) -> None:
                while True:
                    line.send(bytes([octet]))
                    await asyncio.sleep(0.02)

            sending = asyncio.create_task(keep_sending())
            management.open()
            await there.until(lambda number=number: number in there.octets)
            sending.cancel()
            metrology.close()
        management.close()

    asyncio.run(conversation())


def test_a_line_that_nobody_reads_loses_octets_and_says_so(tmp_path: Path) -> None:
    async def conversation() -> None:
        metrology = PtyLine(tmp_path / "uart", End().receive)
        assert metrology.lost_octets == 0
        metrology.send(b"before it is open")
        assert metrology.lost_octets == 17
        await opened(metrology)
        for _ in range(200):
            metrology.send(bytes(1000))
        assert 0 < metrology.lost_octets < 200_000
        assert metrology._waiting_octets <= MOST_WAITING_OCTETS
        metrology.close()

    asyncio.run(conversation())


def test_a_peer_that_reads_slowly_gets_everything_that_was_not_lost(tmp_path: Path) -> None:
    async def conversation() -> None:
        there = End()
        metrology = PtyLine(tmp_path / "uart", End().receive)
        await opened(metrology)
        sent = bytes(n % 251 for n in range(50_000))
        metrology.send(sent)
        management = SerialLine(tmp_path / "uart", there.receive)
        await opened(management)
        await there.until(lambda: len(there.octets) == len(sent))
        assert there.octets == sent
        management.close()
        metrology.close()

    asyncio.run(conversation())


def test_an_unknown_speed_is_refused(tmp_path: Path) -> None:
    async def attempt() -> None:
        SerialLine(tmp_path / "uart", End().receive, speed=12_345)

    with pytest.raises(UserError, match="no speed of 12345 baud: choose one of 300"):
        asyncio.run(attempt())


def test_what_is_no_serial_line_is_waited_for(tmp_path: Path) -> None:
    async def attempt() -> None:
        (tmp_path / "uart").write_bytes(b"")
        line = SerialLine(tmp_path / "uart", End().receive)
        line.open()
        assert not line.is_open
        line.close()

    asyncio.run(attempt())
