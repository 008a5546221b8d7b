# SPDX-License-Identifier: Apache-2.0
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from openami.lifecycle.authority import Authority
from openami.runtime.errors import ConfigurationError
from openami.transport.tls import Role, read_identity

TITLE = bytes.fromhex("4F414D0000000001")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path, NOW)


def test_it_is_made_once_and_loaded_again(tmp_path: Path) -> None:
    made = Authority.open(tmp_path)
    loaded = Authority.open(tmp_path)

    assert loaded.certificate == made.certificate
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(made)


def test_a_second_authority_does_not_replace_the_first(tmp_path: Path) -> None:
    Authority.create(tmp_path)
    with pytest.raises(ConfigurationError, match=r"ca\.crt exists"):
        Authority.create(tmp_path)


def test_a_device_certificate_says_who_and_for_how_long(authority: Authority) -> None:
    credentials = authority.issue(TITLE, Role.METER, now=NOW)
    certificate = x509.load_pem_x509_certificate(credentials.certificate)

    certificate.verify_directly_issued_by(authority.certificate)
    assert read_identity(certificate) == (TITLE, "meter")
    assert certificate.subject.rfc4514_string() == "CN=4F414D0000000001,OU=meter"
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc > NOW + timedelta(days=20 * 365)
    assert 0 < certificate.serial_number < 2**159
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_its_extensions_permit_what_a_device_does(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.issue(TITLE, Role.METER).certificate)

    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.key_agreement
    assert not usage.value.key_cert_sign
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_the_authority_signs_certificates_only(authority: Authority) -> None:
    extensions = authority.certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        ca=True, path_length=0
    )
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_serial_numbers_differ(authority: Authority) -> None:
    serials = {
        x509.load_pem_x509_certificate(authority.issue(TITLE, Role.METER).certificate).serial_number
        for _ in range(50)
    }
    assert len(serials) == 50


def test_a_title_of_another_length_is_refused(authority: Authority) -> None:
    with pytest.raises(ValueError, match="8 octets, not 3"):
        authority.issue(b"OAM", Role.METER)


@pytest.mark.parametrize("name", ["ca.crt", "ca.key"])
@pytest.mark.parametrize("octets", [None, b"", b"-----BEGIN", b"\x00" * 100])
def test_a_missing_or_corrupt_file_is_named(
    name: str, octets: bytes | None, tmp_path: Path
) -> None:
    Authority.create(tmp_path)
    if octets is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(octets)

    with pytest.raises(ConfigurationError) as refusal:
        Authority.load(tmp_path)
    assert str(refusal.value).startswith(str(tmp_path / name))
    assert "backup" in str(refusal.value)


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    Authority.create(tmp_path / "one")
    Authority.create(tmp_path / "two")
    (tmp_path / "one/ca.key").write_bytes((tmp_path / "two/ca.key").read_bytes())
    with pytest.raises(ConfigurationError, match="does not belong to"):
        Authority.load(tmp_path / "one")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Authority.create(tmp_path)
    (tmp_path / "ca.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Authority.load(tmp_path)


def test_a_cut_between_the_two_files_is_made_good(tmp_path: Path) -> None:
    Authority.create(tmp_path)
    (tmp_path / "ca.crt").unlink()  # the certificate is written last
    Authority.open(tmp_path)
    Authority.load(tmp_path)


def test_a_list_of_what_was_taken_back_is_verified_by_openssl(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    issued = [authority.issue(bytes(7) + bytes([n]), Role.METER) for n in range(2)]
    serial = x509.load_pem_x509_certificate(issued[0].certificate).serial_number
    (tmp_path / "ca.crl").write_bytes(authority.revocation_list([serial]))
    verdicts = []
    for number, each in enumerate(issued):
        path = tmp_path / f"{number}.crt"
        path.write_bytes(each.certificate)
        words = ["openssl", "verify", "-crl_check", "-CAfile", str(tmp_path / "ca.crt")]
        done = subprocess.run(
            [*words, "-CRLfile", str(tmp_path / "ca.crl"), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        verdicts.append(done.stdout + done.stderr)
    assert "certificate revoked" in verdicts[0]
    assert verdicts[1].endswith("OK\n")
