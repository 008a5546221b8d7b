# SPDX-License-Identifier: Apache-2.0
import random

import pytest

from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, Bank, FlashMap, Region
from openami.firmware.flash import SYNC, FlashError, SimulatedFlash


def flash(pages: int = 4) -> SimulatedFlash:
    return SimulatedFlash(pages * 256, page_octets=256)


def test_it_programs_what_is_erased_and_erases_pages() -> None:
    made = flash()
    made.program(8, b"12345678")
    made.program(256, b"\x00" * 16)
    made.erase(256)
    made.sync()
    assert made.read(0, 24) == b"\xff" * 8 + b"12345678" + b"\xff" * 8
    assert made.read(256, 16) == b"\xff" * 16
    assert made.operations[-1] is SYNC


@pytest.mark.parametrize(
    ("offset", "octets", "problem"),
    [
        (4, b"\x00" * 8, "no whole units"),
        (0, b"\x00" * 7, "no whole units"),
        (1024, b"\x00" * 8, "outside"),
        (1020, b"\x00" * 8, "outside"),
        (-8, b"\x00" * 8, "outside"),
        (16, b"\x00" * 8, "0x17 is not erased"),
    ],
)
def test_what_a_flash_cannot_do_is_refused(offset: int, octets: bytes, problem: str) -> None:
    made = flash()
    made.program(16, b"\xff" * 7 + b"\x00")
    with pytest.raises(FlashError, match=problem):
        made.program(offset, octets)


def test_only_pages_are_erased() -> None:
    for offset in (8, 1024):
        with pytest.raises(FlashError):
            flash().erase(offset)


def test_what_was_synced_outlives_every_cut() -> None:
    made = flash()
    made.program(0, b"durable!")
    made.sync()
    made.program(8, b"perhaps!")
    for seed in range(50):
        after = made.after_cut(len(made.operations), random.Random(seed).randrange)
        assert after.read(0, 8) == b"durable!"
        assert after.operations == []


def test_what_was_not_synced_is_kept_lost_or_torn() -> None:
    made = flash()
    made.program(0, b"\x00" * 64)
    made.sync()
    made.erase(0)
    made.program(0, b"\x5a" * 64)
    seen = set()
    for seed in range(300):
        after = made.after_cut(4, random.Random(seed).randrange)
        seen.add(after.read(0, 64))
    whole = b"\x5a" * 64
    assert whole in seen
    assert b"\x00" * 64 in seen, "an erase that was lost, and a write into what is there"
    assert b"\xff" * 64 in seen
    assert len(seen) > 20, "torn in many ways"
    lost = made.after_cut(4, lambda _: 0)
    assert lost.read(0, 64) == b"\x00" * 64
    assert made.after_cut(3, lambda _: 1).read(0, 64) == b"\xff" * 64
    assert made.after_cut(0, lambda _: 1).read(0, 64) == b"\xff" * 64


def test_the_map_of_the_part() -> None:
    assert M2351.room == 220 * 1024
    for bank in Bank:
        assert M2351.slot(bank).octets == 224 * 1024
        assert M2351.log(bank).end == M2351.slot(bank).end
    assert M2351.slot(Bank.B).end == M2351_FLASH_OCTETS
    assert M2351.slot(Bank.A).offset == 0x8000
    assert M2351.slot(Bank.B).offset == 0x48000
    assert [bank.other for bank in Bank] == [Bank.B, Bank.A]


@pytest.mark.parametrize(
    ("slots", "state", "scratch", "problem"),
    [
        (((0, 2048), (1024, 2048)), (4096, 512), (8192, 256), "overlap"),
        (((0, 2048), (2048, 2048)), (4000, 512), (8192, 256), "pages"),
        (((0, 2048), (2048, 2047)), (4608, 512), (8192, 256), "pages"),
        (((0, 2048), (2048, 2048)), (4096, 256), (8192, 256), "two pages"),
        (((0, 2048), (2048, 2048)), (4096, 512), (8192, 512), "one page"),
    ],
)
def test_a_map_that_cannot_be_is_refused(
    slots: tuple[tuple[int, int], tuple[int, int]],
    state: tuple[int, int],
    scratch: tuple[int, int],
    problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem):
        FlashMap(
            slots=(Region(*slots[0]), Region(*slots[1])),
            state=Region(*state),
            scratch=Region(*scratch),
            log_octets=512,
            page_octets=256,
        )
