# SPDX-License-Identifier: Apache-2.0
"""The security setup at work: key transfer, key agreement, policies."""

from dataclasses import replace
from typing import Any

import pytest

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, SUITES, credentials, keys
from openami.cosem.classes.access_control import (
    KeyData,
    KeyId,
    SecuritySetup,
    SecuritySetupV1,
    WrappedKey,
)
from openami.cosem.classes.measurement import Data
from openami.cosem.device import SECURITY_SETUP
from openami.cosem.model import Method
from openami.cosem.refusals import AccessError, AssociationError, ExceptionResponseError
from openami.cosem.serving.security_setup import KeyOffer, wrap_keys
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.faults import ServiceError
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import Algorithm, Parties
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityPolicy,
    SecuritySuite,
)
from playbooks.demo_meter import CLIENT_TITLE, LDN, METER_TITLE, NAME, Link
from playbooks.secure_meter import (
    CLIENT,
    METER,
    SETUP_V1,
    SecureMeter,
    associated,
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

    def test_a_dedicated_key_goes_on_with_the_new_authentication_key(self) -> None:
        link = associated(SUITE_0, dedicated_key=bytes(range(0x40, 0x50)))
        transfer(link, {GAK: new_key(SUITE_0)})

        with pytest.raises(ExceptionResponseError, match="deciphering-error"):
            reads(link)
        link.client.use_keys(Cipher(replace(keys(SUITE_0), authentication_key=new_key(SUITE_0))))
        assert reads(link)
        assert link.wire[-1][0] == 0xD4

    def test_a_meter_may_count_anew_under_a_new_key(self) -> None:
        link = associated(SUITE_0)
        transfer(link, {GUEK: new_key(SUITE_0)})
        meter_of(link).ciphering.counters.following = 0

        link.client.use_keys(Cipher(replace(keys(SUITE_0), encryption_key=new_key(SUITE_0))))
        assert reads(link)

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
        held = meter_of(link).master_key.octets

        with pytest.raises(AccessError) as caught:
            transfer(link, {GUEK: new_key(SUITE_0), KEK: new_key(SUITE_0, 9)})
        assert caught.value.result == ActionResult.HARDWARE_FAULT
        assert meter_of(link).master_key.octets == held
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

        agreed = offer.key(answers)
        info = self.parties.info(Algorithm.AES_WRAP_128)
        public = answers[0].key_data[:64]
        assert agreed == offer.ephemeral.agree(public, info), "made for wrapping, not for GCM"
        transfer(link, {GUEK: new_key(SUITE_1)}, MasterKey(agreed))
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
        with pytest.raises(AccessError) as caught:
            link.run(link.client.get(SecuritySetup.security_policy, at=SECURITY_SETUP))
        assert caught.value.result == DataAccessResult.OTHER_REASON

    @pytest.mark.parametrize("bits", [0x00, 0x04, 0x6D, 0x6E, 0x7C])
    def test_what_cannot_be_is_refused(self, bits: int) -> None:
        link = associated(SUITE_1)
        if bits == 0x7C:  # signatures, without a key to sign with
            meter_of(link).credentials = replace(meter_of(link).credentials, signer=None)
        refused(link, SecuritySetupV1.security_activate, bits)
        assert reads(link)
