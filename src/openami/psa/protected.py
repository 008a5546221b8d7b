# SPDX-License-Identifier: Apache-2.0
"""Protected Storage (PSA Certified Secure Storage API, PS): entries on flash that others reach.

Each entry is sealed with AES-256-GCM under a key that only this device has; client, uid, flags
and size are authenticated with it, so that no entry passes for another's.  A table, sealed too,
holds the flags and the tag of each entry, and the value of a monotonic counter::

    entry  flags 1 | nonce 12 | ciphertext | tag 16
    table  nonce 12 | ciphertext of counter 8, then (name 13, flags 1, tag 16) each | tag 16

An old copy of an entry has not the tag in the table; an old copy of the whole flash has not the
counter.  What was damaged can be set anew, or removed, unless it was written once.

A change commits entry and table at once and then advances the counter; a power cut
between the two leaves the table one ahead, and the next start advances the counter.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openami.psa.formats import Random
from openami.psa.lifecycle import STAGES, LifeCycle
from openami.psa.pagestore import PageStore
from openami.psa.status import PsaError, Status
from openami.psa.storage import (
    CreateFlags,
    StorageInfo,
    check_changeable,
    checked_flags,
    entry_name,
    missing,
    place,
    section,
)

NONCE_OCTETS: Final = 12
TAG_OCTETS: Final = 16
ENTRY_OVERHEAD_OCTETS: Final = 1 + NONCE_OCTETS + TAG_OCTETS
KEY_LABEL: Final = b"openami protected storage v1"

SUPPORT: Final = 0
"""psa_ps_get_support: psa_ps_create and psa_ps_set_extended are not here."""

_TABLE: Final = b"table"
_COUNTER: Final = struct.Struct("<Q")
_ROW: Final = struct.Struct("13sB16s")
_AAD: Final = struct.Struct("<13sBI")


class MonotonicCounter(Protocol):
    """A counter that never goes back, where nobody else reaches it."""

    def read(self) -> int:
        """Return its value."""

    def advance(self) -> None:
        """Add one, durably."""


class StoredCounter:
    """A monotonic counter in a store that only the secure world reaches."""

    __slots__ = ("_name", "_store")

    def __init__(self, store: PageStore, number: int) -> None:
        self._store = store
        self._name = b"counter" + bytes((number,))

    def read(self) -> int:
        held = self._store.get(self._name)
        return 0 if held is None else _COUNTER.unpack(held)[0]

    def advance(self) -> None:
        self._store.commit({self._name: _COUNTER.pack(self.read() + 1)})


def storage_key(hardware_unique_key: bytes, state: LifeCycle) -> bytes:
    """Return the key of protected storage that a device's unique key gives.

    Raises:
        PsaError: NOT_PERMITTED, the life cycle of the device permits no use of its keys.
    """
    if not STAGES[state].keys:
        problem = "in this state of its life the device uses no keys"
        raise PsaError(Status.NOT_PERMITTED, problem, f"life cycle {state.name.lower()}")
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=KEY_LABEL)
    return derivation.derive(hardware_unique_key)


class _Row(NamedTuple):
    """What the table knows of an entry."""

    flags: CreateFlags
    tag: bytes


class ProtectedStorage:
    """psa_ps_set, psa_ps_get, psa_ps_get_info, psa_ps_remove.

    Making one checks the table against the counter.

    Raises:
        PsaError: INVALID_SIGNATURE, the table is not this device's; DATA_CORRUPT, the flash holds
            an older state, or lost its table.
    """

    __slots__ = ("_aead", "_counter", "_random", "_store", "_table")

    AREA: Final = 2

    def __init__(
        self, store: PageStore, key: bytes, counter: MonotonicCounter, random: Random
    ) -> None:
        self._store = store
        self._aead = AESGCM(key)
        self._counter = counter
        self._random = random
        self._table = self._open_table()

    def set(self, client: int, uid: int, data: bytes, flags: int = 0) -> None:
        """psa_ps_set.

        Raises:
            PsaError: INVALID_ARGUMENT, NOT_SUPPORTED (flags), NOT_PERMITTED (written once),
                INSUFFICIENT_STORAGE, STORAGE_FAILURE.
        """
        name = entry_name(self.AREA, client, uid)
        wanted = checked_flags(flags, uid)
        if name in self._table:
            check_changeable(self._table[name].flags, uid)
        nonce = self._random(NONCE_OCTETS)
        sealed = self._aead.encrypt(nonce, data, _AAD.pack(name, wanted, len(data)))
        table = {**self._table, name: _Row(wanted, sealed[-TAG_OCTETS:])}
        self._commit({name: bytes((wanted,)) + nonce + sealed}, table)

    def get(self, client: int, uid: int, offset: int, octets: int) -> bytes:
        """psa_ps_get.

        Raises:
            PsaError: INVALID_ARGUMENT (uid, offset), DOES_NOT_EXIST, INVALID_SIGNATURE (altered),
                DATA_CORRUPT (gone, or an older one).
        """
        _, data = self._open(entry_name(self.AREA, client, uid), uid)
        return section(data, uid, offset, octets)

    def get_info(self, client: int, uid: int) -> StorageInfo:
        """psa_ps_get_info; refused as `get` is."""
        flags, data = self._open(entry_name(self.AREA, client, uid), uid)
        return StorageInfo(len(data), len(data), flags)

    def remove(self, client: int, uid: int) -> None:
        """psa_ps_remove; refused as `set` is, and with DOES_NOT_EXIST."""
        name = entry_name(self.AREA, client, uid)
        if name not in self._table:
            raise missing(uid)
        check_changeable(self._table[name].flags, uid)
        self._commit({name: None}, {key: row for key, row in self._table.items() if key != name})

    def create(self, client: int, uid: int, capacity: int, flags: int = 0) -> None:
        """psa_ps_create: not here; see `get_support`."""
        raise _no_support(client, uid, f"reserving {capacity} octets with flags {flags}")

    def set_extended(self, client: int, uid: int, offset: int, data: bytes) -> None:
        """psa_ps_set_extended: not here; see `get_support`."""
        raise _no_support(client, uid, f"writing {len(data)} octets at {offset}")

    @staticmethod
    def get_support() -> int:
        """psa_ps_get_support."""
        return SUPPORT

    def _open(self, name: bytes, uid: int) -> tuple[CreateFlags, bytes]:
        row = self._table.get(name)
        if row is None:
            raise missing(uid)
        held = self._store.get(name)
        if held is None or len(held) < ENTRY_OVERHEAD_OCTETS:
            problem = "the entry is gone from flash, though the table has it"
            raise PsaError(Status.DATA_CORRUPT, problem, place(uid))
        flags, nonce, sealed = held[0], held[1 : 1 + NONCE_OCTETS], held[1 + NONCE_OCTETS :]
        try:
            aad = _AAD.pack(name, flags, len(sealed) - TAG_OCTETS)
            data = self._aead.decrypt(nonce, sealed, aad)
        except InvalidTag:
            problem = "the entry does not open: it was altered, or is another device's"
            raise PsaError(Status.INVALID_SIGNATURE, problem, place(uid)) from None
        if sealed[-TAG_OCTETS:] != row.tag:
            problem = "the entry is an older one than the table says"
            raise PsaError(Status.DATA_CORRUPT, problem, place(uid))
        return CreateFlags(flags), data

    def _commit(self, change: Mapping[bytes, bytes | None], table: dict[bytes, "_Row"]) -> None:
        plain = _COUNTER.pack(self._counter.read() + 1) + b"".join(
            _ROW.pack(name, *row) for name, row in table.items()
        )
        nonce = self._random(NONCE_OCTETS)
        sealed = nonce + self._aead.encrypt(nonce, plain, _TABLE)
        self._store.commit({**change, _TABLE: sealed})
        self._table = table
        self._counter.advance()

    def _open_table(self) -> dict[bytes, "_Row"]:
        value = self._counter.read()
        held = self._store.get(_TABLE)
        if held is None:
            if value:
                problem = f"the table is gone, and the counter stands at {value}"
                raise PsaError(Status.DATA_CORRUPT, problem, "protected storage")
            return {}
        try:
            plain = self._aead.decrypt(held[:NONCE_OCTETS], held[NONCE_OCTETS:], _TABLE)
        except (InvalidTag, ValueError):
            problem = "the table does not open: it was altered, or is another device's"
            raise PsaError(Status.INVALID_SIGNATURE, problem, "protected storage") from None
        stands = _COUNTER.unpack_from(plain)[0]
        if stands == value + 1:
            self._counter.advance()
        elif stands != value:
            problem = f"the table is of {stands} and the counter at {value}: it was rolled back"
            raise PsaError(Status.DATA_CORRUPT, problem, "protected storage")
        rows = _ROW.iter_unpack(plain[_COUNTER.size :])
        return {name: _Row(CreateFlags(flags), tag) for name, flags, tag in rows}


def _no_support(client: int, uid: int, what: str) -> PsaError:
    problem = f"{what} is not supported: set the entry as a whole"
    return PsaError(Status.NOT_SUPPORTED, problem, f"{place(uid)} of client {client}")
