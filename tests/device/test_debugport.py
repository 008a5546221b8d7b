# SPDX-License-Identifier: Apache-2.0
"""What a debugger reads back of a device: each asset, in each state of life, with each token."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.labs import (
    DEBUG_KEY,
    OTHER_KEY,
    STORED,
    UPDATE_KEY,
    Cut,
    PowerCutError,
    cutting,
    device,
    opened,
)
from device.secure.worlds import RECORD, UNIQUE
from openami.device.debugport import (
    AREAS,
    KPROM_BASE,
    OTP_BASE,
    UNGUARDED,
    WAYS,
    DebugError,
    DebugPort,
    end_session,
    outside,
)
from openami.device.debugtoken import (
    CHALLENGE_OCTETS,
    MAGIC,
    TOKEN_OCTETS,
    Permission,
    Token,
    TokenError,
    name_of,
)
from openami.device.files import FLASH_FILE, OTP_FILE, UPDATE_KEY_FILE
from openami.device.flash import FlashFile
from openami.device.lockwords import Lock
from openami.device.otp import UNIQUE_KEY, Otp
from openami.device.partlocks import put_execute_only
from openami.device.power import BootError, first_program
from openami.device.secure.personal import state_of
from openami.device.secure.world import World, unique_key
from openami.device.storage import StorageError
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, M2351_LOG, M2351_STORAGE, Bank, Region
from openami.psa.attestation import verify_token
from openami.psa.lifecycle import STAGES, LifeCycle
from openami.psa.status import PsaError

LIBRARY = b"an algorithm that cost years" * 3
SLOT = M2351.slot(Bank.A).offset
OUTSIDE, INSIDE = Permission.NON_SECURE, Permission.SECURE


def places(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return where each asset lies, and a part of it."""
    flash = (folder / FLASH_FILE).read_bytes()
    return {
        "boot": (0, flash[:64]),
        "secure program": (flash.index(b"secure 1.0.0", SLOT), b"secure 1.0.0"),
        "management program": (flash.index(b"runs 1.0.0", SLOT), b"runs 1.0.0"),
        "storage": (M2351_STORAGE.offset, STORED[:64]),
        "execute-only library": (M2351_LOG.offset, LIBRARY),
        "fuses": (OTP_BASE, (folder / OTP_FILE).read_bytes()[:32]),
        "unique key": (OTP_BASE + UNIQUE_KEY * 8, UNIQUE),
        "key for encrypted images": (KPROM_BASE, UPDATE_KEY),
    }


ASSETS = (
    "boot", "secure program", "management program", "storage", "execute-only library", "fuses",
    "unique key", "key for encrypted images",
)  # fmt: skip
ALL_BUT_SECRETS = {"boot", "secure program", "management program", "storage", "fuses"}
READABLE: dict[tuple[LifeCycle, Permission], set[str]] = {
    (LifeCycle.ASSEMBLY_AND_TEST, Permission.NONE): ALL_BUT_SECRETS,
    (LifeCycle.SECURED, OUTSIDE): {"management program", "fuses"},
    (LifeCycle.NON_PSA_ROT_DEBUG, OUTSIDE): {"management program", "fuses"},
    (LifeCycle.RECOVERABLE_PSA_ROT_DEBUG, OUTSIDE): {"management program", "fuses"},
    (LifeCycle.SECURED, INSIDE): ALL_BUT_SECRETS,
    (LifeCycle.NON_PSA_ROT_DEBUG, INSIDE): ALL_BUT_SECRETS,
    (LifeCycle.RECOVERABLE_PSA_ROT_DEBUG, INSIDE): ALL_BUT_SECRETS,
}
"""By the state in which the token came; whatever is not here is refused."""


