# SPDX-License-Identifier: Apache-2.0
"""Flashes that began as one image: what one device changes, no other sees."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from firmware.device import FIRST, FLASH_OCTETS, POLICY, SEALED, SMALL
from openami.device.flash import FlashFile
from openami.device.sharedflash import LONGEST, SharedFlash, names_in
from openami.device.sharedoctets import SharedOctets
from openami.device.storage import StorageError
from openami.firmware.boot import Running, boot, prepare
from openami.firmware.flash import FlashError
from openami.firmware.update import Update

PAGE = SMALL.page_octets
BLANK = b"\xff" * FLASH_OCTETS


def opened(path: Path, image: bytes = BLANK) -> SharedFlash:
    return SharedFlash(image, path, page_octets=PAGE)


def whole(flash: SharedFlash) -> bytes:
    return flash.read(0, FLASH_OCTETS)


def prepared(folder: Path) -> bytes:
    """Return the image of a flash as it leaves the factory."""
    flash = FlashFile.open(folder / "factory", FLASH_OCTETS, page_octets=PAGE)
    prepare(flash, SMALL, POLICY, FIRST.encode())
    flash.close()
    return (folder / "factory").read_bytes()


def test_what_one_device_changes_no_other_sees(tmp_path: Path) -> None:
    image = prepared(tmp_path)
    one, other = opened(tmp_path / "one", image), opened(tmp_path / "other", image)
    page = SMALL.scratch.offset

    one.erase(page)
    one.program(page, b"12345678")
    one.sync()

    assert whole(other) == image
    assert other.own_pages == frozenset()
    other.close()
    assert not (tmp_path / "other").exists()
    assert len(one.own_pages) == 1
    one.close()
    again = opened(tmp_path / "one", image)
    assert again.read(page, 16) == b"12345678" + b"\xff" * 8
    assert whole(opened(tmp_path / "other", image)) == image
    assert (tmp_path / "one").stat().st_size < 2 * PAGE


def version_of(flash: SharedFlash) -> str:
    running = boot(flash, SMALL, POLICY)
    assert isinstance(running, Running)
    return str(running.verified.version)


def test_an_update_of_one_device_leaves_the_others_with_the_first_image(tmp_path: Path) -> None:
    image = prepared(tmp_path)
    one, other = opened(tmp_path / "one", image), opened(tmp_path / "other", image)
    octets = SEALED.encode()
    update = Update(one, SMALL, POLICY)
    update.start(b"file", len(octets), 128)
    for number in range(-(-len(octets) // 128)):
        update.write(number, octets[number * 128 : (number + 1) * 128])
    update.finish()
    update.install()

    assert version_of(one) == "1.3.0+0"
    Update(one, SMALL, POLICY).accept()
    one.close()
    assert version_of(opened(tmp_path / "one", image)) == "1.3.0+0"
    assert version_of(other) == "1.2.3+0"
    assert whole(other)[: SMALL.state.offset] == image[: SMALL.state.offset]


def test_an_altered_bank_of_one_device_does_not_boot_and_the_others_do(tmp_path: Path) -> None:
    image = prepared(tmp_path)
    one, other = opened(tmp_path / "one", image), opened(tmp_path / "other", image)
    page = SMALL.slots[0].offset + PAGE
    before = one.read(page, PAGE)
    one.erase(page)
    one.program(page, bytes([before[0] ^ 1]) + before[1:])

    assert not isinstance(boot(one, SMALL, POLICY), Running)
    assert version_of(other) == "1.2.3+0"


def test_it_is_what_a_file_of_its_own_would_be(tmp_path: Path) -> None:
    chance = Random(5)
    image = prepared(tmp_path)
    (tmp_path / "file").write_bytes(image)
    file = FlashFile.open(tmp_path / "file", FLASH_OCTETS, page_octets=PAGE)
    shared = opened(tmp_path / "own", image)
    for number in range(300):
        offset = chance.randrange(0, FLASH_OCTETS // 8) * 8
        octets = chance.randbytes(8 * chance.randint(1, 60))[: FLASH_OCTETS - offset]
        refused = []
        for flash in (file, shared):
            try:
                if number % 3 == 0:
                    flash.erase(offset // PAGE * PAGE)
                else:
                    flash.program(offset, octets)
            except FlashError as error:
                refused.append(str(error))
        assert len(refused) in {0, 2}
        assert len(set(refused)) < 2
        if number % 7 == 0:
            shared.sync()
        if number % 50 == 0:
            shared.close()
            shared = opened(tmp_path / "own", image)
        assert whole(shared) == file.read(0, FLASH_OCTETS)
    file.close()
    assert (tmp_path / "own").stat().st_size < (LONGEST + 2) * PAGE * (len(shared.own_pages) + 2)


IMAGE_PAGES = frozenset(
    page for slot in SMALL.slots for page in range(slot.offset // PAGE, slot.end // PAGE)
)
AT = SMALL.slots[1].offset
BLOCK = PAGE // 2


class Alike:
    """Devices that hold alike what they received alike."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.octets = SharedOctets(folder / "alike")

    def opened(self, name: str, image: bytes = BLANK) -> SharedFlash:
        path = self.folder / name
        return SharedFlash(image, path, page_octets=PAGE, alike=self.octets, shared=IMAGE_PAGES)


