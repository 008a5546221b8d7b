# SPDX-License-Identifier: Apache-2.0
"""Which key-encryption keys a head-end has: one wraps, former ones still unwrap.

So it moves from a file to a token, or from one token to the next, without standing still: the new
place is named first and the old one as former, then what rests in the database is wrapped anew
(`openami headend keys rewrap`), then the old one is taken out of the configuration.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from openami.access.keystore import KeyStore, KeyStoreError
from openami.access.pkcs11 import SCHEME, TokenKeyStore, TokenUri


class Keeper(Protocol):
    """One key-encryption key."""

    def wrap(self, key: bytes) -> bytes:
        """Return `key` wrapped (RFC 3394)."""

    def unwrap(self, wrapped: bytes, name: str = "key") -> bytes:
        """Return the key inside; raises `KeyStoreError` if it does not open."""


class Places(NamedTuple):
    """Where the key-encryption keys are, as configured: a folder, or a PKCS#11 URI."""

    present: str
    former: Sequence[str]
    home: Path
    """Where relative paths begin."""


class Custody:
    """All key-encryption keys of one head-end."""

    def __init__(self, present: Keeper, former: Sequence[Keeper] = ()) -> None:
        self.present = present
        self.former = tuple(former)

    @classmethod
    def open(cls, places: Places, *, create: bool = False) -> "Custody":
        """Open every place; `create` makes the present key if there is none.

        Raises:
            KeyStoreError: A place cannot be used.
            ConfigurationError: It is named wrongly.
        """
        present = keeper_of(places.present, places.home, create=create)
        return cls(present, [keeper_of(text, places.home) for text in places.former])

    def wrap(self, key: bytes) -> bytes:
        """Return a key as it may rest in the database."""
        return self.present.wrap(key)

    def unwrap(self, wrapped: bytes, name: str = "key") -> bytes:
        """Return the key inside, whichever of our keys it was wrapped under.

        Raises:
            KeyStoreError: It opens with none of them.
        """
        try:
            return self.present.unwrap(wrapped, name)
        except KeyStoreError:
            for keeper in self.former:
                try:
                    return keeper.unwrap(wrapped, name)
                except KeyStoreError:
                    continue
            raise

    def renewed(self, wrapped: bytes) -> bytes | None:
        """Return a key wrapped under the present key; None if it is so already.

        Raises:
            KeyStoreError: It opens with none of our keys.
        """
        try:
            self.present.unwrap(wrapped)
        except KeyStoreError:
            return self.present.wrap(self.unwrap(wrapped))
        return None


def keeper_of(place: str, home: Path, *, create: bool = False) -> Keeper:
    """Open the key-encryption key at one place."""
    if place.startswith(SCHEME):
        return TokenKeyStore(TokenUri.parse(place, home), create=create)
    return KeyStore(home / place, create=create)
