# SPDX-License-Identifier: Apache-2.0
"""Custody of keys at the head-end: one key in a file, all others wrapped under it in the database.

The folder holds `key-encryption.json` (mode 0600): an AES-256 key, drawn on first use, with a check
value that tells a damaged file from a sound one.  Keys of meters are wrapped (RFC 3394) and live
where the registry keeps them; nothing but this module sees them plain.  Lose the file and every
wrapped key is lost: back it up apart from the database.
"""

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from openami.dlms.errors import SecurityError
from openami.dlms.security.ciphering import Cipher, unwrap_key, wrap_key
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecuritySuite
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import PRIVATE, read_json, sync_folder, write_json

FORMAT: Final = "openami-keystore-1"
FILE_NAME: Final = "key-encryption.json"
KEY_OCTETS: Final = 32
RESTORE: Final = "restore it from a backup; the wrapped keys of all meters open with no other"


class KeyStoreError(UserError):
    """A key that cannot be had: the sentence names the file or the key, and the remedy."""


class KeyStore:
    """Wraps and unwraps keys with the key-encryption key of one folder."""

    __slots__ = ("_key", "path")

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Load the key-encryption key.

        Args:
            folder: Where the key file is.
            create: Draw a key if there is none.  A service that finds wrapped keys in its database
                says False: a new key would open none of them.

        Raises:
            KeyStoreError: The file is missing, damaged, or readable by others.
        """
        self.path = folder / FILE_NAME
        if create and not self.path.exists():
            self._create()
        self._key = self._load()

    def wrap(self, key: bytes) -> bytes:
        """Return `key` (16, 24 or 32 octets) as it may rest in a database: 8 octets longer."""
        return wrap_key(self._key, key)

    def unwrap(self, wrapped: bytes, name: str = "key") -> bytes:
        """Return the key inside `wrapped`; `name` says in an error which key it is.

        Raises:
            KeyStoreError: It was wrapped under another key-encryption key, or is damaged.
        """
        try:
            return unwrap_key(self._key, wrapped)
        except SecurityError:
            raise KeyStoreError(
                f"the wrapped {name} does not open with {self.path}: restore the key file that "
                "belongs to this database, or import the key again"
            ) from None

    def __repr__(self) -> str:
        return f"KeyStore({str(self.path)!r})"

    def _create(self) -> None:
        key = os.urandom(KEY_OCTETS)
        value = {"format": FORMAT, "key": key.hex(), "check": _check_value(key)}
        # Written beside and then linked: of two that start together one wins, and both load the
        # winner's key.
        own = self.path.with_name(f".{FILE_NAME}.{os.urandom(8).hex()}")
        write_json(own, value, mode=PRIVATE)
        try:
            os.link(own, self.path)
        except FileExistsError:
            pass
        except OSError as error:
            raise KeyStoreError(
                f"{self.path} cannot be written ({error.strerror}): permit writing"
            ) from error
        finally:
            own.unlink()
        sync_folder(self.path.parent)

    def _load(self) -> bytes:
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            said = read_json(self.path, RESTORE)
        except OSError as error:
            raise KeyStoreError(
                f"{self.path} cannot be read ({error.strerror}): {RESTORE}"
            ) from error
        except ConfigurationError as error:
            raise KeyStoreError(str(error)) from error
        if mode & 0o077:
            raise KeyStoreError(
                f"{self.path} has mode {mode:04o}, so others may read the key: "
                f"run chmod 600 {self.path}, and replace the keys if others had access"
            )
        return self._parse(said)

    def _parse(self, said: object) -> bytes:
        match said:
            case {"format": str(form), "key": str(text), "check": str(check)}:
                pass
            case _:
                raise KeyStoreError(f"{self.path} holds no key: {RESTORE}")
        if form != FORMAT:
            raise KeyStoreError(f"{self.path} has format {form!r}, not {FORMAT!r}: {RESTORE}")
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != KEY_OCTETS or _check_value(key) != check:
            raise KeyStoreError(f"{self.path} is damaged, its check value differs: {RESTORE}")
        return key


def _check_value(key: bytes) -> str:
    return hashlib.sha256(b"openami key check" + key).hexdigest()[:16]


class KeyRef(NamedTuple):
    """Which key set of which meter."""

    meter_id: int
    epoch: int
    """Counts changes of the meter's keys, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKeySet:
    """A meter's key set as the registry has it.

    Attributes:
        suite: Security suite of the meter.
        encryption_key: GUEK, wrapped.
        authentication_key: GAK, wrapped.
        retired: Replaced by a later epoch: what still travels under it is opened, nothing more is
            sealed.
    """

    suite: SecuritySuite = SecuritySuite.AES_GCM_128
    encryption_key: bytes
    authentication_key: bytes
    retired: bool = False


class KeyService(Protocol):
    """Seals and opens by key id, so that its users never hold a key."""

    def to_seal(self, key: KeyRef) -> Cipher:
        """Return what seals under an active key set."""

    def to_open(self, key: KeyRef) -> Cipher:
        """Return what opens under an active or retired key set."""


class _Entry(NamedTuple):
    cipher: Cipher
    retired: bool


@dataclass(slots=True)
class KeyRing:
    """The key service of one process: unwraps on first use and keeps what was used last.

    Attributes:
        store: Unwraps.
        find: Returns the wrapped key set; None if the registry has none.
        capacity: How many unwrapped key sets are kept, about 2 KiB each.
    """

    store: KeyStore
    find: Callable[[KeyRef], WrappedKeySet | None]
    capacity: int = 20_000
    _entries: OrderedDict[KeyRef, _Entry] = field(default_factory=OrderedDict, repr=False)

    def to_seal(self, key: KeyRef) -> Cipher:
        """Return what seals under an active key set.

        Raises:
            KeyStoreError: The key set is retired, unknown, or does not unwrap.
        """
        entry = self._entry(key)
        if entry.retired:
            raise KeyStoreError(
                f"the keys of meter {key.meter_id}, epoch {key.epoch}, are retired and seal "
                "nothing more: use the newest epoch"
            )
        return entry.cipher

    def to_open(self, key: KeyRef) -> Cipher:
        """Return what opens under an active or retired key set.

        Raises:
            KeyStoreError: The key set is unknown, or does not unwrap.
        """
        return self._entry(key).cipher

    def forget(self, meter_id: int) -> None:
        """Drop what is kept of a meter, after its keys changed."""
        for key in [key for key in self._entries if key.meter_id == meter_id]:
            del self._entries[key]

    def _entry(self, key: KeyRef) -> _Entry:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        place = f"meter {key.meter_id}, epoch {key.epoch}"
        found = self.find(key)
        if found is None:
            raise KeyStoreError(
                f"no keys of {place} are known: import the shipment file of the meter"
            )
        entry = _Entry(Cipher(self._unwrap(found, place)), found.retired)
        self._entries[key] = entry
        if len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
        return entry

    def _unwrap(self, found: WrappedKeySet, place: str) -> KeySet:
        encryption_key = self.store.unwrap(found.encryption_key, f"encryption key of {place}")
        authentication_key = self.store.unwrap(
            found.authentication_key, f"authentication key of {place}"
        )
        try:
            return KeySet(
                suite=found.suite,
                encryption_key=encryption_key,
                authentication_key=authentication_key,
            )
        except SecurityError as error:
            raise KeyStoreError(
                f"the keys of {place} do not fit its suite ({error.problem}): import them again"
            ) from None
