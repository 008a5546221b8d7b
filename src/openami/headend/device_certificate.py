# SPDX-License-Identifier: Apache-2.0
"""The certificate that a manufacturer delivers with a meter: whose it is, and whether we trust it.

docs/provisioning.md, 3: CN is the system title, OU the role, issued by our authority.
"""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from openami.runtime.errors import UserError
from openami.transport.tls import Role


class DeviceCertificate(NamedTuple):
    """What is remembered of a verified certificate."""

    title: bytes  # system title of the meter
    fingerprint: str  # SHA-256, hexadecimal


def verify_device_certificate(path: Path, authority: Path, now: datetime) -> DeviceCertificate:
    """Read a meter's certificate (PEM) and verify it.

    Args:
        path: Of the certificate.
        authority: Of the certificate of the authority.
        now: Real UTC.

    Raises:
        UserError: It cannot be read, is not from our authority, not valid now, or no meter's.
    """
    found, issuer = _load(path), _load(authority)
    try:
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        sentence = f"{path} was not issued by the authority of {authority}"
        raise UserError(f"{sentence}: have it issued there") from None
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        span = f"{found.not_valid_before_utc:%Y-%m-%d} to {found.not_valid_after_utc:%Y-%m-%d}"
        raise UserError(f"{path} is valid from {span}, not now: have a new one issued")
    roles = found.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [each.value for each in roles] != [Role.METER.value] or len(names) != 1:
        subject = found.subject.rfc4514_string()
        raise UserError(f"{path} is of {subject}, which is no meter: give a meter's certificate")
    try:
        title = bytes.fromhex(str(names[0].value))
    except ValueError:
        title = b""
    if len(title) != 8:
        sentence = f"{path} names {names[0].value!r}, which is no system title"
        raise UserError(f"{sentence}: have it issued with 16 hexadecimal digits")
    return DeviceCertificate(title, found.fingerprint(hashes.SHA256()).hex())


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UserError(f"{path} is no certificate (PEM): ask for it again") from error
