# SPDX-License-Identifier: Apache-2.0
"""A device's flash in a file: what a chip refuses, and an update through power cuts."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from device.power import Recorder, images
from firmware.device import FIRST, FLASH_OCTETS, POLICY, SEALED, SMALL
from openami.device import flash as module
from openami.device.flash import FlashFile, StoragePages
from openami.device.storage import StorageError
from openami.firmware.bank import (
    M2351,
    M2351_FLASH_OCTETS,
    M2351_LOG,
    M2351_STORAGE,
    Region,
)
from openami.firmware.boot import Running, boot, prepare
from openami.firmware.flash import FlashError
from openami.firmware.update import Update
from openami.psa import flash as psa
from openami.psa.pagestore import PageStore


def opened(path: Path) -> FlashFile:
    return FlashFile.open(path, FLASH_OCTETS, page_octets=SMALL.page_octets)


def test_it_keeps_what_it_was_given(tmp_path: Path) -> None:
    flash = opened(tmp_path / "flash")
    flash.program(8, b"12345678")
    flash.program(256, b"12345678")
    flash.erase(256)
    flash.close()
    again = opened(tmp_path / "flash")
    assert again.read(0, 24) == b"\xff" * 8 + b"12345678" + b"\xff" * 8
    assert again.read(256, 8) == b"\xff" * 8
    again.close()


@pytest.mark.parametrize(
    ("offset", "octets", "problem"),
    [
        (4, b"\x00" * 8, "no whole units"),
        (0, b"\x00" * 7, "no whole units"),
        (FLASH_OCTETS, b"\x00" * 8, "outside"),
        (16, b"\x00" * 8, "is not erased"),
    ],
)
def test_it_refuses_what_a_chip_could_not_do(
    tmp_path: Path, offset: int, octets: bytes, problem: str
) -> None:
    flash = opened(tmp_path / "flash")
    flash.program(16, b"\x00" * 8)
    with pytest.raises(FlashError, match=problem):
        flash.program(offset, octets)
    for place in (8, FLASH_OCTETS):
        with pytest.raises(FlashError):
            flash.erase(place)
    flash.close()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flash").write_bytes(b"short")
    with pytest.raises(StorageError, match="has 5 octets"):
        opened(tmp_path / "flash")
    with pytest.raises(StorageError, match="cannot be opened"):
        opened(tmp_path)


def test_an_update_outlives_a_power_cut_at_every_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flash"
    flash = opened(path)
    prepare(flash, SMALL, POLICY, FIRST.encode())
    before = path.read_bytes()
    recorder = Recorder(monkeypatch, module)
    octets = SEALED.encode()
    update = Update(flash, SMALL, POLICY)
    update.start(b"file", len(octets), 128)
    for number in range(-(-len(octets) // 128)):
        update.write(number, octets[number * 128 : (number + 1) * 128])
    update.finish()
    update.install()
    boot(flash, SMALL, POLICY)
    Update(flash, SMALL, POLICY).accept()
    flash.close()
    monkeypatch.undo()

    found: set[str] = set()
    for _, content in images(before, recorder.operations, Random(4)):
        path.write_bytes(content)
        after = opened(path)
        running = boot(after, SMALL, POLICY)
        assert isinstance(running, Running)
        counter = Update(after, SMALL, POLICY).standing().security_counter
        assert counter >= (running.verified.security_counter or 0) or running.trial
        found.add(str(running.verified.version))
        after.close()
    assert found == {"1.2.3+0", "1.3.0+0"}


def test_secure_storage_and_firmware_share_one_flash(tmp_path: Path) -> None:
    flash = FlashFile.open(tmp_path / "flash", M2351_FLASH_OCTETS)
    prepare(flash, M2351, POLICY, FIRST.encode())
    pages = StoragePages(flash, M2351_STORAGE)
    assert pages.pages == 8
    store = PageStore(pages)
    for number in range(300):
        store.commit({b"key": bytes(50 + number)})
    flash.close()

    again = FlashFile.open(tmp_path / "flash", M2351_FLASH_OCTETS)
    assert PageStore(StoragePages(again, M2351_STORAGE)).get(b"key") == bytes(349)
    assert isinstance(boot(again, M2351, POLICY), Running)
    again.close()


def test_storage_stays_inside_its_pages(tmp_path: Path) -> None:
    flash = FlashFile.open(tmp_path / "flash", M2351_FLASH_OCTETS)
    pages = StoragePages(flash, M2351_STORAGE)
    pages.program(0, bytes(8))
    for attempt in (
        lambda: pages.read(M2351_STORAGE.octets - 4, 8),
        lambda: pages.program(-8, bytes(8)),
        lambda: pages.program(0, bytes(8)),
        lambda: pages.erase(8),
    ):
        with pytest.raises(psa.FlashError):
            attempt()
    with pytest.raises(ValueError, match="made of pages"):
        StoragePages(flash, Region(1, 2048))
    flash.close()


def test_the_parts_of_the_flash_do_not_overlap() -> None:
    parts = sorted((*M2351.slots, M2351.state, M2351.scratch, M2351_STORAGE, M2351_LOG))
    for one, following in pairwise(parts):
        assert one.end <= following.offset
