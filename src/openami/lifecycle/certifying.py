# SPDX-License-Identifier: Apache-2.0
"""Certificates of DLMS/COSEM, security suites 1 and 2: who signs, and who agrees on keys.

DLMS UA 1000-2 Ed. 10, 9.2.6.  The same authority issues them as those for TLS; a key usage says
what one is for, and each has one use.  The authority's own key is on P-256, in suite 2 too.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from openami.dlms.security.certificates import CertificateType
from openami.dlms.security.curves import fresh_private_key
from openami.dlms.security.suites import SecuritySuite
from openami.lifecycle.authority import VALIDITY, Authority, begun, key_usage, named
from openami.runtime.errors import UserError
from openami.transport.tls import Role

USAGES: Final[Mapping[str, CertificateType]] = MappingProxyType(
    {"signing": CertificateType.DIGITAL_SIGNATURE, "agreement": CertificateType.KEY_AGREEMENT}
)
"""What the pairs are called in files."""

Certify = Callable[[int, bytes], bytes]
"""Gives the certificate (DER) that a request (PKCS #10, DER) for a use asks for."""


def certified(  # noqa: PLR0913, PLR0917  a certificate says this
    authority: Authority,
    key: ec.EllipticCurvePublicKey,
    title: bytes,
    role: Role,
    usage: CertificateType,
    now: datetime | None = None,
    validity: timedelta = VALIDITY,
) -> bytes:
    """Return a certificate (DER) for one use of a key.

    Args:
        authority: Who issues it.
        key: On P-256 or P-384.
        title: System title of its holder.
        role: Of the holder.
        usage: For signatures, or for key agreement.
        now: Real UTC; None reads the clock.
        validity: How long from `now`.
    """
    signs = usage is CertificateType.DIGITAL_SIGNATURE
    return (
        begun(now or datetime.now(UTC), key, validity)
        .subject_name(named(title, role))
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs=signs, agrees=not signs), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@dataclass(frozen=True, slots=True)
class Pairs:
    """The key pairs of one system, and their certificates; by their names in files.

    Attributes:
        private: Private keys as numbers, as long as a coordinate.
        certificates: DER.
    """

    private: dict[str, bytes]
    certificates: dict[str, bytes]

    @classmethod
    def drawn(cls, authority: Authority, suite: SecuritySuite, title: bytes, role: Role) -> Self:
        """Draw them from the system's entropy, and certify them."""
        found = cls({}, {})
        for name, usage in USAGES.items():
            key = fresh_private_key(suite, os.urandom)
            number = key.private_numbers().private_value
            found.private[name] = number.to_bytes(key.key_size // 8)
            found.certificates[name] = certified(authority, key.public_key(), title, role, usage)
        return found


def certifies(authority: Authority, title: bytes, role: Role) -> Certify:
    """Return who answers the requests of one device in the factory."""

    def answered(usage: int, request: bytes) -> bytes:
        asked = x509.load_der_x509_csr(request)
        key = asked.public_key()
        wanted = title.hex().upper()
        if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise UserError(f"the request of {wanted} is not signed by the key that it is for")
        if asked.subject != x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, wanted)]):
            found = asked.subject.rfc4514_string()
            raise UserError(f"the request is of {found}, and the device is {wanted}")
        return certified(authority, key, title, role, CertificateType(usage))

    return answered
