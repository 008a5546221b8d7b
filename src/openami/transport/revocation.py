# SPDX-License-Identifier: Apache-2.0
"""Certificates that their authority has taken back (RFC 5280, section 5).

A list is a file of one or more PEM CRLs.  It is looked at with each handshake, the abbreviated ones
too, and read again when it has changed; one that cannot be read then leaves the former in force, so
that a copy cut short lets nobody in.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from openami.runtime.errors import ConfigurationError

log = logging.getLogger(__name__)

END: Final = b"-----END X509 CRL-----"
REMEDY: Final = "have the authority issue it again"

Signature = tuple[int, int, int]  # of a file: when it was changed, how long, which inode


def utc_now() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


class RevocationList:
    """The serial numbers in a file of CRLs.

    Args:
        path: The file.
        authorities: Whose lists may be in it.
        now: Real UTC.

    Raises:
        ConfigurationError: The file is missing, damaged, or not signed by one of the authorities.
    """

    def __init__(
        self,
        path: Path,
        authorities: Iterable[x509.Certificate],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._path = path
        self._authorities = list(authorities)
        self._now = now
        self._seen = self._signature()
        self._serials = self._read()

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """Tell whether the authority has taken a certificate back."""
        if (seen := self._signature()) != self._seen:
            self._seen = seen
            try:
                self._serials = self._read()
            except ConfigurationError as error:
                log.warning("%s; the list before it stays in force", error)
        return (certificate.issuer.public_bytes(), certificate.serial_number) in self._serials

    def _signature(self) -> Signature | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> frozenset[tuple[bytes, int]]:
        path = self._path
        try:
            parts = [part for part in path.read_bytes().split(END) if part.strip()]
            lists = [x509.load_pem_x509_crl(part + END) for part in parts]
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error.strerror}): {REMEDY}"
            ) from error
        except ValueError as error:
            raise ConfigurationError(
                f"{path} is no list of revoked certificates: {REMEDY}"
            ) from error
        if not lists:
            raise ConfigurationError(f"{path} is no list of revoked certificates: {REMEDY}")
        for each in lists:
            self._verify(each)
        return frozenset(
            (each.issuer.public_bytes(), row.serial_number) for each in lists for row in each
        )

    def _verify(self, listed: x509.CertificateRevocationList) -> None:
        """Refuse a list of somebody else; warn of one whose successor is overdue."""
        if not any(_signed(listed, each) for each in self._authorities):
            name = listed.issuer.rfc4514_string()
            sentence = f"{self._path} is of {name} and not signed by an authority that is trusted"
            raise ConfigurationError(f"{sentence}: {REMEDY}")
        if (due := listed.next_update_utc) is not None and due < self._now():
            log.warning("%s is overdue since %s: %s", self._path, due.isoformat(), REMEDY)


def _signed(listed: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key, algorithm = authority.public_key(), listed.signature_hash_algorithm
    if listed.issuer != authority.subject or algorithm is None:
        return False
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(listed.signature, listed.tbs_certlist_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True