@pytest.mark.parametrize("permission", list(Permission), ids=lambda each: each.name)
@pytest.mark.parametrize("state", list(LifeCycle), ids=lambda each: each.name)
def test_each_asset_in_each_state_with_each_token(
    tmp_path: Path, state: LifeCycle, permission: Permission
) -> None:
    port = device(tmp_path, state)
    put_execute_only(tmp_path, 0, Region(M2351_LOG.offset, 0x800), LIBRARY)
    found = places(tmp_path)
    if permission is not Permission.NONE:
        if state in WAYS:
            opened(port, permission)
        else:
            with pytest.raises(DebugError):
                opened(port, permission)
    readable = READABLE.get((state, permission), set())
    if state is UNGUARDED:
        readable = ALL_BUT_SECRETS
    for asset in ASSETS:
        at, octets = found[asset]
        if asset not in readable:
            with pytest.raises(DebugError):
                port.read(at, len(octets))
        elif asset == "storage" and permission is INSIDE and state is not UNGUARDED:
            assert port.read(at, len(octets)) == b"\xff" * len(octets), "it was erased before"
        elif asset != "fuses":
            assert port.read(at, len(octets)) == octets
        else:
            assert len(port.read(at, 32)) == 32


def test_what_a_token_permits_is_what_the_state_it_leads_to_permits() -> None:
    for state, ways in WAYS.items():
        for permission, to in ways.items():
            assert STAGES[to].debug_non_secure
            assert STAGES[to].debug_secure or permission is OUTSIDE
            assert STAGES[to].keys != (permission is INSIDE) or state is not LifeCycle.SECURED
            assert to is state or to in STAGES[state].following
    assert STAGES[UNGUARDED].debug_secure


def told(folder: Path) -> LifeCycle:
    """Start the secure world of a device, and return what its attestation says of its life."""
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    try:
        world = World(flash, otp, RECORD, os.urandom)
        token = world.rooms.attestation.get_token(-1, bytes(32))
        return LifeCycle.of_claim(verify_token(token, world.attestation_point()).lifecycle)
    finally:
        flash.close()
        otp.close()


def test_attestation_says_what_was_opened_and_nothing_is_signed_without_keys(
    tmp_path: Path,
) -> None:
    port = device(tmp_path, stored=b"")
    assert told(tmp_path) is LifeCycle.SECURED
    opened(port, OUTSIDE)
    assert told(tmp_path) is LifeCycle.NON_PSA_ROT_DEBUG
    opened(port, INSIDE)
    with pytest.raises(PsaError, match="uses no keys"):
        told(tmp_path)


def test_a_read_that_begins_in_the_open_stops_at_the_border(tmp_path: Path) -> None:
    port = device(tmp_path)
    opened(port, OUTSIDE)
    flash = FlashFile.open(tmp_path / FLASH_FILE, M2351_FLASH_OCTETS)
    (window,) = outside(flash)
    flash.close()
    assert port.read(*window) == b"runs 1.0.0"
    for at, count in ((window.offset - 1, 2), (window.offset, window.octets + 1)):
        with pytest.raises(DebugError, match="flash of the secure world: the port is not open"):
            port.read(at, count)
    with pytest.raises(DebugError, match="unique key: it is never read"):
        port.read(OTP_BASE, 8 * UNIQUE_KEY + 1)
    with pytest.raises(DebugError, match="no memory at 0x80000"):
        port.read(M2351_FLASH_OCTETS, 1)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_no_area_is_open_without_a_token(tmp_path: Path, area: object) -> None:
    port = device(tmp_path)
    with pytest.raises(DebugError):
        port.read(area.region.offset, 1)  # type: ignore[attr-defined]


def test_a_token_opens_once_and_until_the_next_start(tmp_path: Path) -> None:
    port = device(tmp_path)
    token = Token.make(OUTSIDE, port.challenge(), DEBUG_KEY).encode()
    standing = port.unlock(token)
    assert (standing.state, standing.permission) == (LifeCycle.NON_PSA_ROT_DEBUG, OUTSIDE)
    with pytest.raises(DebugError, match="another challenge than the last one"):
        port.unlock(token)
    again = DebugPort(tmp_path, os.urandom)
    assert again.standing().permission is OUTSIDE
    end_session(tmp_path)
    assert again.standing().permission is Permission.NONE
    assert again.standing().state is LifeCycle.NON_PSA_ROT_DEBUG, "there is no way back"
    with pytest.raises(DebugError):
        again.unlock(token)


def test_power_closes_the_port(tmp_path: Path) -> None:
    port = device(tmp_path)
    opened(port, OUTSIDE)
    drawn = port.challenge()
    assert first_program(tmp_path) == b"boot"
    assert port.standing().permission is Permission.NONE
    with pytest.raises(DebugError, match="another challenge"):
        port.unlock(Token.make(OUTSIDE, drawn, DEBUG_KEY).encode())


