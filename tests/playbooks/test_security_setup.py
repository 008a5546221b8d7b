# SPDX-License-Identifier: Apache-2.0
"""The security setup at work: key transfer and agreement, policies, the life of a certificate."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, SUITES, credentials, keys, pair
from openami.cosem.access_control import (
    CertificateByEntity,
    CertificateBySerial,
    CertificateInfo,
    KeyData,
    KeyId,
    SecuritySetup,
    SecuritySetupV1,
    WrappedKey,
)
from openami.cosem.device import SECURITY_SETUP
from openami.cosem.measurement import Data
from openami.cosem.model import Method
from openami.cosem.refusals import AccessError, AssociationError, ExceptionResponseError
from openami.cosem.security_setup import KeyOffer, wrap_keys
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.faults import ServiceError
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Mechanism
from openami.dlms.security.agreement import AgreementKey, Parties
from openami.dlms.security.certificates import (
    Certificate,
    CertificateEntity,
    CertificateType,
    TrustStore,
)
from openami.dlms.security.ciphering import Cipher, KeySet
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityPolicy,
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

GUEK, GAK = KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY, KeyId.AUTHENTICATION_KEY
GBEK, KEK = KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY, KeyId.MASTER_KEY
ALL_SUITES = (SUITE_0, *SUITES)
TRANSFERS = [(SecuritySetup.key_transfer, SECURITY_SETUP), (SecuritySetupV1.key_transfer, SETUP_V1)]


def meter_of(link: Link) -> SecureMeter:
    assert isinstance(link.meter, SecureMeter)
    return link.meter


def transfer(link: Link, found: dict[KeyId, bytes], by: MasterKey | None = None) -> None:
    wrapped = wrap_keys(by or meter_of(link).master_key, found)
    link.run(link.client.act(SecuritySetup.key_transfer, wrapped, at=SECURITY_SETUP))


def reads(link: Link) -> bool:
    return link.run(link.client.get(Data.value, at=LDN)) == NAME


def new_key(suite: SecuritySuite, octet: int = 0x33) -> bytes:
    return bytes([octet]) * suite.key_octets


def refused(link: Link, method: Method[Any, Any], argument: Any, at: Any = SETUP_V1) -> None:
    """The method is refused, and without telling why."""
    with pytest.raises(AccessError) as caught:
        link.run(link.client.act(method, argument, at=at))
    assert caught.value.result == ActionResult.OTHER_REASON


class TestKeyTransfer:
    """Keys wrapped by the master key."""

    @pytest.mark.parametrize("suite", ALL_SUITES)
    @pytest.mark.parametrize("key_id", [GUEK, GAK])
    def test_transfer_and_restore(self, suite: SecuritySuite, key_id: KeyId) -> None:
        link = associated(suite)
        old = keys(suite)
        field = "encryption_key" if key_id is GUEK else "authentication_key"
        new = replace(old, **{field: new_key(suite)})

        transfer(link, {key_id: new_key(suite)})
        with pytest.raises(ExceptionResponseError, match="deciphering-error"):
            link.run(link.client.get(Data.value, at=LDN))
        link.client.use_keys(Cipher(new))
        assert reads(link)
        transfer(link, {key_id: getattr(old, field)})
        link.client.use_keys(Cipher(old))
        assert reads(link)
        assert [row[0] for row in meter_of(link).recorded.rows] == [new, old]

    @pytest.mark.parametrize("suite", ALL_SUITES)
    def test_the_old_key_opens_no_association(self, suite: SecuritySuite) -> None:
        link = associated(suite)
        transfer(link, {GUEK: new_key(suite)})

        late = secure_link(suite, meter=meter_of(link), first_counter=500)
        with pytest.raises(AssociationError) as caught:
            late.run(late.client.associate())
        assert caught.value.error is not None
        assert caught.value.error.name == "deciphering-error"
        new = Cipher(replace(keys(suite), encryption_key=new_key(suite)))
        link = secure_link(suite, meter=meter_of(link), cipher=new)
        link.run(link.client.associate())
        assert reads(link)

    def test_other_connections_of_the_client_follow(self) -> None:
        link = associated(SUITE_0)
        other = secure_link(SUITE_0, meter=meter_of(link), first_counter=100)
        other.run(other.client.associate())
        link.client._counters = replace(link.client._counters, following=200)
        link.client.channel.counters = link.client._counters

        transfer(link, {GUEK: new_key(SUITE_0)})
        with pytest.raises(ExceptionResponseError, match="deciphering-error"):
            reads(other)
        other.client.use_keys(Cipher(replace(keys(SUITE_0), encryption_key=new_key(SUITE_0))))
        assert reads(other)

    @pytest.mark.parametrize(("method", "at"), TRANSFERS)
    def test_two_keys_in_one_call(self, method: Any, at: Any) -> None:
        link = associated(SUITE_2)
        found = {GUEK: new_key(SUITE_2, 1), GAK: new_key(SUITE_2, 2), GBEK: new_key(SUITE_2, 3)}
        wrapped = wrap_keys(meter_of(link).master_key, found)
        link.run(link.client.act(method, wrapped, at=at))

        expected = KeySet(
            suite=SUITE_2,
            encryption_key=found[GUEK],
            authentication_key=found[GAK],
            broadcast_key=found[GBEK],
        )
        link.client.use_keys(Cipher(expected))
        assert reads(link)
        assert meter_of(link).recorded.rows == [
            (expected, meter_of(link).master_key.octets, AUTHENTICATED_AND_ENCRYPTED)
        ]

    def test_a_new_master_key_wraps_from_the_next_call_on(self) -> None:
        link = associated(SUITE_0)
        before = MasterKey(meter_of(link).master_key.octets)
        after = MasterKey(new_key(SUITE_0, 9))

        transfer(link, {KEK: after.octets, GAK: new_key(SUITE_0)}, before)
        link.client.use_keys(Cipher(replace(keys(SUITE_0), authentication_key=new_key(SUITE_0))))
        with pytest.raises(AccessError):
            transfer(link, {GUEK: new_key(SUITE_0)}, before)
        transfer(link, {GUEK: new_key(SUITE_0, 5)}, after)
        assert [row[1] for row in meter_of(link).recorded.rows] == [after.octets] * 2

    @pytest.mark.parametrize("suite", ALL_SUITES)
    def test_wrong_wrapping_changes_nothing(self, suite: SecuritySuite) -> None:
        link = associated(suite)
        method = SecuritySetup.key_transfer
        (good,) = wrap_keys(meter_of(link).master_key, {GUEK: new_key(suite)})
        strange = MasterKey(bytes(suite.key_octets))
        altered = good.key_wrapped[:-1] + bytes((good.key_wrapped[-1] ^ 1,))
        other_size = new_key(SUITE_0 if suite is SUITE_2 else SUITE_2)

        for wrong in (
            wrap_keys(strange, {GUEK: new_key(suite)}),
            (good, *wrap_keys(strange, {GAK: new_key(suite)})),
            (WrappedKey(GUEK, altered),),
            (WrappedKey(GUEK, b""),),
            (WrappedKey(GUEK, good.key_wrapped[:-8]),),
            wrap_keys(meter_of(link).master_key, {GUEK: other_size}),
            wrap_keys(meter_of(link).master_key, {KEK: other_size}),
            (good, good),
            (),
        ):
            refused(link, method, wrong, SECURITY_SETUP)
        assert reads(link)
        assert meter_of(link).recorded.rows == []

    def test_a_key_that_does_not_exist(self) -> None:
        link = associated(SUITE_0)
        request = bytes.fromhex("c301c1004000002b0000ff0201010102021604090100")
        answer = link.run(link.client.exchange(request, "a method"))
        assert answer[3] == ActionResult.TYPE_UNMATCHED

    def test_a_store_that_cannot_write_changes_nothing(self) -> None:
        link = associated(SUITE_0)
        meter_of(link).recorded.failing = True

        with pytest.raises(OSError, match="full"):
            transfer(link, {GUEK: new_key(SUITE_0)})
        assert reads(link)

    def test_a_key_that_comes_back_lets_nothing_in_twice(self) -> None:
        link = associated(SUITE_0)
        reads(link)
        recorded = link.wire[-2]
        transfer(link, {GUEK: new_key(SUITE_0)})
        link.client.use_keys(Cipher(replace(keys(SUITE_0), encryption_key=new_key(SUITE_0))))
        reads(link)
        transfer(link, {GUEK: keys(SUITE_0).encryption_key})

        answer = link.send(recorded)
        assert answer[2] == ServiceError.INVOCATION_COUNTER_ERROR
        link.client.use_keys(Cipher(keys(SUITE_0)))
        assert reads(link)


class TestKeyAgreement:
    """Keys that client and meter agree on, C(2e, 0s)."""

    parties = Parties(u=CLIENT_TITLE, v=METER_TITLE)

    @pytest.mark.parametrize("suite", SUITES)
    def test_agree_on_two_keys(self, suite: SecuritySuite) -> None:
        link = associated(suite)
        held = credentials(suite, CLIENT, METER)
        offers = [KeyOffer.of(key_id, self.parties, held) for key_id in (GUEK, GAK)]
        sent = tuple(offer.data for offer in offers)

        answers = link.run(link.client.act(SecuritySetupV1.key_agreement, sent, at=SETUP_V1))
        guek, gak = (offer.key(answers) for offer in offers)
        assert guek != gak
        agreed = KeySet(suite=suite, encryption_key=guek, authentication_key=gak)
        assert [row[0] for row in meter_of(link).recorded.rows] == [agreed]
        with pytest.raises(ExceptionResponseError, match="deciphering-error"):
            reads(link)
        link.client.use_keys(Cipher(agreed))
        assert reads(link)

    def test_a_master_key_is_agreed_for_wrapping(self) -> None:
        link = associated(SUITE_1)
        offer = KeyOffer.of(KEK, self.parties, credentials(SUITE_1, CLIENT, METER))
        answers = link.run(
            link.client.act(SecuritySetupV1.key_agreement, (offer.data,), at=SETUP_V1)
        )

        transfer(link, {GUEK: new_key(SUITE_1)}, MasterKey(offer.key(answers)))
        link.client.use_keys(Cipher(replace(keys(SUITE_1), encryption_key=new_key(SUITE_1))))
        assert reads(link)

    def test_wrong_halves_change_nothing(self) -> None:
        link = associated(SUITE_1)
        method = SecuritySetupV1.key_agreement
        offer = KeyOffer.of(GUEK, self.parties, credentials(SUITE_1, CLIENT, METER))
        strange = KeyOffer.of(GUEK, self.parties, credentials(SUITE_1, 3, METER))
        good = offer.data
        altered = bytes((good.key_data[0] ^ 1,)) + good.key_data[1:]

        for wrong in (
            (strange.data,),
            (KeyData(GUEK, altered),),
            (KeyData(GAK, good.key_data),),
            (KeyData(GUEK, b""),),
            (good, good),
            (),
        ):
            refused(link, method, wrong)
        assert meter_of(link).recorded.rows == []
        assert reads(link)

    def test_the_meters_half_must_be_the_meters(self) -> None:
        offer = KeyOffer.of(GUEK, self.parties, credentials(SUITE_1, CLIENT, METER))
        strange = KeyOffer.of(GUEK, self.parties, credentials(SUITE_1, 3, CLIENT))

        with pytest.raises(SecurityError, match="the signature is wrong"):
            offer.key((strange.data,))
        with pytest.raises(SecurityError, match="gives no half"):
            offer.key(())
        with pytest.raises(SecurityError, match="needs our signing key"):
            KeyOffer.of(GUEK, self.parties, credentials(SUITE_1, CLIENT, METER, signer=None))

    def test_without_credentials_nothing_is_agreed(self) -> None:
        link = associated(SUITE_1)
        meter_of(link).store._credentials = lambda: None
        offer = KeyOffer.of(GUEK, self.parties, credentials(SUITE_1, CLIENT, METER))

        refused(link, SecuritySetupV1.key_agreement, (offer.data,))


class TestPolicy:
    """security_activate only ever strengthens."""

    def test_version_0_step_by_step(self) -> None:
        policies = [SecurityPolicy.from_version_0(number) for number in range(4)]
        link = associated(SUITE_0, policy=policies[0])
        activate, at = SecuritySetup.security_activate, SECURITY_SETUP

        for number in (1, 3):
            link.run(link.client.act(activate, number, at=at))
            link.client.use_policy(policies[number])
            assert link.run(link.client.get(SecuritySetup.security_policy, at=at)) == number
        for weaker in (0, 1, 2, 4):
            refused(link, activate, weaker, at)
        assert [row[2] for row in meter_of(link).recorded.rows] == [policies[1], policies[3]]

    def test_what_was_enough_before_is_refused_at_once(self) -> None:
        link = associated(SUITE_1, policy=SecurityPolicy.from_version_0(3))
        stronger = AUTHENTICATED_AND_ENCRYPTED | SecurityPolicy.DIGITALLY_SIGNED_REQUEST
        link.run(link.client.act(SecuritySetupV1.security_activate, int(stronger), at=SETUP_V1))

        with pytest.raises(ExceptionResponseError):
            reads(link)
        link.client.use_policy(stronger)
        assert reads(link)
        policy = link.run(link.client.get(SecuritySetupV1.security_policy, at=SETUP_V1))
        assert policy == stronger

    @pytest.mark.parametrize("bits", [0x00, 0x04, 0x6D, 0x6E, 0x7C])
    def test_what_cannot_be_is_refused(self, bits: int) -> None:
        link = associated(SUITE_1)
        if bits == 0x7C:  # signatures, without a key to sign with
            meter_of(link).credentials = replace(meter_of(link).credentials, signer=None)
        refused(link, SecuritySetupV1.security_activate, bits)
        assert reads(link)


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
        assert reads(new)

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
    with pytest.raises(SecurityError, match=r"no X\.509 certificate in DER"):
        Certificate.decode(b"")
