# SPDX-License-Identifier: Apache-2.0
"""What one end holds beside the global keys: public key credentials and the master key.

DLMS UA 1000-2 Ed. 10, 9.2.5 (keys) and 9.2.6 (certificates).  They sign, verify, and make the keys
that travel with one APDU in general-ciphering (key-info)::

    identified      a global key that both hold; made by no one here
    wrapped         a key drawn at random, wrapped with the master key (RFC 3394)
    one-pass        agreed, C(1e, 1s): an ephemeral key of the originator, a static one of the peer
    static unified  agreed, C(0e, 2s): the static keys of both, and the transaction-id

Everything private is a port: `Signer`, `Agreement`, `KeyWrapping`.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol, TypeVar

from openami.dlms.apdu.ciphered import AgreedKey, IdentifiedKey, KeyInfo, WrappedKey
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import (
    Agreement,
    AgreementKey,
    Algorithm,
    Parties,
    key_data,
    open_key_data,
)
from openami.dlms.security.ciphering import unwrap_key, wrap_key
from openami.dlms.security.curves import Entropy
from openami.dlms.security.signing import Signer, VerifyingKey
from openami.dlms.security.suites import SecuritySuite

T = TypeVar("T")

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.5"

CREDENTIALS: Final = "credentials"
"""The place of an error where a key is needed and not known."""
ONE_PASS: Final = b"\x01"
STATIC_UNIFIED: Final = b"\x02"
MASTER_KEY: Final = 0
"""kek-id: no other key wraps keys."""


class KeyScheme(Enum):
    """Where the key of an APDU in general-ciphering comes from."""

    IDENTIFIED = auto()
    WRAPPED = auto()
    ONE_PASS = auto()
    STATIC_UNIFIED = auto()


class KeyWrapping(Protocol):
    """The master key (KEK), wherever it is held."""

    def wrap(self, key: bytes) -> bytes:
        """Return `key` wrapped (RFC 3394)."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the key inside; raises `SecurityError` if it was wrapped with another."""


@dataclass(slots=True)
class MasterKey:
    """The master key in this process; whoever holds it sees when it is replaced."""

    octets: bytes = field(repr=False)

    def wrap(self, key: bytes) -> bytes:
        return wrap_key(self.octets, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        return unwrap_key(self.octets, wrapped)


class Trust(Protocol):
    """Who may speak under which title: judges the certificate in an AARQ or AARE."""

    def verifying_key(self, certificate: bytes, system_title: bytes) -> VerifyingKey:
        """Return the signing key that `certificate` (DER) gives to `system_title`.

        Raises:
            SecurityError: Not issued by whom we trust, not valid now, or for someone else.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one end needs for public key services with one peer.

    Attributes:
        suite: 1 or 2; for wrapped keys alone any suite.
        entropy: Makes ephemeral and wrapped keys.
        signer: Our signing key.
        agreement: Our static key agreement key.
        master_key: Wraps keys for one APDU, if both ends hold it.
        peer_signing: The peer's public signing key.
        peer_agreement: The peer's static public key agreement key, x || y.
        certificate: Ours for signing (DER), if it is to travel in AARQ or AARE.
        trust: Judges the peer's, if it travels so.
    """

    suite: SecuritySuite
    entropy: Entropy = field(repr=False)
    signer: Signer | None = field(default=None, repr=False)
    agreement: Agreement | None = field(default=None, repr=False)
    master_key: KeyWrapping | None = field(default=None, repr=False)
    peer_signing: VerifyingKey | None = None
    peer_agreement: bytes = b""
    certificate: bytes = field(default=b"", repr=False)
    trust: Trust | None = None

    def sign(self, octets: bytes) -> bytes:
        """Return our signature of `octets`."""
        return _known(self.signer, "signing key of our own").sign(octets)

    def verify(self, signature: bytes, octets: bytes, what: str) -> None:
        """Accept the peer's signature of `octets`, or raise `SecurityError`."""
        _known(self.peer_signing, "public signing key of the peer").verify(signature, octets, what)

    def send_key(
        self, scheme: KeyScheme, parties: Parties, transaction_id: bytes
    ) -> tuple[KeyInfo, bytes]:
        """Return the key for one APDU that we send, and how the recipient comes to it.

        Raises:
            SecurityError: What the scheme needs is not here.
        """
        algorithm = Algorithm.of(self.suite)
        match scheme:
            case KeyScheme.WRAPPED:
                master_key = _known(self.master_key, "master key")
                key = self.entropy(self.suite.key_octets)
                return WrappedKey(key_ciphered_data=master_key.wrap(key)), key
            case KeyScheme.ONE_PASS:
                signer = _known(self.signer, "signing key of our own")
                ephemeral = AgreementKey.fresh(self.suite, self.entropy)
                key = ephemeral.agree(self._peer_agreement(), parties.info(algorithm))
                crossing = key_data(ephemeral, signer)
                return AgreedKey(key_parameters=ONE_PASS, key_ciphered_data=crossing), key
            case KeyScheme.STATIC_UNIFIED:
                key = self._static(parties, transaction_id)
                return AgreedKey(key_parameters=STATIC_UNIFIED, key_ciphered_data=b""), key
            case KeyScheme.IDENTIFIED:
                raise ValueError("an identified key is a global key: it is not made for one APDU")

    def receive_key(
        self, key_info: KeyInfo, parties: Parties, transaction_id: bytes
    ) -> tuple[KeyScheme, bytes]:
        """Return the key of one APDU that came, and by which scheme.

        Raises:
            SecurityError: It cannot be unwrapped or agreed, or what that needs is not here.
        """
        match key_info:
            case WrappedKey(kek_id=kek_id, key_ciphered_data=wrapped):
                if kek_id != MASTER_KEY:
                    problem = f"kek-id is {kek_id}, and only the master key 0 wraps keys"
                    raise SecurityError(problem, "key-info", CLAUSE)
                return KeyScheme.WRAPPED, _known(self.master_key, "master key").unwrap(wrapped)
            case AgreedKey(key_parameters=parameters, key_ciphered_data=crossing):
                if parameters == ONE_PASS:
                    verifier = _known(self.peer_signing, "public signing key of the peer")
                    public = open_key_data(verifier, crossing)
                    info = parties.info(Algorithm.of(self.suite))
                    return KeyScheme.ONE_PASS, self._agreement().agree(public, info)
                if parameters == STATIC_UNIFIED and not crossing:
                    return KeyScheme.STATIC_UNIFIED, self._static(parties, transaction_id)
                problem = f"key-parameters {parameters.hex().upper() or '(none)'} name no scheme"
                raise SecurityError(problem, "key-info", CLAUSE)
            case IdentifiedKey():
                raise ValueError("an identified key is a global key: it is not received")

    def _static(self, parties: Parties, transaction_id: bytes) -> bytes:
        info = parties.info(Algorithm.of(self.suite), transaction_id=transaction_id)
        return self._agreement().agree(self._peer_agreement(), info)

    def _agreement(self) -> Agreement:
        return _known(self.agreement, "key agreement key of our own")

    def _peer_agreement(self) -> bytes:
        return _known(self.peer_agreement or None, "public key agreement key of the peer")


def _known(held: T | None, what: str) -> T:
    if held is None:
        raise SecurityError(f"no {what} is known", CREDENTIALS, CLAUSE)
    return held