def test_what_was_erased_does_not_start(tmp_path: Path) -> None:
    device(tmp_path).mass_erase()
    with pytest.raises(BootError, match="holds no boot"):
        first_program(tmp_path)


def test_a_new_challenge_makes_the_old_one_worthless(tmp_path: Path) -> None:
    port = device(tmp_path)
    old = Token.make(OUTSIDE, port.challenge(), DEBUG_KEY).encode()
    port.challenge()
    with pytest.raises(DebugError, match="another challenge"):
        port.unlock(old)
    assert state_of(tmp_path) is LifeCycle.SECURED


def test_no_challenge_is_no_challenge(tmp_path: Path) -> None:
    port = device(tmp_path)
    with pytest.raises(DebugError, match="another challenge"):
        port.unlock(Token.make(OUTSIDE, bytes(CHALLENGE_OCTETS), DEBUG_KEY).encode())


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    port = device(tmp_path)
    token = Token.make(INSIDE, port.challenge(), OTHER_KEY)
    with pytest.raises(DebugError, match="another key than the one that was burned"):
        port.unlock(token.encode())
    assert state_of(tmp_path) is LifeCycle.SECURED
    assert (tmp_path / UPDATE_KEY_FILE).exists()


def test_without_a_debug_key_nothing_ever_opens(tmp_path: Path) -> None:
    port = device(tmp_path, key=False)
    assert not port.standing().has_key
    for call in (port.challenge, lambda: port.unlock(b"")):
        with pytest.raises(DebugError, match="no debug key was burned"):
            call()


@pytest.mark.parametrize("at", range(TOKEN_OCTETS))
def test_no_octet_of_a_token_can_be_altered(at: int) -> None:
    token = bytearray(Token.make(OUTSIDE, bytes(range(32)), DEBUG_KEY).encode())
    sound = Token.decode(bytes(token))
    burned = name_of(sound.point)
    sound.verify(burned)
    token[at] ^= 3
    with pytest.raises(TokenError):
        Token.decode(bytes(token)).verify(burned)


@given(st.binary(max_size=TOKEN_OCTETS + 8))
def test_other_octets_are_no_token(octets: bytes) -> None:
    with pytest.raises(TokenError):
        Token.decode(octets)
    filled = (MAGIC + octets).ljust(TOKEN_OCTETS, b"\x00")[:TOKEN_OCTETS]
    with pytest.raises(TokenError):
        Token.decode(filled).verify(name_of(filled[37:102]))


def test_opening_the_secure_world_destroys_the_keys_first(tmp_path: Path) -> None:
    port = device(tmp_path)
    opened(port, INSIDE)
    otp = Otp.open(tmp_path / OTP_FILE)
    assert otp.read(UNIQUE_KEY, 4) == bytes(32)
    with pytest.raises(PsaError, match="destroyed"):
        unique_key(otp)
    otp.close()
    assert not (tmp_path / UPDATE_KEY_FILE).exists()
    assert STORED[:28] not in (tmp_path / FLASH_FILE).read_bytes()
    assert state_of(tmp_path) is LifeCycle.RECOVERABLE_PSA_ROT_DEBUG


@pytest.mark.parametrize("torn", [False, True], ids=["lost", "torn"])
@pytest.mark.parametrize("permission", [OUTSIDE, INSIDE], ids=lambda each: each.name)
def test_power_is_cut_at_every_write_of_an_unlock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permission: Permission, *, torn: bool
) -> None:
    number = 0
    while True:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        port = device(folder)
        token = Token.make(permission, port.challenge(), DEBUG_KEY).encode()
        cut = Cut(number, torn)
        with cutting(monkeypatch, cut), suppress(PowerCutError):
            port.unlock(token)
        if not cut.happened:
            break
        state, found = state_of(folder), port.standing()
        if permission is INSIDE and state is not LifeCycle.SECURED:
            assert Otp.open(folder / OTP_FILE).read(UNIQUE_KEY, 4) == bytes(32)
            assert STORED[:28] not in (folder / FLASH_FILE).read_bytes()
            assert not (folder / UPDATE_KEY_FILE).exists()
        assert found.permission in {Permission.NONE, permission}
        if found.permission is Permission.NONE:
            with pytest.raises(DebugError):
                port.read(SLOT, 1)
            assert port.unlock(token).permission is permission, "the same token goes on"
        number += 1
    assert number >= (10 if permission is INSIDE else 2)


