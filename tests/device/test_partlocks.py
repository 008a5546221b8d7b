# SPDX-License-Identifier: Apache-2.0
"""Words that lock: one way, whole or not at all; execute-only regions are run and never read."""

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from device.labs import Cut, PowerCutError, cutting, device
from openami.device.executeonly import call, packed
from openami.device.files import FLASH_FILE
from openami.device.flash import FlashFile
from openami.device.lockwords import LOCKS_FILE, XOM_REGIONS, Lock, Locks
from openami.device.partlocks import LockError, blank, close, locks_of, put_execute_only
from openami.device.storage import StorageError
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, M2351_LOG, Bank, Region
from openami.firmware.flash import PAGE_OCTETS, FlashError
from openami.runtime.users import Part, users_here

FIRST = Region(M2351_LOG.offset, PAGE_OCTETS)
SECRET = b"a secret constant"
MAIN = f"""
import hashlib, sys
data = sys.stdin.buffer.read()
if data == b"fail":
    sys.exit(3)
sys.stdout.buffer.write(hashlib.sha256({SECRET!r} + data).digest())
"""


def program() -> bytes:
    """Return a zipapp that keeps a constant to itself."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w") as archive:
        archive.writestr("__main__.py", MAIN)
    return octets.getvalue()


def flash_of(folder: Path) -> FlashFile:
    return FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)


def test_a_part_without_words_is_open(tmp_path: Path) -> None:
    device(tmp_path)
    assert locks_of(tmp_path) == Locks()
    assert Locks.decode(blank()) == Locks()
    close(tmp_path, Lock.SECURE)
    assert locks_of(tmp_path) == Locks(closed=frozenset({Lock.SECURE}))
    assert (tmp_path / LOCKS_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("octet", [0x00, 0x5B, 0xFF, 0x1A])
def test_any_octet_but_one_is_locked(octet: int) -> None:
    page = bytearray(blank())
    page[Lock.ALL.value] = octet
    assert Locks.decode(bytes(page)).closed == {Lock.ALL}


def test_words_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    device(tmp_path)
    (tmp_path / LOCKS_FILE).write_bytes(blank()[:-1])
    with pytest.raises(StorageError, match="the words of the part 2048: restore it"):
        flash_of(tmp_path)


@pytest.mark.parametrize("torn", [False, True], ids=["lost", "torn"])
def test_a_lock_that_was_cut_off_is_open_or_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, torn: bool
) -> None:
    device(tmp_path)
    close(tmp_path, Lock.PORT)
    with cutting(monkeypatch, Cut(0, torn)), pytest.raises(PowerCutError):
        close(tmp_path, Lock.ALL)
    assert locks_of(tmp_path).closed == ({Lock.PORT, Lock.ALL} if torn else {Lock.PORT})
    close(tmp_path, Lock.ALL)
    assert Lock.ALL in locks_of(tmp_path).closed


# Execute-only regions -----------------------------------------------------------------------


def test_octets_run_and_are_never_read(tmp_path: Path) -> None:
    device(tmp_path)
    put_execute_only(tmp_path, 2, FIRST, packed(program()))
    assert SECRET in (tmp_path / FLASH_FILE).read_bytes()
    flash = flash_of(tmp_path)
    assert flash.read(*FIRST) == b"\xff" * FIRST.octets
    assert flash.read(FIRST.offset - 8, 16)[8:] == b"\xff" * 8
    assert SECRET not in flash.read(0, M2351_FLASH_OCTETS)
    flash.close()
    assert call(tmp_path, 2, b"data") == hashlib.sha256(SECRET + b"data").digest()
    with pytest.raises(LockError, match="region 2 ended with status 3"):
        call(tmp_path, 2, b"fail")
    with pytest.raises(LockError, match="no execute-only region 0"):
        call(tmp_path, 0, b"")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as others")
def test_it_runs_as_a_user_of_its_own(tmp_path: Path) -> None:
    device(tmp_path)
    user = users_here().get(Part.SECURE)
    assert user is not None
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w") as archive:
        archive.writestr("__main__.py", "import os; print(os.getuid(), end='')")
    put_execute_only(tmp_path, 0, FIRST, packed(octets.getvalue()))
    assert call(tmp_path, 0, b"", user) == str(user.uid).encode()


def test_software_neither_changes_nor_erases_it(tmp_path: Path) -> None:
    device(tmp_path)
    put_execute_only(tmp_path, 0, FIRST, b"program")
    flash = flash_of(tmp_path)
    for change in (
        lambda: flash.erase(FIRST.offset),
        lambda: flash.program(FIRST.offset, bytes(8)),
        lambda: flash.program(FIRST.offset - 8, bytes(16)),
    ):
        with pytest.raises(FlashError, match="execute-only, region 0: only a mass erase"):
            change()
    flash.erase(FIRST.end)
    flash.close()


def test_a_region_is_used_once(tmp_path: Path) -> None:
    device(tmp_path)
    put_execute_only(tmp_path, 0, FIRST, b"program")
    with pytest.raises(LockError, match="only an erase ends it"):
        put_execute_only(tmp_path, 0, Region(FIRST.end, PAGE_OCTETS), b"another")
    with pytest.raises(LockError, match="only an erase ends it"):
        put_execute_only(tmp_path, 1, FIRST, b"another")
    put_execute_only(tmp_path, 1, Region(FIRST.end, PAGE_OCTETS), b"another")
    assert [number for number, _ in locks_of(tmp_path).execute_only] == [0, 1]


@pytest.mark.parametrize(
    ("number", "region", "rule"),
    [
        (XOM_REGIONS, FIRST, "regions 0 to 3"),
        (-1, FIRST, "regions 0 to 3"),
        (0, Region(FIRST.offset + 8, PAGE_OCTETS), "pages of 2048"),
        (0, Region(FIRST.offset, 0), "pages of 2048"),
        (0, Region(FIRST.offset, 100), "pages of 2048"),
        (0, Region(0, PAGE_OCTETS), "inside of 0x46000"),
        (0, M2351.slot(Bank.A), "inside of 0x46000"),
        (0, Region(FIRST.offset, 8 * PAGE_OCTETS), "inside of 0x46000"),
    ],
)
def test_what_cannot_be_a_region(tmp_path: Path, number: int, region: Region, rule: str) -> None:
    device(tmp_path)
    with pytest.raises(LockError, match=rule):
        put_execute_only(tmp_path, number, region, b"x")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    device(tmp_path)
    with pytest.raises(LockError, match="2049 octets do not fit into 2048"):
        put_execute_only(tmp_path, 0, FIRST, bytes(PAGE_OCTETS + 1))


@pytest.mark.parametrize("torn", [False, True], ids=["lost", "torn"])
def test_power_is_cut_while_a_region_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, torn: bool
) -> None:
    number = 0
    while True:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        device(folder)
        cut = Cut(number, torn)
        with cutting(monkeypatch, cut), suppress(PowerCutError):
            put_execute_only(folder, 0, FIRST, b"program")
        if not cut.happened:
            break
        assert locks_of(folder).execute_only in {(), ((0, FIRST),)}
        if not locks_of(folder).execute_only:
            put_execute_only(folder, 0, FIRST, b"program")
        flash = flash_of(folder)
        assert flash.fetch(FIRST.offset, 7) == b"program"
        flash.close()
        number += 1
    assert number == 5


def test_a_word_never_gets_a_bit_back(tmp_path: Path) -> None:
    device(tmp_path)
    close(tmp_path, Lock.SECURE)
    page = bytearray((tmp_path / LOCKS_FILE).read_bytes())
    page[0:4] = (0).to_bytes(4, "little")
    (tmp_path / LOCKS_FILE).write_bytes(page)
    with pytest.raises(LockError, match="only a mass erase brings bits back"):
        put_execute_only(tmp_path, 0, FIRST, b"x")


@pytest.mark.parametrize("damage", [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 20)])
def test_a_damaged_program_does_not_run(tmp_path: Path, damage: slice) -> None:
    device(tmp_path)
    octets = bytearray(packed(program()))
    octets[damage] = bytes(each ^ 1 for each in octets[damage])
    put_execute_only(tmp_path, 0, FIRST, bytes(octets))
    with pytest.raises(LockError, match="holds no program"):
        call(tmp_path, 0, b"")