def received(flash: SharedFlash, octets: bytes, at: int) -> None:
    """Write octets as the blocks of an image come, each with a mark behind the pages."""
    for number in range(0, len(octets), BLOCK):
        flash.program(at + number, octets[number : number + BLOCK])
        flash.sync()


def test_what_many_receive_is_in_memory_once_and_on_disk_once(tmp_path: Path) -> None:
    alike, image = Alike(tmp_path), Random(3).randbytes(4 * PAGE)
    at = AT
    flashes = [alike.opened(f"{number}") for number in range(10)]
    for flash in flashes:
        received(flash, image, at)

    assert alike.octets.pages == 4
    assert len({id(flash._page(AT // PAGE)) for flash in flashes}) == 1
    for flash in flashes:
        flash.close()
    alike.octets.close()
    assert alike.octets.pages == 0
    assert (tmp_path / "alike").stat().st_size < len(image) * 1.2
    assert all((tmp_path / f"{number}").stat().st_size < len(image) / 2 for number in range(10))
    again = alike.opened("7")
    assert again.read(at, len(image)) == image
    again.close()


def test_a_written_anew_file_names_what_others_hold_and_says_the_rest(tmp_path: Path) -> None:
    alike, image = Alike(tmp_path), Random(3).randbytes(2 * PAGE)
    flash, at = alike.opened("flash"), AT
    received(flash, image, at)
    flash.program(at + 2 * PAGE, b"a mark.." * 3)
    before = whole(flash)
    place = SMALL.slots[1].end - PAGE
    for _ in range(5000):  # until it is written anew
        flash.erase(place)
        flash.sync()

    assert (tmp_path / "flash").stat().st_size < (LONGEST + 1) * PAGE * 5
    flash.close()
    assert len(names_in(tmp_path / "flash")) == len(image) // BLOCK
    assert whole(alike.opened("flash")) == before


def test_pages_that_may_hold_keys_stay_in_the_devices_own_file(tmp_path: Path) -> None:
    alike, secret = Alike(tmp_path), Random(4).randbytes(PAGE)
    flash = alike.opened("flash")
    flash.program(SMALL.scratch.offset, secret)
    flash.close()

    assert not (tmp_path / "alike").exists()
    assert secret in (tmp_path / "flash").read_bytes()


def test_octets_that_nobody_names_are_left_out(tmp_path: Path) -> None:
    alike, at = Alike(tmp_path), AT
    kept, gone = Random(5).randbytes(PAGE), Random(6).randbytes(PAGE)
    flash = alike.opened("flash")
    received(flash, gone, at)
    flash.erase(at)
    received(flash, kept, at)
    flash.close()
    other = alike.opened("other")
    received(other, kept, at)
    other.close()

    alike.octets.leave_out(names_in(tmp_path / "other"))
    alike.octets.close()

    assert (tmp_path / "alike").stat().st_size < PAGE * 1.2
    assert alike.opened("other").read(at, PAGE) == kept
    with pytest.raises(StorageError, match="does not hold"):
        alike.opened("flash")


def test_a_power_cut_leaves_a_device_whose_octets_are_there(tmp_path: Path) -> None:
    """The file of all is durable before a device's own speaks of it."""
    alike, at = Alike(tmp_path), AT
    order: list[str] = []
    flash = alike.opened("flash")
    received(flash, b"first..." * 16, at)
    assert flash._journal is not None
    assert alike.octets._journal is not None
    for name, journal in (("own", flash._journal), ("all", alike.octets._journal)):
        noted = journal.sync

        def sync(name: str = name, noted: Callable[[], None] = noted) -> None:
            order.append(name)
            noted()

        journal.sync = sync  # type: ignore[method-assign]
    flash.program(at + PAGE, b"second.." * 16)
    flash.sync()

    assert order == ["all", "own"]


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


def test_a_power_cut_leaves_what_was_durable_before(tmp_path: Path) -> None:
    flash = opened(tmp_path / "flash")
    flash.program(0, b"durable!")
    flash.sync()
    before, length = whole(flash), (tmp_path / "flash").stat().st_size
    flash.erase(0)
    flash.program(PAGE, b"the next")
    flash.sync()
    after, octets = whole(flash), (tmp_path / "flash").read_bytes()
    flash.close()

    seen = set()
    for cut in range(length, len(octets) + 1, 5):
        (tmp_path / "cut").write_bytes(octets[:cut])
        torn = opened(tmp_path / "cut")
        seen.add(whole(torn))
        torn.close()
    assert before in seen
    assert seen <= {before, b"\xff" * FLASH_OCTETS, after}


def test_a_damaged_file_is_refused_and_not_rolled_back(tmp_path: Path) -> None:
    path = tmp_path / "flash"
    flash = opened(path)
    flash.program(0, b"counter1")
    flash.sync()
    place = path.stat().st_size - 1
    for number in (1, 2):
        flash.program(number * PAGE, b"counter2")
        flash.sync()
    flash.close()
    octets = bytearray(path.read_bytes())
    octets[place] ^= 1
    path.write_bytes(octets)

    for _ in range(2):  # a second start is no better than the first
        with pytest.raises(StorageError, match=r"flash is damaged .*a bad record.*exchange"):
            opened(path)
    assert path.read_bytes() == octets


def test_an_image_of_half_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no whole pages"):
        SharedFlash(bytes(PAGE + 8), tmp_path / "flash", page_octets=PAGE)
