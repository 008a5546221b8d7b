# SPDX-License-Identifier: Apache-2.0
"""How two paired modules open a session: two messages, with a key pair of this start from each.

Noise's pattern KK in other words: both know the other's static key beforehand.  One end always
opens, the other always answers.

======  ============  ================================================================
octets  field         value
======  ============  ================================================================
1       version       1
8       fingerprint   of the sender's static key
65      point         the sender's ephemeral key; not in CALL
16      tag           not in CALL
======  ============  ================================================================

=======  ========================================================================
message  tag
=======  ========================================================================
CALL     none: "I am here and in no session" is a hint, nothing more
OPEN     over OPEN; keyed by the answerer's static key with the opener's
         ephemeral and static keys
ANSWER   over OPEN and ANSWER; keyed by these two secrets, ephemeral with
         ephemeral, and the opener's static with the answerer's ephemeral key
=======  ========================================================================

Only the module with the paired static key can make either tag.  A recorded OPEN has a right tag for
ever: it is answered, but a session stands for the answerer only when a frame of it comes, which
whoever replays cannot make.  Keys are HKDF-SHA-256 of all four secrets, salted with the hash of
what was said; nothing of them outlives the session.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openami.device.pairing import FINGERPRINT_OCTETS, POINT_OCTETS, Pair, SoftwareKey
from openami.device.session import KEY_OCTETS, SALT_OCTETS, Direction, Session
from openami.firmware.keys import Entropy

CALL: Final = 1
OPEN: Final = 2
ANSWER: Final = 3
VERSION: Final = 1
TAG_OCTETS: Final = 16
MAC_KEY_OCTETS: Final = 32
NAME: Final = b"OpenAMI link 1, P-256 SHA-256 AES-128-CCM-8"


class HandshakeError(ValueError):
    """A message that the paired module did not send.

    Attributes:
        fingerprint: Of whom it says it is from; empty if it says nothing sensible.
    """

    def __init__(self, sentence: str, name: bytes = b"") -> None:
        super().__init__(sentence)
        self.fingerprint = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Any of the three messages."""

    fingerprint: bytes
    point: bytes = b""
    tag: bytes = b""

    @property
    def head(self) -> bytes:
        """Everything in front of the tag."""
        return bytes((VERSION,)) + self.fingerprint + self.point

    def encode(self) -> bytes:
        return self.head + self.tag

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a message.

        Raises:
            HandshakeError: It is none of this version.
        """
        name_end = 1 + FINGERPRINT_OCTETS
        point_end = name_end + POINT_OCTETS
        if octets[:1] != bytes((VERSION,)) or len(octets) not in (name_end, point_end + TAG_OCTETS):
            raise HandshakeError(f"{len(octets)} octets are no message of version {VERSION}")
        return cls(
            fingerprint=octets[1:name_end],
            point=octets[name_end:point_end],
            tag=octets[point_end:],
        )


def call(pair: Pair) -> bytes:
    """Return CALL."""
    return Hello(fingerprint=pair.name).encode()


@dataclass(slots=True)
class Opening:
    """The opener's part: `octets` are OPEN, until `answered` has made a session of an ANSWER."""

    octets: bytes
    _ephemeral: SoftwareKey = field(repr=False)
    _secrets: bytes = field(repr=False)
    _pair: Pair = field(repr=False)

    @classmethod
    def begin(cls, pair: Pair, entropy: Entropy) -> Self:
        """Draw a key and make OPEN.

        Raises:
            ValueError: The module was never paired.
        """
        peer = _peer(pair)
        ephemeral = SoftwareKey.fresh(entropy)
        secrets = ephemeral.agree(peer) + pair.own.agree(peer)
        clear = Hello(fingerprint=pair.name, point=ephemeral.public)
        tag = _tag(secrets, _statics(pair.own.public, peer), clear.head)
        return cls(clear.head + tag, ephemeral, secrets, pair)

    def answered(self, octets: bytes) -> Session:
        """Take ANSWER.

        Raises:
            HandshakeError: It answers something else, or the paired module did not send it.
        """
        hello, peer = _of_peer(self._pair, octets), _peer(self._pair)
        try:
            secrets = self._secrets + self._ephemeral.agree(hello.point)
            secrets += self._pair.own.agree(hello.point)
        except ValueError:
            raise HandshakeError("its point is not on the curve", hello.fingerprint) from None
        said = _statics(self._pair.own.public, peer) + self.octets
        _verify(hello, _tag(secrets, said, hello.head))
        return _session(secrets, said + octets, opened=True)


def answer(pair: Pair, octets: bytes, entropy: Entropy) -> tuple[bytes, Session]:
    """Take OPEN; return ANSWER, and a session that stands once a frame of it comes.

    Raises:
        HandshakeError: The paired module did not send it.
    """
    hello, peer = _of_peer(pair, octets), _peer(pair)
    statics = _statics(peer, pair.own.public)
    try:
        secrets = pair.own.agree(hello.point) + pair.own.agree(peer)
    except ValueError:
        raise HandshakeError("its point is not on the curve", hello.fingerprint) from None
    _verify(hello, _tag(secrets, statics, hello.head))
    ephemeral = SoftwareKey.fresh(entropy)
    secrets += ephemeral.agree(hello.point) + ephemeral.agree(peer)
    clear = Hello(fingerprint=pair.name, point=ephemeral.public)
    said = statics + octets
    answered = clear.head + _tag(secrets, said, clear.head)
    return answered, _session(secrets, said + answered, opened=False)


def _peer(pair: Pair) -> bytes:
    if pair.peer is None:
        raise HandshakeError("this module was never paired")
    return pair.peer


def _statics(opener: bytes, answerer: bytes) -> bytes:
    return NAME + opener + answerer


def _of_peer(pair: Pair, octets: bytes) -> Hello:
    hello = Hello.decode(octets)
    if hello.fingerprint != pair.peer_name:
        raise HandshakeError("it is from another module", hello.fingerprint)
    if not hello.tag:
        raise HandshakeError("it has no tag", hello.fingerprint)
    return hello


def _verify(hello: Hello, expected: bytes) -> None:
    if not hmac.compare_digest(hello.tag, expected):
        raise HandshakeError("its tag is wrong", hello.fingerprint)


def _expand(secrets: bytes, said: bytes, octets: int) -> bytes:
    salt = hashlib.sha256(said).digest()
    return HKDF(hashes.SHA256(), octets, salt, NAME).derive(secrets)


def _tag(secrets: bytes, said: bytes, head: bytes) -> bytes:
    key = _expand(secrets, said, MAC_KEY_OCTETS)
    return hmac.digest(key, head, "sha256")[:TAG_OCTETS]


def _session(secrets: bytes, said: bytes, *, opened: bool) -> Session:
    """Return the session after everything `said`, for the end that `opened` it or the other."""
    one = KEY_OCTETS + SALT_OCTETS
    octets = _expand(secrets, said, 2 * one + 4)
    ways = [
        Direction(part[:KEY_OCTETS], part[KEY_OCTETS:])
        for part in (octets[:one], octets[one : 2 * one])
    ]
    sending, receiving = ways if opened else reversed(ways)
    return Session(int.from_bytes(octets[2 * one :]), sending, receiving)
