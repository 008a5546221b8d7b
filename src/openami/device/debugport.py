# SPDX-License-Identifier: Apache-2.0
"""The debug port of a device: what it opens for, and what is read through it.

Two tables decide.  `WAYS` says in which state of its life a device opens, and what becomes of it:
there is no way back, and what a debugger saw is no longer attested as secured.  `AREAS` says what a
permission reads::

    never           the unique key, the key for encrypted images, execute-only regions
    non-secure      programs of the non-secure world in both slots; fuses that say no secret
    secure          everything else; before that the device's keys are destroyed

A device that is not provisioned yet is open without a word.  Everywhere else a token is asked for
(`debugtoken`), signed over a challenge that this device drew.  What it opens closes with the next
start.  The part's locks (`lockwords`) stand above all that: a closed one no token opens.

The secure world's keys are destroyed in this order, each step durable: the unique key, what is
stored under it, the key for encrypted images, then the state of life.  Cut off anywhere, the device
has no keys and is not open; the same token goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from openami.device.cell import Cell
from openami.device.debugtoken import CHALLENGE_OCTETS, Permission, Token, TokenError
from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.lockwords import Lock, Locks
from openami.device.otp import (
    BLANK,
    DEBUG,
    DEBUG_ENTRIES,
    ENTRIES,
    ENTRY_OCTETS,
    STAGE,
    UNIQUE_KEY,
    UNIQUE_KEY_OCTETS,
    Otp,
)
from openami.device.partlocks import close, erase_update_key, mass_erase
from openami.device.payload.container import HEAD, UNIT, Payload
from openami.device.payload.errors import PayloadError
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, M2351_STORAGE, Bank, Region
from openami.firmware.errors import ImageError
from openami.firmware.flash import Flash
from openami.firmware.image import Image
from openami.psa.formats import Random
from openami.psa.lifecycle import LifeCycle, advance, of_fuses

GRANT_FILE: Final = "debug.cell"
_NOTHING: Final = bytes(CHALLENGE_OCTETS + 1)

OTP_BASE: Final = 0x310000
KPROM_BASE: Final = 0x311000
KPROM_OCTETS: Final = 0x1000
"""Places of the M2351; the key-protected ROM holds the key for encrypted images."""

WAYS: Final[Mapping[LifeCycle, Mapping[Permission, LifeCycle]]] = MappingProxyType(
    {
        LifeCycle.SECURED: {
            Permission.NON_SECURE: LifeCycle.NON_PSA_ROT_DEBUG,
            Permission.SECURE: LifeCycle.RECOVERABLE_PSA_ROT_DEBUG,
        },
        LifeCycle.NON_PSA_ROT_DEBUG: {
            Permission.NON_SECURE: LifeCycle.NON_PSA_ROT_DEBUG,
            Permission.SECURE: LifeCycle.RECOVERABLE_PSA_ROT_DEBUG,
        },
        LifeCycle.RECOVERABLE_PSA_ROT_DEBUG: {
            Permission.NON_SECURE: LifeCycle.RECOVERABLE_PSA_ROT_DEBUG,
            Permission.SECURE: LifeCycle.RECOVERABLE_PSA_ROT_DEBUG,
        },
    }
)
"""By state and permission: the state a device is in once its port is open."""
UNGUARDED: Final = LifeCycle.ASSEMBLY_AND_TEST
"""Opens without a token."""


class DebugError(Exception):
    """The port refuses; the sentence says why."""


class Needs(Enum):
    """What an area asks for."""

    NON_SECURE = Permission.NON_SECURE
    SECURE = Permission.SECURE
    NEVER = None


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the address space; the first that an address lies in counts."""

    name: str
    region: Region
    needs: Needs


AREAS: Final[tuple[Area, ...]] = (
    Area(
        "unique key",
        Region(OTP_BASE + UNIQUE_KEY * ENTRY_OCTETS, UNIQUE_KEY_OCTETS),
        Needs.NEVER,
    ),
    Area("fuses", Region(OTP_BASE, ENTRIES * ENTRY_OCTETS), Needs.NON_SECURE),
    Area("key for encrypted images", Region(KPROM_BASE, KPROM_OCTETS), Needs.NEVER),
    Area("flash of the secure world", Region(0, M2351_FLASH_OCTETS), Needs.SECURE),
)
"""Beside these: execute-only regions, never; programs of the non-secure world, from `outside`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What anybody at the port is told.

    Attributes:
        state: Of the device's life.
        has_key: Whether a debug key was burned.
        permission: What the port is open for.
        locks: Of the part.
    """

    state: LifeCycle
    has_key: bool
    permission: Permission
    locks: Locks