# Locks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", list(Lock), ids=lambda each: each.name)
def test_a_closed_lock_stands_above_a_token(tmp_path: Path, lock: Lock) -> None:
    port = device(tmp_path)
    opened(port, INSIDE)
    assert port.read(SLOT, 4)
    port.close_lock(lock)
    port.close_lock(lock)
    with pytest.raises(DebugError, match="locked"):
        port.read(SLOT, 4)
    (window,) = outside(FlashFile.open(tmp_path / FLASH_FILE, M2351_FLASH_OCTETS))
    if lock is Lock.SECURE:
        assert port.read(*window) == b"runs 1.0.0"
        port.challenge()
    else:
        for call in (lambda: port.read(*window), port.challenge):
            with pytest.raises(DebugError, match="locked"):
                call()


def test_no_key_is_destroyed_for_a_secure_region_that_stays_closed(tmp_path: Path) -> None:
    port = device(tmp_path)
    port.close_lock(Lock.SECURE)
    before = (tmp_path / OTP_FILE).read_bytes()

    with pytest.raises(DebugError, match="its keys would go for nothing"):
        opened(port, Permission.SECURE)

    assert (tmp_path / OTP_FILE).read_bytes() == before
    assert port.standing().state is LifeCycle.SECURED
    opened(port, Permission.NON_SECURE)


def test_a_part_whose_flash_is_gone_is_one_sentence(tmp_path: Path) -> None:
    port = device(tmp_path)
    (tmp_path / FLASH_FILE).unlink()

    with pytest.raises(StorageError, match=r"flash.bin cannot be opened .*bring it back"):
        port.mass_erase()


def test_even_a_device_in_assembly_can_be_locked(tmp_path: Path) -> None:
    port = device(tmp_path, LifeCycle.ASSEMBLY_AND_TEST)
    port.close_lock(Lock.ALL)
    with pytest.raises(DebugError, match="only a mass erase"):
        port.read(0, 1)


def test_a_mass_erase_opens_locks_and_leaves_nothing_to_read(tmp_path: Path) -> None:
    port = device(tmp_path, LifeCycle.SECURED)
    put_execute_only(tmp_path, 1, Region(M2351_LOG.offset, 0x800), LIBRARY)
    port.close_lock(Lock.ALL)
    port.mass_erase()
    assert (tmp_path / FLASH_FILE).read_bytes() == b"\xff" * M2351_FLASH_OCTETS
    assert not (tmp_path / UPDATE_KEY_FILE).exists()
    standing = port.standing()
    assert standing.locks.closed == frozenset()
    assert standing.locks.execute_only == ()
    assert standing.state is LifeCycle.SECURED, "fuses stay"
    with pytest.raises(DebugError, match="unique key"):
        port.read(OTP_BASE + UNIQUE_KEY * 8, 32)


def test_a_locked_port_does_not_even_erase(tmp_path: Path) -> None:
    port = device(tmp_path)
    port.close_lock(Lock.PORT)
    before = (tmp_path / FLASH_FILE).read_bytes()
    with pytest.raises(DebugError, match="not even an erase"):
        port.mass_erase()
    assert (tmp_path / FLASH_FILE).read_bytes() == before


def test_power_is_cut_in_a_mass_erase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = M2351_FLASH_OCTETS // 0x800
    for number in (0, 1, 2, 100, pages, pages + 1, pages + 2, pages + 3):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        port = device(folder)
        port.close_lock(Lock.ALL)
        cut = Cut(number)
        with cutting(monkeypatch, cut), suppress(PowerCutError):
            port.mass_erase()
        if port.standing().locks.closed:
            assert cut.happened
            with pytest.raises(DebugError, match="all memory is locked"):
                port.read(0x7F000, 1)
            port.mass_erase()
        assert (folder / FLASH_FILE).read_bytes() == b"\xff" * M2351_FLASH_OCTETS
        assert not (folder / UPDATE_KEY_FILE).exists()
    assert not cut.happened
