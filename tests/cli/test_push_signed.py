# SPDX-License-Identifier: Apache-2.0
"""`openami push listen` and signatures: whose they are, which are refused, and what is said."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cli.runs import Run
from cli.test_push import WHERE, inbox, notification, sealed
from dlmskeys import SUITES, pair
from openami.cli.push import protection_of, said_by, text_of
from openami.cli.push_signers import Signers
from openami.cli.pushes import Push
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import SecurityError
from openami.dlms.security.certificates import Certificate
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import SecuritySuite
from playbooks.demo_meter import CLIENT_TITLE, METER_TITLE
from playbooks.secure_meter import NOW, Authority

ROOT = Authority()
KEY, OTHER = pair(SUITES[0], 1).signing, pair(SUITES[0], 2).signing
NAME = METER_TITLE.hex().upper()


def certified(key: SigningKey = KEY, *, by: Authority = ROOT, name: str = NAME) -> Certificate:
    return Certificate.decode(by.issue(key.key.public_key(), name))


AUTHORITY, METER = Certificate.decode(ROOT.certificate), certified()


def signed(
    content: bytes, key: SigningKey = KEY, *, by: bytes = METER_TITLE, number: int = 1
) -> bytes:
    unsigned = GeneralSigning(
        transaction_id=number.to_bytes(8),
        originator_system_title=by,
        recipient_system_title=b"",
        content=content,
    )
    return replace(unsigned, signature=key.sign(unsigned.signed_octets())).encode()


def signers(*certificates: Certificate, now: datetime = NOW, **more: bool) -> Signers:
    return Signers(certificates, lambda: now, **more)


def taken(octets: bytes, by: Signers, *, protected: bool = False) -> Push:
    found = inbox(signers=by, protected=protected).take(octets, WHERE)
    assert found is not None
    return found


FORMS = pytest.mark.parametrize(
    "octets",
    [
        signed(notification()),
        signed(sealed(notification(), 5)),
        sealed(signed(notification()), 6),
        signed(sealed(signed(notification()), 7)),
    ],
    ids=["alone", "outside", "signed, then encrypted", "both"],
)


@FORMS
def test_a_signature_is_verified_and_said_by_whom(octets: bytes) -> None:
    found = taken(octets, signers(METER, AUTHORITY))
    assert found.system_title == METER_TITLE
    words = f"signed by {NAME} (verified by {METER.place}, issued by test root)"
    assert words in protection_of(found)
    assert words in "\n".join(text_of(found, "now"))
    for each in said_by(found, "now")["signatures"]:
        assert each == {
            "by": NAME,
            "verified": True,
            "certificate": METER.place,
            "issuer": "test root",
        }


@FORMS
def test_a_certificate_that_is_given_alone_is_believed_while_it_is_valid(octets: bytes) -> None:
    found = taken(octets, signers(METER))
    assert f"signed by {NAME} (verified by {METER.place})" in protection_of(found)
    with pytest.raises(SecurityError, match="it is valid from"):
        taken(octets, signers(METER, now=NOW + timedelta(days=500)))


@FORMS
def test_who_is_not_known_is_refused_unless_it_is_wanted(octets: bytes) -> None:
    for held in (signers(), signers(AUTHORITY), signers(certified(name=CLIENT_TITLE.hex()))):
        with pytest.raises(SecurityError, match=r"no certificate here \(give it by --meter-certs,"):
            taken(octets, held)
    found = taken(octets, signers(AUTHORITY, unverified=True))
    assert f"signed by {NAME} (not verified)" in protection_of(found)
    assert not said_by(found, "now")["signatures"][0]["verified"]
    assert found.system_title == (b"" if found.control is None else METER_TITLE)


@pytest.mark.parametrize("unverified", [False, True])
@FORMS
def test_a_wrong_signature_is_refused_in_any_case(
    octets: bytes,
    unverified: bool,  # noqa: FBT001  a row
) -> None:
    with pytest.raises(SecurityError, match="signature"):
        taken(octets, signers(certified(OTHER), unverified=unverified))


@FORMS
def test_a_certificate_of_another_authority_does_not_count(octets: bytes) -> None:
    stranger = certified(by=Authority("a stranger"))
    with pytest.raises(SecurityError, match="no authority trusted here"):
        taken(octets, signers(stranger, AUTHORITY))


def test_of_two_certificates_the_one_that_fits_counts() -> None:
    for held in ((METER, certified(OTHER)), (certified(OTHER), METER)):
        assert taken(signed(notification()), signers(*held, AUTHORITY)).signatures[0].verified


@pytest.mark.parametrize("outside", [False, True])
def test_what_one_meter_has_ciphered_another_has_not_signed(
    outside: bool,  # noqa: FBT001  a row
) -> None:
    other = certified(name=CLIENT_TITLE.hex().upper())
    octets = sealed(signed(notification(), by=CLIENT_TITLE), 8)
    if outside:
        octets = signed(sealed(notification(), 8), by=CLIENT_TITLE)
    with pytest.raises(SecurityError, match=f"by several: {NAME}, {CLIENT_TITLE.hex().upper()}"):
        taken(octets, signers(METER, other, AUTHORITY))


def test_a_signature_alone_does_not_hide_what_it_signs() -> None:
    with pytest.raises(SecurityError, match="a plain push is not taken here"):
        taken(signed(notification()), signers(METER), protected=True)


@pytest.mark.parametrize("octets", [notification(), sealed(notification(), 9)])
def test_what_is_not_signed_is_refused_where_that_is_wanted(octets: bytes) -> None:
    with pytest.raises(SecurityError, match="without a verified signature is not taken"):
        taken(octets, signers(METER, required=True))
    assert taken(octets, signers(METER)).signatures == ()


def test_what_was_signed_alone_comes_once() -> None:
    box = inbox(signers=signers(METER))
    octets = signed(notification(confirmed=True))
    first, again = box.take(octets, WHERE), box.take(octets, WHERE)
    assert first is not None
    assert again is not None
    assert (first.repeated, again.repeated) == (False, True)
    other = box.take(signed(notification(8), number=2), WHERE)
    assert other is not None
    assert not other.repeated


def test_a_wrong_signature_uses_no_counter_up() -> None:
    box = inbox(signers=signers(METER))
    with pytest.raises(SecurityError):
        box.take(sealed(signed(notification(), OTHER), 10), WHERE)
    found = box.take(sealed(signed(notification()), 10), WHERE)
    assert found is not None
    assert not found.repeated


def test_a_signature_in_suite_2() -> None:
    key = pair(SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384, 1).signing
    octets = signed(notification(), key)
    assert taken(octets, signers(certified(key), AUTHORITY)).signatures[0].verified


def test_files_with_certificates_are_asked_for_rightly(openami: Run, tmp_path: Path) -> None:
    ca, junk = tmp_path / "ca.pem", tmp_path / "junk.pem"
    found = x509.load_der_x509_certificate(ROOT.certificate)
    ca.write_bytes(found.public_bytes(Encoding.PEM))
    junk.write_text("no certificate")
    for words, sentence in (
        (("--meter-certs", ca), f"{ca} holds no certificate of a meter that signs: give the"),
        (("--meter-certs", junk), f"{junk} holds no certificate that can be used"),
        (("--meter-certs", tmp_path / "none"), "cannot be read"),
        (("--signed",), "nothing holds no certificate of a meter that signs"),
        (("--signed", "--unverified"), "say different things: give one of them"),
    ):
        outcome = openami("push", "listen", "tcp://127.0.0.1:0", *words)
        assert outcome.status == 2
        assert sentence in outcome.sentence
