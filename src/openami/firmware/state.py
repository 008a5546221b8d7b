# SPDX-License-Identifier: Apache-2.0
"""What a boot remembers: which bank is confirmed, how an update stands, the security counter.

======  =========  ===============================================================
octets  field      value of one record; numbers little-endian
======  =========  ===============================================================
4       magic      `OAMB`
4       sequence   1, 2, 3 …; the highest sound record counts
4       counter    the least security counter that is accepted; never goes back
1       confirmed  bank that runs when nothing is on trial
1       state      `UpdateState`
1       candidate  bank of the last update; FF for none
1       length     of the error
44      error      a word, why the last update failed; then 00
4       CRC-32     over what is before
======  =========  ===============================================================

Everything that must change together is one record: confirmation raises the counter in the same
write.  Records are appended to a page; when it is full the next one is erased and begun, while the
full one still holds the newest.  So a power cut leaves the old record or the new one.

States and their names are those of the PSA Firmware Update API 1.0; `CALLS` and `AT_BOOT` say how
they follow each other, for `update` and `boot` alike.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Self

from openami.firmware.bank import Bank, FlashMap
from openami.firmware.errors import FirmwareError
from openami.firmware.flash import ERASED, Flash

MAGIC: Final = b"OAMB"
RECORD: Final = struct.Struct("<4sIIBBBB44sI")
NO_BANK: Final = 0xFF
LONGEST_ERROR: Final = 44
BAD_STATE: Final = -137
"""PSA_ERROR_BAD_STATE: nothing was changed."""


class UpdateState(IntEnum):
    """How an update stands; the numbers are PSA's and not in the order of the flow."""

    READY = 0
    WRITING = 1
    CANDIDATE = 2
    STAGED = 3
    FAILED = 4
    TRIAL = 5
    REJECTED = 6
    UPDATED = 7


class Call(Enum):
    """What can be asked of an update."""

    START = "start"
    WRITE = "write"
    FINISH = "finish"
    CANCEL = "cancel"
    CLEAN = "clean"
    INSTALL = "install"
    REJECT = "reject"
    ACCEPT = "accept"


_S: Final = UpdateState
_C: Final = Call

CALLS: Final[Mapping[tuple[UpdateState, Call], UpdateState]] = {
    (_S.READY, _C.START): _S.WRITING,
    (_S.WRITING, _C.WRITE): _S.WRITING,
    (_S.WRITING, _C.FINISH): _S.CANDIDATE,
    (_S.WRITING, _C.CANCEL): _S.FAILED,
    (_S.CANDIDATE, _C.CANCEL): _S.FAILED,
    (_S.CANDIDATE, _C.INSTALL): _S.STAGED,
    (_S.STAGED, _C.REJECT): _S.FAILED,
    (_S.TRIAL, _C.ACCEPT): _S.UPDATED,
    (_S.TRIAL, _C.REJECT): _S.REJECTED,
    (_S.FAILED, _C.CLEAN): _S.READY,
    (_S.UPDATED, _C.CLEAN): _S.READY,
}
"""What is not here is refused, and changes nothing."""

AT_BOOT: Final[Mapping[UpdateState, UpdateState]] = {
    _S.STAGED: _S.TRIAL,
    _S.TRIAL: _S.FAILED,
    _S.REJECTED: _S.FAILED,
}
"""What a boot makes of a state; the others stay."""


@dataclass(eq=False)
class UpdateStateError(FirmwareError):
    """A call has no place in the state of the update; nothing was changed."""

    call: Call
    state: UpdateState
    psa_status: int = BAD_STATE

    def __str__(self) -> str:
        return f"{self.call.value} has no place while the update is {self.state.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootState:
    """One record, without its sequence."""

    counter: int
    confirmed: Bank
    state: UpdateState = UpdateState.READY
    candidate: Bank | None = None
    error: str = ""

    def encode(self, sequence: int) -> bytes:
        error = self.error.encode("ascii", "replace")[:LONGEST_ERROR]
        candidate = NO_BANK if self.candidate is None else self.candidate
        fields = (self.counter, self.confirmed, self.state, candidate, len(error), error)
        body = RECORD.pack(MAGIC, sequence, *fields, 0)[:-4]
        return body + zlib.crc32(body).to_bytes(4, "little")

    @classmethod
    def decode(cls, octets: bytes) -> tuple[int, Self] | None:
        """Return sequence and record; None where none is, or a torn one."""
        magic, sequence, counter, confirmed, state, candidate, length, error, crc = RECORD.unpack(
            octets
        )
        if magic != MAGIC or crc != zlib.crc32(octets[:-4]):
            return None
        try:
            return sequence, cls(
                counter=counter,
                confirmed=Bank(confirmed),
                state=UpdateState(state),
                candidate=None if candidate == NO_BANK else Bank(candidate),
                error=error[:length].decode("ascii"),
            )
        except ValueError:
            return None


class StateJournal:
    """The records in the flash."""

    def __init__(self, flash: Flash, flash_map: FlashMap) -> None:
        self._flash = flash
        self._pages = list(flash_map.pages(flash_map.state))
        self._page_octets = flash_map.page_octets

    def read(self) -> BootState | None:
        """Return the newest record; None in a flash that was never prepared."""
        newest = self._newest()
        return None if newest is None else newest[2]

    def write(self, state: BootState) -> None:
        """Append a record, durable when this returns.

        One that raises the counter is written twice: the first changes everything in one step, the
        second outlives a cell that goes bad in the first.

        Raises:
            ValueError: The counter would go back.
        """
        newest = self._newest()
        if newest is not None and state.counter < newest[2].counter:
            counter = newest[2].counter
            raise ValueError(f"the counter would go back from {counter} to {state.counter}")
        self._append(state, newest)
        if newest is None or state.counter > newest[2].counter:
            self._append(state, self._newest())

    def _append(self, state: BootState, newest: tuple[int, int, BootState] | None) -> None:
        if newest is None:
            self._begin(self._pages[0], state.encode(1))
            return
        place, sequence, _ = newest
        record = state.encode(sequence + 1)
        page = place - place % self._page_octets
        for at in range(place + RECORD.size, page + self._page_octets, RECORD.size):
            if not self._flash.read(at, RECORD.size).strip(ERASED):
                self._flash.program(at, record)
                self._flash.sync()
                return
        following = self._pages[(self._pages.index(page) + 1) % len(self._pages)]
        self._begin(following, record)

    def _begin(self, page: int, record: bytes) -> None:
        if self._flash.read(page, self._page_octets).strip(ERASED):
            self._flash.erase(page)
            self._flash.sync()
        self._flash.program(page, record)
        self._flash.sync()

    def _newest(self) -> tuple[int, int, BootState] | None:
        return max(self._records(), key=lambda found: found[1], default=None)

    def _records(self) -> Iterator[tuple[int, int, BootState]]:
        for page in self._pages:
            octets = self._flash.read(page, self._page_octets)
            for at in range(0, self._page_octets - RECORD.size + 1, RECORD.size):
                found = BootState.decode(octets[at : at + RECORD.size])
                if found is not None:
                    yield (page + at, *found)
