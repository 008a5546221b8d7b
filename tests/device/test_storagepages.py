# SPDX-License-Identifier: Apache-2.0
"""The secure world's stores on the flash of the device, under cuts that leave half-set bits."""

import random
from pathlib import Path

import pytest

from openami.device.flash import FlashFile, StoragePages
from openami.firmware.bank import Region
from openami.firmware.flash import SimulatedFlash
from openami.psa.flash import PAGE_OCTETS, FlashError
from openami.psa.pagestore import PageStore
from openami.psa.status import PsaError, Status

PAGES, FIRST, HELD = 8, 2, 4
REGION = Region(FIRST * PAGE_OCTETS, HELD * PAGE_OCTETS)
VALUES = [b"%d" % number * (37 * number % 300) for number in range(1, 60)]


def test_each_commit_is_whole_or_undone_on_flash_that_mixes_bits() -> None:
    flash = SimulatedFlash(PAGES * PAGE_OCTETS)
    flash.program(0, b"image of" * 8)
    flash.program((FIRST + HELD) * PAGE_OCTETS, b"boot log")
    store = PageStore(StoragePages(flash, REGION))
    ends = []
    for number, value in enumerate(VALUES):
        store.commit({b"number": b"%d" % number, b"value": value, b"fixed": b"x" * 900})
        ends.append(len(flash.operations))
    moves = sum(
        operation is not None and operation.octets is None for operation in flash.operations
    )
    assert moves >= 8
    for moment in range(ends[0], len(flash.operations) + 1):
        draw = random.Random(moment)
        for _ in range(4):
            left = flash.after_cut(moment, draw.randrange)
            found = PageStore(StoragePages(left, REGION))
            number = int(found.get(b"number") or b"-1")
            assert found.get(b"value") == VALUES[number]
            done = sum(end <= moment for end in ends) - 1
            assert number in ({done} if moment in ends else {done, done + 1})
            found.commit({b"number": b"0", b"value": VALUES[0]})
            again = PageStore(StoragePages(left, REGION))
            assert again.get(b"value") == VALUES[0]
            assert again.get(b"fixed") == b"x" * 900
            assert left.read(0, 64) == b"image of" * 8
            assert left.read((FIRST + HELD) * PAGE_OCTETS, 8) == b"boot log"


def test_a_store_in_a_file_is_there_the_next_time(tmp_path: Path) -> None:
    for number in range(50):
        flash = FlashFile.open(tmp_path / "flash", PAGES * PAGE_OCTETS)
        store = PageStore(StoragePages(flash, REGION))
        assert store.get(b"number") == (b"%d" % (number - 1) if number else None)
        store.commit({b"number": b"%d" % number, b"fill": bytes(500)})
        flash.close()


def test_a_region_ends_where_it_ends() -> None:
    flash = SimulatedFlash(PAGES * PAGE_OCTETS)
    region = StoragePages(flash, REGION)
    whole = HELD * PAGE_OCTETS
    for call in (
        lambda: region.read(-1, 1),
        lambda: region.read(0, whole + 1),
        lambda: region.program(whole, bytes(8)),
        lambda: region.erase(whole),
    ):
        with pytest.raises(FlashError, match="are outside of"):
            call()
    for call in (
        lambda: region.program(4, bytes(8)),
        lambda: region.erase(8),
        lambda: StoragePages(flash, Region(PAGES * PAGE_OCTETS, 2 * PAGE_OCTETS)).read(0, 1),
    ):
        with pytest.raises(FlashError):
            call()
    region.program(8, bytes(8))
    assert flash.read(FIRST * PAGE_OCTETS + 8, 8) == bytes(8)


def test_a_file_that_fails_is_a_storage_failure(tmp_path: Path) -> None:
    flash = FlashFile.open(tmp_path / "flash", PAGES * PAGE_OCTETS)
    store = PageStore(StoragePages(flash, REGION))
    flash.close()
    with pytest.raises(PsaError) as caught:
        store.commit({b"a": b"1"})
    assert caught.value.status is Status.STORAGE_FAILURE
