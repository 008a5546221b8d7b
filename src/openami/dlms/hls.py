# SPDX-License-Identifier: Apache-2.0
"""Authentication mechanisms: how client and server prove that they know a secret, or who they are.

DLMS UA 1000-2 Ed. 10, 9.2.2.2 (mechanisms) and 9.2.7.4 (high level security, HLS).  HLS takes
four passes; entropy, counters and APDUs are the caller's::

    1  AARQ                             CtoS: the client's challenge
    2  AARE                             StoC: the server's challenge
    3  ACTION reply_to_HLS_authentication(f(StoC))
    4  its return parameter                f(CtoS)
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, unique
from hmac import compare_digest
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from openami.dlms.apdu.codes import MechanismName
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.suites import SecurityControl

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.4"

SHORTEST_CHALLENGE_OCTETS: Final = 8
LONGEST_CHALLENGE_OCTETS: Final = 64
SHORTEST_SIGNED_CHALLENGE_OCTETS: Final = 32
CHALLENGE_OCTETS: Final = 16  # some servers in the field miscompute or ignore longer ones


@unique
class Mechanism(IntEnum):
    """Authentication mechanisms, 2.16.756.5.8.2.n."""

    LOWEST = 0
    LLS = 1
    """A password, which crosses as it is."""
    HLS = 2
    """Of the manufacturer; see `encrypted_challenge`."""
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7

    @property
    def oid(self) -> bytes:
        """The mechanism-name as the octets of its object identifier, without tag and length."""
        return MechanismName[self.name].value

    @classmethod
    def from_oid(cls, octets: bytes) -> Self:
        """Read a mechanism-name.

        Raises:
            DecodeError: No mechanism of this standard.
        """
        try:
            return cls[MechanismName(octets).name]
        except ValueError:
            problem = f"{octets.hex().upper()} names no authentication mechanism"
            raise DecodeError(problem, octets, 0, CLAUSE) from None

    @property
    def is_hls(self) -> bool:
        """Whether passes 3 and 4 follow."""
        return self >= Mechanism.HLS

    @property
    def shortest_challenge_octets(self) -> int:
        """The shortest challenge that is accepted."""
        if self is Mechanism.HLS_ECDSA:
            return SHORTEST_SIGNED_CHALLENGE_OCTETS
        return SHORTEST_CHALLENGE_OCTETS

    @property
    def challenge_octets(self) -> int:
        """Length of the challenges that we make."""
        return max(CHALLENGE_OCTETS, self.shortest_challenge_octets)


HLS_WITH_SECRET: Final = frozenset(
    {Mechanism.HLS, Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256}
)
"""Mechanisms of HLS that know a secret; the others prove keys."""

ManufacturerProof = Callable[[bytes, bytes], bytes]
"""Gives f(challenge) of mechanism 2, from the secret and the challenge."""

_BLOCK_OCTETS: Final = 16


def encrypted_challenge(secret: bytes, challenge: bytes) -> bytes:
    """Return the challenge under AES-128 in electronic codebook mode, the secret as key.

    The standard leaves mechanism 2 to the manufacturer; this is the form that is met most.  Both
    are filled up with zeros: the key to 16 octets, the challenge to whole blocks.

    Raises:
        SecurityError: The secret is longer than a key.
    """
    if len(secret) > _BLOCK_OCTETS:
        problem = f"the secret of mechanism 2 has {len(secret)} octets, not 16 or fewer"
        raise SecurityError(problem, "HLS", CLAUSE)
    encryptor = BlockCipher(AES128(secret.ljust(_BLOCK_OCTETS, b"\0")), ECB()).encryptor()  # noqa: S305
    whole = -(-len(challenge) // _BLOCK_OCTETS) * _BLOCK_OCTETS
    return encryptor.update(challenge.ljust(whole, b"\0")) + encryptor.finalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What one side knows after pass 2: enough to answer the peer and to check its answer.

    Attributes:
        mechanism: As named in AARQ and AARE.
        own_title: Our system title; used by GMAC and SHA-256.
        peer_title: The peer's.
        own_challenge: What we sent: CtoS at the client, StoC at the server.
        peer_challenge: What the peer sent.
        secret: The HLS secret of mechanism 2, MD5, SHA-1 and SHA-256.
        cipher: The global keys, for GMAC.
        credentials: Our signing key and the peer's, for ECDSA.
        manufacturer: What mechanism 2 computes.
    """

    mechanism: Mechanism
    own_title: bytes = b""
    peer_title: bytes = b""
    own_challenge: bytes
    peer_challenge: bytes
    secret: bytes = field(default=b"", repr=False)
    cipher: Cipher | None = field(default=None, repr=False)
    credentials: Credentials | None = field(default=None, repr=False)
    manufacturer: ManufacturerProof = encrypted_challenge

    def __post_init__(self) -> None:
        check_challenge("own challenge", self.own_challenge, self.mechanism)
        check_challenge("peer's challenge", self.peer_challenge, self.mechanism)
        if self.own_challenge == self.peer_challenge:
            # A peer without the secret would send our own answer back to us.
            problem = "the peer repeats our own challenge"
            raise SecurityError(problem, self._place, CLAUSE)
        if self.mechanism is Mechanism.HLS_GMAC and self.cipher is None:
            raise SecurityError("no global keys are known", self._place, CLAUSE)
        if self.mechanism in HLS_WITH_SECRET and not self.secret:
            raise SecurityError("no HLS secret is known", self._place, CLAUSE)
        if self.mechanism is Mechanism.HLS_ECDSA and self.credentials is None:
            raise SecurityError("no signing keys are known", self._place, CLAUSE)

    @property
    def _place(self) -> str:
        return f"authentication mechanism {self.mechanism:d}, {self.mechanism.name}"

    def reply(self, invocation_counter: int = 0) -> bytes:
        """Return f of the peer's challenge: pass 3 at the client, pass 4 at the server.

        Args:
            invocation_counter: For GMAC: taken from the counters of the global key, never used
                before.  The other mechanisms take none.

        Raises:
            SecurityError: The mechanism is not offered.
        """
        if self.mechanism is Mechanism.HLS_GMAC and self.cipher is not None:
            control = self._gmac_control(self.cipher)
            challenge = self.peer_challenge
            sealed = self.cipher.seal(control, invocation_counter, self.own_title, challenge)
            return sealed[:5] + sealed[5 + len(challenge) :]
        if self.mechanism is Mechanism.HLS_ECDSA and self.credentials is not None:
            return self.credentials.sign(
                self.own_title + self.peer_title + self.peer_challenge + self.own_challenge
            )
        return self._digest(
            self.own_title, self.peer_title, self.peer_challenge, self.own_challenge
        )

    def verify(self, reply: bytes) -> None:
        """Check f of our challenge, as the peer computed it.

        Its invocation counter is held to no window: it is older than that of the envelope around
        it, and our challenge makes it fresh.

        Raises:
            SecurityError: The peer does not know the secret, or the reply was altered.
        """
        if self.mechanism is Mechanism.HLS_GMAC and self.cipher is not None:
            if len(reply) != 17 or reply[0] != self._gmac_control(self.cipher):
                raise self._failed()
            try:
                self.cipher.open(reply[:5] + self.own_challenge + reply[5:], self.peer_title)
            except SecurityError:
                raise self._failed() from None
            return
        if self.mechanism is Mechanism.HLS_ECDSA and self.credentials is not None:
            signed = self.peer_title + self.own_title + self.own_challenge + self.peer_challenge
            self.credentials.verify(reply, signed, f"{self._place}, the peer's proof")
            return
        expected = self._digest(
            self.peer_title, self.own_title, self.own_challenge, self.peer_challenge
        )
        if not compare_digest(reply, expected):
            raise self._failed()

    def _digest(
        self, author: bytes, reader: bytes, challenge: bytes, authors_challenge: bytes
    ) -> bytes:
        """Return f(challenge) as `author` computes it for `reader`."""
        secret = self.secret
        match self.mechanism:
            case Mechanism.HLS:
                return self.manufacturer(secret, challenge)
            case Mechanism.HLS_MD5:
                return hashlib.md5(challenge + secret).digest()  # noqa: S324 - the standard's
            case Mechanism.HLS_SHA1:
                return hashlib.sha1(challenge + secret).digest()  # noqa: S324 - the standard's
            case Mechanism.HLS_SHA256:
                octets = secret + author + reader + challenge + authors_challenge
                return hashlib.sha256(octets).digest()
            case _:
                raise SecurityError("the mechanism is not offered", self._place, CLAUSE)

    def _failed(self) -> SecurityError:
        problem = "the peer's proof is wrong: its key or secret differs from ours"
        return SecurityError(problem, self._place, CLAUSE)

    @staticmethod
    def _gmac_control(cipher: Cipher) -> SecurityControl:
        return SecurityControl.of(cipher.keys.suite, encrypted=False)


def check_challenge(name: str, challenge: bytes, mechanism: Mechanism = Mechanism.HLS) -> None:
    """Accept a challenge of 8 to 64 octets, for ECDSA of 32 to 64.

    Raises:
        SecurityError: It is shorter or longer.
    """
    shortest = mechanism.shortest_challenge_octets
    if not shortest <= len(challenge) <= LONGEST_CHALLENGE_OCTETS:
        problem = f"the {name} has {len(challenge)} octets, not {shortest} to 64"
        raise SecurityError(problem, "HLS", CLAUSE)
