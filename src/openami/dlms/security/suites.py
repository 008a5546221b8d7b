# SPDX-License-Identifier: Apache-2.0
"""Security suites, policies, and the octet that says how an APDU is protected.

DLMS UA 1000-2 Ed. 10, 9.2.3.7 (suites) and 9.2.7.2.4 (security header); the policy is attribute 2
of Security setup, class 64 (DLMS UA 1000-1).  Nothing is computed here: see `ciphering`.
"""

from enum import IntEnum, IntFlag, unique
from typing import Final, Self

from openami.dlms.errors import SecurityError

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2"

SUITE_MASK: Final = 0x0F
AUTHENTICATED: Final = 0x10
ENCRYPTED: Final = 0x20
BROADCAST_KEY: Final = 0x40
COMPRESSED: Final = 0x80
SIGNED: Final = 0x100
"""Stands beside the bits of the security control octet, which has none for signatures."""


@unique
class SecuritySuite(IntEnum):
    """Which algorithms protect; the number travels in the security control octet."""

    AES_GCM_128 = 0
    """AES-GCM-128 and AES-128 key wrap."""
    ECDH_ECDSA_AES_GCM_128_SHA_256 = 1
    """As suite 0, with ECDSA and ECDH on P-256."""
    ECDH_ECDSA_AES_GCM_256_SHA_384 = 2
    """AES-GCM-256 and AES-256 key wrap, with ECDSA and ECDH on P-384."""

    @property
    def key_octets(self) -> int:
        """Size of each symmetric key: encryption, authentication, broadcast, dedicated, master."""
        return 32 if self is SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384 else 16


HIGHEST_SUITE: Final = max(SecuritySuite)


class SecurityPolicy(IntFlag):
    """What each APDU must carry at least, by direction: security_policy of class 64 version 1.

    Bits 0 and 1 are reserved.  A response means every APDU from the server, notifications too.
    """

    AUTHENTICATED_REQUEST = 0x04
    ENCRYPTED_REQUEST = 0x08
    DIGITALLY_SIGNED_REQUEST = 0x10
    AUTHENTICATED_RESPONSE = 0x20
    ENCRYPTED_RESPONSE = 0x40
    DIGITALLY_SIGNED_RESPONSE = 0x80

    @classmethod
    def from_version_0(cls, policy: int) -> Self:
        """Read the policy of class 64 version 0: 1 authenticated, 2 encrypted, 3 both, 0 none."""
        if not 0 <= policy <= 3:
            raise SecurityError(f"policy {policy} is not 0 to 3", "security_policy", CLAUSE)
        # The two bits stand for requests and for responses alike.
        return cls(policy << 2 | policy << 5)

    def to_version_0(self) -> int:
        """Return the policy for class 64 version 0, which knows no direction and no signature."""
        policy = int(self) >> 2 & 3
        if SecurityPolicy.from_version_0(policy) != self:
            raise SecurityError(
                f"policy {int(self):02X} differs by direction or asks for signatures, "
                "which version 0 cannot say",
                "security_policy",
                CLAUSE,
            )
        return policy

    @property
    def request_bits(self) -> int:
        """What a request must have: bits of the security control octet, and `SIGNED`."""
        return (int(self) >> 2 & 3) << 4 | (int(self) >> 4 & 1) << 8

    @property
    def response_bits(self) -> int:
        """What a response must have: bits of the security control octet, and `SIGNED`."""
        return (int(self) >> 5 & 3) << 4 | (int(self) >> 7 & 1) << 8


NO_PROTECTION: Final = SecurityPolicy(0)
AUTHENTICATED_AND_ENCRYPTED: Final = SecurityPolicy.from_version_0(3)


class SecurityControl(int):
    """The security control octet SC, checked.

    ====  ==================================================================
    bits  meaning
    ====  ==================================================================
    3..0  security suite
    4     authenticated: the body ends in a tag of 12 octets
    5     encrypted
    6     key set: 0 unicast, 1 broadcast (no meaning with a dedicated key)
    7     compressed by V.44, which is refused
    ====  ==================================================================
    """

    __slots__ = ()

    def __new__(cls, octet: int) -> Self:
        if octet & COMPRESSED:
            raise SecurityError(
                "the APDU is compressed; V.44 is not offered here, so switch compression off "
                "at the peer",
                f"security control {octet:02X}",
                CLAUSE,
            )
        if octet & SUITE_MASK > HIGHEST_SUITE or not 0 <= octet <= 0xFF:
            raise SecurityError(
                f"security suite {octet & SUITE_MASK} does not exist",
                f"security control {octet:02X}",
                CLAUSE,
            )
        return super().__new__(cls, octet)

    @classmethod
    def of(
        cls,
        suite: SecuritySuite,
        *,
        authenticated: bool = True,
        encrypted: bool = True,
        broadcast: bool = False,
    ) -> Self:
        """Return the octet with the given meaning."""
        return cls(
            suite
            | (AUTHENTICATED if authenticated else 0)
            | (ENCRYPTED if encrypted else 0)
            | (BROADCAST_KEY if broadcast else 0)
        )

    @property
    def suite(self) -> SecuritySuite:
        return SecuritySuite(self & SUITE_MASK)

    @property
    def authenticated(self) -> bool:
        return bool(self & AUTHENTICATED)

    @property
    def encrypted(self) -> bool:
        return bool(self & ENCRYPTED)

    @property
    def broadcast(self) -> bool:
        return bool(self & BROADCAST_KEY)

    def __repr__(self) -> str:
        return f"SecurityControl(0x{self:02X})"
