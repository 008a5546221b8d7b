# SPDX-License-Identifier: Apache-2.0
"""What the secure world of a device knows of DLMS/COSEM: keys and a password, as they are kept.

::

    octets  suite 0                  suites 1 and 2
    8       title                    title
    4       epoch, little-endian     epoch, little-endian
    2       -                        suite, policy
    3 keys  encryption, authentication, master: of the size that the suite says
    16      the reader's secret      the reader's secret
"""

import struct
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityPolicy,
    SecuritySuite,
)

PASSWORD_OCTETS: Final = 16
MOST_OCTETS: Final = 256
_HEAD: Final = struct.Struct("<8sI")
_MORE: Final = struct.Struct("<BB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the factory brings in, and a key transfer or agreement replaces.

    Keys have the size that the suite says, the password 16 octets.
    """

    title: bytes
    epoch: int
    suite: SecuritySuite = SecuritySuite.AES_GCM_128
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)
    master: bytes = field(repr=False)
    password: bytes = field(repr=False)

    FIELDS: ClassVar = ("encryption", "authentication", "master", "password")

    def encode(self) -> bytes:
        """Raise `ValueError` where a length is wrong."""
        octets = [getattr(self, name) for name in self.FIELDS]
        sizes = [self.suite.key_octets] * 3 + [PASSWORD_OCTETS]
        if len(self.title) != 8 or [len(each) for each in octets] != sizes:
            raise ValueError("a title has 8 octets, a password 16, a key what its suite says")
        more = _MORE.pack(self.suite, self.policy) if self.suite else b""
        return _HEAD.pack(self.title, self.epoch) + more + b"".join(octets)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read what `encode` wrote."""
        title, epoch = _HEAD.unpack_from(octets)
        suite, policy, at = 0, AUTHENTICATED_AND_ENCRYPTED, _HEAD.size
        if len(octets) > at + 4 * PASSWORD_OCTETS:
            suite, policy = _MORE.unpack_from(octets, at)
            at += _MORE.size
        suite, found = SecuritySuite(suite), {}
        for name in cls.FIELDS:
            end = at + (PASSWORD_OCTETS if name == "password" else suite.key_octets)
            found[name] = octets[at:end]
            at = end
        return cls(title=title, epoch=epoch, suite=suite, policy=SecurityPolicy(policy), **found)

    @property
    def keys(self) -> KeySet:
        return KeySet(
            suite=self.suite,
            encryption_key=self.encryption,
            authentication_key=self.authentication,
        )
