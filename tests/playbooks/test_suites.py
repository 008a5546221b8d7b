# SPDX-License-Identifier: Apache-2.0
"""Suites 1 and 2, our client with our server: ECDSA, signatures, keys that travel."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, SUITES, credentials, pair
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociationLn,
    AssociationLnV3,
    SecuritySetupV1,
)
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.classes.time_event import Clock
from openami.cosem.device import AssociationPolicy
from openami.cosem.refusals import (
    AccessError,
    AssociationError,
    AuthenticationError,
    ExceptionResponseError,
)
from openami.cosem.rights import ALL, Grant
from openami.dlms import data as axdr_data
from openami.dlms.apdu.acse import Aare, Aarq, AcseServiceUser
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.faults import ServiceError
from openami.dlms.association import State
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Mechanism
from openami.dlms.security.certificates import CertificateType, TrustStore
from openami.dlms.security.credentials import KeyScheme
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityControl,
    SecurityPolicy,
    SecuritySuite,
)
from playbooks.demo_meter import (
    CLIENT_TITLE,
    CLOCK,
    DISCONNECT,
    ENERGY,
    LDN,
    LOAD_PROFILE,
    MANAGER,
    METER_TITLE,
    NAME,
    NOTE,
    PERIOD,
    READER,
    START,
    DemoMeter,
    Link,
    row,
)
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

SIGNED_BOTH_WAYS = (
    SecurityPolicy.DIGITALLY_SIGNED_REQUEST | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
)
ALL_OF_IT = SIGNED_BOTH_WAYS | AUTHENTICATED_AND_ENCRYPTED
MECHANISMS = (Mechanism.HLS_GMAC, Mechanism.HLS_ECDSA)
FORMS: dict[str, dict[str, Any]] = {
    "glo": {},
    "general-glo": {"general": True},
    "dedicated": {"dedicated": True},
    "identified": {"scheme": KeyScheme.IDENTIFIED},
    "wrapped": {"scheme": KeyScheme.WRAPPED},
    "one-pass": {"scheme": KeyScheme.ONE_PASS},
    "static-unified": {"scheme": KeyScheme.STATIC_UNIFIED},
    "signed": {"sign": True},
    "signed-by-policy": {"policy": ALL_OF_IT},
    "signed-alone": {"policy": SIGNED_BOTH_WAYS, "alone": True},
    "signed-one-pass": {"sign": True, "scheme": KeyScheme.ONE_PASS},
}
PLAIN_TAGS = {0xC0, 0xC1, 0xC3, 0xC4, 0xC5, 0xC7}


def terms_of(form: str, suite: SecuritySuite) -> dict[str, Any]:
    terms = dict(FORMS[form])
    if terms.pop("dedicated", False):
        terms["dedicated_key"] = bytes(range(suite.key_octets))
    if terms.pop("alone", False):
        terms["control"] = SecurityControl.of(suite, authenticated=False, encrypted=False)
    return terms


@pytest.mark.parametrize(
    ("suite", "mechanism", "form"),
    list(itertools.product(SUITES, MECHANISMS, FORMS)),
)
def test_every_form_of_protection(suite: SecuritySuite, mechanism: Mechanism, form: str) -> None:
    terms = {"max_receive_pdu_octets": 1024, **terms_of(form, suite)}
    link = associated(suite, mechanism=mechanism, **terms)

    assert link.run(link.client.get(Data.value, at=LDN)) == NAME
    octets = link.run(link.client.profile(LOAD_PROFILE, START, START + 99 * PERIOD))
    assert axdr_data.decode(octets) == [row(index) for index in range(100)]
    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    link.run(link.client.release())
    assert link.meter.switch.moves == [ControlState.DISCONNECTED]
    assert link.client.state is State.IDLE
    assert not {apdu[0] for apdu in link.wire} & PLAIN_TAGS, "nothing crosses without protection"
    assert all(len(apdu) <= 1024 for apdu in link.wire), "blocks leave room for what protects them"


@pytest.mark.parametrize("pdu_octets", [450, 600])
def test_small_pdus_leave_room_for_keys_and_signatures(pdu_octets: int) -> None:
    meter = SecureMeter(SUITE_2)
    changed(meter, max_receive_pdu_octets=pdu_octets)
    told: dict[str, Any] = {"sign": True, "scheme": KeyScheme.ONE_PASS, "meter": meter}
    link = associated(SUITE_2, max_receive_pdu_octets=pdu_octets, **told)
    root = Authority(curve=ec.SECP384R1())

    method = SecuritySetupV1.import_certificate
    link.run(link.client.act(method, root.certificate, at=SETUP_V1))
    octets = link.run(link.client.profile(LOAD_PROFILE, START, START + 20 * PERIOD))
    assert axdr_data.decode(octets) == [row(index) for index in range(21)]
    assert [each.encode() for each in meter.certificates.held] == [root.certificate]
    assert len(root.certificate) > link.client.room_octets, "it travelled in blocks"
    assert max(map(len, link.wire)) <= pdu_octets


@pytest.mark.parametrize("pdu_octets", [60, 100, 150])
def test_a_pdu_too_small_for_a_signed_answer_is_told(pdu_octets: int) -> None:
    link = secure_link(SUITE_1, sign=True, max_receive_pdu_octets=pdu_octets)

    with pytest.raises(ExceptionResponseError, match="pdu-too-long"):
        link.run(link.client.associate())


def test_a_pdu_too_small_for_a_key_that_travels_is_told() -> None:
    link = associated(SUITE_1, scheme=KeyScheme.WRAPPED, max_receive_pdu_octets=80)

    with pytest.raises(ExceptionResponseError, match="pdu-too-long"):
        link.run(link.client.get(Data.value, at=LDN))


def test_a_pdu_too_small_for_the_proof_is_told() -> None:
    link = secure_link(SUITE_2, mechanism=Mechanism.HLS_ECDSA, max_receive_pdu_octets=120)

    with pytest.raises(ExceptionResponseError, match="pdu-too-long"):
        link.run(link.client.associate())
    assert link.server.state(MANAGER) is State.IDLE


def test_wrapped_keys_work_in_suite_0_too() -> None:
    link = associated(SUITE_0, scheme=KeyScheme.WRAPPED)

    assert link.run(link.client.get(Data.value, at=LDN)) == NAME
    assert {apdu[0] for apdu in link.wire[4:]} == {0xDD}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("length", [32, 48, 64])
def test_ecdsa_in_a_plain_context(suite: SecuritySuite, length: int) -> None:
    meter = DemoMeter()
    meter.associations[READER] = AssociationPolicy(
        client_sap=READER,
        mechanism=Mechanism.HLS_ECDSA,
        credentials=credentials(suite, METER, CLIENT),
        grants=(Grant(read=ALL),),
    )
    link = Link(
        meter,
        READER,
        mechanism=Mechanism.HLS_ECDSA,
        secret=b"",
        system_title=CLIENT_TITLE,
        credentials=credentials(suite, CLIENT, METER),
        challenge_octets=length,
    )

    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    aare = Aare.decode(link.wire[1])
    assert aare.responding_authentication_value is not None
    assert len(aare.responding_authentication_value) == 32


@pytest.mark.parametrize("length", [8, 16, 31])
def test_a_challenge_too_short_for_ecdsa_is_refused(length: int) -> None:
    link = secure_link(SUITE_1, mechanism=Mechanism.HLS_ECDSA, challenge_octets=length)

    with pytest.raises(AssociationError) as caught:
        link.run(link.client.associate())
    assert caught.value.diagnostic is AcseServiceUser.AUTHENTICATION_FAILURE


def test_a_strange_signature_opens_nothing() -> None:
    stranger = credentials(SUITE_1, 3, METER)
    link = secure_link(SUITE_1, mechanism=Mechanism.HLS_ECDSA, credentials=stranger)

    with pytest.raises(AuthenticationError):
        link.run(link.client.associate())
    assert link.server.state(MANAGER) is State.IDLE


def test_a_strange_meter_is_recognised() -> None:
    link = secure_link(
        SUITE_1, mechanism=Mechanism.HLS_ECDSA, credentials=credentials(SUITE_1, CLIENT, 3)
    )

    with pytest.raises(SecurityError, match=r"HLS_ECDSA, the peer's proof"):
        link.run(link.client.associate())
    assert link.client.state is State.IDLE


@pytest.mark.parametrize("suite", SUITES)
def test_without_credentials_ecdsa_is_refused_by_name(suite: SecuritySuite) -> None:
    link = secure_link(suite, mechanism=Mechanism.HLS_ECDSA, credentials=None)
    with pytest.raises(SecurityError, match="no signing keys are known"):
        link.run(link.client.associate())

    meter = SecureMeter(suite, mechanism=Mechanism.HLS_ECDSA)
    changed(meter, credentials=None)
    link = secure_link(suite, meter=meter, mechanism=Mechanism.HLS_ECDSA)
    with pytest.raises(AssociationError) as caught:
        link.run(link.client.associate())
    assert caught.value.diagnostic is AcseServiceUser.AUTHENTICATION_FAILURE


class TestCertificatesThatTravel:
    """Certificates in the AE-qualifiers of AARQ and AARE."""

    root = Authority()

    def link(self, client_certificate: bytes, meter_certificate: bytes) -> Link:
        trust = TrustStore([self.root.certificate], lambda: NOW)
        unknown: dict[str, Any] = {"peer_signing": None, "trust": trust}
        meter = SecureMeter(
            SUITE_1, mechanism=Mechanism.HLS_ECDSA, certificate=meter_certificate, **unknown
        )
        held = credentials(SUITE_1, CLIENT, METER, certificate=client_certificate, **unknown)
        return secure_link(SUITE_1, meter=meter, mechanism=Mechanism.HLS_ECDSA, credentials=held)

    def certificate(self, seed: int, title: bytes, **terms: Any) -> bytes:
        key = pair(SUITE_1, seed).signing.key.public_key()
        return self.root.issue(key, title.hex().upper(), **terms)

    def test_two_that_never_met(self) -> None:
        client, meter = self.certificate(CLIENT, CLIENT_TITLE), self.certificate(METER, METER_TITLE)
        link = self.link(client, meter)

        link.run(link.client.associate())
        assert link.run(link.client.get(Data.value, at=LDN)) == NAME
        assert Aarq.decode(link.wire[0]).calling_ae_qualifier == client
        assert Aare.decode(link.wire[1]).responding_ae_qualifier == meter

    @pytest.mark.parametrize(
        "wrong",
        [
            {"title": METER_TITLE},
            {"start": NOW + timedelta(days=1)},
            {"start": NOW - timedelta(days=366)},
            {"signs": False, "agrees": True},
            {"issuer": Authority("another root")},
        ],
    )
    def test_a_wrong_certificate_of_the_client(self, wrong: dict[str, Any]) -> None:
        client = self.certificate(CLIENT, **({"title": CLIENT_TITLE} | wrong))
        link = self.link(client, self.certificate(METER, METER_TITLE))

        with pytest.raises(AssociationError) as caught:
            link.run(link.client.associate())
        assert caught.value.diagnostic is AcseServiceUser.AUTHENTICATION_FAILURE

    @pytest.mark.parametrize(
        ("wrong", "sentence"),
        [
            ({"title": CLIENT_TITLE}, f"not {METER_TITLE.hex().upper()}"),
            ({"start": NOW + timedelta(days=1)}, "it is valid from 2026-01-02"),
            ({"signs": False, "agrees": True}, "KEY_AGREEMENT, not for DIGITAL_SIGNATURE"),
            ({"issuer": Authority("another root")}, "is no authority trusted here"),
        ],
    )
    def test_a_wrong_certificate_of_the_meter(self, wrong: dict[str, Any], sentence: str) -> None:
        meter = self.certificate(METER, **({"title": METER_TITLE} | wrong))
        link = self.link(self.certificate(CLIENT, CLIENT_TITLE), meter)

        with pytest.raises(SecurityError, match=sentence):
            link.run(link.client.associate())

    def test_octets_that_are_no_certificate(self) -> None:
        link = self.link(b"no certificate", self.certificate(METER, METER_TITLE))

        with pytest.raises(AssociationError):
            link.run(link.client.associate())

    def test_a_certificate_without_its_key_opens_nothing(self) -> None:
        stolen = self.certificate(3, CLIENT_TITLE)
        link = self.link(stolen, self.certificate(METER, METER_TITLE))

        with pytest.raises(AuthenticationError):
            link.run(link.client.associate())


@pytest.mark.parametrize("form", ["one-pass", "signed", "signed-alone", "glo"])
def test_a_replayed_request_is_refused(form: str) -> None:
    link = associated(SUITE_1, **terms_of(form, SUITE_1))
    link.run(link.client.get(Data.value, at=LDN))
    link.run(link.client.get(Register.value, at=ENERGY))

    for replayed in (link.wire[-2], link.wire[-4]):
        answer = link.send(replayed)
        assert answer[:2] == b"\xd8\x01"
        assert answer[2] in {
            ServiceError.INVOCATION_COUNTER_ERROR,
            ServiceError.DECIPHERING_ERROR,
        }
    assert link.run(link.client.get(Data.value, at=LDN)) == NAME


def test_a_policy_that_asks_for_signatures_takes_nothing_less() -> None:
    meter = SecureMeter(SUITE_1, policy=ALL_OF_IT)
    link = secure_link(SUITE_1, meter=meter, policy=AUTHENTICATED_AND_ENCRYPTED)

    with pytest.raises(ExceptionResponseError, match="deciphering-error"):
        link.run(link.client.associate())


SIGNED_SWITCH = Grant(at=DISCONNECT, invoke=ALL, protection=SecurityPolicy.DIGITALLY_SIGNED_REQUEST)
SIGNED_ANSWER = Grant(at=ENERGY, read=ALL, protection=SecurityPolicy.DIGITALLY_SIGNED_RESPONSE)


class TestAccessRights:
    """Access rights of version 3: protection that rows demand beyond the policy."""

    grants = (Grant(read=ALL, write=ALL, invoke=ALL), SIGNED_SWITCH, SIGNED_ANSWER)

    def link(self, **terms: Any) -> Link:
        return associated(SUITE_1, grants=self.grants, **terms)

    def test_an_unsigned_switch_command_is_refused(self) -> None:
        link = self.link()

        with pytest.raises(AccessError) as caught:
            link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
        assert caught.value.result == ActionResult.READ_WRITE_DENIED
        assert link.meter.switch.moves == []
        assert link.run(link.client.get(DisconnectControl.output_state, at=DISCONNECT)) is True

    def test_a_signed_switch_command_is_obeyed(self) -> None:
        link = self.link(sign=True)

        link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
        assert link.meter.switch.moves == [ControlState.DISCONNECTED]

    def test_an_answer_is_signed_where_the_row_asks_for_it(self) -> None:
        link = self.link()

        for _ in range(2):
            link.run(link.client.get(Data.value, at=LDN))
            assert link.wire[-1][0] == 0xCC
            link.run(link.client.get(Register.value, at=ENERGY))
            assert link.wire[-1][0] == 0xDB, "signed, then ciphered: no tag of a service"

    def test_a_row_that_asks_for_encryption(self) -> None:
        secret = Grant(at=NOTE, read=ALL, protection=SecurityPolicy.ENCRYPTED_REQUEST)
        meter = SecureMeter(
            SUITE_1,
            policy=SecurityPolicy.from_version_0(1),
            grants=(Grant(read=ALL), secret),
        )
        told: dict[str, Any] = {
            "meter": meter,
            "policy": SecurityPolicy.from_version_0(1),
            "control": SecurityControl.of(SUITE_1, encrypted=False),
        }
        link = associated(SUITE_1, **told)
        with pytest.raises(AccessError) as caught:
            link.run(link.client.get(Data.value, at=NOTE))
        assert caught.value.result == DataAccessResult.READ_WRITE_DENIED
        link.run(link.client.release())
        told["control"] = None
        link = secure_link(SUITE_1, **told)
        link.client._counters = replace(link.client._counters, following=100)
        link.run(link.client.associate())
        assert link.run(link.client.get(Data.value, at=NOTE)) == b"home 1, week 1"

    def test_the_object_list_tells(self) -> None:
        link = self.link()
        found = link.run(link.client.get(AssociationLnV3.object_list, at=CURRENT_ASSOCIATION))
        modes = {element.logical_name: element.access_rights for element in found}

        assert {element.version for element in found if element.class_id == 15} == {3}
        assert [row.access_mode for row in modes[DISCONNECT].methods] == [0x11, 0x11]
        assert {row.access_mode for row in modes[ENERGY].attributes} <= {0x81, 0x83, 0x80}
        assert {row.access_mode for row in modes[LDN].attributes} <= {1, 3}
        assert link.run(link.client.get(AssociationLnV3.user_list, at=CURRENT_ASSOCIATION)) == ()

    def test_without_demands_version_1_is_served(self) -> None:
        link = associated(SUITE_1)
        found = link.run(link.client.get(AssociationLn.object_list, at=CURRENT_ASSOCIATION))

        assert {element.version for element in found if element.class_id == 15} == {1}

    def test_long_answers_are_signed_block_by_block(self) -> None:
        guarded = Grant(
            at=LOAD_PROFILE, read=ALL, protection=SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
        )
        link = associated(SUITE_2, grants=(*self.grants, guarded), max_receive_pdu_octets=1024)

        octets = link.run(link.client.profile(LOAD_PROFILE, START, START + 99 * PERIOD))
        assert axdr_data.decode(octets) == [row(index) for index in range(100)]
        answers = link.wire[5::2]
        assert len(answers) > 2
        assert {answer[0] for answer in answers} == {0xDB}
        assert all(len(answer) <= 1024 for answer in answers)

    def test_long_results_of_methods_are_signed_block_by_block(self) -> None:
        guarded = Grant(
            at=SETUP_V1, invoke=ALL, protection=SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
        )
        link = associated(SUITE_1, grants=(*self.grants, guarded), max_receive_pdu_octets=280)
        declared, usage = SecuritySetupV1, CertificateType.DIGITAL_SIGNATURE

        link.run(link.client.act(declared.generate_key_pair, usage, at=SETUP_V1))
        before = len(link.wire)
        method = declared.generate_certificate_request
        assert link.run(link.client.act(method, usage, at=SETUP_V1))[:1] == b"\x30"
        answers = link.wire[before + 1 :: 2]
        assert len(answers) > 1
        assert {answer[0] for answer in answers} == {0xDB}

    def test_demands_of_several_rows_add_up(self) -> None:
        first, second = (
            SecurityPolicy.DIGITALLY_SIGNED_REQUEST,
            SecurityPolicy.DIGITALLY_SIGNED_RESPONSE,
        )
        rows = tuple(Grant(at=CLOCK, write=ALL, protection=each) for each in (first, second))
        plain = associated(SUITE_1, grants=(*self.grants, *rows))
        with pytest.raises(AccessError) as caught:
            plain.run(plain.client.set(Clock.time_zone, 60, at=CLOCK))
        assert caught.value.result == DataAccessResult.READ_WRITE_DENIED

        signing = associated(SUITE_1, grants=(*self.grants, *rows), sign=True)
        signing.run(signing.client.set(Clock.time_zone, 60, at=CLOCK))
        assert signing.run(signing.client.get(Clock.time_zone, at=CLOCK)) == 60
        found = signing.run(signing.client.get(AssociationLnV3.object_list, at=CURRENT_ASSOCIATION))
        (clock,) = (each for each in found if each.logical_name == CLOCK)
        assert clock.access_rights.attributes[2].access_mode == 3 | first | second