class DebugPort:
    """The port of the device with this secure folder, while it has no power."""

    def __init__(self, folder: Path, entropy: Random) -> None:
        """Attach to a device.

        Args:
            folder: With flash and one-time-programmable memory.
            entropy: For challenges.
        """
        self._folder, self._entropy = folder, entropy

    def standing(self) -> Standing:
        """Return how the port stands.

        Raises:
            StorageError: A file of the device cannot be read.
        """
        otp = Otp.open(self._folder / OTP_FILE)
        try:
            state = of_fuses(otp.read(STAGE)[0])
            burned = otp.read(DEBUG, DEBUG_ENTRIES)
        finally:
            otp.close()
        _, granted = self._held()
        if state is UNGUARDED:
            granted = Permission.SECURE
        return Standing(
            state=state,
            has_key=bool(burned.strip(BLANK)),
            permission=granted,
            locks=Locks.beside(self._folder / FLASH_FILE),
        )

    def challenge(self) -> bytes:
        """Draw a challenge; the one before is worth nothing any more.

        Raises:
            DebugError: No token would open the port.
        """
        self._check_ways(self.standing())
        drawn = self._entropy(CHALLENGE_OCTETS)
        self._keep(drawn, Permission.NONE)
        return drawn

    def unlock(self, octets: bytes) -> Standing:
        """Open the port with a token.

        Raises:
            DebugError: It stays closed.
        """
        found = self.standing()
        ways = self._check_ways(found)
        otp = Otp.open(self._folder / OTP_FILE)
        try:
            token = Token.decode(octets)
            token.verify(otp.read(DEBUG, DEBUG_ENTRIES))
            self._check_challenge(token)
            if token.permission is Permission.SECURE and Lock.SECURE in found.locks.closed:
                problem = "the secure region is locked for good, and its keys would go for nothing"
                raise DebugError(f"{problem}: bring a token for non-secure")
            self._go(otp, found.state, ways[token.permission])
        except TokenError as error:
            raise DebugError(str(error)) from None
        finally:
            otp.close()
        self._keep(bytes(CHALLENGE_OCTETS), token.permission)
        return self.standing()

    def read(self, address: int, count: int) -> bytes:
        """Read memory.

        Raises:
            DebugError: It is not told; the sentence names the area.
        """
        found = self.standing()
        self._check_locks(found.locks)
        flash = FlashFile.open(self._folder / FLASH_FILE, M2351_FLASH_OCTETS)
        try:
            areas = _areas(flash, found.locks)
            at, end = address, address + count
            while at < end:
                area = _area_at(areas, at)
                self._check(area, found)
                at = area.region.end
            return self._octets(flash, address, count)
        finally:
            flash.close()

    def close_lock(self, lock: Lock) -> None:
        """Close a lock of the part, for good."""
        close(self._folder, lock)

    def mass_erase(self) -> None:
        """Erase everything but fuses; it asks for no token, for there is nothing left to read.

        Raises:
            DebugError: The port is locked.
        """
        if Lock.PORT in self.standing().locks.closed:
            raise DebugError("the port is locked for good: not even an erase goes through it")
        self._keep(bytes(CHALLENGE_OCTETS), Permission.NONE)
        mass_erase(self._folder)

    # Judging

    def _check_ways(self, found: Standing) -> Mapping[Permission, LifeCycle]:
        self._check_locks(found.locks)
        name = found.state.name.lower()
        if found.state is UNGUARDED:
            raise DebugError(f"in the state {name} the port is open: no token is needed")
        if found.state not in WAYS:
            raise DebugError(f"in the state {name} no token opens the port")
        if not found.has_key:
            raise DebugError("no debug key was burned by the factory: no token opens the port")
        return WAYS[found.state]

    @staticmethod
    def _check_locks(locks: Locks) -> None:
        if Lock.PORT in locks.closed:
            raise DebugError("the port is locked for good")
        if Lock.ALL in locks.closed:
            raise DebugError("all memory is locked: only a mass erase opens the port again")

    @staticmethod
    def _check(area: Area, found: Standing) -> None:
        if area.needs is Needs.NEVER:
            raise DebugError(f"{area.name}: it is never read, by nobody")
        if area.needs is Needs.SECURE and Lock.SECURE in found.locks.closed:
            raise DebugError(f"{area.name}: the secure region is locked for good")
        if found.permission < Permission(area.needs.value):
            wanted = Permission(area.needs.value).name.lower().replace("_", "-")
            raise DebugError(
                f"{area.name}: the port is not open for it: bring a token for {wanted}"
            )

    def _octets(self, flash: FlashFile, address: int, count: int) -> bytes:
        if address >= OTP_BASE:
            otp = Otp.open(self._folder / OTP_FILE)
            try:
                first = address - OTP_BASE
                return otp.read(0, ENTRIES)[first : first + count]
            finally:
                otp.close()
        return flash.read(address, count)

    def _check_challenge(self, token: Token) -> None:
        drawn, _ = self._held()
        if token.challenge != drawn or not any(drawn):
            problem = "the token answers another challenge than the last one"
            raise TokenError(f"{problem}: sign the one that `challenge` prints now")

    # What lasts

    def _go(self, otp: Otp, state: LifeCycle, to: LifeCycle) -> None:
        if to is LifeCycle.RECOVERABLE_PSA_ROT_DEBUG:
            self._destroy_keys(otp)
        if to is not state:
            otp.burn(STAGE, bytes((advance(state, to),)))

    def _destroy_keys(self, otp: Otp) -> None:
        otp.burn(UNIQUE_KEY, bytes(UNIQUE_KEY_OCTETS))
        flash = FlashFile.open(self._folder / FLASH_FILE, M2351_FLASH_OCTETS)
        try:
            for page in M2351.pages(M2351_STORAGE):
                flash.erase(page)
        finally:
            flash.close()
        erase_update_key(self._folder)

    def _held(self) -> tuple[bytes, Permission]:
        path = self._folder / GRANT_FILE
        if not path.exists():
            return bytes(CHALLENGE_OCTETS), Permission.NONE
        cell, _ = Cell.open(path, initial=_NOTHING)
        try:
            return cell.value[:-1], Permission(cell.value[-1])
        finally:
            cell.close()

    def _keep(self, challenge: bytes, permission: Permission) -> None:
        cell, _ = Cell.open(self._folder / GRANT_FILE, initial=_NOTHING)
        try:
            cell.store(challenge + bytes((permission,)))
        finally:
            cell.close()


