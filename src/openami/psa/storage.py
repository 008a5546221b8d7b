# SPDX-License-Identifier: Apache-2.0
"""Internal Trusted Storage (PSA Certified Secure Storage API, ITS).

Entries on the chip's own flash, which nobody else can reach: neither confidentiality nor
protection against replay needs cryptography here, so flags that waive them change nothing.  Each
client has its own uids.  What lies outside the chip is `protected`.
"""

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Protocol

from openami.psa.keystore import KeyCabinet
from openami.psa.pagestore import PageStore
from openami.psa.status import PsaError, Status

CRYPTO_CLIENT: Final = 0x43525950
"""Under which client the key store itself keeps its keys."""


class CreateFlags(IntFlag):
    """psa_storage_create_flags_t."""

    NONE = 0
    WRITE_ONCE = 1
    """Neither changed nor removed any more."""
    NO_CONFIDENTIALITY = 2
    NO_REPLAY_PROTECTION = 4


ALL_FLAGS: Final = int(sum(CreateFlags))


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """psa_storage_info_t.

    Attributes:
        capacity: Octets that the entry may have; here always its size.
        size: Octets that it has.
        flags: Those it was created with.
    """

    capacity: int
    size: int
    flags: CreateFlags


class Storage(Protocol):
    """What ITS and PS have in common: psa_its_ and psa_ps_ functions of any client."""

    def set(self, client: int, uid: int, data: bytes, flags: int = 0) -> None:
        """Create an entry, or write it anew as a whole."""

    def get(self, client: int, uid: int, offset: int, octets: int) -> bytes:
        """Return up to `octets` octets from `offset`."""

    def get_info(self, client: int, uid: int) -> StorageInfo:
        """Return what is known about an entry."""

    def remove(self, client: int, uid: int) -> None:
        """Remove an entry."""


_NAME: Final = struct.Struct("<BIQ")


def entry_name(area: int, client: int, uid: int) -> bytes:
    """Return the name of an entry in a `PageStore`.

    Raises:
        PsaError: INVALID_ARGUMENT, the uid is 0 or has more than 64 bits.
    """
    if not 0 < uid < 1 << 64:
        raise PsaError(Status.INVALID_ARGUMENT, "a uid has 64 bits and is not 0", f"uid {uid}")
    return _NAME.pack(area, client & 0xFFFFFFFF, uid)


def checked_flags(flags: int, uid: int) -> CreateFlags:
    """Return flags; raise `PsaError` NOT_SUPPORTED where some have no meaning."""
    if flags & ~ALL_FLAGS:
        problem = f"flags 0x{flags & ~ALL_FLAGS:X} have no meaning"
        raise PsaError(Status.NOT_SUPPORTED, problem, place(uid))
    return CreateFlags(flags)


def section(data: bytes, uid: int, offset: int, octets: int) -> bytes:
    """Return a part of an entry; raise `PsaError` INVALID_ARGUMENT for an offset behind its end."""
    if not 0 <= offset <= len(data) or octets < 0:
        problem = f"the entry has {len(data)} octets, and {octets} from {offset} were asked"
        raise PsaError(Status.INVALID_ARGUMENT, problem, place(uid))
    return data[offset : offset + octets]


def check_changeable(flags: CreateFlags, uid: int) -> None:
    """Refuse to touch an entry that is written once."""
    if flags & CreateFlags.WRITE_ONCE:
        problem = "the entry was written once and for all"
        raise PsaError(Status.NOT_PERMITTED, problem, place(uid))


def missing(uid: int) -> PsaError:
    """Return the refusal of an entry that is not there."""
    return PsaError(Status.DOES_NOT_EXIST, "there is no such entry", place(uid))


def place(uid: int) -> str:
    """Return a uid as errors print it."""
    return f"uid 0x{uid:X}"


class InternalTrustedStorage:
    """psa_its_set, psa_its_get, psa_its_get_info, psa_its_remove."""

    __slots__ = ("_store",)

    AREA: Final = 1

    def __init__(self, store: PageStore) -> None:
        self._store = store

    def set(self, client: int, uid: int, data: bytes, flags: int = 0) -> None:
        """psa_its_set.

        Raises:
            PsaError: INVALID_ARGUMENT, NOT_SUPPORTED (flags), NOT_PERMITTED (written once),
                INSUFFICIENT_STORAGE, STORAGE_FAILURE.
        """
        name = entry_name(self.AREA, client, uid)
        wanted = checked_flags(flags, uid)
        held = self._store.get(name)
        if held is not None:
            check_changeable(CreateFlags(held[0]), uid)
        self._store.commit({name: bytes((wanted,)) + data})

    def get(self, client: int, uid: int, offset: int, octets: int) -> bytes:
        """psa_its_get.

        Raises:
            PsaError: INVALID_ARGUMENT (uid, offset), DOES_NOT_EXIST.
        """
        return section(self._entry(client, uid)[1:], uid, offset, octets)

    def get_info(self, client: int, uid: int) -> StorageInfo:
        """psa_its_get_info.

        Raises:
            PsaError: INVALID_ARGUMENT (uid), DOES_NOT_EXIST.
        """
        entry = self._entry(client, uid)
        return StorageInfo(len(entry) - 1, len(entry) - 1, CreateFlags(entry[0]))

    def remove(self, client: int, uid: int) -> None:
        """psa_its_remove.

        Raises:
            PsaError: INVALID_ARGUMENT (uid), DOES_NOT_EXIST, NOT_PERMITTED (written once),
                STORAGE_FAILURE.
        """
        entry = self._entry(client, uid)
        check_changeable(CreateFlags(entry[0]), uid)
        self._store.commit({entry_name(self.AREA, client, uid): None})

    def _entry(self, client: int, uid: int) -> bytes:
        held = self._store.get(entry_name(self.AREA, client, uid))
        if held is None:
            raise missing(uid)
        return held


class KeysInStorage(KeyCabinet):
    """The cabinet of a key store: one entry a key, under a client of its own."""

    __slots__ = ("_storage",)

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self, client: int, key_id: int) -> bytes | None:
        uid = self._uid(client, key_id)
        try:
            size = self._storage.get_info(CRYPTO_CLIENT, uid).size
        except PsaError as error:
            if error.status is Status.DOES_NOT_EXIST:
                return None
            raise
        return self._storage.get(CRYPTO_CLIENT, uid, 0, size)

    def write(self, client: int, key_id: int, octets: bytes) -> None:
        self._storage.set(CRYPTO_CLIENT, self._uid(client, key_id), octets)

    def remove(self, client: int, key_id: int) -> None:
        self._storage.remove(CRYPTO_CLIENT, self._uid(client, key_id))

    @staticmethod
    def _uid(client: int, key_id: int) -> int:
        return (client & 0xFFFFFFFF) << 32 | key_id
