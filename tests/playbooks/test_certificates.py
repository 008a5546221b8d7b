# SPDX-License-Identifier: Apache-2.0
"""The life of a certificate in a security setup: pair, request, import, export, removal."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from dlmskeys import SUITE_1, SUITES, credentials, pair
from openami.cosem.classes.access_control import (
    CertificateByEntity,
    CertificateBySerial,
    CertificateInfo,
    SecuritySetupV1,
)
from openami.cosem.classes.measurement import Data
from openami.cosem.model import Method
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Mechanism
from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.certificates import (
    Certificate,
    CertificateEntity,
    CertificateType,
    TrustStore,
)
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import (
    SecuritySuite,
)
from playbooks.demo_meter import CLIENT_TITLE, LDN, METER_TITLE, NAME, Link
from playbooks.secure_meter import (
    CLIENT,
    METER,
    NOW,
    SETUP_V1,
    Authority,
    SecureMeter,
    associated,
    changed,
    secure_link,
)


def refused(link: Link, method: Method[Any, Any], argument: Any) -> None:
    """The method is refused, and without telling why."""
    with pytest.raises(AccessError) as caught:
        link.run(link.client.act(method, argument, at=SETUP_V1))
    assert caught.value.result == ActionResult.OTHER_REASON


def meter_of(link: Link) -> SecureMeter:
    assert isinstance(link.meter, SecureMeter)
    return link.meter


@pytest.fixture(params=SUITES, ids=["suite 1", "suite 2"])
def suite(request: pytest.FixtureRequest) -> SecuritySuite:
    found: SecuritySuite = request.param
    return found


class TestCertificates:
    """From the first authority to an association with what was certified."""

    @pytest.fixture
    def root(self, suite: SecuritySuite) -> Authority:
        return Authority(curve=ec.SECP256R1() if suite is SUITE_1 else ec.SECP384R1())

    @pytest.fixture
    def link(self, suite: SecuritySuite) -> Link:
        return associated(suite)

    def request(self, link: Link, usage: CertificateType) -> bytes:
        declared = SecuritySetupV1
        link.run(link.client.act(declared.generate_key_pair, usage, at=SETUP_V1))
        return link.run(link.client.act(declared.generate_certificate_request, usage, at=SETUP_V1))

    def take(self, link: Link, certificate: bytes) -> None:
        link.run(link.client.act(SecuritySetupV1.import_certificate, certificate, at=SETUP_V1))

    def test_provisioning_from_nothing_to_hls_7(
        self, link: Link, root: Authority, suite: SecuritySuite
    ) -> None:
        meter, use = meter_of(link), CertificateType
        self.take(link, root.certificate)
        signing = root.answer(self.request(link, use.DIGITAL_SIGNATURE))
        agreeing = root.answer(self.request(link, use.KEY_AGREEMENT), signs=False, agrees=True)
        ours = pair(suite, CLIENT)
        client = root.issue(ours.signing.key.public_key(), CLIENT_TITLE.hex().upper())
        client_agreeing = root.issue(
            ours.agreement.key.public_key(),
            CLIENT_TITLE.hex().upper(),
            signs=False,
            agrees=True,
        )
        for certificate in (signing, agreeing, client, client_agreeing):
            self.take(link, certificate)

        listed = link.run(link.client.get(SecuritySetupV1.certificates, at=SETUP_V1))
        entity = CertificateEntity
        assert [row[:2] for row in listed] == [
            (entity.CERTIFICATION_AUTHORITY, use.OTHER),
            (entity.SERVER, use.DIGITAL_SIGNATURE),
            (entity.SERVER, use.KEY_AGREEMENT),
            (entity.CLIENT, use.DIGITAL_SIGNATURE),
            (entity.CLIENT, use.KEY_AGREEMENT),
        ]
        assert meter.changes == 5
        # The host takes over what the store holds now; the client knows certificates alone.
        held, trust = meter.certificates, meter.certificates.trust
        changed(
            meter,
            mechanism=Mechanism.HLS_ECDSA,
            credentials=replace(
                meter.credentials,
                signer=SigningKey(held.in_use[use.DIGITAL_SIGNATURE]),
                agreement=AgreementKey(held.in_use[use.KEY_AGREEMENT]),
                peer_signing=trust.verifying_key(client, CLIENT_TITLE),
                peer_agreement=trust.agreement_key(client_agreeing, CLIENT_TITLE),
            ),
        )
        ours_trust = TrustStore([root.certificate], lambda: NOW)
        known = credentials(
            suite,
            CLIENT,
            METER,
            peer_signing=ours_trust.verifying_key(signing, METER_TITLE),
            peer_agreement=ours_trust.agreement_key(agreeing, METER_TITLE),
        )
        new = secure_link(
            suite,
            meter=meter,
            mechanism=Mechanism.HLS_ECDSA,
            credentials=known,
            first_counter=500,
            sign=True,
        )
        new.run(new.client.associate())
        assert new.run(new.client.get(Data.value, at=LDN)) == NAME

    def test_export_and_remove(self, link: Link, root: Authority, suite: SecuritySuite) -> None:
        declared, use = SecuritySetupV1, CertificateType
        self.take(link, root.certificate)
        client = root.issue(pair(suite, CLIENT).signing.key.public_key(), CLIENT_TITLE.hex())
        own = root.answer(self.request(link, use.DIGITAL_SIGNATURE))
        self.take(link, client)
        self.take(link, own)
        listed = link.run(link.client.get(declared.certificates, at=SETUP_V1))

        by_entity = CertificateByEntity(
            CertificateEntity.CLIENT, use.DIGITAL_SIGNATURE, CLIENT_TITLE
        )
        export = declared.export_certificate
        assert link.run(link.client.act(export, by_entity, at=SETUP_V1)) == client
        by_serial = [CertificateBySerial(row.serial_number, row.issuer) for row in listed]
        found = [link.run(link.client.act(export, name, at=SETUP_V1)) for name in by_serial]
        assert found == [root.certificate, client, own]
        link.run(link.client.act(declared.remove_certificate, by_serial[1], at=SETUP_V1))
        link.run(link.client.act(declared.remove_certificate, by_serial[2], at=SETUP_V1))
        for name in (by_entity, *by_serial[1:]):
            refused(link, export, name)
            refused(link, declared.remove_certificate, name)
        assert meter_of(link).certificates.in_use == {}
        left = link.run(link.client.get(declared.certificates, at=SETUP_V1))
        assert left == listed[:1]
        assert isinstance(left[0], CertificateInfo)

    def test_what_is_no_certificate_for_this_meter_is_refused(
        self, link: Link, root: Authority, suite: SecuritySuite
    ) -> None:
        take, use = SecuritySetupV1.import_certificate, CertificateType
        key = pair(suite, CLIENT).signing.key.public_key()
        title = METER_TITLE.hex().upper()
        other_root = Authority("another root")

        refused(link, take, root.issue(key, CLIENT_TITLE.hex()))  # no authority yet
        refused(link, take, root.issue(key, "half an authority", authority=True))
        self.take(link, root.certificate)
        request = self.request(link, use.DIGITAL_SIGNATURE)
        good = root.answer(request)
        for wrong in (
            b"",
            good[:-1],
            good + b"\x00",
            bytes((good[0],)) + bytes(len(good) - 1),
            other_root.certificate,
            other_root.answer(request),
            root.issue(key, title),
            root.answer(request, signs=False, agrees=True),
        ):
            refused(link, take, wrong)
        self.take(link, good)
        refused(link, take, good)
        assert len(meter_of(link).certificates.held) == 2

    def test_a_certificate_takes_the_place_of_the_one_before(
        self, link: Link, root: Authority
    ) -> None:
        self.take(link, root.certificate)
        for _ in range(2):
            newest = root.answer(self.request(link, CertificateType.DIGITAL_SIGNATURE))
            self.take(link, newest)
        held = meter_of(link).certificates.held

        assert [each.encode() for each in held] == [root.certificate, newest]

    def test_the_pair_in_use_stays_until_the_new_one_is_certified(
        self, link: Link, root: Authority
    ) -> None:
        use = CertificateType.DIGITAL_SIGNATURE
        self.take(link, root.certificate)
        self.take(link, root.answer(self.request(link, use)))
        in_use = meter_of(link).certificates.in_use[use]

        self.request(link, use)
        assert meter_of(link).certificates.in_use[use] is in_use

    def test_requests_need_a_pair_and_pairs_a_use(self, link: Link) -> None:
        declared = SecuritySetupV1
        for usage in CertificateType:
            refused(link, declared.generate_certificate_request, usage)
        refused(link, declared.generate_key_pair, CertificateType.OTHER)

    def test_names_of_certificates_are_checked_for_their_form(self, link: Link) -> None:
        for argument in ("00", "02021602020209000900", "0202160002010900", "02011600"):
            request = bytes.fromhex(f"c301c10040{SETUP_V1.encode().hex()}0701{argument}")
            answer = link.run(link.client.exchange(request, "a method"))
            assert answer[3] == ActionResult.TYPE_UNMATCHED


def test_a_certificate_shows_what_is_in_it() -> None:
    root = Authority()
    found = Certificate.decode(root.certificate)

    assert found.is_authority
    assert found.type is CertificateType.OTHER
    assert found.system_title == b""
    assert found.common_name == "test root"
    assert found.encode() == found.x509.public_bytes(Encoding.DER)
    tls = Certificate.decode(
        root.issue(root.key.public_key(), METER_TITLE.hex(), signs=True, agrees=True)
    )
    assert tls.type is CertificateType.TLS
    assert tls.system_title == METER_TITLE
    with pytest.raises(SecurityError, match=r"no X\.509 certificate that can be read"):
        Certificate.decode(b"")