def _areas(flash: Flash, locks: Locks) -> tuple[Area, ...]:
    return (
        *(
            Area(f"execute-only region {number}", region, Needs.NEVER)
            for number, region in locks.execute_only
        ),
        *(
            Area("program of the non-secure world", region, Needs.NON_SECURE)
            for region in outside(flash)
        ),
        *AREAS,
    )


def _area_at(areas: tuple[Area, ...], at: int) -> Area:
    """Return the area that an address lies in, from there up to where another begins."""
    for area in areas:
        if area.region.offset <= at < area.region.end:
            ends = (each.region.offset for each in areas if each.region.offset > at)
            end = min((area.region.end, *ends))
            return Area(area.name, Region(at, end - at), area.needs)
    raise DebugError(f"there is no memory at {at:#x}")


def outside(flash: Flash) -> tuple[Region, ...]:
    """Return where the programs of the non-secure world lie in a flash."""
    found = []
    for bank in Bank:
        slot = M2351.slot(bank)
        try:
            image = Image.decode(flash.read(slot.offset, M2351.room), room=M2351.room)
            payload = Payload.decode(image.payload)
        except (ImageError, PayloadError):
            continue  # no image, or none with programs: all of the slot is the secure world's
        secure = HEAD.size + len(payload.secure) + -len(payload.secure) % UNIT
        start = slot.offset + image.header.hdr_size + secure
        found.append(Region(start, len(payload.management)))
    return tuple(found)


def end_session(folder: Path) -> None:
    """Close the port of a device that is about to start.

    Raises:
        StorageError: The disk refused.
    """
    path = folder / GRANT_FILE
    if path.exists():
        cell, _ = Cell.open(path, initial=_NOTHING)
        try:
            cell.store(_NOTHING)
        finally:
            cell.close()
