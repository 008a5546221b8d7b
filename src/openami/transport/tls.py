# SPDX-License-Identifier: Apache-2.0
"""TLS 1.2 with a certificate at both ends: settings, identities, and what went wrong in words.

One version (1.2), one cipher suite (ECDHE-ECDSA-AES128-GCM-SHA256, RFC 5289), one curve (P-256):
what IEC 62056 companion profiles name and constrained meters can do.  A peer is known by the
subject of its certificate: CN is the system title as 16 hex digits, OU the role.  Host names play
no part.
"""

import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openami.runtime.config import Table
from openami.runtime.errors import ConfigurationError
from openami.transport.wire import PeerIdentity, WireError

CIPHER_SUITE: Final = "ECDHE-ECDSA-AES128-GCM-SHA256"
CURVE: Final = "prime256v1"  # OpenSSL's name of P-256
TITLE_OCTETS: Final = 8
REMEDY: Final = "restore it, or provision this device again"


class Role(StrEnum):
    """What a certificate's OU permits its holder to be."""

    METER = "meter"
    CONCENTRATOR = "concentrator"
    HEAD_END = "head-end"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Three PEM files: whom we trust, who we are, and the proof."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, table: Table) -> "TlsIdentity":
        """Read `[tls]` of a configuration file; paths are relative to its folder."""
        return cls(table.path("ca"), table.path("certificate"), table.path("key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Which peers are let in, beyond a certificate of our authority.

    Attributes:
        roles: Accepted roles.
        title: The only accepted system title; None accepts any.
    """

    roles: frozenset[str]
    title: bytes | None = None

    def verify(self, peer: PeerIdentity, ca: Path) -> None:
        """Accept `peer`, or raise `WireError` with what stands in its certificate."""
        if peer.role not in self.roles:
            wanted = " or ".join(sorted(self.roles))
            raise WireError(
                f"wrong certificate: it has role {peer.role} (OU) where {wanted} is expected; "
                f"dial another address or have {ca.name} issue one with the right role"
            )
        if self.title is not None and peer.title != self.title:
            raise WireError(
                f"wrong certificate: it belongs to {peer.title.hex().upper()} (CN) where "
                f"{self.title.hex().upper()} is expected; dial that device or correct the title"
            )


@dataclass(frozen=True, slots=True)
class Tls:
    """One side's settings, read once and used for every connection.

    Attributes:
        context: OpenSSL's settings.
        own: Who our certificate says we are.
        identity: The files, for sentences.
        server_side: Whether we answer handshakes.
    """

    context: ssl.SSLContext
    own: PeerIdentity
    identity: TlsIdentity
    server_side: bool


@dataclass(frozen=True, slots=True)
class Secured:
    """How a `tls://` address is spoken to: our side of TLS and who may be at the other end."""

    tls: Tls
    expected: Expected


def client_tls(identity: TlsIdentity) -> Tls:
    """Return the settings of the side that dials."""
    return _settings(identity, ssl.PROTOCOL_TLS_CLIENT)


def server_tls(identity: TlsIdentity) -> Tls:
    """Return the settings of the side that listens."""
    return _settings(identity, ssl.PROTOCOL_TLS_SERVER)


def _settings(identity: TlsIdentity, side: "ssl._SSLMethod") -> Tls:
    """Build the settings.

    Raises:
        ConfigurationError: A file is missing, damaged, or belongs to another key.
    """
    server_side = side is ssl.PROTOCOL_TLS_SERVER
    context = ssl.SSLContext(side)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHER_SUITE)
    context.set_ecdh_curve(CURVE)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_NO_TICKET  # each connection proves its certificate anew
    if server_side:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    else:
        context.check_hostname = False  # the system title in the subject takes its place
    context.verify_mode = ssl.CERT_REQUIRED
    own = _own(identity)
    try:
        context.load_verify_locations(identity.ca)
    except OSError as error:  # ssl.SSLError is one
        sentence = f"{identity.ca} is no certificate authority ({_why(error)}): {REMEDY}"
        raise ConfigurationError(sentence) from error
    try:
        context.load_cert_chain(identity.certificate, identity.key)
    except OSError as error:
        pair = f"{identity.key} is no key for {identity.certificate.name}"
        raise ConfigurationError(f"{pair} ({_why(error)}): {REMEDY}") from error
    return Tls(context, own, identity, server_side)


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    return error.strerror or str(error)


def _own(identity: TlsIdentity) -> PeerIdentity:
    path = identity.certificate
    try:
        return read_identity(x509.load_pem_x509_certificate(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): {REMEDY}") from error
    except (ValueError, WireError) as error:
        raise ConfigurationError(f"{path} is no certificate of a device: {REMEDY}") from error


def read_identity(certificate: x509.Certificate) -> PeerIdentity:
    """Return title and role of a certificate.

    Raises:
        WireError: The subject names no system title and role, or the key is not on P-256.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WireError(f"wrong certificate: its key cannot be read ({error})") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise WireError("wrong certificate: its key is not EC P-256; issue one with a P-256 key")
    subject = certificate.subject
    names = [str(row.value) for row in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    roles = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    try:
        (name,), (role,) = names, [str(row.value) for row in roles]
        title = bytes.fromhex(name)
    except ValueError:
        title, role = b"", ""
    if len(title) != TITLE_OCTETS:
        raise WireError(
            f"wrong certificate: its subject is {subject.rfc4514_string()!r}, not a system title "
            "of 16 hex digits (CN) and a role (OU); have our authority issue one"
        )
    return PeerIdentity(title, role)


UNVERIFIED: Final[dict[int, str]] = {  # X509_V_ERR_…, RFC 5280 section 6
    9: "it is not valid yet",
    10: "it has expired",
    18: "it was issued by itself",
    19: "it was issued by an authority that is not trusted here",
    20: "it was issued by an authority that is not trusted here",
    21: "it was issued by an authority that is not trusted here",
}

TROUBLE: Final[dict[str, str]] = {
    # What we find wrong with the peer.
    "WRONG_VERSION_NUMBER": "it does not speak TLS there; use tcp:// or the TLS port",
    "HTTP_REQUEST": "it sent HTTP to a TLS port of DLMS/COSEM; use the address of the pages",
    "UNEXPECTED_MESSAGE": "it broke the order of the TLS handshake",
    "UNSUPPORTED_PROTOCOL": "it offers no TLS 1.2, which is the only version here; enable it there",
    "VERSION_TOO_LOW": "it offers no TLS 1.2, which is the only version here; enable it there",
    "NO_SHARED_CIPHER": f"it offers no {CIPHER_SUITE}, the only cipher suite here; enable it there",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it sent no certificate; give it one of our authority",
    # What the peer finds wrong with us, as alerts.
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS 1.2, which is the only version here",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        f"it shares no parameters with us: {CIPHER_SUITE} and a certificate are needed there"
    ),
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of our certificate {certificate}",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it finds our certificate {certificate} bad",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate {certificate} has expired; renew it",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate {certificate}",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it cannot use our certificate {certificate}",
    "TLSV1_ALERT_DECRYPT_ERROR": "it could not verify what our key {key} signed",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "a record was altered on the way",
}


def explain(error: ssl.SSLError, tls: Tls) -> str:
    """Say in one sentence what stopped TLS, whose fault it is, and what to do."""
    files = tls.identity
    if isinstance(error, ssl.SSLCertVerificationError):
        words = UNVERIFIED.get(error.verify_code, error.verify_message)
        remedy = f"the peer needs a valid one of the authority {files.ca}"
        return f"wrong certificate: {words}; {remedy}"
    reason = error.reason or ""
    if (sentence := TROUBLE.get(reason)) is not None:
        return sentence.format(certificate=files.certificate, key=files.key)
    words = reason.lower().replace("_", " ") or str(error)
    return f"TLS failed ({words})"
