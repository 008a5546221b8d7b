# SPDX-License-Identifier: Apache-2.0
"""Certificates: what they say, whom a trust store believes."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from dlmskeys import SUITES, pair
from openami.dlms.errors import SecurityError
from openami.dlms.security.certificates import (
    Certificate,
    CertificateType,
    TrustStore,
    certificate_request,
)
from openami.dlms.security.suites import SecuritySuite
from playbooks.secure_meter import NOW, Authority

TITLE = b"OAM\x00\x00\x00\x00\x07"
ROOT = Authority()
KEY = pair(SUITES[0], 1).signing
LEAF = ROOT.issue(KEY.key.public_key(), TITLE.hex().upper())


def test_a_leaf_of_a_trusted_root() -> None:
    trust = TrustStore([ROOT.certificate], lambda: NOW)

    assert trust.verifying_key(LEAF, TITLE) == KEY.public
    with pytest.raises(SecurityError, match="DIGITAL_SIGNATURE, not for KEY_AGREEMENT"):
        trust.agreement_key(LEAF, TITLE)
    with pytest.raises(SecurityError, match=r"it names 4F414D0000000007, not 00"):
        trust.verifying_key(LEAF, bytes(8))


def test_who_is_no_authority_issues_nothing() -> None:
    """A certificate that a leaf signed, under a name that fits, is not believed."""
    leaf = Authority("leaf")
    leaf.key, leaf.name = KEY.key, Certificate.decode(LEAF).x509.subject
    forged = leaf.issue(pair(SUITES[0], 2).signing.key.public_key(), TITLE.hex())
    trust = TrustStore([ROOT.certificate, LEAF], lambda: NOW)

    with pytest.raises(SecurityError, match="no authority trusted here"):
        trust.verifying_key(forged, TITLE)
    by_authority = Authority("leaf")
    assert TrustStore([by_authority.certificate], lambda: NOW).verifying_key(
        by_authority.issue(KEY.key.public_key(), TITLE.hex()), TITLE
    )


@pytest.mark.parametrize(
    ("days", "valid"), [(-2, False), (-1, True), (0, True), (364, True), (365, False)]
)
def test_the_time_is_handed_in(days: int, valid: bool) -> None:  # noqa: FBT001  a row
    trust = TrustStore([ROOT.certificate], lambda: NOW + timedelta(days=days))

    if valid:
        trust.verifying_key(LEAF, TITLE)
    else:
        with pytest.raises(SecurityError, match="it is valid from 2025-12-31 to 2026-12-31"):
            trust.verifying_key(LEAF, TITLE)


def test_nobody_is_trusted_unasked() -> None:
    with pytest.raises(SecurityError, match="test root, who is named as its issuer"):
        TrustStore([], lambda: NOW).verifying_key(LEAF, TITLE)


@pytest.mark.parametrize("octet", range(0, 300, 7))
def test_an_altered_certificate_is_believed_nowhere(octet: int) -> None:
    altered = bytearray(LEAF)
    altered[octet] ^= 0x04

    with pytest.raises(SecurityError):
        TrustStore([ROOT.certificate], lambda: NOW).verifying_key(bytes(altered), TITLE)


@pytest.mark.parametrize("version", [3, 4, 0x12])
def test_a_version_that_does_not_exist(version: int) -> None:
    altered = LEAF.replace(bytes.fromhex("a003020102"), bytes((0xA0, 3, 2, 1, version)))
    assert altered != LEAF
    with pytest.raises(SecurityError, match="that can be read"):
        Certificate.decode(altered)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_number_below_one_is_refused() -> None:
    altered = LEAF.replace(bytes.fromhex("a00302010202020100"), bytes.fromhex("a0030201020202ff00"))
    assert altered != LEAF
    with pytest.raises(SecurityError, match="that can be read"):
        Certificate.decode(altered)


@given(st.binary(max_size=200))
def test_any_octets_are_a_certificate_or_refused(octets: bytes) -> None:
    with pytest.raises(SecurityError, match="no X"):
        Certificate.decode(octets)


@pytest.mark.parametrize("name", ["", "a meter", "4F414D00000000", "4F 41 4D 00 00 00 00 07"])
def test_a_name_that_is_no_system_title(name: str) -> None:
    found = Certificate.decode(ROOT.issue(KEY.key.public_key(), name or "-"))
    assert found.system_title == b""


def test_other_keys_are_refused() -> None:
    other = ec.derive_private_key(5, ec.SECP521R1())
    with pytest.raises(SecurityError, match="neither P-256 nor P-384"):
        Certificate.decode(ROOT.issue(other.public_key(), "x"))
    strange = rsa.RSAPublicNumbers(65537, (1 << 2047) + 1).public_key()
    with pytest.raises(SecurityError, match="on no elliptic curve"):
        Certificate.decode(ROOT.issue(strange, "x"))


@pytest.mark.parametrize("suite", SUITES)
def test_a_request_asks_for_its_own_key(suite: SecuritySuite) -> None:
    key = pair(suite, 1).signing.key
    octets = certificate_request(key, TITLE)
    request = x509.load_der_x509_csr(octets)

    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=4F414D0000000007"
    assert request.public_key() == key.public_key()
    assert certificate_request(key, TITLE) == octets, "no entropy is drawn"


def test_a_certificate_without_key_usage_is_for_nothing() -> None:
    assert Certificate.decode(ROOT.certificate).type is CertificateType.OTHER
