# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in the flash: two banks, the boot's state, a page to work in.

======  ======  ========  =============================================================
from    octets  what      of the M2351-like part: 512 KiB in two banks, pages of 2 KiB
======  ======  ========  =============================================================
00000   32 Ki   boot      immutable; not touched here
08000   224 Ki  slot A    image, erased flash, and in its last 4 KiB the transfer's log
40000   16 Ki   storage   not touched here
44000   4 Ki    state     two pages by turns: `state`
45000   2 Ki    scratch   one page on its way from encrypted to clear
46000   8 Ki    log       not touched here
48000   224 Ki  slot B    as slot A
======  ======  ========  =============================================================
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple

from openami.firmware.flash import PAGE_OCTETS, Flash
from openami.firmware.image import Image
from openami.firmware.verify import Policy, Verified, verify


class Bank(IntEnum):
    """One of the two places where an image can run."""

    A = 0
    B = 1

    @property
    def other(self) -> "Bank":
        return Bank(1 - self)


class Region(NamedTuple):
    """A part of the flash."""

    offset: int
    octets: int

    @property
    def end(self) -> int:
        return self.offset + self.octets


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashMap:
    """Where the banks and what belongs to them lie.

    Attributes:
        log_octets: At the end of each slot, for the log of a transfer.
    """

    slots: tuple[Region, Region]
    state: Region
    scratch: Region
    log_octets: int = 2 * PAGE_OCTETS
    page_octets: int = PAGE_OCTETS

    def __post_init__(self) -> None:
        regions = sorted((*self.slots, self.state, self.scratch))
        for region in (*regions, Region(0, self.log_octets)):
            if region.offset % self.page_octets or region.octets % self.page_octets:
                raise ValueError(f"{region} is not made of pages of {self.page_octets} octets")
        for one, following in pairwise(regions):
            if one.end > following.offset:
                raise ValueError(f"{one} and {following} overlap")
        if self.state.octets < 2 * self.page_octets or self.scratch.octets != self.page_octets:
            raise ValueError("the state needs two pages or more, the scratch area is one page")

    @property
    def end(self) -> int:
        """Where the last region ends: what the flash has at least."""
        return max(region.end for region in (*self.slots, self.state, self.scratch))

    @property
    def room(self) -> int:
        """Octets that an image may have."""
        return min(slot.octets for slot in self.slots) - self.log_octets

    def slot(self, bank: Bank) -> Region:
        return self.slots[bank]

    def log(self, bank: Bank) -> Region:
        """Where the log of a transfer into a bank lies."""
        return Region(self.slots[bank].end - self.log_octets, self.log_octets)

    def pages(self, region: Region) -> range:
        """Return the offsets of a region's pages."""
        return range(region.offset, region.end, self.page_octets)


BOOT_OCTETS: Final = 0x8000
LOG_MARK_OCTETS: Final = 8
LOG_MARKS: Final = 64
"""Room for the head of a transfer's log, and for spare marks, counted in marks (`transfer`)."""

M2351: Final = FlashMap(
    slots=(Region(0x08000, 0x38000), Region(0x48000, 0x38000)),
    state=Region(0x44000, 0x1000),
    scratch=Region(0x45000, 0x800),
)
M2351_FLASH_OCTETS: Final = 0x80000
M2351_STORAGE: Final = Region(0x40000, 0x4000)
"""Not touched here: internal and protected storage of the secure world."""
M2351_LOG: Final = Region(0x46000, 0x2000)
"""Not touched here either."""


def two_banks(slot_octets: int) -> FlashMap:
    """Return the map of a flash with larger banks, in the order of the part's.

    Args:
        slot_octets: Of each bank, whole pages; the log in it has room for blocks of 1024 octets or
            more, and for marks of decrypted pages.

    Raises:
        ValueError: They are no whole pages.
    """
    marks = slot_octets // 1024 + slot_octets // PAGE_OCTETS + LOG_MARKS
    log_octets = -(-marks * LOG_MARK_OCTETS // PAGE_OCTETS) * PAGE_OCTETS
    first = Region(BOOT_OCTETS, slot_octets)
    state = Region(first.end, 2 * PAGE_OCTETS)
    scratch = Region(state.end, PAGE_OCTETS)
    second = Region(scratch.end, slot_octets)
    return FlashMap(slots=(first, second), state=state, scratch=scratch, log_octets=log_octets)


def load(flash: Flash, flash_map: FlashMap, bank: Bank, policy: Policy) -> Verified:
    """Return the image in a bank, verified as it lies there and would run.

    Raises:
        ImageError: Says why it cannot run.
    """
    slot = flash_map.slot(bank)
    image = Image.decode(flash.read(slot.offset, flash_map.room), room=flash_map.room)
    # What is encrypted in a bank cannot run from there, whoever has its key.
    return verify(image, replace(policy, address=slot.offset, decryption_key=None))
