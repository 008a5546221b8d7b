# SPDX-License-Identifier: Apache-2.0
"""The global keys that one client and one server share, or who holds them instead.

DLMS UA 1000-2 Ed. 10, 9.2.3.3.7 and 9.2.5 (keys).  What is done with them is `ciphering`.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from openami.dlms.errors import SecurityError, in_octets
from openami.dlms.security.suites import SecurityControl, SecuritySuite

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.3.7"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The global keys that one client and one server share.

    Attributes:
        suite: Decides the algorithms and the size of every key.
        encryption_key: Global unicast encryption key, GUEK.
        authentication_key: Global authentication key, GAK; empty where only encryption is used.
        broadcast_key: Global broadcast encryption key, GBEK.
    """

    suite: SecuritySuite = SecuritySuite.AES_GCM_128
    encryption_key: bytes = field(repr=False)
    authentication_key: bytes = field(default=b"", repr=False)
    broadcast_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        size = self.suite.key_octets
        check_key_size("encryption key", self.encryption_key, size)
        if self.authentication_key:
            check_key_size("authentication key", self.authentication_key, size)
        if self.broadcast_key is not None:
            check_key_size("broadcast key", self.broadcast_key, size)


def check_key_size(name: str, key: bytes, size: int) -> None:
    """Refuse a key that has not `size` octets."""
    if len(key) != size:
        raise SecurityError(f"the {name} has {in_octets(len(key))}, not {size}", "key set", CLAUSE)


class KeyService(Protocol):
    """Global keys that are held elsewhere, as in a secure world: it seals and opens by itself.

    The authentication key is part of what is authenticated, so it is the service that puts the
    additional authenticated data together; see the table at the top.
    """

    def seal(self, control: SecurityControl, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        """Return the body of an APDU that is protected as `control` says."""

    def open(
        self, control: SecurityControl, nonce: bytes, body: bytes, header: bytes
    ) -> bytes | None:
        """Return the APDU in a body; None when the tag does not match."""

    def with_encryption_key(self, dedicated_key: bytes) -> "KeyService":
        """Return the service of a dedicated key, with the same authentication key."""
