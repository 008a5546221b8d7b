# SPDX-License-Identifier: Apache-2.0
"""A meter of suite 1 or 2 whose private keys are in its secure world, where they were made."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from device.secure.worlds import InMemoryClient, in_memory, otp_in_memory
from meter.house import DAY_S, HEAD_END, MeterInMemory, Reader, config_in
from meter.suites import AGREEMENT, METER, SIGNATURE, Suite, authority
from openami.cosem.classes.access_control import (
    CertificateByEntity,
    KeyId,
    SecuritySetupV1,
)
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import KeyOffer, wrap_keys
from openami.device.secure.access import Caller
from openami.device.secure.channels import AHEAD, TRAVELLING, WINDOW, Channels
from openami.device.secure.identity import CLIENT, FIRST_KEY_ID
from openami.device.secure.keyring import Secrets
from openami.device.secure.personal import personalise_device
from openami.dlms.apdu.signed import GENERAL_SIGNING
from openami.dlms.errors import DlmsError, ReplayError, SecurityError
from openami.dlms.security.agreement import AgreementKey, Parties
from openami.dlms.security.certificates import CertificateEntity, CertificateType
from openami.dlms.security.channel import Role as End
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import KeyScheme, MasterKey
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import SecurityPolicy, SecuritySuite
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.flash import SimulatedFlash
from openami.lifecycle.certifying import certified
from openami.meter.keys import WalledSecurity
from openami.meter.objects import LDN, SECURITY_SETUP
from openami.psa.attributes import Usage
from openami.psa.status import PsaError, Status
from openami.transport.tls import Role

if TYPE_CHECKING:
    from openami.device.secure.service import Service

SUITES = (
    SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256,
    SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384,
)
SIGNED = SecurityPolicy(0xFC)


class Plant:
    """A meter in memory, made by its factory, with a secure world that outlives it."""

    def __init__(self, home: Path, suite: SecuritySuite) -> None:
        self.made = Suite(suite)
        self.flash = SimulatedFlash(M2351_FLASH_OCTETS)
        self.otp = otp_in_memory()
        personalise_device(self.flash, self.otp, self.made.personality, os.urandom)
        self.start_secure()
        self.meter = MeterInMemory(replace(config_in(home), keys=None), self.security)

    def start_secure(self) -> None:
        self.service: Service = in_memory(self.flash, otp=self.otp)
        self.client = InMemoryClient(self.service.connect(Caller.NON_SECURE))
        self.security = WalledSecurity(self.client, config_in(Path()))

    def restart(self) -> None:
        """Take the power away from all of it, and give it back."""
        self.start_secure()
        self.meter.management.close()
        self.meter.security = self.security
        self.meter.start_management()

    @property
    def channels(self) -> Channels:
        found = self.service.world.rooms.channels
        assert isinstance(found, Channels)
        return found

    def manager(self, **changes: Any) -> Reader:
        connection = self.meter.management.connection()
        reader = Reader(connection.receive, 1, **self.made.manager(**changes))
        reader.run(reader.client.associate())
        return reader

    def agree(self, reader: Reader, *key_ids: KeyId, signer: SigningKey | None = None) -> KeySet:
        """Agree on keys; return those that hold then."""
        credentials = self.made.credentials()
        if signer is not None:
            credentials = replace(credentials, signer=signer)
        parties = Parties(u=HEAD_END, v=METER)
        offers = [KeyOffer.of(key_id, parties, credentials) for key_id in key_ids]
        method = SecuritySetupV1.key_agreement
        said = tuple(offer.data for offer in offers)
        answers = reader.run(reader.client.act(method, said, at=SECURITY_SETUP))
        fresh = {offer.key_id: offer.key(answers) for offer in offers}
        held = self.made.keys
        return KeySet(
            suite=held.suite,
            encryption_key=fresh.get(KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY, held.encryption_key),
            authentication_key=fresh.get(KeyId.AUTHENTICATION_KEY, held.authentication_key),
        )


@pytest.fixture(params=SUITES, ids=["suite 1", "suite 2"])
def plant(tmp_path: Path, request: pytest.FixtureRequest) -> Plant:
    return Plant(tmp_path, request.param)


def test_a_protected_get_crosses_once_a_direction(plant: Plant) -> None:
    reader = plant.manager()
    del plant.client.crossings[:]

    assert reader.run(reader.client.get(Data.value, at=LDN))

    assert plant.client.crossings == ["dlms_unprotect", "dlms_protect"]


def test_who_signs_with_another_key_does_not_come_in(plant: Plant) -> None:
    stranger = SigningKey.fresh(plant.made.suite, os.urandom)

    with pytest.raises(DlmsError):
        plant.manager(credentials=plant.made.credentials(signer=stranger))
    assert plant.manager()


def test_the_meter_proves_itself_by_the_certificate_in_its_aare(plant: Plant) -> None:
    reader = plant.manager(credentials=plant.made.credentials(peer_signing=None))

    assert reader.run(reader.client.get(Data.value, at=LDN))


@pytest.mark.parametrize("key_id", range(FIRST_KEY_ID, FIRST_KEY_ID + 4))
def test_no_private_key_leaves(plant: Plant, key_id: int) -> None:
    keys = plant.service.world.rooms.keys
    assert not any(secret in bytes(plant.flash.content) for secret in (plant.made.secrets.master,))
    if key_id % 2:  # the second place has room for the next pair
        with pytest.raises(PsaError):
            keys.attributes(CLIENT, key_id)
        return

    held = keys.attributes(CLIENT, key_id)

    assert held.bits == (256 if plant.made.suite == 1 else 384)
    assert held.usage & (Usage.EXPORT | Usage.COPY | Usage.CACHE) == 0
    with pytest.raises(PsaError) as caught:
        keys.export_key(CLIENT, key_id)
    assert caught.value.status is Status.NOT_PERMITTED
    for name, arguments in (("export_key", (key_id,)), ("export_public_key", (key_id,))):
        with pytest.raises(PsaError) as caught:
            plant.client.call(name, *arguments)
        assert caught.value.status is Status.INVALID_HANDLE, "they are another client's keys"


def test_signed_requests_get_signed_answers(plant: Plant) -> None:
    reader = plant.manager(sign=True)
    crossings = plant.client.crossings
    del crossings[:]

    assert reader.run(reader.client.get(Data.value, at=LDN))

    assert crossings == ["dlms_unprotect", "dlms_protect"]
    answer = plant.client.came_out[-1]
    assert isinstance(answer, bytes)
    inside = SecureChannel(
        cipher=plant.made.cipher,
        role=End.CLIENT,
        own_title=HEAD_END,
        peer_title=METER,
        counters=CounterBlock(1, 2),
        credentials=plant.made.credentials(),
    )
    _, arrived = inside.unprotect(answer)
    assert arrived.signature.name == "INSIDE"


@pytest.mark.parametrize(
    "scheme", [KeyScheme.WRAPPED, KeyScheme.ONE_PASS, KeyScheme.STATIC_UNIFIED]
)
def test_keys_that_travel_are_made_and_taken_behind_the_wall(
    plant: Plant, scheme: KeyScheme
) -> None:
    reader = plant.manager(scheme=scheme)
    del plant.client.crossings[:]

    assert reader.run(reader.client.get(Data.value, at=LDN))

    assert plant.client.crossings == ["dlms_unprotect", "dlms_protect"]


def test_a_travelling_key_is_not_taken_again_after_the_power_was_gone(plant: Plant) -> None:
    def asked(counter: int) -> bytes:
        return SecureChannel(
            cipher=plant.made.cipher,
            role=End.CLIENT,
            own_title=HEAD_END,
            peer_title=METER,
            counters=CounterBlock(counter, counter + 1),
            credentials=plant.made.credentials(),
            scheme=KeyScheme.ONE_PASS,
        ).protect(bytes.fromhex("C001C1000100002A0000FF0200"))

    octets = asked(50)
    plant.security.ciphering.channel(b"", HEAD_END).unprotect(octets)

    plant.restart()  # nothing was closed

    with pytest.raises(ReplayError) as caught:
        plant.security.ciphering.channel(b"", HEAD_END).unprotect(octets)
    assert 51 <= caught.value.expected <= 51 + AHEAD
    assert plant.channels.window.expected == 0, "the other window has its own entry"
    plant.security.ciphering.channel(b"", HEAD_END).unprotect(asked(51 + AHEAD))
    assert WINDOW != TRAVELLING


def test_keys_are_agreed_on_and_hold_after_the_power_was_gone(plant: Plant) -> None:
    reader = plant.manager()
    fresh = plant.agree(
        reader, KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY, KeyId.AUTHENTICATION_KEY, KeyId.MASTER_KEY
    )
    reader.client.use_keys(Cipher(fresh))
    assert reader.run(reader.client.get(Data.value, at=LDN))
    for secret in (fresh.encryption_key, fresh.authentication_key):
        assert not [
            each for each in plant.client.came_out if isinstance(each, bytes) and secret in each
        ]

    plant.restart()

    held = plant.channels.secrets
    assert held.epoch == 2
    assert held.master != plant.made.secrets.master
    assert plant.manager(cipher=Cipher(fresh))
    with pytest.raises(DlmsError):
        plant.manager()


def test_a_half_that_somebody_else_signed_changes_nothing(plant: Plant) -> None:
    reader = plant.manager()
    stranger = SigningKey.fresh(plant.made.suite, os.urandom)

    with pytest.raises(AccessError):
        plant.agree(reader, KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY, signer=stranger)
    with pytest.raises(AccessError):
        plant.agree(reader, KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY)
    with pytest.raises(AccessError):
        plant.agree(reader, KeyId.MASTER_KEY, KeyId.MASTER_KEY)

    assert plant.channels.secrets == plant.made.secrets
    assert reader.run(reader.client.get(Data.value, at=LDN))


def test_keys_are_transferred(plant: Plant) -> None:
    size = plant.made.suite.key_octets
    fresh = replace(plant.made.keys, encryption_key=bytes(reversed(range(size))))
    wrapped = wrap_keys(
        MasterKey(plant.made.secrets.master),
        {KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: fresh.encryption_key},
    )
    reader = plant.manager()

    reader.run(reader.client.act(SecuritySetupV1.key_transfer, wrapped, at=SECURITY_SETUP))

    plant.restart()
    assert plant.manager(cipher=Cipher(fresh))


def test_pushes_are_sealed_under_the_keys_of_the_suite(plant: Plant) -> None:
    sent: list[bytes] = []
    plant.meter.management.outbox.attached(sent.append, plant.meter.now_s)

    plant.meter.run(DAY_S / 48)

    plain, arrived = open_envelope(plant.made.cipher, decode_envelope(sent[-1]))
    assert plain[0] == 0x0F
    assert arrived.control & 0x0F == plant.made.suite


def test_a_policy_only_becomes_stronger_and_stays_so(plant: Plant) -> None:
    activate = SecuritySetupV1.security_activate
    reader = plant.manager()
    with pytest.raises(AccessError):
        reader.run(reader.client.act(activate, 0x64, at=SECURITY_SETUP))

    reader.run(reader.client.act(activate, int(SIGNED), at=SECURITY_SETUP))

    plant.restart()
    assert plant.channels.secrets.policy == SIGNED
    with pytest.raises(DlmsError):  # an unsigned proof
        plant.manager()
    signing = plant.manager(policy=SIGNED)
    assert signing.run(signing.client.get(Data.value, at=LDN))


def test_a_new_pair_is_in_use_once_it_is_certified(plant: Plant) -> None:
    reader = plant.manager()
    act, setup = reader.client.act, SECURITY_SETUP
    before = reader.run(reader.client.get(SecuritySetupV1.certificates, at=setup))
    former = plant.made.certificates[SIGNATURE]
    reader.run(act(SecuritySetupV1.generate_key_pair, SIGNATURE, at=setup))
    request = reader.run(act(SecuritySetupV1.generate_certificate_request, SIGNATURE, at=setup))
    assert x509.load_der_x509_csr(request).is_signature_valid
    plant.restart()
    assert plant.manager(), "the pair before is in use still"
    reader = plant.manager()
    with pytest.raises(AccessError):
        reader.run(reader.client.act(SecuritySetupV1.import_certificate, former[:-1], at=setup))

    fresh = plant.made.certify(SIGNATURE, request)
    reader.run(reader.client.act(SecuritySetupV1.import_certificate, fresh, at=setup))

    assert plant.manager(credentials=plant.made.credentials())
    assert plant.manager(credentials=plant.made.credentials(peer_signing=None)), "in the AARE"
    reader = plant.manager()
    after = reader.run(reader.client.get(SecuritySetupV1.certificates, at=setup))
    assert len(after) == len(before) == 5
    name = CertificateByEntity(CertificateEntity.SERVER, SIGNATURE, METER)
    assert (
        reader.run(reader.client.act(SecuritySetupV1.export_certificate, name, at=setup)) == fresh
    )
    plant.made.certificates[SIGNATURE] = former
    with pytest.raises(DlmsError):
        plant.manager(credentials=plant.made.credentials(trust=None))


def test_whom_the_meter_believes_is_decided_behind_the_wall(plant: Plant) -> None:
    reader = plant.manager()
    client = plant.client
    stranger = SigningKey.fresh(plant.made.suite, os.urandom)
    terms = stranger.key.public_key(), HEAD_END, Role.HEAD_END, SIGNATURE
    forged = certified(authority(2), *terms)
    foreign_meter = certified(authority(), stranger.key.public_key(), METER, Role.METER, SIGNATURE)
    other_root = Suite(plant.made.suite)
    other_root.issuer = authority(2)

    for octets in (forged, foreign_meter, other_root.root, b"", b"0\x82"):
        with pytest.raises(PsaError) as caught:
            client.call("dlms_import_certificate", octets)
        assert caught.value.status is Status.INVALID_SIGNATURE
    with pytest.raises(PsaError):
        client.call("dlms_remove_certificate", plant.made.root)
    for usage in (CertificateType.TLS, CertificateType.OTHER, 99):
        with pytest.raises(PsaError):
            client.call("dlms_generate", int(usage))
    with pytest.raises(PsaError):
        client.call("dlms_request", int(SIGNATURE))
    assert reader.run(reader.client.get(Data.value, at=LDN))


def test_a_removed_certificate_is_believed_no_more(plant: Plant) -> None:
    reader = plant.manager()
    client_s = CertificateByEntity(CertificateEntity.CLIENT, SIGNATURE, HEAD_END)
    reader.run(reader.client.act(SecuritySetupV1.remove_certificate, client_s, at=SECURITY_SETUP))

    with pytest.raises(DlmsError):
        plant.manager()
    plant.client.call("dlms_import_certificate", plant.made.clients[0])
    assert plant.manager()
    plant.client.call("dlms_remove_certificate", plant.made.certificates[AGREEMENT])
    with pytest.raises(PsaError):
        plant.service.world.rooms.keys.attributes(CLIENT, FIRST_KEY_ID + 2)


def test_a_factory_that_was_cut_off_goes_on(plant: Plant) -> None:
    flash, otp = SimulatedFlash(M2351_FLASH_OCTETS), otp_in_memory()

    def cut(_usage: int, _request: bytes) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        personalise_device(flash, otp, lambda: plant.made.personality(certify=cut), os.urandom)
    with pytest.raises(SecurityError):
        personalise_device(
            flash, otp, lambda: plant.made.personality(certify=lambda *_: b""), os.urandom
        )
    personalise_device(flash, otp, plant.made.personality, os.urandom)

    found = in_memory(flash, otp=otp).world.rooms.channels
    assert isinstance(found, Channels)
    assert found.credentials(HEAD_END).signer is not None  # type: ignore[union-attr]


@pytest.mark.parametrize("suite", SecuritySuite)
def test_secrets_are_read_as_they_were_written(suite: SecuritySuite) -> None:
    size = suite.key_octets
    secrets = Secrets(
        title=METER,
        epoch=7,
        suite=suite,
        encryption=bytes(size),
        authentication=bytes(size),
        master=bytes(size),
        password=bytes(16),
    )

    assert Secrets.decode(secrets.encode()) == secrets
    assert len(secrets.encode()) == (76 if not suite else 30 + 3 * size)
    with pytest.raises(ValueError, match="what its suite says"):
        replace(secrets, master=bytes(size + 1)).encode()


def test_an_ephemeral_key_of_another_curve_is_refused(plant: Plant) -> None:
    other = next(each for each in SUITES if each is not plant.made.suite)
    half = AgreementKey.fresh(other, os.urandom).public

    for said in (half, bytes((0,)) + half, bytes((0,)) + bytes(256)):
        with pytest.raises(PsaError):
            plant.client.call("dlms_agree", HEAD_END, said)
    assert bytes((GENERAL_SIGNING,)) == b"\xdf"
